"""From an array and an axis to blocks of rows, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._arguments import Array, Axis, float_type, normal_axes, real_array
from ._kernel import Block
from ._layout import BLOCK, LONGEST
from ._long_rows import Need, chunks

MOST = 3_000  # rows a block may have: a dozen numbers belong to each


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

    def blocks(self, need: Need = "exponentials") -> Iterator[Block]:
        """All rows, a block at a time; long rows in chunks.

        A chunk comes without exponentials if only "logits" are needed, and alone for its "sums".
        """
        before, classes, after = self.sizes
        if before * classes * after == 0:
            return
        if before * classes * after > 1024:  # within errstate, which undoes it
            np.setbufsize(64)  # else NumPy copies broadcast rows of up to 8192: 3 × the time
        if classes > LONGEST:
            for i in range(before):
                for j in range(after):
                    yield from chunks(self.cube, slice(i, i + 1), slice(j, j + 1), need)
            return
        count = min(max(1, BLOCK // classes), MOST)
        if count > 72:  # a pitch that is no power of two spreads over the cache: at K = 128 the
            count = (count - 8) // 64 * 64 + 8  # transposing copy takes a fifth of the time
        step, width = max(1, count // after), min(count, after)
        for i in range(0, before, step):
            for j in range(0, after, width):
                block = Block(self.cube, (slice(i, i + step), slice(None), slice(j, j + width)))
                block.exponentiate()
                yield block
