r"""logsumexp of rows whose maximum and log sum cancel: log1p(Σ exp(z) - 1) with 113 bits.

For a row of normalised log-probabilities Σ exp(z) is 1 up to the rounding of its logits, and
logsumexp is that rounding: about 10⁻¹⁶.  Three digits of it need exp to 2⁻⁶³, all of them 2⁻¹¹⁰.
Here exp(z) is kept as five float64 numbers whose exact sum is right to 2⁻¹¹³ of exp(z), and for z
near 0 to as much of exp(z) - 1; the five times K numbers of a row are added without error.  What
comes so close to 0 that even they do not decide it, one row in some hundreds, is done by integers.

.. math::
    z = r - j/256, \quad |r| \le 2^{-9}, \qquad
    e^z = T_j\,(1 + r + R), \quad R = r^2 \sum_{n\ge2} r^{n-2}/n!

with :math:`T_j` as three numbers, :math:`R` as two, and exact products (Dekker's) where the
rounding would count.

References
----------
.. [1] T. J. Dekker, "A floating-point technique for extending the available precision",
       Numer. Math. 18, 1971. doi:10.1007/BF01397083
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from functools import cache

import numpy as np

from . import exact
from ._arguments import Array
from ._pairs import fast_two_sum, head, total, two_product, two_sum

__all__ = ["logsumexp_near_zero"]

GRID = 256  # table entries a unit
LOWEST = -44  # below, exp(z) in float64 is off by at most 2⁻¹¹⁶
TAIL = 10  # terms of the series: 2⁻⁹·¹⁰/11! is below 2⁻¹¹⁵
DECIDED = 2.0**-62  # |Σ - 1| from here on is known to 2⁻⁵²; with a maximum m near 0 from 2·this·|m|
BITS = 192  # after the binary point of integers
GROUP = 2500  # logits at a time, to bound the memory


@cache
def _table() -> Array:
    """exp(-j/256) as the sum of three float64, for j = 0..11264."""
    ratio, value = _exp(-1.0 / GRID), 1 << BITS
    table = np.empty((3, -LOWEST * GRID + 1))
    for j in range(table.shape[1]):
        table[:, j] = _pieces(value, 3)
        value = value * ratio >> BITS
    return table


@cache
def _coefficients() -> list[list[float]]:
    """1/n! as the sum of two float64, for n = 0..TAIL."""
    return [_pieces((1 << BITS) // math.factorial(n), 2) for n in range(TAIL + 1)]


def _pieces(value: int, count: int) -> list[float]:
    """A multiple of 2⁻¹⁹² as a sum of float64."""
    pieces = []
    for _ in range(count):
        piece = float(value)
        pieces.append(math.ldexp(piece, -BITS))
        value -= int(piece)
    return pieces


@cache
def _log_2() -> int:
    context = Context(prec=70)
    return int(context.multiply(context.ln(Decimal(2)), Decimal(1 << BITS)))


def _exp(z: float) -> int:
    """exp(z) for z ≤ 0 as a multiple of 2⁻¹⁹², off by 2¹³ of them at most: 2ᵏ·exp(r / 2⁸)²⁵⁶."""
    numerator, denominator = z.as_integer_ratio()
    k, r = divmod((numerator << BITS) // denominator, _log_2())
    r >>= 8
    e = 1 << BITS
    for n in range(16, 0, -1):
        e = (1 << BITS) + (r * e >> BITS) // n
    for _ in range(8):
        e = e * e >> BITS
    return e >> -k


def _exponentials(z: Array) -> list[Array]:
    """exp(z) for z ≤ 0 as a sum of five numbers, the last two below 2⁻⁵²."""
    near = np.maximum(z, LOWEST)
    j = np.rint(near * -GRID)
    r = near + j / GRID  # exact: r is a multiple of ulp(z) and smaller than z, or z itself
    t0, t1, t2 = (piece.take(j.astype(np.intp)) for piece in _table())
    high, low = _remainder(r)
    a, b = two_product(t0, r)
    c, d = two_product(t0, high)
    t2 += t0 * low
    t2 += t1 * (r + high)
    t2 += d
    t2 += b
    pieces = [t0, a, c, t1, t2]
    far = z < LOWEST
    if far.any():
        for piece in pieces:
            piece[far] = 0.0
        t0[far] = np.exp(z[far])
    return pieces


def _remainder(r: Array) -> tuple[Array, Array]:
    """R = exp(r) - 1 - r for |r| ≤ 2⁻⁹ as a pair, right to 2⁻¹⁰⁴ of it."""
    r_head = head(r)
    r_tail = r - r_head

    def times_r(high: Array, low: Array | float) -> tuple[Array, Array]:
        product, high_head = high * r, head(high)
        high_tail = high - high_head
        lost = high_head * r_head
        lost -= product
        lost += high_head * r_tail
        lost += high_tail * r_head
        lost += high_tail * r_tail
        lost += low * r
        return product, lost

    coefficients = _coefficients()
    high = coefficients[TAIL][0] * r
    for n in range(TAIL - 1, 6, -1):  # these need no second number: what they lose is below 2⁻¹⁰⁵
        high += coefficients[n][0]
        high *= r
    high, low = fast_two_sum(coefficients[6][0], high)
    low += coefficients[6][1]
    for n in range(5, 1, -1):
        product, lost = times_r(high, low)
        high, low = fast_two_sum(coefficients[n][0], product)
        low += lost
        low += coefficients[n][1]
    return times_r(*times_r(high, low))


def _sums(z: Array) -> tuple[Array, Array, Array]:
    """Σ exp(z) of each row, at most 2, as three numbers, each much smaller than the one before.

    Two of them are exact: sums of what ExtractVector takes of all numbers (see `_pairs.split_sum`).
    What that leaves is summed plainly, which costs K²·2⁻¹⁴⁰ at worst.
    """
    pieces = _exponentials(z)
    first, second, third = np.zeros((3, len(z), 1))
    for piece in pieces[:3]:  # of the others, at most 2⁻⁵³, it would take nothing
        parts = piece + 2.0
        parts -= 2.0
        first += total(parts, 1, GROUP)
        piece -= parts
    big = 2.0 ** ((4 * z.shape[1]).bit_length() - 52)
    for piece in pieces:
        parts = piece + big
        parts -= big
        second += total(parts, 1, GROUP)
        piece -= parts
        third += total(piece, 1, GROUP)
    return first.ravel(), second.ravel(), third.ravel()


def logsumexp_near_zero(rows: Array, some: Array) -> Array:
    """logsumexp of some of (n, K) rows, by number, with Σ exp(z) ≤ 2 and all logits < 0."""
    result = np.empty(len(some))
    step = max(1, GROUP // rows.shape[1])
    for i in range(0, some.size, step):
        at = some[i : i + step]
        first, second, third, least = np.zeros((4, at.size))
        most = np.full(at.size, -np.inf)
        for k in range(0, rows.shape[1], GROUP):
            z = rows[at, k : k + GROUP].astype(np.float64)
            np.maximum(most, z.max(axis=1), out=most)
            np.minimum(least, z.min(axis=1, where=z > -np.inf, initial=0.0), out=least)
            sums = _sums(z)
            first += sums[0]  # exact
            second, lost = two_sum(second, sums[1])
            third += lost + sums[2]
        high, low = two_sum(first - 1.0, second)
        excess = high + (low + third)
        value = np.log1p(excess)
        small = excess < -0.5  # the sum itself is more accurate than what it lacks
        if small.any():
            high, low = two_sum(first, second)
            value = np.where(small, np.log(high) + (low + third) / high, value)
        pivot = (most > -0.5 / GRID) & (least >= LOWEST)
        decided = DECIDED * np.where(pivot, -2.0 * most, 1.0) + 2.0**-96 * rows.shape[1] ** 2
        for j in np.flatnonzero(~(np.abs(excess) >= decided)):
            value[j] = _by_integers(rows[at[j]].tolist())
        result[i : i + step] = value
    return result


def _by_integers(row: list[float]) -> float:
    """logsumexp of a row where that is below 2⁻⁵⁹: Σ exp(z) - 1, but for half the square of it."""
    excess = sum(_exp(z) for z in row if z > -150.0) - (1 << BITS)
    return math.ldexp(excess, -BITS) if abs(excess) > 1 << 88 else exact.logsumexp(row)
