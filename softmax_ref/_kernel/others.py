"""S - e: the sum of the other exponentials of each row, without cancellation.

`softmax_ref._kernel` has the errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from .arguments import Array
from .exponentials import SPLIT, TINY, Exponentials, choose, least_sum, limit_of_rest
from .layout import PIECE, lazy
from .pairs import fast_two_sum, rest_by_shift, two_product
from .sums import Number, large_sum, least_of, most_of, pair_sum, sum_of_parts

FAINT = 1e-150  # a sum below may have lost digits to underflow
Pair = tuple[Number, Number]


class Others(Exponentials):
    """Some rows, and for one e of each what the others add up to."""

    def rest(self, e: Number) -> Pair:
        """S - e as a pair, for one e a row; without cancellation where e is nearly all of S."""
        rest, low, short = self._difference(e)
        if short is not False:  # only a pivot leaves so little
            rest, low = (choose(short, *p) for p in zip(self.pivot_rest, (rest, low), strict=True))
        return rest, low

    @lazy
    def pivot_rest(self) -> Pair:
        """The same for the pivot, e = top."""
        return self._resummed(*self._difference(self.top))

    def ordinary(self, sums: Array, maximum: Number) -> tuple[dict[str, Any], Any]:
        """What the chunks of rows with these sums of parts have in common, and for which it holds.

        The other rows would have to be shifted, or split by a bound of their own, or need the sum
        without the pivot, which chunks of several rows cannot tell.
        """
        classes = self.row_classes
        high, low = map(self.per_row, sum_of_parts(sums[..., :-1], sums[..., -1]))
        self.high, self.low = fast_two_sum(high, low)
        self._find_extremes()
        self.limit = limit_of_rest(SPLIT, classes)
        known = {"high": self.high, "low": self.low, "limit": self.limit}
        fine: Any = (self.high >= max(1.0, least_sum(classes))) & (self.high <= SPLIT)
        if self.need == "logits" and self.broad:
            self.maximum = maximum
            *pair, short = self._difference(self.top)
            known |= {"maximum": maximum, "pivot_rest": pair}
            fine &= np.logical_not(short)
        return known, fine

    def _resummed(self, rest: Number, low: Number, short: Any) -> Pair:
        """S - e of pivots, in short rows from the others."""
        if short is False or self.row_classes == 1:  # nothing but the pivot
            return rest, low
        if not self.is_chunk and self.classes <= PIECE:
            if self.count == 1:
                return self._sum_of_others(slice(None))
            for at in self._pieces(short):
                here = self._rows_of(at)
                rest[here], low[here] = self._sum_of_others(at)
        elif self.count == 1:
            return rest_by_shift(self._others, self.maximum, self.top, 0)
        else:
            for row in np.flatnonzero(short):
                m, top = self.maximum.item(row), self.top.item(row)
                pair = rest_by_shift(partial(self._others, row), m, top, 0)
                rest.flat[row], low.flat[row] = pair
        return rest, low

    def _difference(self, e: Number) -> tuple[Number, Number, Any]:
        """S - e as a pair, and the rows in which it has lost digits to cancellation, or False."""
        rest = self.high - e
        low = self.high - rest
        low -= e  # what rounding took from the difference, exactly, as S ≥ e
        low += self.low
        rest, low = fast_two_sum(rest, low)
        return rest, low, rows_below(rest, self.limit)

    def _without_pivot(self, at: Any) -> Array:
        """The exponentials of rows that have one e > S/2, with 0 in its place."""
        others = self._part(self.e, at)
        pivot = others.argmax(self.axis)
        if self.count == 1:
            others[pivot] = 0.0
        else:
            rows = np.arange(pivot.size)
            others[(pivot, rows) if self.axis == 0 else (rows, pivot)] = 0.0
        return others

    def _sum_of_others(self, at: Any) -> Pair:
        """The sum without the pivot of rows that have one e > S/2."""
        high, low = pair_sum(self._without_pivot(at), self.axis)
        if self.shifted is not False:
            lost = self._shifted_part(at)[1]
            low += large_sum(choose(self._of(self.shifted, at), lost, np.zeros(1)), self.axis)
        m, top = self._of(self.maximum, at), self._of(self.top, at)
        # top·(Σ e·exp(-m)): divided by top, exp(-m) alone is left to err, as in exp(z - m).  No
        # smaller bound, but what one gets by hand: 1 - p of (0, 40) is exp(-40)
        inverse = self.own(np.exp(choose(self._of(self.shifted, at), 0.0, -m)))
        ratio, its_low = two_product(high, inverse)
        product, tail = two_product(ratio, top)
        far = (ratio < 2.0**-40) & (ratio > TINY)
        tail += (its_low + low * inverse) * top
        high, low = choose(far, product, high), choose(far, tail, low)
        faint = high < FAINT
        if np.any(faint):  # perhaps digits were lost to underflow
            others = self._part(self.z, at)
            others[others == m] = -np.inf
            by_shift = rest_by_shift([others].__iter__, m, top, self.axis)
            high, low = (choose(faint, *pair) for pair in zip(by_shift, (high, low), strict=True))
        return fast_two_sum(high, low)

    def _others(self, row: Any = None) -> Iterator[Array]:
        """The logits of a long row without the pivot, in pieces; of the only one by default."""
        pieces: Iterator[Array] = (z for _, z in self.whole_rows())
        m = self.maximum
        if row is not None:
            m, line = m.item(row), self.z[row] if self.axis else self.z[:, row]
            pieces = (line[k : k + PIECE].copy() for k in range(0, self.classes, PIECE))
        for z in pieces:
            z[z == m] = -np.inf
            yield z


def rows_below(numbers: Number, limit: Number) -> Any:
    """The rows whose number is below a limit, or False if none is."""
    if isinstance(numbers, np.ndarray) and isinstance(limit, float) and least_of(numbers) >= limit:
        return False  # 0.5 µs less than to compare each
    short = numbers < limit
    return short if isinstance(short, bool) or most_of(short) else False
