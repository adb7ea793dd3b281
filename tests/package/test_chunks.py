"""The suite once more, with every row of more than four classes in chunks of three.

A row of more than 50 000 classes is summed chunk by chunk, and so are its losses and products.  No
oracle can afford many rows of that length; with a limit of four classes it can.
"""

from __future__ import annotations

import pytest
import test_accuracy
import test_edges
import test_options

from softmax_ref import _kernel, _layout, _long_rows, _rows


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rows, "LONGEST", 4)
    monkeypatch.setattr(_long_rows, "BLOCK", 3)
    monkeypatch.setattr(_kernel, "PIECE", 2)
    monkeypatch.setattr(_layout, "PIECE", 2)


def test_rows_do_come_in_chunks() -> None:
    assert len(list(_rows.Rows([[0.0] * 7, [1.0] * 7], 1).blocks())) == 6


#: of the edges, what depends on the numbers and not on the arguments
NUMBERS = ("nan", "infinity", "mask", "inf", "thread", "contiguous", "ignored")
for _module in (test_accuracy, test_options, test_edges):
    for _name, _test in vars(_module).items():
        relevant = _module is not test_edges or any(part in _name for part in NUMBERS)
        if _name.startswith("test_") and relevant and "many_classes" not in _name:
            globals()[_name] = _test
