"""Quotients and logarithms of the exponentials of a block of rows.

`softmax_ref._kernel` has the errors.
"""

from __future__ import annotations

import numpy as np

from .arguments import Array
from .exponentials import HUGE, TINY
from .layout import Operation, lazy
from .others import Others, Pair
from .pairs import head, quotient, reciprocal
from .sums import Number

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

    def denominator(self, divisor: float) -> tuple[Number, Number]:
        """S·divisor without its rounding, as D/(1 - tilt)."""
        if self._denominator[0] != divisor:
            product, tilt = self.high, self.low
            if divisor != 1:
                near = head(self.high)
                product = near * divisor  # exact up to 2²⁷
                tilt = (self.high - near) + tilt
            # divided by S, not by near: 1 - tilt is near/S then, and not only to first order
            self._denominator = divisor, product, tilt / self.high
        return self._denominator[1:]

    def complement(self, rest: Pair, divisor: float = 1.0) -> Number:
        """(1 - p)/divisor = (S - e)/(S·divisor) for one e a row."""
        high, low = rest
        product, tilt = self.denominator(divisor)
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

    def quotients(self, divisor: float = 1.0) -> Operation:
        """e/(S·divisor) as an operation still to be done; overwrites e.

        What a division by the rounded S·divisor would lose, up to 1 ULP, is taken off afterwards.
        """
        product, tilt = self.denominator(divisor)
        if self.row_classes > DIVIDED:
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
