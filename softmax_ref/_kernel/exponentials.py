"""The exponentials of a block of rows, and their sums.

`softmax_ref._kernel` has the errors.  Every branch here is there for the range or for the speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, reduce
from operator import add, sub
from typing import Any

import numpy as np

from .arguments import Array
from .layout import BLOCK, PIECE, Layout, lazy
from .pairs import exp_minus, fast_two_sum
from .sums import (
    AT_ONCE,
    Number,
    across,
    add_parts,
    along,
    as_rows,
    bound_of_sum,
    drop_digits,
    in_any_order,
    least_of,
    most_of,
    power_from,
    split_sum,
    total,
)

#: splits the exponentials of rows with g·2⁻¹⁶ ≤ S ≤ 2³⁰, g = `_growth` (K), which most are: with
#: no pass over the numbers to find a bound of their own, S is right to 2⁻⁵⁹
SPLIT, WELL_SPLIT = 2.0**30, 2.0**-16
TINY = 1e-240  # e below, where S < 1: the row is shifted, or e might have lost digits
HUGE = 1e240  # S above: the row is shifted before exp or S·N overflow


@lru_cache(maxsize=256)
def _growth(classes: int) -> float:
    """How the errors of `split_sum` grow with the classes: K² for a few, K·1024 for many."""
    return classes * (power_from(classes) if in_any_order(classes) else min(classes, AT_ONCE))


@lru_cache(maxsize=256)
def least_sum(classes: int) -> float:
    """The least S that SPLIT will do for."""
    return _growth(classes) * WELL_SPLIT


def limit_of_rest(big: Number, classes: int) -> Number:
    """From here on S - e has all its digits, for what splits S."""
    return big * (_growth(classes) * 2.0**-49)


class Exponentials(Layout):
    """Some rows, their exponentials e, and each S: ``high``, rounded, and the rest, ``low``."""

    high: Number
    low: Number
    least: float  # S of all rows
    most: float
    big: Number = SPLIT  # what split the exponentials
    limit: Number  # from here on S - e has all its digits
    shifted: Any = False  # the rows of which e is exp(z - m)

    def exponentiate(self) -> None:
        """e = exp(z) and S: needs neither m nor z - m, which saves two thirds of the time.

        A row takes a slower path, here and below, on its own account and never on its neighbours':
        its result does not depend on them.
        """
        np.exp(self.z, out=self.e)
        self._sum()

    def _sum(self) -> None:
        """S, split by the constant, or in rows in which that does badly by a bound of their own."""
        self._split(SPLIT)
        self._find_extremes()
        least = least_sum(self.classes)
        if not (self.least >= least and self.most <= SPLIT):
            usual = (self.high >= least) & (self.high <= SPLIT)
            self._split(choose(usual, SPLIT, bound_of_sum(self.e, self.axis)))

    def _find_extremes(self) -> None:
        """The least and the largest S, to see at once whether all rows are ordinary."""
        if self.count == 1:
            self.least = self.most = self.high
        else:
            self.least, self.most = least_of(self.high), most_of(self.high)

    def settle(self) -> None:
        """Shift the rows of which exp(z) overflowed, or might have lost digits to underflow."""
        if not self.most <= HUGE or not (self.least >= 1.0 or least_of(self.e) >= TINY):
            self.shift(self.precise(self.high, self.has_small()))

    def _split(self, big: Number) -> None:
        """S = high + low, high the nearest number."""
        if self.few:  # the same as below, in the same order
            values = self.e.tolist()
            parts = [(e + big) - big for e in values]
            high, low = reduce(add, parts), reduce(add, map(sub, values, parts))
        else:
            high, low = split_sum(self.e, big, self.axis, self.work)
        self.high, self.low = fast_two_sum(high, low)
        self.big, self.limit = big, limit_of_rest(big, self.classes)

    def add_up(self, sums: Array) -> None:
        """Exponentiate a chunk of a row or of rows side by side, and write the sums of its parts.

        Those in sums[0] add up to high, those in sums[1] to low.
        """
        np.exp(self.z, out=self.e)
        parts = np.add(self.e, SPLIT, out=self.work)
        parts -= SPLIT
        sums[0, :, 0] = across(np.add, parts) if self.broad else total(parts, 0)  # exact
        remainders = np.subtract(self.e, parts, out=parts)
        add_parts(sums[1], as_rows(remainders, self.spare) if self.broad else remainders)

    def has_small(self) -> Any:
        """Rows with S < 1 in which an e might have lost digits: below TINY, and no mask."""
        low = self.high < 1.0
        small: Any = low & False
        for at in self._pieces(low):
            tiny = (self._part(self.e, at) < TINY) & (self._part(self.z, at) > -np.inf)
            found = along(np.logical_or, tiny, self.axis)
            if self.count == 1:
                small = small or found
            else:
                small[self._rows_of(at)] |= found
        return small

    def precise(self, sums: Number, small: Any) -> Any:
        """Rows that need no shift: S ≥ 1, or no small e.

        An e that underflows beside S ≥ 1 has a p = e/S that underflows as well.
        """
        return ((sums >= 1.0) | ((sums > 0.0) & np.logical_not(small))) & (sums <= HUGE)

    def shift(self, fine: Any) -> None:
        """Shift all other rows by their maximum: top is exactly 1 then, or NaN without a sum."""
        if np.all(fine):
            return
        self.shifted = True if self.count == 1 else np.logical_not(fine)
        self._exponentiate_shifted()

    def _exponentiate_shifted(self) -> None:
        lost = self.work
        lost[...] = 0.0
        for at in self._pieces(self.shifted):
            self.e[at], lost[at] = self._shifted_part(at)
        bound = choose(self.shifted, bound_of_sum(self.e, self.axis), self.big)
        if in_any_order(self.classes):
            drop_digits(lost, bound, self.classes)
        rest = total(lost, self.axis)
        self._split(bound)
        self.high, self.low = fast_two_sum(self.high, self.low + rest)

    def _shifted_part(self, at: Any) -> tuple[Array, Array]:
        """The exponentials of a piece of shifted rows, and what rounding takes from them.

        The latter is computed again where it is needed, to spare a third array.
        """
        return exp_minus(self._part(self.z, at), self._of(self.maximum, at))

    def _pieces(self, rows: Any) -> Iterator[Any]:
        """The index of some rows, or of pieces of long ones, to bound the memory."""
        if self.count == 1:
            for k in range(0, self.classes, PIECE):
                yield slice(k, k + PIECE)
            return
        for piece in self._some(rows):
            if self.axis == 0:
                yield slice(None), piece
            else:
                for k in range(0, self.classes, PIECE):
                    yield piece, slice(k, k + PIECE)

    def _some(self, rows: Any) -> Iterator[Array]:
        """The numbers of these rows, a few at a time."""
        chosen = np.flatnonzero(rows)
        step = max(1, PIECE // self.classes)
        for i in range(0, chosen.size, step):
            yield chosen[i : i + step]

    def _part(self, values: Array, at: Any) -> Array:
        """A copy of some rows of the block, or of a piece of one."""
        if self.count == 1:
            return values[at].copy()
        if self.classes > PIECE or not values.flags.c_contiguous:
            return values[at]
        return values.take(at[1 - self.axis], 1 - self.axis)  # faster; else it would copy all first

    def _of(self, numbers: Number, at: Any) -> Number:
        """What belongs to these rows, of numbers one a row or of one for all."""
        if self.count == 1 or isinstance(numbers, bool):
            return numbers
        return numbers[self._rows_of(at)]

    def _rows_of(self, at: Any) -> Any:
        """The index of what belongs to the rows of a piece, among numbers one a row."""
        return at if self.axis == 0 else at[0]

    @lazy
    def maximum(self) -> Number:
        if self.is_chunk or self.in_place:
            i, _, j = self.place
            steps = range(0, self.row_classes, BLOCK)
            return float(reduce(np.maximum, (self.cube[i, k : k + BLOCK, j].max() for k in steps)))
        return along(np.maximum, self.z, self.axis)

    def maxima(self, rows: Any) -> Number:
        """The maximum of some rows; -inf for the others."""
        m = np.full(rows.shape, -np.inf)
        for at in self._pieces(rows):
            here = self._rows_of(at)
            m[here] = np.maximum(m[here], along(np.maximum, self._part(self.z, at), self.axis))
        return m

    @lazy
    def top(self) -> Number:
        """The largest e of each row."""
        m = self.maximum
        return self.own(np.exp(m if self.shifted is False else choose(self.shifted, m - m, m)))

    def exponentials(self, z: Array) -> Array:
        """exp(z - c) of other logits of a single row, with the shift of this block."""
        return exp_minus(z, self.maximum)[0] if self.shifted else np.exp(z)


def choose(condition: Any, a: Number, b: Number) -> Number:
    """a or b for each row, or for a single one."""
    if isinstance(condition, bool):
        return a if condition else b
    return np.where(condition, a, b)
