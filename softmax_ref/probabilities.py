"""softmax, log_softmax, logsumexp and 1 - softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import exact
from ._kernel import Axis, Rows, rounded

__all__ = ["log_softmax", "logsumexp", "softmax", "softmax_complement"]


@np.errstate(all="ignore")
def softmax(z: ArrayLike, axis: Axis = -1) -> Any:
    """exp(z) / Σ exp(z) along axis."""
    rows = Rows(z, axis)
    out = np.empty(rows.sizes, rows.dtype)
    for block in rows.blocks():
        block.write(out, np.divide, block.e, block.total)
    return rows.from_cube(out)


@np.errstate(all="ignore")
def log_softmax(z: ArrayLike, axis: Axis = -1) -> Any:
    """z - log Σ exp(z) along axis."""
    rows = Rows(z, axis)
    out = np.empty(rows.sizes, rows.dtype)
    for block in rows.blocks():
        log_sum = block.log_sum
        block.write(out, np.subtract, np.subtract(block.z, block.maximum, out=block.e), log_sum)
    return rows.from_cube(out)


@np.errstate(all="ignore")
def softmax_complement(z: ArrayLike, axis: Axis = -1) -> Any:
    """1 - softmax(z) along axis, without cancellation."""
    rows = Rows(z, axis)
    out = np.empty(rows.sizes, rows.dtype)
    for block in rows.blocks():
        block.write(out, np.divide, block.complement(block.z, block.e), block.total)
    return rows.from_cube(out)


@np.errstate(all="ignore")
def logsumexp(z: ArrayLike, axis: Axis = -1, keepdims: bool = False) -> Any:
    """log Σ exp(z) along axis."""
    rows = Rows(z, axis)
    before, classes, after = rows.sizes
    out = np.full((before, after), -np.inf)
    for block in rows.blocks():
        m = block.maximum
        value = np.where(np.isinf(m), m, m + block.log_sum)
        for row in np.flatnonzero(block.log_sum > 1.5 * np.abs(value)):
            value.flat[row] = exact.logsumexp(block._take(block.z, [row]).ravel().tolist())
        target = out[block.rows]
        target[...] = value.reshape(target.shape)
    shape = rows.kept
    if keepdims:
        shape = tuple(1 if a in rows.axes else n for a, n in enumerate(rows.shape))
    return rounded(out.reshape(shape), rows.dtype)
