"""Shifted exponentials of rows: dtype policy, axis to rows, and the sum without its pivot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[Any]]
Axis = int | tuple[int, ...] | None


def real_array(value: ArrayLike, name: str) -> Array:
    """The argument as an array of float16, float32 or float64; integers and bools become float64."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array; mask a class by -inf instead")
    array = np.asarray(value)
    if array.dtype.kind in "iub" or array.size == 0 == np.ndim(value) and array.dtype.kind == "O":
        return array.astype(np.float64)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise TypeError(
            f"{name} must have a real dtype of at most 64 bits, got dtype {array.dtype}"
        )
    return array


def normal_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    normal = []
    for a in axes:
        if not isinstance(a, (int, np.integer)) or isinstance(a, bool):
            raise TypeError(f"axis must be an integer, a tuple of integers or None, got {axis!r}")
        if not -ndim <= a < ndim:
            raise ValueError(f"axis must be in {-ndim}..{ndim - 1}, got {axis!r}")
        normal.append(int(a) % ndim)
    if len(set(normal)) < len(normal):
        raise ValueError(f"axis must not name an axis twice, got {axis!r}")
    return tuple(sorted(normal))


def as_rows(z: Array, axis: Axis) -> tuple[Array, Callable[[Array], Array]]:
    """(R, K) float64 rows, and the function that puts such rows back into the shape of z."""
    z = z if z.ndim else z.reshape(1)
    axes = normal_axes(axis, z.ndim)
    kept = [a for a in range(z.ndim) if a not in axes]
    order = [*kept, *axes]
    moved = z.transpose(order)
    rows = moved.reshape(int(np.prod([z.shape[a] for a in kept], dtype=int)), -1) if z.size else (
        np.empty((int(np.prod([z.shape[a] for a in kept], dtype=int)),
                  int(np.prod([z.shape[a] for a in axes], dtype=int))))
    )

    def restore(values: Array) -> Array:
        return values.reshape(moved.shape).transpose(np.argsort(order))

    return rows.astype(np.float64), restore


class Shifted(NamedTuple):
    maximum: Array  # (R, 1)
    pivot: Array  # (R, 1) index of the maximum
    high: Array  # (R, K) z - maximum, rounded
    low: Array  # what that rounding lost
    e: Array  # exp(z - maximum)
    rest: Array  # (R, 1) sum of e without the pivot's 1


def shifted(rows: Array) -> Shifted:
    with np.errstate(all="ignore"):
        maximum = rows.max(axis=1, keepdims=True, initial=-np.inf)
        pivot = (rows.argmax(axis=1) if rows.shape[1] else np.zeros(len(rows), int))[:, None]
        high = rows - maximum
        back = high - rows
        low = (rows - (high - back)) - (maximum + back)
        low[~np.isfinite(high)] = 0.0
        e = np.exp(high)
        e += e * low
        others = e.copy()
        np.put_along_axis(others, pivot, 0.0, axis=1) if rows.shape[1] else None
        # ties, masks and NaN need no care: a NaN of -inf - -inf stays in its row
        rest = pairwise_exact(others)
    undefined = ~np.isfinite(maximum) & (rows.shape[1] > 0)
    rest[undefined] = np.nan
    return Shifted(maximum, pivot, high, low, e, rest)


def pairwise_exact(terms: Array) -> Array:
    """Compensated tree sum along axis 1."""
    high, low = terms, np.zeros_like(terms)
    while high.shape[1] > 1:
        if high.shape[1] % 2:
            high = np.concatenate([high, np.zeros_like(high[:, :1])], axis=1)
            low = np.concatenate([low, np.zeros_like(low[:, :1])], axis=1)
        a, b = high[:, ::2], high[:, 1::2]
        s = a + b
        t = s - a
        low = (a - (s - t)) + (b - t) + (low[:, ::2] + low[:, 1::2])
        high = s
    return (high + low) if high.shape[1] else np.zeros((len(terms), 1))


def finished(values: Array, dtype: np.dtype[Any], ndim: int) -> Any:
    """Round once to the dtype of the input; a NumPy scalar for 0-d."""
    with np.errstate(all="ignore"):
        out = values.astype(dtype.newbyteorder("="), copy=False)
    return out[()] if out.ndim == 0 else out
