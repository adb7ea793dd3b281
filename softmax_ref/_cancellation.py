r"""logsumexp of rows whose maximum and log sum cancel: log1p(Σ exp(z) - 1) with 112 bits.

For a row of normalised log-probabilities Σ exp(z) is 1 up to the rounding of its logits, and
logsumexp is that rounding: about 10⁻¹⁶.  Three digits of it need exp to 2⁻⁶³, all of them 2⁻¹¹⁰.
Here exp(z) is kept as seven float64 numbers whose exact sum is right to 2⁻¹¹² of exp(z), and the
seven times K numbers of a row are added without error.  What comes so close to 0 that even this
does not decide it, less than one row in a hundred, is left to `softmax_ref.exact`.

.. math::
    z = j/64 + r, \quad |r| \le 2^{-7}, \qquad
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
from ._kernel import Array

__all__ = ["logsumexp_near_zero"]

GRID = 64  # table entries a unit
LOWEST = -50  # below, exp(z) in float64 is off by at most 2⁻⁷²·2⁻⁵³
TAIL = 14  # terms of the series: 2⁻⁷·¹⁵/15! is below 2⁻¹⁴⁰
DECIDED = 2.0**-60  # |Σ - 1| from here on is known to 2⁻⁵², two units in the last place at worst
GROUP = 2048  # logits at a time, to bound the memory


@cache
def _table() -> Array:
    """exp(-j/64) as the sum of three float64, for j = 0..3200."""
    context = Context(prec=70)
    ratio = context.exp(context.divide(Decimal(-1), Decimal(GRID)))
    value, rows = Decimal(1), []
    for _ in range(-LOWEST * GRID + 1):
        rows.append(_pieces(value, 3))
        value = context.multiply(value, ratio)
    return np.array(rows).T.copy()


@cache
def _coefficients() -> list[list[float]]:
    """1/n! as the sum of two float64, for n = 0..TAIL."""
    context = Context(prec=70)
    return [
        _pieces(context.divide(Decimal(1), Decimal(math.factorial(n))), 2) for n in range(TAIL + 1)
    ]


def _pieces(value: Decimal, count: int) -> list[float]:
    context, pieces = Context(prec=70), []
    for _ in range(count):
        pieces.append(float(value))
        value = context.subtract(value, Decimal(pieces[-1]))
    return pieces


def _split(a: Array) -> tuple[Array, Array]:
    """a as the sum of two numbers of 26 bits."""
    scaled = a * (2.0**27 + 1)
    head = scaled - (scaled - a)
    return head, a - head


def _two_product(a: Array, b: Array, b_head: Array, b_tail: Array) -> tuple[Array, Array]:
    """a·b as the sum of its rounding and what that loses."""
    product = a * b
    head, tail = _split(a)
    lost = ((head * b_head - product) + head * b_tail + tail * b_head) + tail * b_tail
    return product, lost


def _two_sum(a: Array | float, b: Array) -> tuple[Array, Array]:
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def _exponentials(z: Array) -> list[Array]:
    """exp(z) for z ≤ 0 as seven numbers, the seventh rounded."""
    near = np.maximum(z, LOWEST)
    j = np.rint(near * -GRID)
    r = near + j / GRID  # exact: r is a multiple of ulp(z) and smaller than z, or z itself
    t0, t1, t2 = (piece.take(j.astype(np.intp)) for piece in _table())
    r_head, r_tail = _split(r)
    coefficients = _coefficients()
    high = np.full_like(r, coefficients[TAIL][0])
    for n in range(TAIL - 1, 7, -1):  # below 2⁻⁶¹ of the result: float64 will do
        high = high * r + coefficients[n][0]
    low = np.zeros_like(r)
    for n in range(7, 1, -1):
        product, lost = _two_product(high, r, r_head, r_tail)
        total, rounding = _two_sum(coefficients[n][0], product)
        high, low = _two_sum(total, rounding + (lost + low * r + coefficients[n][1]))
    for _ in range(2):
        product, lost = _two_product(high, r, r_head, r_tail)
        high, low = product, lost + low * r
    a, b = _two_product(t0, r, r_head, r_tail)
    c, d = _two_product(t0, high, *_split(high))
    pieces = [t0, a, c, t1, b, d, t2 + t1 * r + t0 * low + t1 * high]
    far = z < LOWEST
    if far.any():
        for piece in pieces:
            piece[far] = 0.0
        pieces[0][far] = np.exp(z[far])
    return pieces


def _sum_minus_one(pieces: list[Array]) -> Array:
    """The sum of all pieces of each row, less 1: two levels of ExtractVector are exact."""
    terms = np.concatenate(pieces, axis=1)
    factor = 2.0 ** (terms.shape[1].bit_length() + 2)
    bound, levels = 1.0, []
    for _ in range(2):
        big = bound * factor
        parts = (terms + big) - big
        levels.append(parts.sum(axis=1))
        terms -= parts
        bound = big * 2.0**-52
    total, lost = _two_sum(levels[0] - 1.0, levels[1])
    result: Array = total + (lost + terms.sum(axis=1))
    return result


def logsumexp_near_zero(rows: Array) -> Array:
    """logsumexp of (n, K) float64 rows without positive, infinite (but for -inf) or NaN logits."""
    result = np.empty(len(rows))
    step = max(1, GROUP // rows.shape[1])
    for i in range(0, len(rows), step):
        excess = _sum_minus_one(_exponentials(rows[i : i + step]))
        result[i : i + step] = np.log1p(excess)
        for row in np.flatnonzero(~(np.abs(excess) >= DECIDED)):
            result[i + row] = exact.logsumexp(rows[i + row].tolist())
    return result
