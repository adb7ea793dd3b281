"""Sums along an axis and the extremes of blocks: plain ones, and ones as pairs high + low.

References
----------
.. [1] S. M. Rump, T. Ogita, S. Oishi, "Accurate floating-point summation part I: faithful
       rounding", SIAM J. Sci. Comput. 31(1), 2008 (ExtractVector). doi:10.1137/050645671
"""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from .arguments import Array

Number = Any  # a float or an array of them
#: up to so many terms, sums run across rows instead of along them, wherever the rows lie, as the
#: order of the terms decides the last bit; for more, up to EITHER_WAY, `split_sum` gives the same
#: bits in any order
CLASS_MAJOR, EITHER_WAY = 50, 300
AT_ONCE = 1024  # numbers that BLAS adds, without threads
PART = 512  # of more, it adds so many at a time: the classes of a chunk of the most rows


def aligned(size: int) -> Array:
    """float64 memory that begins with a line of the cache: elsewhere sums take an eighth longer."""
    memory = np.empty(size + 7)
    start = -memory.ctypes.data // 8 % 8
    return memory[start : start + size]


_ONES, _START = aligned(4 * AT_ONCE), np.zeros(1, np.intp)
_ONES[:] = 1.0


def along(ufunc: np.ufunc, values: Array, axis: int) -> Number:
    """ufunc.reduce with the axis kept, or for a single row as a float.

    The terms of a row are added in the same order, whether it comes alone or with others.  Along
    rows, where that matters for np.add, see `total`.
    """
    if values.ndim == 1:
        return ufunc.reduceat(values, _START).item()
    if axis == 1 and values.flags.c_contiguous:  # 0.4 of the time for a hundred numbers
        starts = np.arange(0, values.size, values.shape[1])
        return ufunc.reduceat(values.ravel(), starts)[:, np.newaxis]
    if ufunc is np.add and axis == 0 and values.shape[1] == 1:  # as columns side by side are added
        return ufunc.accumulate(values)[-1:]
    return ufunc.reduce(values, axis=axis, keepdims=True)


def least_of(values: Any) -> Any:
    """The least of all numbers, NaN if there is one, in 0.4 of the time of a reduction."""
    if not values.flags.c_contiguous:
        return values.min().item()  # argmin would make a copy
    return values.item(values.argmin())


def most_of(values: Any) -> Any:
    """The largest of all numbers, NaN if there is one; of booleans, whether one is true."""
    return values.item(values.argmax())


def total(values: Array, axis: int) -> Number:
    """The plain sum along an axis; along rows by BLAS, in less time than NumPy.

    Among 10⁴ sums of random terms none was off by 7·2⁻⁵³; `short.roundings` has the
    worst case.
    """
    if axis < values.ndim - 1:
        return along(np.add, values, axis)
    size = values.shape[axis]
    if size <= CLASS_MAJOR and values.ndim == 1:  # as columns are added
        return reduce(add, values.tolist(), 0.0)
    if size <= AT_ONCE:
        sums = np.vecdot(values, _ONES[:size])
    else:
        sums = sum_of_parts(*partial_sums(values))
    return sums.item() if values.ndim == 1 else sums[:, np.newaxis]


def partial_sums(rows: Array) -> tuple[Array, Array]:
    """The sums of PART numbers at a time along rows, and of what is left over, perhaps nothing."""
    whole, rest = divmod(rows.shape[-1], PART)
    parts = rows[..., : whole * PART].reshape(*rows.shape[:-1], whole, PART)
    return np.vecdot(parts, _ONES[:PART]), np.vecdot(rows[..., whole * PART :], _ONES[:rest])


def sum_of_parts(sums: Array, rest: Array) -> Array:
    """The sums of whole rows."""
    if sums.shape[-1] > AT_ONCE:
        sums, rest_of_sums = partial_sums(sums)
        return sum_of_parts(sums, rest_of_sums) + rest
    return np.vecdot(sums, _ONES[: sums.shape[-1]]) + rest


def add_parts(sums: Array, rows: Array) -> None:
    """Write the sums of parts of rows, or of one, to the first of these, of the rest to the last.

    So do chunks of rows one after the other, each from its place on.
    """
    parts, rest = partial_sums(rows)
    sums[:, : parts.shape[-1]], sums[:, -1] = parts, rest


def as_rows(columns: Array, memory: Array) -> Array:
    """A copy of rows that stand side by side, in memory of their size."""
    rows = memory.reshape(columns.shape[::-1])
    for k in range(0, len(rows), 8):  # a line of the cache
        rows[k : k + 8] = columns[:, k : k + 8].T
    return rows


def across(ufunc: np.ufunc, columns: Array) -> Array:
    """ufunc.reduce over axis 0, in an order of its own.

    To begin a line costs NumPy as much as 100 numbers: so several lines are one here.
    """
    group = math.gcd(len(columns), 16) if columns.flags.c_contiguous else 1
    lines = ufunc.reduce(columns.reshape(len(columns) // group, -1), axis=0)
    return ufunc.reduce(lines.reshape(group, -1), axis=0, keepdims=True)


def split_sum(
    terms: Array, big: Number, axis: int, work: Array | None = None
) -> tuple[Number, Number]:
    """Σ terms as high + low, for terms with Σ |terms| ≤ big.

    ExtractVector [1]_: adding and subtracting big leaves of each of the K terms a multiple of
    ulp(big); these have an exact sum, in any order.  The remainders, up to ulp(big), are summed
    plainly: an error below K²·2⁻¹⁰⁵·big, or K·2⁻⁹⁵·big where they are added 1024 at a time; a plain
    sum of all has K·2⁻⁵³ of the sum.  For `in_any_order`, big has to be a power of two, and the
    error is below K·P·2⁻¹⁰⁵·big, P = `power_from` (K).
    """
    big = np.asarray(big)  # NumPy takes a float 0.2 µs slower
    classes = terms.shape[axis]
    parts = np.add(terms, big, out=work)
    parts -= big
    if axis < parts.ndim - 1 and parts.size <= _ONES.size:  # by BLAS in an order of its own
        high = _ONES[: len(parts)].dot(parts)[np.newaxis]
    else:
        high = total(parts, axis)
    np.subtract(terms, parts, out=parts)
    if in_any_order(classes):
        drop_digits(parts, big, classes)
    return high, total(parts, axis)


def in_any_order(classes: int) -> bool:
    """Whether `split_sum` of so many terms takes two steps more to be the same in any order."""
    return CLASS_MAJOR < classes <= EITHER_WAY


def power_from(classes: int) -> float:
    """The power of two from a number of classes on."""
    return 2.0 ** (classes - 1).bit_length()


def drop_digits(remainders: Array, big: Array, classes: int) -> None:
    """Round so many numbers, each up to 2⁻⁵³·big, so that their sum is exact: by P·2⁻¹⁰⁵·big each.

    They become multiples of 2⁻⁵³·small, and add up to small/2 at most.
    """
    small = big * (power_from(classes) * 2.0**-52)
    remainders += small
    remainders -= small


def bound_of_sum(terms: Array, axis: int) -> Number:
    """What splits terms ≥ 0: twice a plain sum, or P times the power of two above the largest."""
    classes = terms.shape[axis]
    if not in_any_order(classes):
        return 2.0 * total(terms, axis)
    return _power_above(along(np.maximum, terms, axis)) * power_from(classes)


def _power_above(number: Number) -> Number:
    return np.ldexp(1.0, np.frexp(number)[1])


def pair_sum(terms: Array, axis: int) -> tuple[Number, Number]:
    """Σ terms as high + low, for terms ≥ 0: off by K²·2⁻¹⁰⁴ of the sum, up to 300 by K³·2⁻¹⁰²."""
    return split_sum(terms, bound_of_sum(terms, axis), axis)


def large_sum(terms: Array, axis: int) -> Number:
    """Σ terms of any sign, as large as they come; inf where one is, NaN where one is not a number.

    Rounded once, from a pair: off by 2⁻⁵³ of the sum and K³·2⁻¹⁰¹ of the largest term.
    """
    bound = along(np.maximum, np.abs(terms), axis)
    scale = np.where(bound > 1e240, 2.0**-128, 1.0)
    big = 2.0 * power_from(terms.shape[axis]) * _power_above(bound * scale)
    high, low = split_sum(terms * scale, big, axis)
    return np.where(np.isfinite(bound), (high + low) / scale, along(np.add, terms, axis))
