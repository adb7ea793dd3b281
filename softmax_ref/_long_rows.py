"""Rows too long for the scratch memory: their sums first, then the exponentials again in chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from ._arguments import Array
from ._kernel import Block
from ._layout import BLOCK, Place

Need = Literal["exponentials", "logits", "sums"]
#: what the chunks of a row have in common, once one of them has computed it
SHARED = ("maximum", "top", "high", "low", "rest", "confident", "log_sum")


def chunks(cube: Array, i: slice, j: slice, need: Need) -> Iterator[Block]:
    """One row as blocks of some of its classes, each with the sums of the whole row."""
    places: list[Place] = [(i, slice(k, k + BLOCK), j) for k in range(0, cube.shape[1], BLOCK)]
    parts, shifted = [], False
    for place in places:
        block = Block(cube, place)
        block.exponentiate()
        parts.append((block.maximum, block.high, block.low))
        shifted |= block.lost is not None
    m = float(np.max([part[0] for part in parts]))
    if shifted:  # all chunks by the same number, then
        parts = []
        for place in places:
            block = _shifted(cube, place, m)
            parts.append((m, block.high, block.low))
    terms = [x for _, high, low in parts for x in (high, low)]
    high, top = math.fsum(terms), np.exp(m - m if shifted else m).item()
    known: dict[str, Any] = {
        "maximum": m, "top": top, "high": high, "low": math.fsum([*terms, -high]),
    }  # fmt: skip
    for place in places[:1] if need == "sums" else places:
        block = _shifted(cube, place, m) if shifted else Block(cube, place)
        block.__dict__.update(known)
        if not shifted and need == "exponentials":
            np.exp(block.z, out=block.e)
        yield block
        known = {name: block.__dict__[name] for name in SHARED if name in block.__dict__}


def _shifted(cube: Array, place: Place, m: float) -> Block:
    """A chunk with the exponentials of z - m and their sums."""
    block = Block(cube, place)
    block.maximum = m
    block.shift(False)
    return block
