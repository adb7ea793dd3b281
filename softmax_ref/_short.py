"""Blocks of float32 or float16 rows, for which float64 has bits to spare: 2⁻⁴⁴ will do.

No rounding is taken off, and sums are plain ones wherever S - e is not needed or seldom short of
digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arguments import Array
from ._exponentials import HUGE, Pair, below
from ._kernel import Block
from ._layout import Need, Operation, Place, lazy
from ._pairs import Number, total


class ShortBlock(Block):
    """Rows of float32 or float16, computed in float64."""

    SURE = 2.0**-5
    LEAST = 1e-150  # an e that underflows vanishes beside such an S

    def __init__(self, cube: Array, place: Place) -> None:
        super().__init__(cube, place)
        #: S is a plain sum, right to 2⁻⁵⁰; but among many rows of few classes there are always some
        #: whose S - e would have to be summed anew
        self.plain = self.axis == 1 or (self.count == 1 and not self.few)

    def exponentiate(self, need: Need = "exponentials") -> None:
        self.plain |= need in ("probabilities", "unshifted sums")  # where there is no S - e
        super().exponentiate(need)

    def _sum(self) -> None:
        if not self.plain:
            super()._sum()
            return
        self.high, self.low = self._total(self.e), 0.0
        self.limit = self.high * 2.0**-6
        self._find_extremes()

    def settle(self) -> None:
        if not (self.least >= self.LEAST and self.most <= HUGE):
            self.shift(self.precise(self.high, False))

    def precise(self, sums: Number, small: Any) -> Any:
        return (sums >= self.LEAST) & (sums <= HUGE)

    def _exponentiate_shifted(self) -> None:
        for at in self._pieces(self.shifted):
            self.e[at] = np.exp(self._part(self.z, at) - self._of(self.maximum, at))
        self._sum()

    def _difference(self, e: Number) -> tuple[Number, Number, Any]:
        rest = self.high - e
        if not self.plain:
            rest += self.low
        short = below(rest, self.limit)
        return rest, 0.0 if short is False else np.zeros_like(rest), short

    def _sum_of_others(self, at: Any) -> Pair:
        return total(self._without_pivot(at), self.axis), 0.0

    @lazy
    def log_sum(self) -> Number:
        return self.own(np.log1p(self.pivot_rest[0] / self.top))

    @lazy
    def log(self) -> Number:
        return self.own(np.log(self.high))

    def complement(self, rest: Pair, count: float = 1.0) -> Number:
        return rest[0] / self._times(count)

    def quotients(self, count: float = 1.0) -> Operation:
        return np.multiply, self.e, self.spread(1.0 / self._times(count), self.work)

    def _times(self, count: float) -> Number:
        """S·count."""
        return self.high if count == 1.0 else self.high * count
