"""The static guards hold for the book, and the ledger holds the claims of every source."""

from collections import Counter
from pathlib import Path

import nbval.plugin
import pytest

from softmax_ref.verify import claims
from tests.book import guards
from tests.book.notebooks import ROOT
from tests.book.strict import StrictNotebook

# How many claims each source makes; an entry that gets lost changes a count.
CLAIMS = {"S0": 23, "S1": 21, "S2": 17, "S3": 30, "S4": 50, "OF": 13, "ON": 29, "OZ": 7, "OY": 12,
          "OC": 12, "OX": 3, "G": 45}


@pytest.mark.parametrize("guard", guards.ALL, ids=lambda guard: guard.__name__)
def test_guard(guard):
    complaints = list(guard(ROOT))
    if complaints:
        pytest.fail("\n".join([f"Not so: {guard.__doc__}", *complaints]), pytrace=False)


def test_ledger_is_complete():
    sources, ledger = claims.load(ROOT / "claims.toml")
    assert set(sources) == set(CLAIMS)
    assert Counter(claim.source for claim in ledger.values()) == CLAIMS
    for source, count in CLAIMS.items():
        missing = {f"{source}-{number:02d}" for number in range(1, count + 1)} - set(ledger)
        assert not missing, f"claims.toml lacks {sorted(missing)}"


@pytest.mark.parametrize(("fault", "failures", "starts"), [
    ("Kernel died before replying to kernel_info", 2, 3),
    ("Kernel died before replying to kernel_info", 3, None),
    ("Kernel info request timed out", 1, None),
])
def test_a_kernel_that_died_at_its_start_is_started_again(monkeypatch, fault, failures, starts):
    calls = []

    def setup(_):
        calls.append(fault)
        if len(calls) <= failures:
            raise RuntimeError(fault)

    monkeypatch.setattr(nbval.plugin.IPyNbFile, "setup", setup)
    notebook = object.__new__(StrictNotebook)
    notebook.path = Path("softmax.ipynb")
    if starts:
        notebook.setup()
        assert len(calls) == starts
    else:
        with pytest.raises(RuntimeError, match=fault):
            notebook.setup()
        assert len(calls) == failures
