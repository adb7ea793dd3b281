"""From an array and an axis to blocks of rows, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arguments import FLOAT64, Array, Axis, float_type, normal_axes, real_array
from .block import Block
from .layout import ALONE, BLOCK, LONGEST, PIECE, Need, Place, reserve
from .long_rows import chunks, chunks_side_by_side
from .scattered import Scattered, as_cube
from .short import ShortBlock, adds_plainly
from .sums import CLASS_MAJOR, EITHER_WAY, PART

#: float64 numbers a block may take: enough that its 20 to 80 NumPy calls cost little a logit, and
#: few enough for 2 MiB
BUDGET = 208_000
NARROW = 12  # rows side by side that read too little of the lines of the cache they are in
BROAD = BUDGET // 2 // PART  # rows side by side of which there is room for two arrays of a part
IN_CHUNKS: tuple[Need, ...] = "probabilities", "logits"  # what chunks of rows side by side are for
ALL = slice(None)


class Shape(NamedTuple):
    """The shape of an array with the classes on some axes."""

    axes: tuple[int, ...]  # of the classes
    kept: tuple[int, ...]  # the lengths of the other axes
    order: tuple[int, ...] | None  # of the axes, if they have to move to become a cube
    ordered: tuple[int, ...]  # their lengths in that order
    sizes: tuple[int, int, int]  # of the cube: before, classes, after


def _shape_of_rows(shape: tuple[int, ...], axis: Axis) -> Shape:
    shape = shape or (1,)  # a number is a row of one class
    axes, order = normal_axes(axis, len(shape)), None
    first, last = axes[0], axes[-1] + 1
    if last - first > len(axes):  # not neighbours: bring them to the end
        order = (*(a for a in range(len(shape)) if a not in axes), *axes)
        shape = tuple(shape[a] for a in order)
        first, last = len(shape) - len(axes), len(shape)
    sizes = math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:])
    return Shape(axes, shape[:first] + shape[last:], order, shape, sizes)


_known_shape_of_rows = lru_cache(maxsize=256)(_shape_of_rows)  # 2 µs less


class Rows:
    """Logits seen as a cube (before, classes, after): before × after rows, along the middle."""

    def __init__(self, z: ArrayLike, axis: Axis) -> None:
        given = real_array(z, "z")
        self.dtype, self.shape = float_type(given), given.shape
        find = _known_shape_of_rows if type(axis) is int else _shape_of_rows  # 1 == True
        self.axes, self.kept, self.order, self.ordered, self.sizes = find(given.shape, axis)
        self.classes = self.sizes[1]
        self.cube = self.as_cube(given)
        #: whether these are float32 or float16, which float64 computes with bits to spare
        self.short = self.dtype.itemsize < 8

    def as_cube(self, array: Array) -> Any:
        """An array of the shape of z as a cube: a view, or copied in parts if it is large."""
        ordered = array.transpose(self.order) if self.order else array
        last = ordered.ndim if self.order else self.axes[-1] + 1
        return as_cube(ordered, last - len(self.axes), last, self.sizes)

    def from_cube(self, cube: Array) -> Any:
        """A cube in the shape of z; a NumPy scalar for 0-d."""
        if self.order:
            return cube.reshape(self.ordered).transpose(np.argsort(self.order))
        return cube.reshape(self.shape) if self.shape else cube[0, 0, 0]

    def blocks(
        self, need: Need = "exponentials", out: Array | None = None, temporaries: int = 0
    ) -> Iterator[Block]:
        """All rows, a block at a time that leaves room for some arrays of its size.

        Long rows come in chunks.  A chunk has no exponentials if only "logits" are needed, and
        comes alone for its "sums".  "unshifted sums" have not been settled, but for long rows.
        Where the result, out, has the layout of a block, its exponentials take no other memory.
        Of "probabilities" and "logits" a row may come twice; its last result counts.
        """
        before, classes, after = self.sizes
        numbers = before * classes * after
        if not numbers:
            return iter(())
        kind = ShortBlock if self.short else Block
        in_one_block = numbers <= 1024
        if not in_one_block:
            # else NumPy copies broadcast rows of up to 8192: 3 × the time; the `np.errstate` of the
            # public functions sets it back
            np.setbufsize(64)
        if classes > 4 * LONGEST // (4 + temporaries):  # in every layout
            if not temporaries and self._are_broad(need, 1):
                return self._side_by_side(kind, 1, need, out)
            return self._in_chunks(kind, self._places(1, 1), need, out, temporaries)
        if in_one_block:
            all_rows = slice(0, before), ALL, slice(0, after)
            return self._whole(kind, (all_rows,), need, out)
        count = self._rows_at_once(need, out, temporaries)
        step, width = max(1, count // after), min(count, after)
        if kind.side_by_side(self.sizes):
            step = 1
        if not temporaries and self._are_broad(need, width):
            return self._side_by_side(kind, width, need, out)
        return self._whole(kind, self._places(step, width), need, out)

    def _places(self, step: int, width: int) -> Iterator[Place]:
        before, _, after = self.sizes
        for i in range(0, before, step):
            for j in range(0, after, width):
                yield slice(i, i + step), ALL, slice(j, j + width)

    def _whole(
        self, kind: type[Block], places: Iterable[Place], need: Need, out: Array | None
    ) -> Iterator[Block]:
        """Whole rows."""
        for place in places:
            block = kind(self.cube, place, need, out)
            block.exponentiate()
            if need != "unshifted sums":
                block.settle()
            yield block

    def _in_chunks(
        self,
        kind: type[Block],
        rows: Iterable[Place],
        need: Need,
        out: Array | None,
        temporaries: int = 0,
    ) -> Iterator[Block]:
        """Long rows, one by one."""
        size = max(1, 4 * BLOCK // (4 + temporaries) // PART) * PART
        if self.short and not (temporaries or isinstance(self.cube, Scattered)):
            fits = ALONE if need == "logits" else 2 * ALONE  # in place of z
            size = fits if self.classes <= fits else size
        return chain.from_iterable(chunks(kind, self.cube, row, size, need, out) for row in rows)

    def _are_broad(self, need: Need, width: int) -> bool:
        """Whether rows side by side come in chunks of many, as blocks would be so narrow.

        Blocks of few rows use a part of each line of the cache.
        """
        if need not in IN_CHUNKS or isinstance(self.cube, Scattered):
            return False
        if not (self.short or self._plain(2)):
            return False  # z would be a third array
        # so narrow are only rows of more than 4096 classes, which `ShortBlock.ordinary` relies on;
        # float64 mostly loses more by lines of which a chunk has a part than it gains
        most = math.inf if self.short or width < 4 else BROAD
        return width < NARROW and 6 * width <= self.sizes[2] <= most

    def _side_by_side(
        self, kind: type[Block], width: int, need: Need, out: Array | None
    ) -> Iterator[Block]:
        """Chunks of rows side by side, all if possible, and then the unusual of them again."""
        reserve(BUDGET)  # at once, for chunks and whole rows
        after = self.sizes[2]
        count = -(-after // -(-after // BROAD))  # equal shares, of at most BROAD
        for i, _, j in self._places(1, count):
            columns = slice(j.start, min(j.stop, after))
            again = yield from chunks_side_by_side(kind, self.cube, (i, ALL, columns), need, out)
            step = width if again.size == columns.stop - columns.start else 1
            firsts = (columns.start + again[::step]).tolist()
            places = ((i, ALL, slice(k, min(k + step, columns.stop))) for k in firsts)
            if self.classes > LONGEST:
                yield from self._in_chunks(kind, places, need, out)
            else:
                yield from self._whole(kind, places, need, out)

    def _plain(self, axis: int) -> bool:
        """Whether float64 numbers are neighbours along an axis of the cube."""
        return self.cube.strides[axis] == 8 and self.cube.dtype == FLOAT64

    def _rows_at_once(self, need: Need, out: Array | None, temporaries: int) -> int:
        """How many rows a block may have: it takes work, and perhaps e and a copy of z."""
        if temporaries and self.classes > PIECE:
            return 1  # only a single row is loaded in pieces
        arrays = 3 + temporaries + (need == "unshifted sums")  # takes memory for rows done again
        if isinstance(self.cube, Scattered):
            arrays += 1
        elif self.short:
            arrays -= adds_plainly(need, self.classes)
        elif self.classes > CLASS_MAJOR:
            lines = 2 if Block.side_by_side(self.sizes) else 1  # the axis along which these run
            if lines == 2 or self.sizes[2] == 1:  # neither z nor the result is turned
                arrays -= self._plain(lines)
                arrays -= out is not None and not temporaries
        count = max(1, BUDGET // max(48, arrays * self.classes + 24))  # also numbers one a row
        if self.classes > EITHER_WAY or count <= 72:  # each row is in one piece, or there are few
            return count
        # a pitch that is no power of two spreads over the cache: at K = 128 the transposing copy
        # takes a fifth of the time
        return (count - 8) // 64 * 64 + 8
