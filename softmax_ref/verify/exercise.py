"""Coding exercises that judge the reader's answer on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
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
    inputs : argument tuples, tried in turn; each function gets copies of its own
    rtol : largest admitted error of an entry, relative to the entry itself

    Returns
    -------
    bool : whether every result agrees. A wrong answer is told, never raised.
    """
    name = candidate.__name__
    for arguments in inputs:
        problem = _problem(candidate, np.asarray(reference(*deepcopy(arguments))), arguments, rtol)
        if problem is None:
            emit(f"{name}: not solved yet", f"✎ `{name}`: not solved yet.")
            return False
        if problem:
            shown = ", ".join(np.array2string(np.asarray(a), threshold=8) for a in arguments)
            emit(f"✘ {name}({shown}) {problem}", f"✘ `{name}({shown})` {problem}")
            return False
    emit(f"✔ {name}: agrees on {len(inputs)} inputs",
         f"✔ `{name}` agrees with the reference on {len(inputs)} inputs.")
    return True


def _problem(candidate: Callable[..., Any], expected: np.ndarray, arguments: tuple[Any, ...],
             rtol: float) -> str | None:
    """What is wrong with an answer: a sentence, "" if nothing, None if there is no answer yet."""
    given_arguments = deepcopy(arguments)
    try:
        given = candidate(*given_arguments)
        if given is None:
            return None
        result = np.asarray(given)
    except Exception as error:  # the reader's own code: whatever it raises is told
        return f"raises {type(error).__name__}: {error}."
    for before, after in zip(arguments, given_arguments, strict=True):
        if not np.array_equal(before, after, equal_nan=np.asarray(before).dtype.kind in "fc"):
            return "changes its argument; work on a copy."
    if result.dtype.kind not in "biufc":
        return f"is {given!r}, expected numbers."
    if result.shape != expected.shape:
        return f"has shape {result.shape}, expected {expected.shape}."
    if not np.allclose(result, expected, rtol=rtol, atol=0, equal_nan=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            worst = np.max(np.abs(result - expected) / np.abs(expected))
        return (f"is {np.array2string(result, threshold=8)} ({result.dtype}), expected "
                f"{np.array2string(expected, threshold=8)}: relative error {worst:.1g}, "
                f"at most {rtol:g} is asked for.")
    return ""
