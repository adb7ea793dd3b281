"""The static guards hold for the book, and the ledger holds the claims of every source."""

from collections import Counter

import pytest

from softmax_ref.verify import claims
from tests.book import guards
from tests.book.notebooks import ROOT

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
