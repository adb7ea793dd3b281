r"""Numbers as pairs high + low: what one rounding takes is kept and given back later.

Everything here is +, -, ·, / and exp, on arrays or on Python's floats (for a single row, where an
array of one number would cost ten times as much); both round alike.  u = 2⁻⁵³.

References
----------
.. [1] T. J. Dekker, "A floating-point technique for extending the available precision",
       Numer. Math. 18, 1971 (TwoSum, splitting, products). doi:10.1007/BF01397083
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from .arguments import Array
from .sums import Number, along, large_sum, pair_sum

FAR = 552.0  # exp(-552) is 1e-240: from here on a sum might lose digits to underflow


def two_sum(a: Number, b: Number) -> tuple[Number, Number]:
    """a + b rounded, and what rounding took from it, exactly."""
    rounded = a + b
    back = rounded - a
    return rounded, (a - (rounded - back)) + (b - back)


def fast_two_sum(a: Number, b: Number) -> tuple[Number, Number]:
    """The same for |a| ≥ |b|, in half the steps; overwrites b, and a if it is an array."""
    rounded = a + b
    a -= rounded
    b += a
    return rounded, b


def head(a: Number) -> Number:
    """a to 26 bits, so that a product of two such is exact; a - head(a) has 26 bits as well."""
    scaled = a * (2.0**27 + 1)
    tail = scaled - a
    scaled -= tail
    return scaled


def two_product(a: Number, b: Number) -> tuple[Number, Number]:
    """a·b rounded, and what rounding took from it, exactly."""
    product, a_head, b_head = a * b, head(a), head(b)
    a_tail, b_tail = a - a_head, b - b_head
    lost = (a_head * b_head - product) + a_head * b_tail + a_tail * b_head
    return product, lost + a_tail * b_tail


def quotient(a: Number, a_low: Number, b: Number) -> tuple[Number, Number]:
    """(a + a_low) / b as q + tail: q of 26 bits, tail below 2⁻²⁶·q, together right to 2⁻²⁶·u."""
    q, b_head = head(a / b), head(b)
    tail = q * b_head
    tail = a - tail
    tail -= q * (b - b_head)
    tail += a_low
    tail /= b
    return q, tail


def reciprocal(b: Number, tilt: Number) -> tuple[Number, Number]:
    """(1 - tilt)/b as r - tail, tail near tilt·r, up to 2⁻²⁶·r, and right to 2⁻⁵²·u or u of it."""
    r = 1.0 / b
    product, low = two_product(r, b)
    return r, r * (tilt - ((1.0 - product) - low))


def exp_minus(z: Array, c: Number) -> tuple[Array, Array]:
    """exp(z - c) without the rounding of z - c, as its rounding and what that took."""
    e, lost = _exp_minus(z, c)
    rounded = e + lost
    e -= rounded
    lost += e
    return rounded, lost


def _exp_minus(z: Array, c: Number) -> tuple[Array, Array]:
    """exp(d), d = z - c, and what the rounding of d took from it.

    exp(d)·(1 + lost), d + lost = z - c (TwoSum): the rounding of d would cost up to 2⁻⁴⁴ of exp(d),
    500 units in its last place.  What is left out, lost²/2, is below 2⁻⁸⁷.
    """
    d = z - c
    back = d - z
    lost = d - back
    np.subtract(z, lost, out=lost)
    back += c
    lost -= back
    np.copyto(lost, 0.0, where=np.isnan(lost))  # -inf - (-inf) at masks; d knows where it is NaN
    e = np.exp(d, out=d)
    lost *= e
    return e, lost


def rest_by_shift(
    others: Callable[[], Iterable[Array]], m: Number, top: Number, axis: int
) -> tuple[Number, Number]:
    """top·Σ exp(z - m) over the other logits z < m of rows, as a pair, subnormal or not.

    They may come in parts, twice; -inf stands for what does not count.
    exp(z - m) with digits to lose is computed as exp(z - c) / exp(m - c), c near m - 512.  As a
    multiple of 64 that leaves z - c exact wherever it is smaller than z.  From 2⁶⁰ on it would be
    far from m - 512, but there differences are multiples of 64, and no exp is subnormal.
    """
    one = isinstance(m, float)
    m = np.array([m]) if one else m
    second = -np.inf
    for z in others():
        second = np.maximum(second, along(np.maximum, z, axis))
    below = np.where(np.abs(m) < 2.0**60, np.rint(m / 64.0 - 8.0) * 64.0, m)
    c = np.where(m - second < FAR, m, below)
    sums, rest = 0.0, 0.0
    for z in others():
        e, lost = _exp_minus(z, c)
        high, low = pair_sum(e, axis)
        sums, rounding = two_sum(sums, high)
        rest = rest + (rounding + low + large_sum(lost, axis))
    pivot, lost = _exp_minus(m, c)  # 1 and 0 for c = m
    ratio, tail = quotient(sums, rest, pivot)
    ratio, tail = two_sum(ratio, tail - ratio * (lost / pivot))
    product, low = two_product(ratio, top)
    low = low + tail * top
    return (product.item(), low.item()) if one else (product, low)
