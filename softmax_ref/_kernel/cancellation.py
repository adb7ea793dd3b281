r"""logsumexp of rows whose maximum and log sum cancel: log1p(Σ exp(z) - 1) with 115 bits.

(Where it is not near 0, 60 bits and the logarithm of the sum will do: `_with_60_bits`.)

For a row of normalised log-probabilities Σ exp(z) is 1 up to the rounding of its logits, and
logsumexp is that rounding: about 10⁻¹⁶ of the largest terms.  Three digits of it need exp to 2⁻⁶³,
all of them 2⁻¹¹⁰.  Here exp(z) is kept as five float64 numbers whose exact sum is right to 2⁻¹¹⁵ of
it, for |z| ≤ 2⁻⁹ exp(z) - 1 to 2⁻¹¹⁵ of z, and the five times K numbers of a row are added without
error.  What comes so close to 0 that even they do not decide it, one row in some hundreds, is done
by integers.

.. math::
    z = k \log 2 + j/1024 + r, \qquad
    e^z = 2^k\,T_j\,(1 + r + R), \quad R = r^2 \sum_{n\ge2} r^{n-2}/n!

with :math:`T_j` as three numbers, :math:`r` and :math:`R` as two, and exact products (Dekker's)
where the rounding would count.

References
----------
.. [1] T. J. Dekker, "A floating-point technique for extending the available precision",
       Numer. Math. 18, 1971. doi:10.1007/BF01397083
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Context, Decimal
from functools import cache
from typing import Any

import numpy as np

from .. import exact
from .arguments import Array
from .pairs import fast_two_sum, head, two_product, two_sum
from .sums import large_sum, pair_sum, total

__all__ = ["logsumexp_near_zero"]

GRID = 1024  # table entries a unit
REACH = 356  # they go from -REACH to REACH: log(2)/2 and a little more
NEAR = 2.0**-9  # logits as close to 0 take no entry, and exp(z) - 1 stands for exp(z)
TAIL = 10  # terms of the series: 2⁻⁹·¹⁰/11! is below 2⁻¹¹⁵
#: of Σ |terms|: from here on |Σ - 1| is known to one unit in the last place
DECIDED = 2.0**-63
BITS = 192  # after the binary point of integers
GROUP = 2500  # logits at a time, to bound the memory
FAR_FROM_0 = 0.25  # from here on 60 bits of Σ exp(z) will do
LEAST = 56  # exp(-56) vanishes beside such a sum, GROUP times over


@cache
def _log_2(bits: int) -> int:
    context = Context(prec=bits // 3 + 10)
    return int(context.multiply(context.ln(Decimal(2)), Decimal(1 << bits)))


def _exp(z: float, bits: int = BITS) -> int:
    """exp(z) as a multiple of 2^-bits, off by 2¹³ of them at most: 2ᵏ·exp(r / 2⁸)²⁵⁶."""
    numerator, denominator = z.as_integer_ratio()
    k, r = divmod((numerator << bits) // denominator, _log_2(bits))
    r >>= 8
    e = one = 1 << bits
    for n in range(bits // 11, 0, -1):
        e = one + (r * e >> bits) // n
    for _ in range(8):
        e = e * e >> bits
    return e >> -k


def _pieces(value: int, count: int) -> list[float]:
    """A multiple of 2⁻¹⁹² as a sum of float64."""
    pieces = []
    for _ in range(count):
        piece = float(value)
        pieces.append(math.ldexp(piece, -BITS))
        value -= int(piece)
    return pieces


@cache
def _table() -> Array:
    """exp(j/GRID) as the sum of three float64, for j from -REACH to REACH."""
    return np.array([_pieces(_exp(j / GRID), 3) for j in range(-REACH, REACH + 1)]).T.copy()


@cache
def _coefficients() -> list[list[float]]:
    """1/n! as the sum of two float64, for n = 0..TAIL."""
    return [_pieces((1 << BITS) // math.factorial(n), 2) for n in range(TAIL + 1)]


@cache
def _parts_of_log_2() -> list[float]:
    """log 2 as the sum of three numbers, two of them with 42 bits: k times these is exact."""
    first, second = (_log_2(BITS) >> shift << shift for shift in (BITS - 42, BITS - 84))
    return [_pieces(value, 1)[0] for value in (first, second - first, _log_2(BITS) - second)]


def _exponentials(z: Array, scale: Array) -> list[Array]:
    """exp(z)·2^scale for z ≤ 0 as a sum of five numbers, the last two below 2⁻⁵² of it.

    Of an exp(z) near 1 that 1 is left out.
    """
    near = _near_1(z)
    z = np.maximum(z, -800.0)  # nothing remains of exp(-800)
    k = np.rint(z * (1 / math.log(2)))
    first, second, third = _parts_of_log_2()
    r, r_low = two_sum(z - k * first, -k * second)
    j = np.where(near, 0.0, np.rint(r * GRID))
    r, r_low = two_sum(r - j / GRID, r_low)
    r_low -= k * third
    t0, t1, t2 = (piece.take(j.astype(np.intp) + REACH) for piece in _table())
    high, low = _remainder(r)
    a, b = two_product(t0, r)
    c, d = two_product(t0, high)
    t2 += t0 * low
    t2 += t1 * (r + high)
    t2 += (t0 + a + c) * r_low
    t2 += d
    t2 += b
    t0 -= near
    exponents = np.maximum(k + scale, -1000.0).astype(np.int64)
    factor = (exponents + 1023 << 52).view(np.float64)  # the bits of 2^exponent
    return [piece * factor for piece in (t0, a, c, t1, t2)]


def _near_1(z: Array) -> Array:
    """Where exp(z) - 1 stands for exp(z): for one logit at most of a row with Σ exp(z) < 2."""
    return z >= -NEAR


def _remainder(r: Array) -> tuple[Array, Array]:
    """R = exp(r) - 1 - r for |r| ≤ 2⁻⁹ as a pair, right to 2⁻¹⁰⁴ of it."""
    r_head = head(r)
    r_tail = r - r_head

    def times_r(high: Array, low: Array | float) -> tuple[Array, Array]:
        """(high + low)·r: `two_product` with r split once for all."""
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


def _sums(z: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Σ of `_exponentials` of each row, at most 2, as numbers much smaller one than the other.

    Two of them are exact: sums of what ExtractVector takes of all numbers (see `sums.split_sum`).
    What that leaves is summed plainly, which costs K³·2⁻¹⁵² at worst for K classes at a time.
    """
    pieces = _exponentials(z, scale)
    first, second, third = np.zeros((3, len(z), 1))
    for piece in pieces[:3]:  # of the others, at most 2⁻⁵², it would take nothing
        parts = piece + 2.0
        parts -= 2.0
        first += total(parts, 1)
        piece -= parts
    big = 2.0 ** ((4 * z.shape[1]).bit_length() - 52)
    for piece in pieces:
        parts = piece + big
        parts -= big
        second += total(parts, 1)
        piece -= parts
        third += total(piece, 1)
    return first, second, third


def _in_groups(rows: Any, some: Array) -> Iterator[Array]:
    """The logits of some rows, a few classes at a time."""
    at = some if some.size > 1 else slice(some.item(), some.item() + 1)  # for `Scattered`
    for k in range(0, rows.shape[1], GROUP):
        yield rows[at, k : k + GROUP, 0].astype(np.float64)


def logsumexp_near_zero(rows: Any, some: Array) -> Array:
    """logsumexp of some rows of a cube (n, K, 1), by number: Σ exp(z) < 2 and all logits < 0."""
    result = np.zeros(some.size)
    classes = rows.shape[1]
    step = max(1, GROUP // classes)
    for i in range(0, some.size, step):
        here, chosen = result[i : i + step], some[i : i + step]
        if classes <= GROUP:
            here[...] = _with_60_bits(next(_in_groups(rows, chosen)))
        near_0 = np.abs(here) < FAR_FROM_0
        if near_0.any():
            here[near_0] = _logsumexp(rows, chosen[near_0])
    return result


@cache
def _coarse_table() -> Array:
    """exp(-j/64) as pairs, and in the end 0."""
    pairs = []
    for j in range(64 * LEAST):
        value = _exp(-j / 64)
        high = math.ldexp(value, -BITS)
        pairs.append((high, math.ldexp(value - int(math.ldexp(high, BITS)), -BITS)))
    return np.array([*pairs, (0.0, 0.0)]).T.copy()


def _with_60_bits(z: Array) -> Array:
    """log Σ exp(z), which is enough digits for results that are not near 0, in a tenth of the time.

    exp(z) = T·(1 + expm1(r)), r = z + j/64 exactly; that is off by 2⁻⁵⁹ of it.
    """
    j = np.minimum(np.rint(-64.0 * z), 64.0 * LEAST)  # -inf as well
    high, low = _coarse_table()[:, j.astype(np.intp)]
    low += high * np.expm1(z + j / 64.0)
    high, rest = pair_sum(high, 1)
    rest += large_sum(low, 1)
    high, rest = fast_two_sum(high, rest)
    return (np.log(high) + rest / high).ravel()


def _logsumexp(rows: Any, some: Array) -> Array:
    size, start = np.zeros((2, some.size, 1))
    start -= 1.0
    for z in _in_groups(rows, some):
        near = _near_1(z)
        size += np.where(near, -z, np.exp(z)).sum(axis=1, keepdims=True)
        start += near.sum(axis=1, keepdims=True)  # then 0 instead of -1: it comes without its 1
    exponent = -np.frexp(size)[1]
    scale = np.minimum(exponent, 900)
    first, second, third = np.zeros((3, some.size, 1))
    for z in _in_groups(rows, some):
        sums = _sums(z, scale)
        first += sums[0]  # exact
        second, lost = two_sum(second, sums[1])
        third += lost + sums[2]
    high, low = two_sum(first + np.ldexp(start, scale), second)
    scaled = high + (low + third)
    excess = np.ldexp(scaled, -scale)
    value = np.log1p(excess)
    # the sum itself is more accurate than what it lacks: only of long rows that had to be shifted,
    # as for others log S will do
    small = excess < -0.5
    if small.any():
        high, low = two_sum(first, second)
        value = np.where(small, np.log(np.ldexp(high, -scale)) + (low + third) / high, value)
    for i in np.flatnonzero(~(np.abs(scaled) >= DECIDED)):
        value[i] = _by_integers(rows, some[i : i + 1], BITS + int(exponent[i, 0]))
    return value.ravel()


def _by_integers(rows: Any, one: Array, bits: int) -> float:
    """logsumexp of a row where that is below 2⁻⁵⁹: Σ exp(z) - 1, but for half the square of it."""
    excess = -1 << bits
    for z in _in_groups(rows, one):
        excess += sum(_exp(x, bits) for x in z[0].tolist() if x > -bits)
    if abs(excess) > 1 << 88:
        return math.ldexp(excess, -bits)
    return exact.logsumexp([x for z in _in_groups(rows, one) for x in z[0].tolist()])
