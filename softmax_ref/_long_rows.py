"""Rows too long for the scratch memory: their sums first, then the exponentials again in chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np

from ._arguments import Array
from ._kernel import BLOCK, Block, Place
from ._pairs import along, exp_minus, pair_sum, sum_without_pivot


class Chunks:
    """The logits of a row, a chunk at a time, as often as they are asked for."""

    def __init__(self, cube: Array, places: list[Place]) -> None:
        self.cube, self.places = cube, places

    def __iter__(self) -> Iterator[Array]:
        """Copies: the scratch memory holds the chunk for which they are needed."""
        return (self.cube[place][0, :, 0].astype(np.float64) for place in self.places)


def chunks(cube: Array, i: slice, j: slice) -> Iterator[Block]:
    """One row too long for the scratch memory: its sums first, then each chunk with them."""
    places: list[Place] = [(i, slice(k, k + BLOCK), j) for k in range(0, cube.shape[1], BLOCK)]
    parts, shifted = [], False
    for place in places:
        block = Block(cube, place)
        block.exponentiate()
        parts.append((block.maximum, block.high, block.low))
        shifted |= block.lost is not None
    m = float(np.max([part[0] for part in parts]))
    top = np.exp(m - m if shifted else m).item()
    if shifted:  # all chunks by the same number, then
        parts = []
        for place in places:
            e, lost = exp_minus(Block(cube, place).z, m)
            high, low = pair_sum(e, top, 0)
            parts.append((m, high, low + along(np.add, lost, 0)))
    terms = [x for _, high, low in parts for x in (high, low)]
    high = math.fsum(terms)
    low = math.fsum([*terms, -high])

    @cache
    def without_pivot() -> float:
        return sum_without_pivot(Chunks(cube, places), m, 0)

    for place in places:
        block = Block(cube, place)
        block.maximum, block.top, block.high, block.low = m, top, high, low
        if shifted:
            block.e, block.lost = exp_minus(block.z, m)
        else:
            np.exp(block.z, out=block.e)
        block.without_pivot = without_pivot  # type: ignore[method-assign]
        yield block
