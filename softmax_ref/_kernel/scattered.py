"""Arrays that NumPy can show as a cube (before, classes, after) only by copying all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np

from .arguments import Array

SMALL = 16_000  # numbers of an array that may be copied whole
Numbers = tuple[int, ...]
Box = tuple[slice, ...]


def has_view(array: Array, first: int, last: int) -> bool:
    """Whether the axes before, from first to last and after each merge into one without a copy."""
    ends = zip((0, first, last), (first, last, array.ndim), strict=True)
    return all(_merge(array.shape[a:b], array.strides[a:b]) for a, b in ends)


def _merge(lengths: Numbers, strides: Numbers) -> bool:
    axes = [(n, step) for n, step in zip(lengths, strides, strict=True) if n > 1]
    return all(step == n * smaller for (_, step), (n, smaller) in pairwise(axes))


def as_cube(array: Array, first: int, last: int, sizes: tuple[int, int, int]) -> Any:
    """An array as (before, axes from first to last, after), of these sizes.

    A view; or copied, in parts if it is large.
    """
    if array.size > SMALL and not array.flags.c_contiguous and not has_view(array, first, last):
        return Scattered(array, first, last)
    return array.reshape(sizes)


class Scattered:
    """Such an array as a cube, of which parts are copied when they are asked for.

    ``z[:, :5]``, for instance, of which the rows come in groups, or the classes on the first and
    the last axis of three.
    """

    def __init__(self, array: Array, first: int, last: int) -> None:
        self.array, self.dtype = array, array.dtype
        shape = array.shape
        self.lengths = shape[:first], shape[first:last], shape[last:]
        self.shape = tuple(math.prod(some) for some in self.lengths)

    def __getitem__(self, place: tuple[slice | int, slice | int, slice | int]) -> Array:
        """A copy of the part that slices and integers choose."""
        ranges = [
            range(*at.indices(n)) if isinstance(at, slice) else range(at, at + 1)
            for at, n in zip(place, self.shape, strict=True)
        ]
        part = np.empty([len(r) for r in ranges], self.dtype)
        parts = zip(self.lengths, ranges, strict=True)
        boxes = [list(_boxes(some, r.start, r.stop)) for some, r in parts]
        for (i, before), (k, classes), (j, after) in product(*boxes):
            box = self.array[before + classes + after]
            part[i, k, j].reshape(box.shape)[...] = box  # to split axes takes no copy
        return part[tuple(slice(None) if isinstance(at, slice) else 0 for at in place)]


    def row(self, i: int, j: int) -> Array:
        """A view of one row, with axes of length 1 instead of those before and after."""
        (_, before), (_, after) = (
            next(_boxes(self.lengths[axis], at, at + 1)) for axis, at in ((0, i), (2, j))
        )
        return self.array[before + (slice(None),) * len(self.lengths[1]) + after]


def _boxes(lengths: Numbers, start: int, stop: int) -> Iterator[tuple[slice, Box]]:
    """The indices from start to stop of some axes seen as one, as boxes of these axes.

    Each with the place of its numbers, counted from start.
    """
    if len(lengths) < 2:
        yield slice(0, stop - start), (slice(start, stop),) * len(lengths)
        return
    inner = math.prod(lengths[1:])
    at = start
    while at < stop:
        line, within = divmod(at, inner)
        if within or stop - at < inner:  # a part of one line
            end = min(stop, (line + 1) * inner)
            for place, box in _boxes(lengths[1:], within, end - line * inner):
                offset = at - start
                shifted = slice(place.start + offset, place.stop + offset)
                yield shifted, (slice(line, line + 1), *box)
        else:
            end = stop // inner * inner
            whole = (slice(0, n) for n in lengths[1:])
            yield slice(at - start, end - start), (slice(line, end // inner), *whole)
        at = end
