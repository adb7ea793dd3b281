"""logsumexp: log S for most rows; m + log_sum, or many digits, for the others, a few at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .arguments import Array
from .block import Block
from .cancellation import logsumexp_near_zero
from .rows import Rows
from .scattered import Scattered
from .sums import Number

NO_ROWS, FIRST_ROW = np.empty(0, np.intp), np.zeros(1, np.intp)
TOGETHER = 6_000  # logits of rows to be done again


def log_of_sum(block: Block) -> tuple[Number, Array]:
    """logsumexp of each row of a block, and the rows that have to be done again."""
    value, again = _unshifted(block)
    if again.size <= block.count // 2:
        return value, again
    # if most rows need it, the whole block by its maxima: half the time of gathering them
    careful, cancelled = _from_maximum(block)
    values, fine = np.ravel(careful), np.ones(block.count, bool)
    fine[again] = False
    values[fine] = np.ravel(value)[fine]
    return values, cancelled[~fine[cancelled]]


def _unshifted(block: Block) -> tuple[Number, Array]:
    """log S of each row, and the rows in which that is not accurate enough.

    The relative error of S is an absolute error here, 1.4·2⁻⁵³ for float64: harmless from 1 on.
    For float32 2⁻⁴⁴ of the result will do.
    """
    fine = (block.high >= block.smallest_sum) & (block.high <= block.largest_sum)
    if block.count == 1:
        if not fine or block.shifted:
            return math.nan, FIRST_ROW
        sure = abs(block.log) >= block.sure_from or _no_worse(block.log, block.maximum)
        return block.log, NO_ROWS if sure else FIRST_ROW
    sure = fine & (abs(block.log) >= block.sure_from)
    if sure.all():
        return block.log, NO_ROWS
    sure |= fine & _no_worse(block.log, block.maxima(~sure))
    return block.log, np.flatnonzero(~sure)


def _no_worse(value: Number, m: Number) -> Any:
    """Whether m and log_sum, too, lose digits, so that log S will do.

    From 0.5 on the error of S, 1.2u, is 1.2 ULP of its logarithm; below it would be twice as much.
    """
    return (m < 0.0) & (value - m > abs(value)) & (abs(value) >= 0.5)


def _from_maximum(block: Block) -> tuple[Number, Array]:
    """m + log Σ exp(z - m) of each row, and the rows in which the two cancel.

    The error of the logarithm, L, grows by L / |m + L|.  (float32 has no bits to spare for that.)
    """
    if not block.is_chunk:  # else it was settled with the other chunks
        block.settle()
    m, log_sum = block.maximum, block.log_sum
    value = np.where(np.isinf(m), m, m + log_sum)
    cancelled = (m < 0.0) & (log_sum > abs(value))
    if not np.any(cancelled):
        return value, NO_ROWS
    will_do = (abs(block.log) >= block.sure_from) | _no_worse(block.log, m)
    will_do &= np.logical_not(block.shifted)
    value = np.where(will_do, block.log, value)
    return value, np.flatnonzero(cancelled & ~will_do)


def _careful(rows: Rows) -> Array:
    """logsumexp of (n, K, 1) rows by the maximum, or where that cancels, with more digits."""
    values = np.empty(rows.sizes[0])
    for block in rows.blocks("unshifted sums"):
        here = values[block.rows[0]]
        value, cancelled = _from_maximum(block)
        here[...] = np.ravel(value)
        if cancelled.size:
            here[cancelled] = logsumexp_near_zero(rows.cube, cancelled + block.place[0].start)
    return values


class Later:
    """Rows to be done again, together: 200 steps cost as much for one as for many."""

    def __init__(self, out: Array) -> None:
        self.out = out
        self.places: list[Array] = []
        self.logits: list[Array] = []
        self.count = 0

    def add(self, block: Block, rows: Array) -> None:
        """Rows of a block, by their numbers in it."""
        (i, j), cube = block.rows, block.cube
        if block.count == 1:  # perhaps a long one
            row = cube.row(i.start, j.start) if isinstance(cube, Scattered) else cube[i, :, j]
            self.out[i, j] = _careful(Rows(row, None))
            return
        logits = cube[i, :, j]
        step = max(1, TOGETHER // cube.shape[1])
        for k in range(0, rows.size, step):
            a, b = np.divmod(rows[k : k + step], logits.shape[2])
            self.places.append((a + i.start) * cube.shape[2] + b + j.start)
            self.logits.append(logits[a, :, b])
            self.count += self.logits[-1].size
            if self.count > TOGETHER:
                self.fill()

    def fill(self) -> None:
        if self.places:
            logits = self.logits[0] if len(self.logits) == 1 else np.concatenate(self.logits)
            self.out.flat[np.concatenate(self.places)] = _careful(Rows(logits, 1))
            self.places, self.logits, self.count = [], [], 0
