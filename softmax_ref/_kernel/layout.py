"""Where a block of rows stands in memory: scratch arrays to work in, and parts of larger cubes."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from .arguments import FLOAT64, Array
from .sums import CLASS_MAJOR, EITHER_WAY, Number, aligned

BLOCK = 36_864  # numbers of a long row at a time, or less to leave room for other arrays
LONGEST = 50_000  # classes a block of four arrays may have; longer rows come in chunks
PIECE = 8_000  # numbers at a time where temporary arrays are needed
ALONE = 100_864  # classes of a float32 row up to which there is room for z and e
FEW = CLASS_MAJOR  # numbers of a single row that Python's floats add up faster, in the same order
WIDE = 32_000  # numbers of rows side by side that make blocks of them worth while
SPREAD = 150  # numbers side by side up to which what belongs to a row is copied to its classes
Place = tuple[slice, slice, slice]
#: what a block is for
Need = Literal[
    "probabilities",  # p alone
    "exponentials",  # e, and S - e
    "logits",  # z, S and S - e
    "sums",  # S, and S - e
    "unshifted sums",  # S, wherever exp(z) allows it
]
Operation = tuple[Any, ...]  # a ufunc and its operands, still to be done: perhaps into the result
_scratch = threading.local()  # kept between calls: fresh pages cost more than the arithmetic
Value = TypeVar("Value")


class lazy(Generic[Value]):
    """An attribute computed at first use: `functools.cached_property` without its lock, 0.8 µs."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self.compute, self.name = compute, compute.__name__

    def __get__(self, instance: Any, _: type) -> Value:
        value = instance.__dict__[self.name] = self.compute(instance)
        return value


class Layout:
    """Some rows of a cube: class-major (K, n), row-major (n, K) or a single row (K,).

    What belongs to a row keeps the class axis with length 1, so that it broadcasts in either
    layout, and is a float for a single row.
    """

    either_way = True  # whether more than CLASS_MAJOR classes may lie across rows as well
    lean = False  # whether z is a copy that may be overwritten, so that it takes the place of work
    in_place = False  # whether e takes the place of such a z
    at_home = False  # whether e is memory of the result
    is_chunk: bool  # whether this has some of the classes only
    broad: bool  # and several rows
    few = False  # whether this is a single row of a few numbers
    spare: Array  # of a broad chunk: memory of its size, perhaps that of e

    def __init__(
        self, cube: Array, place: Place, need: Need = "exponentials", out: Array | None = None
    ) -> None:
        self.cube, self.place, self.need = cube, place, need
        part = cube[place]
        before, self.classes, after = part.shape
        self.count = before * after
        self.row_classes = cube.shape[1]
        self.is_chunk = self.classes < self.row_classes
        self.broad = self.is_chunk and self.count > 1
        if self.count == 1:
            self.axis, shape = 0, part.shape[1:2]
            self.few = self.classes <= FEW
        elif self.broad or self.classes <= CLASS_MAJOR or self.side_by_side(cube.shape):
            self.axis, shape = 0, (self.classes, self.count)
        else:
            self.axis, shape = 1, (self.count, self.classes)
        source = self._arranged(part)
        as_is = _is_plain(source)
        if out is not None and out.itemsize == 8 and (self.axis or before == 1):
            home = self.view(out)
            self.at_home = _is_plain(home)
        self.in_place = self.lean and self.classes > ALONE
        e_as_well = self.broad or not (self.at_home or self.in_place)
        arrays = _lend(shape, 2 + e_as_well - as_is - self.lean)
        self.work = arrays[0]
        self.e = home if self.at_home else arrays[0 if self.in_place else 1]
        if self.broad:
            self.spare = arrays[1]
        if as_is:
            self.z = source
            return
        # a copy of its own: ufuncs on transposed or converted memory cost more than both
        self.z = self.work if self.lean else arrays[-1]
        if self.axis == 1 and source.ndim == 2 and source.strides[1] % 1024 == 0:
            # class by class first: at such steps numbers share a few lines of the cache
            lines = self.e.reshape(source.shape[::-1])
            lines[...] = source.T
            source = lines.T
        self._shaped(self.z, source)[...] = source

    @classmethod
    def side_by_side(cls, shape: tuple[int, ...]) -> bool:
        """Whether rows of more than CLASS_MAJOR classes stay side by side, as in such a cube."""
        _, classes, after = shape
        return cls.either_way and CLASS_MAJOR < classes <= EITHER_WAY and classes * after >= WIDE

    @staticmethod
    def _shaped(scratch: Array, part: Array) -> Array:
        """Scratch memory in the shape of a part of a cube, which may have its rows apart."""
        return scratch if part.ndim < 3 else scratch.reshape(part.shape)

    def view(self, cube: Array) -> Array:
        """This block's part of a cube, in the layout of the block (or 3-D with its rows apart)."""
        return self._arranged(cube[self.place])

    def _arranged(self, part: Array) -> Array:
        before, _, after = part.shape
        if self.count == 1:
            return part[0, :, 0]
        if before == 1:
            return part[0] if self.axis == 0 else part[0].T
        if after == 1:
            return part[:, :, 0].T if self.axis == 0 else part[:, :, 0]
        return part.transpose((1, 0, 2) if self.axis == 0 else (0, 2, 1))

    def whole_rows(self) -> Iterator[tuple[Place, Array]]:
        """All logits of these rows, with their places: of a single row in pieces."""
        if self.count > 1:
            yield self.place, self.z
            return
        i, _, j = self.place
        for k in range(0, self.cube.shape[1], PIECE):
            place = i, slice(k, k + PIECE), j
            yield place, self.load(self.cube, place)

    def load(self, cube: Array, place: Place) -> Array:
        """This block's part of a cube, or a piece of its only row, as float64: a copy."""
        if self.count == 1:
            return cube[place][0, :, 0].astype(np.float64)
        part = self.view(cube)
        copy = np.empty(self.z.shape)
        self._shaped(copy, part)[...] = part
        return copy

    @property
    def first(self) -> bool:
        """False for all chunks of a long row but one."""
        return not self.place[1].start

    @property
    def rows(self) -> tuple[slice, slice]:
        """Where these rows are in an array (before, after)."""
        return self.place[0], self.place[2]

    def per_row(self, values: Any) -> Number:
        """Values (before, after), one a row, so shaped that they broadcast against the block."""
        if self.count == 1:
            return values.item()
        return values.reshape((1, -1) if self.axis == 0 else (-1, 1))

    def spread(self, numbers: Number, memory: Array) -> Number:
        """Numbers one a row as an operand for all classes; may overwrite the memory.

        NumPy takes 30 ns to begin a line of numbers: where lines are short, copies are faster.
        """
        if self.count == 1 or self.z.shape[1] > SPREAD:
            return numbers
        memory[...] = numbers
        return memory

    def own(self, numbers: Any) -> Number:
        """Numbers one a row, just computed: a float for a single row."""
        return numbers.item() if self.count == 1 else numbers

    def index(self, classes: Number) -> Any:
        """Where the entry of each row at its class is, in the layout of the block."""
        if self.count == 1:
            k = classes - (self.place[1].start or 0)
            return k if 0 <= k < self.classes else None  # in another chunk
        classes, rows = classes.reshape(-1), np.arange(self.count)
        return (classes, rows) if self.axis == 0 else (rows, classes)

    def pick(self, values: Array, at: Any) -> Number:
        """The entries at an index, one a row."""
        return values.item(at) if self.count == 1 else self.per_row(values[at])

    def entry(self, cube: Array, classes: Number, at: Any) -> Number:
        """The entry of a cube in each row at its class (its index), in this chunk or another."""
        if self.count == 1:
            return float(cube[self.place[0], classes, self.place[2]].item())
        values = self.z if cube is self.cube else self.view(cube).reshape(self.z.shape)
        return self.pick(values, at).astype(np.float64, copy=False)

    def write(self, cube: Array, operation: Operation, at: Any = None, values: Any = None) -> None:
        """cube[this block] = result of the operation, with other values at an index.

        The cube must be the one whose memory e may be.
        """
        ufunc, *operands = operation
        done = ufunc is np.positive and (not self.at_home or operands[0] is self.e)
        result = operands[0] if done else ufunc(*operands, out=self.e)
        if at is not None:
            result[at] = values if self.count == 1 else values.reshape(-1)
        if self.at_home:
            return
        target = self.view(cube)
        result = self._shaped(result, target)
        if self.axis == 0 and self.classes <= 6 < self.count:  # inner loops over the rows
            for line, numbers in zip(target, result, strict=True):
                line[...] = numbers
        else:
            target[...] = result


def _is_plain(array: Array) -> bool:
    """Whether ufuncs run along contiguous memory, without a conversion."""
    in_lines = array.strides[-1] == 8 or array.shape[-1] == 1
    return in_lines and array.ndim < 3 and array.dtype == FLOAT64


def _lend(shape: tuple[int, ...], count: int) -> tuple[Array, ...]:
    """So many arrays of scratch memory of this thread, valid until the next block."""
    known: dict[str, Any] = _scratch.__dict__
    if known.get("kind") != (shape, count):  # else the views of last time
        size = math.prod(shape)
        step = -(-size // 8) * 8  # a line of the cache
        memory = reserve(count * step)
        starts = range(0, count * step, step)
        known["views"] = tuple(memory[k : k + size].reshape(shape) for k in starts)
        known["kind"] = shape, count
    views: tuple[Array, ...] = known["views"]
    return views


def reserve(size: int) -> Array:
    """Scratch memory of this thread for so many numbers, or more."""
    known: dict[str, Any] = _scratch.__dict__
    if "memory" not in known or known["memory"].size < size:
        known.clear()  # the views as well, which would keep the old memory
        known["memory"] = aligned(size)
    memory: Array = known["memory"]
    return memory
