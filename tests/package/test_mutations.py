"""The suite is tested too: it must notice every one of the mistakes listed in ``mutants.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "mutants.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork(), which this system lacks")
def test_every_mutant_is_noticed() -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout)
    status, text = results.pop("intact")
    assert status == 0, f"the fast selection fails on the intact package: {text}"
    for sentence, (_, noticed_by) in results.items():
        print(f"{sentence:75} {noticed_by}")
    assert len(results) >= 10
    # 1 is pytest's "tests were collected and run, some failed"; anything else noticed nothing
    survivors = {s: found for s, found in results.items() if found[0] != 1 or "::" not in found[1]}
    assert not survivors, survivors
