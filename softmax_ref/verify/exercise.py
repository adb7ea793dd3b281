"""Coding exercises that judge the reader's answer on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .display import emit


def judge(candidate: Callable[..., Any], reference: Callable[..., Any],
          inputs: Sequence[tuple[Any, ...]], rtol: float = 1e-12) -> bool:
    """Compare the reader's function with a reference and say how it fares.

    Parameters
    ----------
    candidate : the reader's function; returning None means "not solved yet"
    reference : the function that it should equal
    inputs : argument tuples, tried in turn
    rtol : largest admitted error of an entry, relative to the entry itself

    Returns
    -------
    bool : whether every result agrees. Nothing is raised for a wrong answer: it is told.
    """
    name = candidate.__name__
    for arguments in inputs:
        expected = np.asarray(reference(*arguments))
        given = candidate(*arguments)
        if given is None:
            emit(f"{name}: not solved yet", f"✎ `{name}`: not solved yet.")
            return False
        shown = ", ".join(np.array2string(np.asarray(a), threshold=8) for a in arguments)
        if np.shape(given) != expected.shape:
            emit(f"✘ {name}({shown}): shape {np.shape(given)}, expected {expected.shape}",
                 f"✘ `{name}({shown})` has shape {np.shape(given)}, expected {expected.shape}.")
            return False
        if not np.allclose(given, expected, rtol=rtol, atol=0, equal_nan=True):
            emit(f"✘ {name}({shown}) = {given}, expected {expected}",
                 f"✘ `{name}({shown})` is `{given}`, expected `{expected}`.")
            return False
    emit(f"✔ {name}: agrees on {len(inputs)} inputs",
         f"✔ `{name}` agrees with the reference on {len(inputs)} inputs.")
    return True
