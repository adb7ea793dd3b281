"""What the public functions accept: arrays of real numbers, and axes."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[Any]]
Axis = int | tuple[int, ...] | None

FLOAT64 = np.dtype(np.float64)
_INSTEAD_OF_MASKS = {
    "z": "mask a class with -inf",
    "labels": "use ignore_index",
    "targets": "what is masked may get the target 0",
    "weight": "what is masked may get the weight 0",
    "g": "its filled data may do",
}


def real_array(value: ArrayLike, name: str) -> Array:
    """The argument as an array of floats of at most 64 bits, integers or bools, else TypeError."""
    array = value if type(value) is np.ndarray else as_array(value, name)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if not (kind in "iub" or (kind == "f" and 2 <= size <= 8) or _is_bfloat16(array.dtype)):
        raise TypeError(f"{name} must be real numbers of at most 64 bits, got {array.dtype}")
    return array


def as_array(value: ArrayLike, name: str) -> Array:
    """The argument as an array of any type, but for masked ones and ragged lists."""
    if is_masked(value):
        raise TypeError(f"{name} must not be a masked array, got one: {_INSTEAD_OF_MASKS[name]}")
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, got lists that are none: {error}") from error


def _is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Whether this is the bfloat16 of the package ml_dtypes, which JAX and others use."""
    return dtype.kind == "V" and dtype.name == "bfloat16"


def is_masked(value: object) -> bool:
    """Whether this is a masked array, without loading `numpy.ma`, 1 MiB, to find that it is not."""
    masked_arrays = sys.modules.get("numpy.ma")  # perhaps being loaded by another thread
    return isinstance(value, getattr(masked_arrays, "MaskedArray", ()))


def float_type(array: Array) -> np.dtype[Any]:
    """What a result is rounded to: the argument's own float type, float64 for integers."""
    if array.dtype.kind in "iub":
        return FLOAT64
    return array.dtype if array.dtype.isnative else array.dtype.newbyteorder("=")


def normal_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes as sorted non-negative integers."""
    axes = tuple(range(ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for a in axes:
        if not isinstance(a, (int, np.integer)) or isinstance(a, bool):
            raise TypeError(f"axis must be an integer, a tuple of them or None, got {axis!r}")
        if not -ndim <= a < ndim:
            raise ValueError(f"axis must be within {-ndim}..{ndim - 1} here, got {axis!r}")
    normal = sorted({int(a) % ndim for a in axes})
    if len(normal) < len(axes) or not normal:
        raise ValueError(f"axis must name at least one axis, and none twice, got {axis!r}")
    return tuple(normal)
