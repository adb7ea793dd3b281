"""Blocks of float32, float16 or bfloat16 rows, for which float64 has bits to spare: 2⁻⁴⁴ will do.

No rounding is taken off, and sums are plain ones wherever S - e is not needed or seldom short of
digits.  log p is z - log S, which takes no maximum: the error of a plain S is so small that it is
2⁻⁴⁴ of every log p but those that are near 0.  For these, at most one a row, the other exponentials
are added up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .arguments import Array
from .block import Block
from .exponentials import choose
from .layout import PIECE, Need, Operation, Place, lazy
from .others import Pair, rows_below
from .sums import (
    AT_ONCE,
    CLASS_MAJOR,
    PART,
    Number,
    add_parts,
    as_rows,
    most_of,
    partial_sums,
    sum_of_parts,
    total,
)

MANY = 8 * PART  # classes from which on parts of a row have mostly small sums
NO_DIFFERENCE = "probabilities", "logits", "unshifted sums"  # needs S - e seldom or never


def adds_plainly(need: Need, classes: int) -> bool:
    """Whether S is a plain sum, so that z may be overwritten instead of work.

    Among many rows of few classes there are always some of which S - e would have to be summed
    anew.
    """
    return need in NO_DIFFERENCE or classes > CLASS_MAJOR


def roundings(classes: int) -> float:
    """By how many units of 2⁻⁵³ of it a plain S is off at most, what e itself has lost aside.

    Every addition to one large number may round the same way, if the others are equal.  BLAS adds
    in eight lanes or more; 32 are for what is left over when they are full, up to 31 numbers, and
    for the sum of the lanes.  More than 1024 are added in parts of 512, and these as such numbers.
    """
    if classes > AT_ONCE:
        return roundings(PART) + roundings(max(CLASS_MAJOR + 1, -(-classes // PART)))
    return classes if classes <= CLASS_MAJOR else classes / 8 + 32


class ShortBlock(Block):
    """Rows of float32, float16 or bfloat16, computed in float64."""

    near_0: float  # for "logits": from here on the error of log S is 2⁻⁴⁴ of -log p
    is_sure = False  # whether it is known that no p is near 1, as the rows are `ordinary`
    parts: tuple[Array, Array]  # for "logits" of MANY classes: sums of PART of e each, and the rest
    either_way = False  # plain sums depend on the order
    smallest_sum = 1e-150  # an e that underflows vanishes beside such an S

    def __init__(
        self, cube: Array, place: Place, need: Need = "exponentials", out: Array | None = None
    ) -> None:
        self.lean = adds_plainly(need, cube.shape[1])
        #: the error of S is 2⁻⁴⁴ = 512·2⁻⁵³ of this at most: two units for e, the rest for adding
        self.sure_from = (roundings(cube.shape[1]) + 2) / 512.0
        if need == "logits":  # |log S| < 64, so that its rounding adds no more than 2⁻⁴⁸ to that
            self.smallest_sum, self.largest_sum = 2.0**-92, 2.0**92
            self.near_0 = self.sure_from + 1.1 / 16.0
        super().__init__(cube, place, need, out)

    def _sum(self) -> None:
        if not self.lean:
            super()._sum()
            return
        if self.need == "logits" and self.classes > MANY:
            self.parts = partial_sums(self.e)
            self.high = self.per_row(sum_of_parts(*self.parts))
        else:
            self.high = total(self.e, self.axis)
        self.low = self.limit = 0.0
        self._find_extremes()

    def settle(self) -> None:
        if not (self.least >= self.smallest_sum and self.most <= self.largest_sum):
            self.shift(self.precise(self.high, False))

    def precise(self, sums: Number, small: Any) -> Any:
        return (sums >= self.smallest_sum) & (sums <= self.largest_sum)

    def _exponentiate_shifted(self) -> None:
        for at in self._pieces(self.shifted):
            below = self._part(self.z, at) - self._of(self.maximum, at)
            self.e[at] = np.exp(below)
            if self.need == "logits":
                self.z[at] = below
        self._sum()

    def add_up(self, sums: Array) -> None:
        np.exp(self.z, out=self.e)
        add_parts(sums[0], as_rows(self.e, self.z) if self.broad else self.e)

    def ordinary(self, sums: Array, maximum: Number) -> tuple[dict[str, Any], Any]:
        self.parts = sums[0, :, :-1], sums[0, :, -1]
        self.high = self.per_row(sum_of_parts(*self.parts))
        self._find_extremes()
        fine = self.precise(self.high, False)
        if self.need == "logits":
            fine &= np.logical_not(self._may_be_near_1(self.high * (1.0 - self.near_0)))
        return {"high": self.high, "low": 0.0, "limit": 0.0, "is_sure": True}, fine

    def _may_be_near_1(self, limit: Number) -> Any:
        """The rows in which an e may be ≥ limit.

        The squares of all e add up to the square of the largest or more, and mostly to far less
        than S².  So do those of sums of many parts, which are known.
        """
        if self.row_classes > MANY:
            sums, rest = self.parts
            squares = np.vecdot(sums, sums) + rest * rest
        else:
            squares = np.vecdot(self.e, self.e)
        return self.per_row(squares) >= limit * limit

    def _difference(self, e: Number) -> tuple[Number, Number, Any]:
        rest = self.high - e
        if self.lean:
            short = rows_below(rest, self.high * self.sure_from)
        else:
            rest += self.low
            short = rows_below(rest, self.limit)
        return rest, 0.0 if short is False else np.zeros_like(rest), short

    def _sum_of_others(self, at: Any) -> Pair:
        return total(self._without_pivot(at), self.axis), 0.0

    def rest(self, e: Number) -> Pair:
        # not `pivot_rest`, which would take the maximum and an exp more
        return self._resummed(*self._difference(e))

    def minus_log(self, z: Number, scale: float) -> Number:
        """-log p, log S - z or near 0 by S - e."""
        if self.shifted is True or scale != 1.0:
            return super().minus_log(z, scale)
        value = self.log - z
        near_0 = rows_below(value, abs(self.log) * (1.1 / 512.0) + self.sure_from)
        if near_0 is not False:
            e = self.own(np.exp(z))
            value = choose(near_0, self.own(np.log1p(self.rest(e)[0] / e)), value)
        if self.shifted is not False:
            value = choose(self.shifted, super().minus_log(z, scale), value)
        return value

    def logarithms(self) -> Operation:
        """log p, z - log S or near 0 by the others; overwrites z."""
        if self.is_chunk and not self.is_sure:
            return super().logarithms()
        limit = self.high * (1.0 - self.near_0)  # log p ≥ -t only where p ≥ 1 - t
        near_1 = self._near_1_of_few if self.classes <= CLASS_MAJOR else self._near_1
        largest = [] if self.is_sure else list(near_1(limit))
        logs = np.subtract(self.z, self.spread(self.log, self.e), out=self.z)
        for entries, values in largest:
            logs.put(entries, values)
        return np.positive, logs

    def _near_1_of_few(self, limit: Number) -> Iterator[tuple[Array, Number]]:
        """The entries e ≥ limit > S/2 and log p there; looks at all, and overwrites e."""
        if self.count == 1 and most_of(self.e) < limit:  # known in a third of the time
            return
        (entries,) = (self.e >= limit).reshape(-1).nonzero()
        if not entries.size:
            return
        self.e.put(entries, 0.0)
        rest, sums = total(self.e, self.axis), self.high
        if self.count > 1:
            rows = entries % self.count
            rest, sums = rest.take(rows), sums.take(rows)
        yield entries, _log_of_most(rest, sums)

    def _near_1(self, limit: Number) -> Iterator[tuple[Array, Number]]:
        """The same for many classes, and perhaps the largest e of other rows; looks at few rows."""
        found = self._may_be_near_1(limit)
        e = self.e.reshape(self.count, -1)
        for rows in self._some(found):
            others = e.take(rows, 0) if self.classes <= PIECE else e[rows[0] : rows[0] + 1]
            pivots = others.argmax(1)
            others.put(np.arange(0, others.size, self.classes) + pivots, 0.0)
            rest = total(others, 1)[:, 0]
            sums = np.reshape(self.high, -1).take(rows)
            yield rows * self.classes + pivots, _log_of_most(rest, sums)

    @lazy
    def log_sum(self) -> Number:
        return self.own(np.log1p(self.pivot_rest[0] / self.top))

    @lazy
    def log(self) -> Number:
        return self.own(np.log(self.high))

    def complement(self, rest: Pair, divisor: float = 1.0) -> Number:
        return rest[0] / self._times(divisor)

    def quotients(self, divisor: float = 1.0) -> Operation:
        return np.multiply, self.e, self.spread(1.0 / self._times(divisor), self.work)

    def _times(self, divisor: float) -> Number:
        """S·divisor."""
        return self.high if divisor == 1.0 else self.high * divisor


def _log_of_most(rest: Number, sums: Number) -> Number:
    """log(1 - rest/S) for what the other exponentials add up to; 0 and not -0 for none."""
    return np.log1p(0.0 - rest / sums)
