"""Rows of which too few fit into the scratch memory: first their sums, then chunks of them again.

Alone, if they are too long, or many that lie side by side together, as few of those would read
little of each line of the cache.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from .arguments import Array
from .block import Block
from .layout import BLOCK, Need, Place
from .sums import PART, across

CHUNK, LONGEST_CHUNK = 65_536, 2048  # numbers, 0.5 MiB, and classes of rows side by side
WITH_E: tuple[Need, ...] = "probabilities", "exponentials"  # what takes the exponentials of chunks
ONCE: tuple[Need, ...] = "sums", "unshifted sums"  # what one chunk can tell of all
#: lazy attributes of whole rows: what one of their chunks has computed
SHARED = ("maximum", "top", "pivot_rest", "log_sum")


def chunks(
    kind: type[Block], cube: Array, row: Place, size: int, need: Need, out: Array | None
) -> Iterator[Block]:
    """One row as blocks of so many of its classes, each with the sums of the whole row."""
    needs_e = need in WITH_E
    places = _parts_of(row, cube, size)
    home = out if needs_e or len(places) == 1 else None  # e that can stay is not computed again
    sums = np.zeros((2, 1, cube.shape[1] // PART + 1))
    for place in places:
        block = kind(cube, place, need, home)
        block.add_up(sums[..., (place[1].start or 0) // PART :])
    known, fine = block.ordinary(sums, None)
    if not fine:
        yield from _unusual_chunks(kind, cube, row, min(size, BLOCK), need, out)
        return
    for place in places[:1] if need in ONCE else places:
        if len(places) > 1:
            block = kind(cube, place, need, out)
            if needs_e and not block.at_home:
                np.exp(block.z, out=block.e)
        yield from _with(known, block)


def _with(known: dict[str, Any], block: Block) -> Iterator[Block]:
    """The block, told what is known of its rows; what it finds out is known to the next."""
    block.__dict__.update(known)
    yield block
    known |= {name: block.__dict__[name] for name in SHARED if name in block.__dict__}


def _parts_of(row: Place, cube: Array, size: int) -> list[Place]:
    i, _, j = row
    return [(i, slice(k, k + size), j) for k in range(0, cube.shape[1], size)]


def _unusual_chunks(
    kind: type[Block], cube: Array, row: Place, size: int, need: Need, out: Array | None
) -> Iterator[Block]:
    """The same of a row that has to be shifted, or split otherwise than by the constant.

    They are not told the need: for "logits" float32 would overwrite z where it shifts.
    """
    needs_e = need in WITH_E
    places = _parts_of(row, cube, size)
    home = out if needs_e else None
    parts, small = [], False
    for place in places:
        block = kind(cube, place, out=home)
        block.exponentiate()
        parts.append((block.high, block.low, block.limit))
        small = small or (not block.high >= 1.0 and block.has_small())  # it looks at all numbers
    # the row is shifted where it would be as a whole, see `Exponentials.settle`
    total = sum(part[0] for part in parts)
    shifted = not block.precise(total, small)
    known: dict[str, Any] = {"shifted": shifted}
    if shifted:  # all chunks by the same number, then
        m = known["maximum"] = block.maximum
        parts = []
        for place in places:
            block = kind(cube, place, out=home)
            _shift(block, m)
            parts.append((block.high, block.low, block.limit))
    terms = [x for high, low, _ in parts for x in (high, low)]
    high = math.fsum(terms)
    known |= {"high": high, "low": math.fsum([*terms, -high]), "limit": sum(p[2] for p in parts)}
    for place in places[:1] if need in ONCE else places:
        block = kind(cube, place, out=out)
        if needs_e and not block.at_home:
            if shifted:
                _shift(block, m)
            else:
                np.exp(block.z, out=block.e)
        yield from _with(known, block)


def chunks_side_by_side(
    kind: type[Block], cube: Array, rows: Place, need: Need, out: Array | None
) -> Generator[Block, None, Array]:
    """Rows side by side as blocks of some of their classes, for "probabilities" or "logits".

    Their sums are to the last bit those of whole rows.  Returns the numbers of the unusual rows,
    which have to be done again, each by itself; all numbers, and no block, if these are many.
    """
    count = rows[2].stop - rows[2].start
    places = _parts_of(rows, cube, max(1, min(CHUNK // count, LONGEST_CHUNK) // PART) * PART)
    sums = np.zeros((2, count, cube.shape[1] // PART + 1))
    maximum: Any = -np.inf
    for place in places:
        block = kind(cube, place, need, out if need == "probabilities" else None)
        if need == "logits" and not block.lean:  # float32 does without
            maximum = np.maximum(maximum, across(np.maximum, block.z))
        block.add_up(sums[..., place[1].start // PART :])
    known, fine = block.ordinary(sums, maximum)
    unusual = np.flatnonzero(~fine)
    if 4 * unusual.size > count:
        return np.arange(count)
    for place in places:
        block = kind(cube, place, need, out)
        if need == "probabilities" and not block.at_home:  # else they are still there
            np.exp(block.z, out=block.e)
        yield from _with(known, block)
    return unusual


def _shift(block: Block, m: float) -> None:
    """Give a chunk the exponentials of z - m and their sums."""
    block.maximum = m
    block.shift(False)
