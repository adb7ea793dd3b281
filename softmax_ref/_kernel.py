r"""Exponentials, their sums and quotients, for a block of rows.

The accuracy of the whole package is decided here, once.

A row :math:`z_1..z_K` with maximum :math:`m` becomes :math:`e_i = e^{z_i - c}`, where the shift c
is 0 wherever that is safe and m elsewhere; ``top`` :math:`= e^{m-c}`; and the sum
:math:`S = \sum e_i` as a pair ``high + low``.  With :math:`u = 2^{-53}` and :math:`\varepsilon` for
the relative error of NumPy's exp and log1p (at most 1.4u, 0.7 units in the last place), to first
order and for every K, range and offset:

===============================  ===================================  ==========================
quantity                         computed as                          relative error
===============================  ===================================  ==========================
e, top                           exp(z), or exp(z - m) with TwoSum    ε; 1 exactly for exp(m - m)
S = high + low                   ExtractVector: no rounding           ε, most of it the pivot's
S - top                          (high - top) + low, a pair           ε, or summed anew: 2ε
softmax, hard-label gradient     e/D - e/D·tilt, S·N = D/(1 - tilt)   2ε + 2u
1 - p at the label, 1 - p > ½    (S - e)/(S·N), divided as a pair     2ε + u
1 - p ≥ ½ elsewhere              fl(1 - p)                            ε + 3u
L = log(S/top)                   log1p((S - top)/top), likewise       3ε + u
log_softmax, hard-label loss     (z - m) - L, L + (m - z)             3ε + 2u: nothing cancels
logsumexp                        m + L                                3ε + 2u, or 68 to 112 bits
===============================  ===================================  ==========================

An error of u is one half to one unit in the last place (ULP), so that the bounds come to 4 … 6 ULP
for the worst of all roundings at once.  Among 2·10⁸ values none was off by more than 2.9
(`benchmarks/tails.py`).  float32 and float16 are computed in float64, with plain sums, and rounded
once.

References
----------
.. [1] P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax
       functions", IMA J. Numer. Anal. 41(4), 2021. doi:10.1093/imanum/draa038
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ._arguments import Array
from ._layout import LONGEST, PIECE, Layout, Place
from ._pairs import (
    Number,
    along,
    exp_minus,
    head,
    pair_sum,
    quotient,
    rest_by_shift,
)

FEW = 100  # numbers of a single row up to which Python's lists are faster than NumPy's reductions
TINY = 1e-240  # e below, where top < 1: the row is shifted, or a subnormal e would lose its digits
FAINT = 1e-150  # S below: likewise, for float32 and float16
HUGE = 1e240  # S above: the row is shifted before exp or S·N overflow


class Block(Layout):
    """Some rows, their exponentials e, and for each row m, ``top`` and S = ``high`` + ``low``."""

    high: Number
    low: Number
    lost: Array | None = None  # what rounding took from e, in blocks with a shifted row
    confident = False  # whether there are rows that had to be summed again
    _denominator: tuple[float, Number, Number] = (0.0, 0.0, 0.0)  # the last one

    def __init__(self, cube: Array, place: Place) -> None:
        super().__init__(cube, place)
        self.single = cube.dtype.kind == "f" and cube.dtype.itemsize < 8

    def exponentiate(self) -> None:
        """Exponentials and sums, without a shift wherever that is safe.

        exp(z) needs no z - m, which saves two thirds of the time.  A row takes the slower path on
        its own account, never on its neighbours': its result does not depend on them.
        """
        np.exp(self.z, out=self.e)
        if self.single:
            self._sum()
            least, largest = extreme(np.minimum, self.high), extreme(np.maximum, self.high)
            if not (least >= FAINT and largest <= HUGE):  # an e that underflows vanishes there
                self.shift((self.high >= FAINT) & (self.high <= HUGE))
            return
        if self.count == 1 and self.classes <= FEW:  # Python's lists are faster than NumPy here
            values = self.e.tolist()
            self.top, self.high, self.low = max(values), math.inf, 0.0
            if self.top <= HUGE:
                self.high = math.fsum(values)
                self.low = math.fsum([*values, -self.high])
        else:
            self.maximum = along(np.maximum, self.z, self.axis)
            self.top = self._exp(self.maximum)
            self._sum()
        if not extreme(np.maximum, self.high) <= HUGE:
            self.shift(self.precise & (self.high <= HUGE))
        elif not extreme(np.minimum, self.top) >= 1.0:
            self.shift(self.precise)

    @property
    def precise(self) -> Any:
        """Rows that need no shift: top ≥ 1, or no e below TINY but the zeros of masks.

        An e that underflows beside top ≥ 1 has a p that underflows as well.
        """
        if extreme(np.minimum, self.e) >= TINY:
            return True
        small = (self.e < TINY) & (self.z > -np.inf)
        if self.count == 1:
            return self.top >= (1.0 if small.any() else TINY)
        return self.top >= np.where(small.any(axis=self.axis, keepdims=True), 1.0, TINY)

    def _sum(self) -> None:
        """S = high + low; float64 has bits to spare for float32, which a plain sum may cost."""
        if self.single:
            self.high, self.low = along(np.add, self.e, self.axis), 0.0
        else:
            self.high, self.low = pair_sum(self.e, self.top, self.axis, self.work)

    def _exp(self, d: Number) -> Number:
        """exp of one number a row."""
        return np.exp(d).item() if self.count == 1 else np.exp(d)

    @cached_property
    def maximum(self) -> Number:
        return along(np.maximum, self.z, self.axis)

    @cached_property
    def top(self) -> Number:
        return self._exp(self.maximum)

    def shift(self, fine: Any) -> None:
        """Shift all other rows by their maximum: top is exactly 1 then, or NaN without a sum."""
        if np.all(fine):
            return
        rows = np.logical_not(fine)
        self.lost = np.empty(self.e.shape) if self.spare is None else self.spare
        self.lost[...] = 0.0
        for at, m in self._pieces(rows):
            self.e[at], self.lost[at] = exp_minus(self.z[at], m)
        top = self._exp(self.maximum - self.maximum)
        self.top = top if self.count == 1 else np.where(rows, top, self.top)
        self._sum()
        self.low = self.low + along(np.add, self.lost, self.axis)

    def _pieces(self, rows: Any) -> Iterator[tuple[Any, Number]]:
        """The index and the maxima of some rows, or pieces of a single one, to bound the memory."""
        if self.count == 1:
            for k in range(0, self.classes, PIECE):
                yield slice(k, k + PIECE), self.maximum
            return
        chosen = np.flatnonzero(rows)
        step = max(1, PIECE // self.classes)
        for i in range(0, chosen.size, step):
            piece = chosen[i : i + step]
            at: Any = (slice(None), piece) if self.axis == 0 else piece
            yield at, self.maximum[at]

    def _without(self, e: Number) -> tuple[Number, Number]:
        """S - e as a pair, for one e a row."""
        difference = self.high - e
        if self.single:
            return difference, 0.0
        low = self.high - difference
        low -= e  # what rounding took from the difference, exactly, as S ≥ e
        low += self.low
        rest = difference + low
        difference -= rest
        low += difference
        return rest, low

    @cached_property
    def rest(self) -> tuple[Number, Number]:
        """The sum without the pivot, S - top, as a pair.

        The sum is off by at most K²·2⁻⁹⁷ of top (single: 2⁻⁵³·K), which is useless for a very
        confident row.  Those are summed again without their pivot.
        """
        rest, low = self._without(self.top)
        classes = self.cube.shape[1]
        if self.single:
            limit = min(classes, 64) * 2.0**-9
        else:  # at 1/8 and below there are no ties, which would be left out with the pivot
            limit = min(classes * min(classes, LONGEST) * 2.0**-41, 0.125)
        margin = rest - self.top * limit
        self.confident = extreme(np.fmin, margin) < 0.0
        if not self.confident:
            return rest, low
        if self.count == 1:
            return rest_by_shift(self._others, self.maximum, self.top, 0)
        if self.single:
            chosen, across = np.flatnonzero(margin < 0.0), 1 - self.axis
            e, top = self.e.take(chosen, across), self.top.take(chosen, across)
            e[e > 0.5 * top] = 0.0
            rest.flat[chosen] = along(np.add, e, self.axis)
            return rest, low
        for at, m in self._pieces(margin < 0.0):
            others = self.z[at]
            others[others == m] = -np.inf
            rest[at], low[at] = rest_by_shift([others].__iter__, m, self.top[at], self.axis)
        return rest, low

    def _others(self) -> Iterator[Array]:
        """The logits of a single row without the pivot, in pieces."""
        for _, z in self.whole_rows():
            z[z == self.maximum] = -np.inf
            yield z

    @cached_property
    def log_sum(self) -> Number:
        """log(S / top) = log1p(r), r = (S - top)/top = q + tail; its slope there is 1/(1 + q)."""
        rest, low = self.rest
        if self.single:
            value = np.log1p(rest / self.top)
        else:
            q, tail = quotient(rest, low, self.top)
            value = np.log1p(q)
            q += 1.0
            tail /= q
            value += tail
        return value.item() if self.count == 1 else value

    def denominator(self, count: float) -> tuple[Number, Number]:
        """S·count without its rounding, as D/(1 - tilt)."""
        if self._denominator[0] != count:
            total = near = product = self.high + self.low
            if count != 1:
                near = head(total)
                product = near * count  # exact
            tilt = self.high - near
            tilt += self.low
            tilt /= total
            self._denominator = count, product, tilt
        return self._denominator[1:]

    def complement(self, e: Number, count: float = 1.0) -> Number:
        """(1 - p)/count = (S - e)/(S·count) for one e a row."""
        rest, low = self._without(e)
        rest_of_pivot, its_low = self.rest
        if self.confident:
            pivot = e > 0.5 * self.high
            if self.count > 1:
                rest, low = np.where(pivot, rest_of_pivot, rest), np.where(pivot, its_low, low)
            elif pivot:
                rest, low = rest_of_pivot, its_low
        if self.single:
            return rest / (self.high * count)
        total, tilt = self.denominator(count)
        q, tail = quotient(rest, low, total)
        tail -= (q + tail) * tilt
        tail += q
        return tail

    def complements(self) -> Array:
        """1 - p for all entries: by subtraction up to p = 1/2, beyond only possible for a pivot."""
        pivot = self.complement(self.top)
        p = np.divide(self.e, self.high + self.low, out=self.work)
        large = p > 0.5
        q = np.subtract(1.0, p, out=p)
        np.copyto(q, pivot, where=large)
        return q

    def quotients(self, count: float = 1.0) -> tuple[np.ufunc, Array, Number]:
        """e/(S·count) as an operation still to be done; overwrites e.

        What a division by the rounded S·count would lose, up to 1 ULP, is taken off afterwards.
        """
        if self.single:  # these roundings are harmless
            return np.multiply, self.e, 1.0 / (self.high * count)
        total, tilt = self.denominator(count)
        p = np.divide(self.e, total, out=self.e)
        tails = np.multiply(p, tilt, out=self.work)
        if self.lost is not None:
            tails -= np.divide(self.lost, total, out=self.lost)
        return np.subtract, p, tails

    def exponentials(self, z: Array) -> Array:
        """exp(z - c) of other logits of a single row, with the shift of this block."""
        return np.exp(z) if self.lost is None else exp_minus(z, self.maximum)[0]

    def probabilities(self) -> Array:
        """e/S; overwrites e."""
        ufunc, *operands = self.quotients()
        p: Array = ufunc(*operands, out=self.e)
        return p


def extreme(ufunc: np.ufunc, values: Any) -> float:
    """The largest or the least of all numbers."""
    return values if isinstance(values, float) else ufunc.reduce(values, axis=None)
