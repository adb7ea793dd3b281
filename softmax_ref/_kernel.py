r"""Quotients and logarithms of the exponentials of a block of rows, and how far each is off.

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
S - e                            (high - e) + low, a pair             ε, or summed anew: 2ε
softmax, hard-label gradient     e/D - e/D·tilt, S·N = D/(1 - tilt)   2ε + 2u
for more than 150 classes        e·r - e·tail, r - tail = 1/(S·N)     2ε + 2u
1 - p at the label, 1 - p > ½    (S - e)/(S·N), likewise              2ε + 2u
1 - p ≥ ½ elsewhere              fl(1 - p)                            ε + 3u
L = log(S/top)                   log1p((S - top)/top), ratio a pair   3ε + u
log_softmax, hard-label loss     (z - m) - L, L + (m - z)             3ε + 2u: nothing cancels
logsumexp                        log S where that is 1 or more        2ε + 2u
                                 m + L elsewhere                      3ε + 2u, or with 115 bits
===============================  ===================================  ==========================

An error of u is one half to one unit in the last place (ULP), so that the bounds come to 4 … 6 ULP
for the worst of all roundings at once.  For softmax it is less: with AVX-512 exp was never off by
more than 1.2u among 10⁸ arguments, since its worst units, 0.7, belong to large mantissas, and a
rounding is half a ULP: 3.4 in all.  Among 2·10⁸ values none was off by more than 2.9 (both:
`benchmarks/tails.py`); the worst rows that a search has found are off by 3.23, where two
exponentials err by nearly the most, in opposite directions.
float32 and float16 are computed in float64, right to 2⁻⁴⁴, and rounded once (`_short`).

References
----------
.. [1] P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax
       functions", IMA J. Numer. Anal. 41(4), 2021. doi:10.1093/imanum/draa038
"""

from __future__ import annotations

import numpy as np

from ._arguments import Array
from ._exponentials import HUGE, TINY
from ._layout import Operation, lazy
from ._others import Others, Pair
from ._pairs import head, quotient, reciprocal
from ._sums import Number

#: classes up to which each e is divided by S; multiplying by 1/S as a pair pays for more only
DIVIDED = 150


class Block(Others):
    """Some rows, and what is made of their exponentials and sums."""

    sure_from: float = 1.0  # where |log S| is as large, its error is small enough
    smallest_sum: float = TINY  # an S from here on has all its digits
    largest_sum: float = HUGE  # up to here
    _denominator: tuple[float, Number, Number] = (0.0, 0.0, 0.0)  # the last one

    @lazy
    def log_sum(self) -> Number:
        """log(S/top) = log1p(r), r = (S - top)/top = q + tail; the slope there is 1/(1 + q)."""
        rest, low = self.pivot_rest
        q, tail = quotient(rest, low, self.top)
        value = np.log1p(q)
        q += 1.0
        tail /= q
        value += tail
        return self.own(value)

    def logarithms(self) -> Operation:
        """log p of all entries as an operation still to be done; overwrites e.

        Neither term is positive.
        """
        log_sum = self.log_sum  # before e is overwritten
        below = np.subtract(self.z, self.spread(self.maximum, self.work), out=self.e)
        return np.subtract, below, self.spread(log_sum, self.work)

    def minus_log(self, z: Number, scale: float) -> Number:
        """-log p·scale of one logit a row: both terms ≥ 0."""
        if scale == 1.0:
            return self.log_sum + (self.maximum - z)
        # a loss so large that the scale must come before the difference
        return self.log_sum * scale + (self.maximum * scale - z * scale)

    @lazy
    def log(self) -> Number:
        """log S."""
        value = np.log(self.high)
        value += self.low / self.high
        return self.own(value)

    def denominator(self, count: float) -> Pair:
        """S·count without its rounding, as D/(1 - tilt)."""
        if self._denominator[0] != count:
            product, tilt = self.high, self.low
            if count != 1:
                near = head(self.high)
                product = near * count  # exact
                tilt = (self.high - near) + tilt
            self._denominator = count, product, tilt / self.high
        return self._denominator[1:]

    def complement(self, rest: Pair, count: float = 1.0) -> Number:
        """(1 - p)/count = (S - e)/(S·count) for one e a row."""
        high, low = rest
        product, tilt = self.denominator(count)
        q = high / product
        tail = low / product
        tail -= q * tilt
        tail += q
        return tail

    def complements(self) -> Array:
        """1 - p for all entries: by subtraction up to p = 1/2, beyond only possible for a pivot."""
        pivot = self.complement(self.pivot_rest)
        p = np.divide(self.e, self.spread(self.high, self.work), out=self.work)
        large = p > 0.5
        q = np.subtract(1.0, p, out=p)
        np.copyto(q, pivot, where=large)
        return q

    def quotients(self, count: float = 1.0) -> Operation:
        """e/(S·count) as an operation still to be done; overwrites e.

        What a division by the rounded S·count would lose, up to 1 ULP, is taken off afterwards.
        """
        product, tilt = self.denominator(count)
        if self.cube.shape[1] > DIVIDED:
            factor, its_tail = reciprocal(product, tilt)
            tails = np.multiply(self.e, self.spread(its_tail, self.work), out=self.work)
            p = np.multiply(self.e, factor, out=self.e)
        else:
            p = np.divide(self.e, self.spread(product, self.work), out=self.e)
            tails = np.multiply(p, self.spread(tilt, self.work), out=self.work)
        if self.shifted is not False:
            for at in self._pieces(self.shifted):
                tails[at] -= self._shifted_part(at)[1] / self._of(product, at)
        return np.subtract, p, tails

    def probabilities(self) -> Array:
        """e/S; overwrites e."""
        ufunc, *operands = self.quotients()
        return ufunc(*operands, out=self.e)
