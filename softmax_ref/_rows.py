"""From an array and an axis to blocks of rows, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._arguments import FLOAT64, Array, Axis, float_type, is_short, normal_axes, real_array
from ._kernel import Block
from ._layout import BLOCK, CLASS_MAJOR, LONGEST, PIECE, Need
from ._long_rows import chunks
from ._short import ShortBlock

#: float64 numbers a block may take: enough that its 20 to 80 NumPy calls cost little a logit, and
#: few enough for 2 MiB
BUDGET = 176_000


class Rows:
    """Logits seen as a cube (before, classes, after): before × after rows, along the middle."""

    def __init__(self, z: ArrayLike, axis: Axis) -> None:
        given = real_array(z, "z")
        self.dtype, self.shape = float_type(given), given.shape
        shape = given.shape or (1,)  # a number is a row of one class
        axes = normal_axes(axis, len(shape))
        first, last = axes[0], axes[-1] + 1
        self.order: tuple[int, ...] | None = None
        if last - first > len(axes):  # not neighbours: bring them to the end
            self.order = (*(a for a in range(len(shape)) if a not in axes), *axes)
            shape = tuple(shape[a] for a in self.order)
            first, last = len(shape) - len(axes), len(shape)
        self.axes, self.ordered, self.kept = axes, shape, shape[:first] + shape[last:]
        self.classes = math.prod(shape[first:last])
        self.sizes = math.prod(shape[:first]), self.classes, math.prod(shape[last:])
        self.cube = self.as_cube(given)

    def as_cube(self, array: Array) -> Array:
        """An array of the shape of z as a cube; a view wherever NumPy can make one."""
        return (array.transpose(self.order) if self.order else array).reshape(self.sizes)

    def from_cube(self, cube: Array) -> Any:
        """A cube in the shape of z; a NumPy scalar for 0-d."""
        if self.order:
            return cube.reshape(self.ordered).transpose(np.argsort(self.order))
        return cube.reshape(self.shape)[()]

    def blocks(self, need: Need = "exponentials", temporaries: int = 0) -> Iterator[Block]:
        """All rows, a block at a time that leaves room for some arrays of its size.

        Long rows come in chunks.  A chunk has no exponentials if only "logits" are needed, and
        comes alone for its "sums".  "unshifted sums" have not been settled, but for long rows.
        """
        before, classes, after = self.sizes
        numbers = before * classes * after
        if not numbers:
            return
        kind, unusual = ShortBlock if is_short(self.cube) else Block, False
        step, width = before, after
        if numbers > 1024:
            np.setbufsize(64)  # else NumPy copies broadcast rows of up to 8192: 3 × the time
            count = self._rows_at_once(temporaries)
            step, width = max(1, count // after), min(count, after)
        if classes > 4 * LONGEST // (4 + temporaries):  # in every layout: sums differ by a last bit
            for i in range(before):
                for j in range(after):
                    place = slice(i, i + 1), slice(None), slice(j, j + 1)
                    yield from chunks(kind, self.cube, place, 4 * BLOCK // (4 + temporaries), need)
            return
        for i in range(0, before, step):
            for j in range(0, after, width):
                block = kind(self.cube, (slice(i, i + step), slice(None), slice(j, j + width)))
                block.unusual = unusual  # so are neighbours, often
                block.exponentiate(need)
                unusual = block.unusual
                if need != "unshifted sums":
                    block.settle()
                yield block

    def _arrays(self) -> int:
        """How many arrays of its size a block takes: e, what that lost, work, and a copy of z."""
        if is_short(self.cube):  # loses nothing
            return 3
        _, classes, after = self.sizes
        in_lines = after == 1 and self.cube.strides[1] == 8 and classes > CLASS_MAJOR
        return 3 if in_lines and self.cube.dtype == FLOAT64 else 4

    def _rows_at_once(self, temporaries: int) -> int:
        """How many rows a block may have."""
        if self.classes > PIECE:
            return 1
        count = max(1, BUDGET // ((self._arrays() + temporaries) * self.classes + 40))
        # a pitch that is no power of two spreads over the cache: at K = 128 the transposing copy
        # takes a fifth of the time
        return count if count <= 72 else (count - 8) // 64 * 64 + 8
