"""softmax, log_softmax, logsumexp and 1 - softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _kernel, exact
from ._kernel import Axis

__all__ = ["log_softmax", "logsumexp", "softmax", "softmax_complement"]


def _elementwise(z: ArrayLike, axis: Axis, formula: Any) -> Any:
    array = _kernel.real_array(z, "z")
    rows, restore = _kernel.as_rows(array, axis)
    with np.errstate(all="ignore"):
        out = formula(_kernel.shifted(rows))
    out = restore(out).reshape(array.shape)
    return _kernel.finished(out, array.dtype, array.ndim)


def softmax(z: ArrayLike, axis: Axis = -1) -> Any:
    """exp(z) / Σ exp(z) along axis."""
    return _elementwise(z, axis, lambda s: s.e / (1 + s.rest))


def log_softmax(z: ArrayLike, axis: Axis = -1) -> Any:
    """z - log Σ exp(z) along axis."""
    return _elementwise(z, axis, lambda s: s.high - (np.log1p(s.rest) - s.low))


def complement(s: _kernel.Shifted) -> Any:
    q = (1 + (s.rest - s.e)) / (1 + s.rest)
    if q.shape[1]:
        np.put_along_axis(q, s.pivot, s.rest / (1 + s.rest), axis=1)
    return q


def softmax_complement(z: ArrayLike, axis: Axis = -1) -> Any:
    """1 - softmax(z) along axis, without cancellation."""
    return _elementwise(z, axis, complement)


def logsumexp(z: ArrayLike, axis: Axis = -1, keepdims: bool = False) -> Any:
    """log Σ exp(z) along axis."""
    array = _kernel.real_array(z, "z")
    rows, _ = _kernel.as_rows(array, axis)
    s = _kernel.shifted(rows)
    with np.errstate(all="ignore"):
        log_sum = np.log1p(s.rest)
        out = s.maximum + log_sum
        out[np.isinf(s.maximum)] = s.maximum[np.isinf(s.maximum)]
        cancelled = np.flatnonzero(log_sum > 1.5 * np.abs(out))
    for row in cancelled:
        out[row] = exact.logsumexp(rows[row].tolist())
    shape = array.shape or (1,)
    axes = _kernel.normal_axes(axis, len(shape))
    kept = [1 if a in axes else n for a, n in enumerate(shape)]
    if not keepdims or not array.ndim:
        kept = [n for a, n in enumerate(shape) if a not in axes]
    return _kernel.finished(out.reshape(kept), array.dtype, len(kept))
