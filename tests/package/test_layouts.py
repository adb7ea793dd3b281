"""The suite once more, with rows laid out in memory as few of its arrays would be.

A row of more than 50 000 classes is summed chunk by chunk, and so are its losses and products; from
51 classes on the rows of a block lie one after the other instead of class by class, and from 151 on
they are not divided but multiplied.  No oracle can afford many rows of such lengths; with limits of
a few classes it can.
"""

from __future__ import annotations

import pytest
import test_accuracy
import test_edges
import test_options

from softmax_ref import _kernel as kernel


@pytest.fixture(autouse=True, params=["chunks of three", "row-major"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "row-major":
        for module in (kernel.layout, kernel.rows, kernel.short):
            monkeypatch.setattr(module, "CLASS_MAJOR", 0)
        monkeypatch.setattr(kernel.layout, "FEW", 0)
        monkeypatch.setattr(kernel.block, "DIVIDED", 0)
    else:
        for name in ("LONGEST", "BLOCK", "ALONE"):
            monkeypatch.setattr(kernel.rows, name, 3)
        monkeypatch.setattr(kernel.layout, "ALONE", 3)
        monkeypatch.setattr(kernel.long_rows, "BLOCK", 3)
        for name in ("CLASS_MAJOR", "MANY"):  # such rows have more classes
            monkeypatch.setattr(kernel.short, name, 3)
        for module in (kernel.rows, kernel.long_rows, kernel.sums, kernel.short):
            monkeypatch.setattr(module, "PART", 3)
        for module in (kernel.exponentials, kernel.others, kernel.layout):
            monkeypatch.setattr(module, "PIECE", 2)
    return str(request.param)


def test_rows_do_come_so(layout: str) -> None:
    blocks = list(kernel.rows.Rows([[0.0] * 7, [1.0] * 7], 1).blocks())
    assert len(blocks) == (1 if layout == "row-major" else 6)
    assert blocks[0].axis == (1 if layout == "row-major" else 0)


#: of the edges, what depends on the numbers and not on the arguments
NUMBERS = ("nan", "infinity", "mask", "inf", "thread", "contiguous", "ignored")
for _module in (test_accuracy, test_options, test_edges):
    for _name, _test in vars(_module).items():
        relevant = _module is not test_edges or any(part in _name for part in NUMBERS)
        if _name.startswith("test_") and relevant and "many_classes" not in _name:
            globals()[_name] = _test
