r"""logsumexp of rows whose maximum and log sum cancel: log1p(Σ exp(z) - 1) with 112 bits.

For a row of normalised log-probabilities Σ exp(z) is 1 up to the rounding of its logits, and
logsumexp is that rounding: about 10⁻¹⁶.  Three digits of it need exp to 2⁻⁶³, all of them 2⁻¹¹⁰.
Here exp(z) is kept as seven float64 numbers whose exact sum is right to 2⁻¹¹² of exp(z), and the
seven times K numbers of a row are added without error.  Three numbers, and 2⁻⁶⁶, do where the
result is not that small.  What comes so close to 0 that even seven do not decide it, less than one
row in a hundred, is left to `softmax_ref.exact`.

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
from ._arguments import Array
from ._pairs import two_product, two_sum

__all__ = ["logsumexp_near_zero"]

GRID = 64  # table entries a unit
LOWEST = -80  # below, exp(z) in float64 is off by at most 2⁻¹¹⁵·2⁻⁵³
TAIL = 14  # terms of the series: 2⁻⁷·¹⁵/15! is below 2⁻¹⁴⁰
DECIDED = 2.0**-60  # |Σ - 1| from here on is known to 2⁻⁵², two units in the last place at worst
CLOSE = 2.0**-10  # results from here on lose at most 10 bits: exponentials to 2⁻⁶⁶ will do
GROUP = 1600  # logits at a time, to bound the memory


@cache
def _table() -> Array:
    """exp(-j/64) as the sum of three float64, for j = 0..5120."""
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


def _exponentials(z: Array, fully: bool) -> list[Array]:
    """exp(z) for z ≤ 0 as a sum of seven numbers, right to 2⁻¹¹², or else of three, to 2⁻⁶⁶."""
    near = np.maximum(z, LOWEST)
    j = np.rint(near * -GRID)
    r = near + j / GRID  # exact: r is a multiple of ulp(z) and smaller than z, or z itself
    t0, t1, t2 = (piece.take(j.astype(np.intp)) for piece in _table())
    a, b = two_product(t0, r)
    coefficients = _coefficients()
    first, last = (TAIL, 7) if fully else (8, 1)
    high = np.full_like(r, coefficients[first][0])
    for n in range(first - 1, last, -1):  # below 2⁻⁶¹ of the result: float64 will do
        high = high * r + coefficients[n][0]
    if fully:
        low = np.zeros_like(r)
        for n in range(last, 1, -1):
            product, lost = two_product(high, r)
            total, rounding = two_sum(coefficients[n][0], product)
            high, low = two_sum(total, rounding + (lost + low * r + coefficients[n][1]))
        for _ in range(2):
            product, lost = two_product(high, r)
            high, low = product, lost + low * r
        c, d = two_product(t0, high)
        pieces = [t0, a, c, t1, b, d, t2 + t1 * r + t0 * low + t1 * high]
    else:
        pieces = [t0, a, b + (t1 + t1 * r) + t0 * (high * r * r)]
    far = z < LOWEST
    if far.any():
        for piece in pieces:
            piece[far] = 0.0
        pieces[0][far] = np.exp(z[far])
    return pieces


def _levels(terms: Array, count: int) -> Array:
    """Numbers of at most 2 as few a row with the same sum: some levels of ExtractVector.

    All but the last of them are exact; that is off by K³·2⁻¹⁰² after one level, and by 2⁻⁵² of it
    after each more.
    """
    factor, bound, sums = 2.0 ** (terms.shape[1].bit_length() + 2), 1.0, []
    for _ in range(count):
        big = bound * factor
        parts = (terms + big) - big
        sums.append(parts.sum(axis=1))
        terms = terms - parts
        bound = big * 2.0**-52
    return np.stack([*sums, terms.sum(axis=1)], axis=1)


def _sums(rows: Array, at: Array, fully: bool) -> Array:
    """Σ exp(z) of some rows as a few numbers."""
    groups = []
    for k in range(0, rows.shape[1], GROUP):
        pieces = _exponentials(rows[at, k : k + GROUP].astype(np.float64), fully)
        groups.append(_levels(np.concatenate(pieces, axis=1), 3 if fully else 1))
    return groups[0] if len(groups) == 1 else _levels(np.concatenate(groups, axis=1), 3)


def _added(start: float, numbers: Array) -> tuple[Array, Array]:
    """start + Σ numbers of each row, from large to small, as a pair."""
    total, rest = np.full(len(numbers), start), numbers[:, -1]
    for number in numbers.T[:-1]:
        total, lost = two_sum(total, number)
        rest = rest + lost
    return two_sum(total, rest)


def logsumexp_near_zero(rows: Array, some: Array, estimates: Array) -> Array:
    """logsumexp of some of (n, K) rows, by number, in which all logits are < 0 (perhaps -inf).

    The estimates, one for each of them, need no more than to tell which are below 2⁻¹⁰.
    """
    result = np.empty(len(some))
    close = np.abs(estimates) < CLOSE
    step = max(1, GROUP // rows.shape[1])
    for fully in (False, True):
        chosen = np.flatnonzero(close == fully)
        for i in range(0, chosen.size, step):
            at = chosen[i : i + step]
            sums = _sums(rows, some[at], fully)
            excess, _ = _added(-1.0, sums)
            result[at] = np.log1p(excess)
            if not fully:  # far below 1, the sum itself is more accurate than what it lacks
                small = np.flatnonzero(excess < -0.5)
                total, lost = _added(0.0, sums[small])
                result[at[small]] = np.log(total) + lost / total
            for k in at[~(np.abs(excess) >= DECIDED)]:
                result[k] = exact.logsumexp(rows[some[k]].tolist())
    return result
