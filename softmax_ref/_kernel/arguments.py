"""What the public functions accept, arrays of real numbers and axes, and memory to work in."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[Any]]
Axis = int | tuple[int, ...] | None

FLOAT64 = np.dtype(np.float64)


def real_array(value: ArrayLike, name: str) -> Array:
    """The argument as an array of float16, float32, float64, integers or bools, else TypeError."""
    if type(value) is np.ndarray:
        array = value
    elif is_masked(value):
        raise TypeError(f"{name} must not be a masked array: mask a class with -inf instead")
    else:
        array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"{name} must be real numbers of at most 64 bits, got {array.dtype}")
    return array


def is_masked(value: object) -> bool:
    """Whether this is a masked array, without loading `numpy.ma`, 1 MiB, to find that it is not."""
    masked_arrays = sys.modules.get("numpy.ma")  # perhaps being loaded by another thread
    return isinstance(value, getattr(masked_arrays, "MaskedArray", ()))


def float_type(array: Array) -> np.dtype[Any]:
    """What a result is rounded to: the argument's own float type, float64 for integers."""
    if array.dtype.kind != "f":
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


def aligned(size: int) -> Array:
    """float64 memory that begins with a line of the cache: elsewhere sums take an eighth longer."""
    memory = np.empty(size + 7)
    start = -memory.ctypes.data // 8 % 8
    return memory[start : start + size]
