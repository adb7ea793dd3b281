"""The fast selection again on lesser processors: NumPy's vectorised loops switched off.

``exp`` and ``log1p`` then come from another implementation, with other last bits.  The contract
must hold with each, and the exact tier, made of integers, may not change a bit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent

DIGEST = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from generators import FAMILIES, family
from softmax_ref import exact
digest = hashlib.sha256()
for name in FAMILIES:
    for row in family(name, 2, 4).tolist():
        values = [*exact.softmax(row), *exact.log_softmax(row), exact.logsumexp(row),
                  exact.cross_entropy(row, 0), *exact.cross_entropy_grad(row, 0)]
        digest.update(" ".join(v.hex() for v in values).encode())
print(digest.hexdigest())
"""


def dispatched() -> list[str]:
    """The features that NumPy chooses its loops by and that this processor has, weakest first."""
    from numpy._core import _multiarray_umath as umath

    return [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name)]


def levels() -> list[str]:
    """What to switch off: the strongest half of the features, and all of them."""
    found = dispatched()
    wide = [name for name in found if "512" in name or "V4" in name]
    return [
        " ".join(names) for names in (wide, found) if names and (names is found or wide != found)
    ]


def run(disabled: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "NPY_DISABLE_CPU_FEATURES"}
    if disabled:
        environment["NPY_DISABLE_CPU_FEATURES"] = disabled
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(params=levels() or [None])
def disabled(request: pytest.FixtureRequest) -> str:
    if request.param is None:
        pytest.skip(f"NumPy {np.__version__} dispatches on nothing that this processor has")
    return request.param


def test_the_features_are_really_switched_off(disabled: str) -> None:
    program = (
        "try:\n from numpy._core import _multiarray_umath as u\n"
        "except ImportError:\n from numpy.core import _multiarray_umath as u\n"
        f"print([n for n in {disabled.split()!r} if u.__cpu_features__[n]])"
    )
    done = run(disabled, "-W", "error", "-c", program)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_fast_selection_with_features_disabled(disabled: str) -> None:
    done = run(
        disabled,
        "-m",
        "pytest",
        "-q",
        "-m",
        "core",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--tb=short",
        str(HERE),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_stronger_families_with_features_disabled(disabled: str) -> None:
    """Every family of rows, against the contract."""
    done = run(
        disabled,
        "-m",
        "pytest",
        "-q",
        "-k",
        "families_forward or families_loss",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--tb=short",
        str(HERE / "test_accuracy.py"),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_exact_tier_is_the_same_bit_for_bit(disabled: str) -> None:
    """No vectorised function of NumPy takes part, in the drawing of the rows neither."""
    usual, lesser = (run(level, "-c", DIGEST, str(HERE)) for level in (None, disabled))
    assert usual.returncode == lesser.returncode == 0, usual.stderr + lesser.stderr
    assert usual.stdout == lesser.stdout != ""
