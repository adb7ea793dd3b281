r"""Floor 0: from an array and an axis to cache-sized blocks of rows with their exponentials.

The accuracy of the whole package is decided here, once.

A row :math:`z_1..z_K` with maximum :math:`m` becomes :math:`e_i = e^{z_i - c}` for some shift
:math:`c` (0 wherever that is possible), ``top`` :math:`= e^{m-c}`, the sum :math:`S = \sum e_i` as
an unevaluated pair ``high + low``, and ``rest``, *the sum without the pivot*.  With
:math:`u = 2^{-53}` and :math:`\varepsilon` for the relative error of NumPy's exp and log1p (at most
1.4u: 0.7 units in the last place), to first order and for every K, range and offset:

=============================  =================================  ==============================
quantity                       computed as                        relative error
=============================  =================================  ==============================
e, top                         no shift, or TwoSum, e + e·lost    ε, or ε + u
S                              fl(high + low)                     ε + u
rest                           (high - top) + low, or summed      ε + u
softmax                        e / S                              2ε + 2u
1 - p, p > 1/2                 rest / S                           2ε + 3u
1 - p, p ≤ 1/2                 fl(1 - p)                          2ε + 3u
hard-label gradient, mean      e / fl(S·N), -(1 - p_y) / N        2ε + 2u, 2ε + 4u
log_softmax, hard-label loss   (z - m) - log1p(rest / top)        3ε + 3u: nothing cancels
logsumexp                      m + log1p(rest / top)              3ε + 3u, or 112 bits
=============================  =================================  ==============================

An error of u is one half to one unit in the last place (ULP), and no line comes near its bound
with random roundings: over millions of adversarial values the worst is about 3 ULP
(``benchmarks/stress.py`` prints it).  float32 and float16 are computed in float64 and rounded once.

References
----------
.. [1] P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax
       functions", IMA J. Numer. Anal. 41(4), 2021. doi:10.1093/imanum/draa038
.. [2] S. M. Rump, T. Ogita, S. Oishi, "Accurate floating-point summation part I: faithful
       rounding", SIAM J. Sci. Comput. 31(1), 2008 (ExtractVector). doi:10.1137/050645671
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[Any]]
Axis = int | tuple[int, ...] | None

BLOCK = 32_768  # numbers a block: 40 NumPy calls of 1 µs cost 1 ns a number; 1 MB of memory
LONGEST = 50_000  # classes a block may have; longer rows come in chunks, to bound the memory
CLASS_MAJOR = 100  # up to so many classes, reductions run across rows instead of along them
UNSHIFTED = 552.0  # logits within ± this need no shift: 1e±240 leaves room for weights and K·N
TINY = 1e-240  # e below: the row is shifted, or a subnormal e would lose its digits
FAINT = 1e-150  # a sum below: likewise, for float32 and float16
HUGE = 1e240  # sum above: the row is shifted before exp or S·N overflow
_scratch = threading.local()  # kept between calls: fresh pages cost more than the arithmetic


def real_array(value: ArrayLike, name: str) -> Array:
    """The argument as an array of float16, float32, float64, integers or bools, else TypeError."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array: mask a class with -inf instead")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"{name} must be real numbers of at most 64 bits, got {array.dtype}")
    return array


def float_type(array: Array) -> np.dtype[Any]:
    """What a result is rounded to: the argument's own float type, float64 for integers."""
    return array.dtype.newbyteorder("=") if array.dtype.kind == "f" else np.dtype(np.float64)


def normal_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes as sorted non-negative integers."""
    if type(axis) is int and -ndim <= axis < ndim:
        return (axis % ndim,)
    axes = tuple(range(ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for a in axes:
        if not isinstance(a, (int, np.integer)) or isinstance(a, bool):
            raise TypeError(f"axis must be an integer, a tuple of them or None, got {axis!r}")
        if not -ndim <= a < ndim:
            raise ValueError(f"axis must be within {-ndim}..{ndim - 1} here, got {axis!r}")
    normal = sorted({int(a) % ndim for a in axes})
    if len(normal) < len(axes) or not normal:
        raise ValueError(f"axis must name at least one axis, and none twice, got {axis!r}")
    return tuple(normal)


class Rows:
    """Logits seen as a cube (before, classes, after): before × after rows, along the middle."""

    def __init__(self, z: ArrayLike, axis: Axis, name: str = "z") -> None:
        given = real_array(z, name)
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

    def blocks(self, whole: bool = False) -> Iterator[Block]:
        """All rows, a block at a time; long rows in chunks unless they must be whole."""
        before, classes, after = self.sizes
        if before * classes * after == 0:
            return
        if before * classes * after > 1024:  # within errstate, which undoes it
            np.setbufsize(64)  # else NumPy copies broadcast rows of up to 8192: 3 × the time
        if classes * min(after, 8) > LONGEST and not whole:
            yield from self._chunks()
            return
        count = max(1, BLOCK // classes)
        if count > 64:  # a pitch that is no power of two spreads over the cache: at K = 128 the
            count = count // 64 * 64 + 8  # transposing copy takes a fifth of the time
        step, width = max(1, count // after), min(count, after)
        for i in range(0, before, step):
            for j in range(0, after, width):
                block = Block(self.cube, slice(i, i + step), slice(None), slice(j, j + width))
                block.exponentiate()
                yield block

    def _chunks(self) -> Iterator[Block]:
        """Rows too long for the scratch memory: their sums first, then each chunk again."""
        before, classes, after = self.sizes
        width = min(after, 64)  # neighbours together, so that memory is read by cache lines
        length = BLOCK // (2 * width)
        for i in range(before):
            for j in range(0, after, width):
                rows = slice(i, i + 1), slice(j, j + width)
                chunks = [slice(k, k + length) for k in range(0, classes, length)]
                load = [partial(Block, self.cube, rows[0], chunk, rows[1]) for chunk in chunks]
                sums = _sums_unshifted(load) if width == 1 else None
                if sums is None:
                    sums = _sums_of_chunks([*load], classes)
                for chunk in load:
                    block = chunk()
                    block.__dict__.update(sums)
                    if sums["shifted"].any():
                        c = np.where(sums["shifted"], sums["maximum"], 0.0)
                        block.e, block.lost = exp_minus(block.z, c)
                    else:
                        np.exp(block.z, out=block.e)
                    yield block


class Block:
    """Some rows and their exponentials, laid out class-major (K, n) or row-major (n, K).

    What belongs to a row keeps the class axis with length 1, so that it broadcasts in either
    layout: ``maximum`` m, ``shift`` c, ``top`` exp(m - c), and ``high`` + ``low`` = S, the sum of
    ``e`` = exp(z - c).
    """

    confident = 2.0**-10  # rest / top below which a row is shifted by its maximum and summed again

    def __init__(self, cube: Array, i: slice, k: slice, j: slice) -> None:
        self.cube, self.piece, self.rows = cube, (i, k, j), (i, j)
        self.class_major = cube.shape[1] <= CLASS_MAJOR
        self.axis = 0 if self.class_major else 1
        self.single = cube.dtype in (np.float32, np.float16)  # no pair needed below float64
        source = self.view(cube)
        self.z = source
        if source.dtype != np.float64 or not source.dtype.isnative or not _in_lines(source):
            # a copy of its own: ufuncs on transposed or converted memory cost more than both
            flat = (len(source), -1) if self.class_major else (-1, source.shape[-1])
            self.z = _lend(0, source.size).reshape(flat)
            np.copyto(self.z.reshape(source.shape), source)
        self.e = _lend(1, self.z.size).reshape(self.z.shape)
        self._times: Array | None = None
        self.shifted: Array | None = None  # which rows are, None: none
        self.lost: Array | None = None  # what rounding took from e in shifted rows
        self.first = not k.start  # false for all chunks of long rows but one

    def view(self, cube: Array) -> Array:
        """This block's part of a cube, in the layout of the block (or 3-D with its rows apart)."""
        part = cube[self.piece]
        before, _, after = part.shape
        if before == 1:
            return part[0] if self.class_major else part[0].T
        if after == 1:
            return part[:, :, 0].T if self.class_major else part[:, :, 0]
        return part.transpose((1, 0, 2) if self.class_major else (0, 2, 1))

    def exponentiate(self) -> None:
        """Exponentials and sums, without a shift wherever that is safe.

        exp(z) needs no z - m, which saves two thirds of the time.  A row takes the slower path on
        its own account, never on its neighbours': its result does not depend on them.
        """
        z, e = self.z, self.e
        self.maximum = np.maximum.reduce(z, axis=self.axis, keepdims=True)
        np.exp(z, out=e)
        self.top = np.exp(self.maximum)
        self.high, self.low = self._sum(e, self.top)
        self.total = self.high + self.low  # S
        # single: a term that TINY would catch vanishes in float32 next to a sum above FAINT
        least, limit = (self.high, FAINT) if self.single else (e, TINY)
        if not (
            np.minimum.reduce(least, axis=None) >= limit
            and np.maximum.reduce(self.high, axis=None) <= HUGE
        ):
            self._shift_rows()

    def _sum(self, terms: Array, bound: Array) -> tuple[Array, Array]:
        if self.single:  # a plain float64 sum has bits to spare for float32
            total = np.add.reduce(terms, axis=self.axis, keepdims=True)
            return total, np.zeros(total.shape)
        work = _lend(2, terms.size).reshape(terms.shape)
        return pair_sum(terms, bound, self.axis, terms.shape[self.axis], work)

    def _shift_rows(self) -> None:
        """Again, shifted, the rows in which an exp overflowed or came near underflow.

        -inf, a mask, is no underflow: its exp is exactly 0.
        """
        if self.single:
            gone = self.high < FAINT
        else:
            gone = np.any((self.e < TINY) & (self.z > -np.inf), axis=self.axis, keepdims=True)
        chosen = np.flatnonzero(gone | ~(self.high <= HUGE))
        if not chosen.size:
            return
        self._shift(chosen)

    def _shift(self, chosen: Array) -> None:
        """Shift rows by their maximum: top is exactly 1, and the sum is that of the others and 1.

        An eighth of a block at a time, to bound the memory.
        """
        if self.shifted is None:
            self.shifted = np.zeros(self.maximum.shape, bool)
        if self.lost is None:
            self.lost = _lend(3, self.e.size).reshape(self.e.shape)
            self.lost[...] = 0.0
        step = max(1, BLOCK // (8 * self.z.shape[self.axis]))
        for i in range(0, chosen.size, step):
            rows = chosen[i : i + step]
            z, m = self._take(self.z, rows), self._take(self.maximum, rows)
            pivot = z == m
            e, lost = exp_minus(z, m)
            e[pivot] = 0.0
            rest, bound = self._sum_and_largest(e)
            if np.minimum.reduce(bound, axis=None) < TINY:  # subnormal terms would lose digits
                c = np.where(bound < TINY, shift_below(m), m)
                others, _ = exp_minus(np.where(pivot, -np.inf, z), c)
                part, _ = self._sum_and_largest(others)
                rest = np.where(bound < TINY, part / exp_minus(m, c)[0], rest)
            top = np.exp(m - m)  # 1, or NaN
            np.copyto(e, top, where=pivot)
            ties = top * np.add.reduce(pivot, axis=self.axis, keepdims=True, dtype=np.float64)
            total = ties + rest
            at = (slice(None), rows) if self.class_major else rows
            self.shifted[at], self.top[at], self.total[at] = True, top, total
            self.high[at], self.low[at] = total, (ties - total) + rest
            self.e[at], self.lost[at] = e, lost

    def _sum_and_largest(self, e: Array) -> tuple[Array, Array]:
        bound = np.maximum.reduce(e, axis=self.axis, keepdims=True)
        high, low = self._sum(e, bound)
        return high + low, bound

    def _take(self, values: Array, rows: Array) -> Array:
        if rows.size == self.maximum.size:
            return values  # nobody writes to what is taken: no copy
        return values.take(rows, axis=1 - self.axis)

    @cached_property
    def without_pivot(self) -> tuple[Array, Array]:
        """``rest``, S without the pivot's term, and rest / top, to full relative accuracy.

        (high - top) + low is off by at most K²·2⁻⁹³ of top (single: K·2⁻⁵²): useless for a very
        confident row.  So those are shifted by their maximum, which makes top exactly 1 and spares
        them its error as well, and summed with the pivot left out.
        """
        rest = (self.high - self.top) + self.low
        ratio = rest / self.top
        classes = self.z.shape[self.axis]
        limit = classes * 2.0**-23 if self.single else max(self.confident, classes**2 * 2.0**-40)
        few = ratio < limit
        if self.shifted is not None:
            few &= ~self.shifted
        chosen = np.flatnonzero(few)
        if chosen.size:
            self._shift(chosen)
            rest = (self.high - self.top) + self.low
            ratio = rest / self.top
        return rest, ratio

    @cached_property
    def log_sum(self) -> Array:
        """log(S / top) = log Σ exp(z - m)."""
        return np.log1p(self.without_pivot[1])

    def row(self, values: Array) -> Array:
        """One number a row, so shaped that it broadcasts against the block."""
        return values.reshape(self.maximum.shape)

    def index(self, classes: Array) -> Any:
        """Where the entry of each row at its class is, in this block's part of a cube."""
        i, _, j = self.piece
        before, _, after = self.cube[i, :1, j].shape
        at = np.arange(before)[:, np.newaxis], classes.reshape(before, after), np.arange(after)
        return i, j, at

    def pick(self, cube: Array, index: Any) -> Array:
        """The entries at an index, one a row."""
        i, j, at = index
        return self.row(cube[i, :, j][at]).astype(np.float64, copy=False)

    def logits(self, rows: Array) -> Array:
        """All logits of some rows, (n, K) in float64."""
        part = self.cube[self.rows[0], :, self.rows[1]]
        i, j = np.divmod(rows, part.shape[2])
        return part[i, :, j].astype(np.float64)

    def numbers(self, rows: Array) -> Array:
        """Where some rows are in an array (before, after) of all rows, flattened."""
        i, j = self.rows
        a, b = np.divmod(rows, self.cube[i, :1, j].shape[2])
        return (i.start + a) * self.cube.shape[2] + j.start + b

    def place(self, cube: Array, index: Any, values: Array) -> None:
        """Set the entries at an index, one a row."""
        i, j, at = index
        cube[i, :, j][at] = values.reshape(at[1].shape)

    def write(self, cube: Array, ufunc: np.ufunc, *operands: Array) -> None:
        """cube[this block] = ufunc(*operands), without a detour where memory allows."""
        target = self.view(cube)
        if target.dtype == np.float64 and _in_lines(target):
            ufunc(*operands, out=target)
        else:
            result = ufunc(*operands, out=self.e)
            np.copyto(target, result.reshape(target.shape), casting="same_kind")

    def divide(self, cube: Array, divisor: Array) -> None:
        """cube[this block] = e / divisor; below float64 the rounding of 1 / divisor is harmless."""
        if self.single:
            self.write(cube, np.multiply, self.e, 1.0 / divisor)
        elif self.lost is None:
            self.write(cube, np.divide, self.e, divisor)
        else:
            self.e /= divisor
            self.write(cube, np.add, self.e, self.lost / divisor)

    def log_probabilities(self, scale: float) -> Array:
        """((z - m) - log Σ exp(z - m))·scale: two terms ≤ 0, no cancellation.

        With scale 1/2 nothing overflows.
        """
        return (self.z * scale - self.maximum * scale) - self.log_sum * scale

    def load(self, cube: Array) -> Array:
        """This block's part of another cube as float64 in the layout of the block (a copy)."""
        part = self.view(cube)
        copy = np.empty(self.z.shape)
        np.copyto(copy.reshape(part.shape), part)
        return copy

    def complement(self, z: Array | None = None, count: float = 1.0) -> Array:
        """(1 - p)/count for one logit a row, or for all.

        1 - p loses nothing up to p = 1/2; beyond, only possible for the pivot, it is rest / S.
        """
        rest, _ = self.without_pivot  # before anything else: it may shift rows
        e = self.e
        if z is not None:
            e = np.exp(z)
            if self.shifted is not None:
                e = np.where(self.shifted, exp_minus(z, self.maximum)[0], e)
        p = e / self.total
        if count == 1:
            return np.where(p > 0.5, rest / self.total, 1.0 - p)
        return np.where(p > 0.5, rest / self.total_times(count), (1.0 - p) / count)

    def total_times(self, count: float) -> Array:
        """S·count rounded once: (high part of S)·count is exact for counts below 2²⁶."""
        total = self.total
        if count == 1:
            return total
        if self.single:
            return total * count
        if self._times is not None:
            return self._times
        split = total * (2.0**27 + 1)
        head = split - (split - total)
        tail = (total - head) + ((self.high - total) + self.low)
        self._times = head * count + tail * count
        return self._times


def shift_below(m: Array) -> Array:
    """c near m - 512: no exp(z - c) overflows, none that matters (z - m > -1200) is subnormal.

    As a multiple of 64, c leaves z - c exact wherever that is smaller than z.
    From 2⁶⁰ on m - 512 would round to numbers far from it, and c = m does: differences of logits
    are multiples of 64 there, and none of them has a subnormal exp.
    """
    return np.where(np.abs(m) < 2.0**60, np.rint(m / 64.0 - 8.0) * 64.0, m)


def exp_minus(z: Array, c: Array) -> tuple[Array, Array]:
    """exp(z - c) without the rounding of z - c, as a number and what its rounding took from it.

    exp(d)·(1 + lost), d + lost = z - c (TwoSum): rounding d would cost up to 2⁻⁴⁴ of exp(d),
    500 units in its last place.  What is left out, lost²/2, is below 2⁻⁸⁷.
    """
    d = z - c
    back = np.subtract(d, z, out=_lend(2, d.size).reshape(d.shape))
    lost = d - back
    np.subtract(z, lost, out=lost)
    back += c
    lost -= back
    lost[np.isnan(lost)] = 0.0  # -inf - (-inf) at masks; where there is no number, d knows it
    e: Array = np.exp(d, out=d)
    lost *= e
    total = np.add(e, lost, out=back)
    e -= total
    lost += e
    np.copyto(e, total)
    return e, lost


def pair_sum(
    terms: Array, bound: Array, axis: int, classes: int, work: Array | None = None
) -> tuple[Array, Array]:
    """Σ terms as high + low, for at most ``classes`` terms in [0, bound].

    ExtractVector [2]_: adding and subtracting big ≥ 2·classes·bound leaves of each term a multiple
    of ulp(big); these have an exact sum, in any order.  The remainders, below ulp(big), are summed
    plainly: an error below classes²·2⁻⁹³ of bound, where a plain sum of all has classes·2⁻⁵³.
    """
    big = bound * 2.0 ** (classes.bit_length() + 1)
    parts = np.add(terms, big, out=work)
    parts -= big
    high = np.add.reduce(parts, axis=axis, keepdims=True)
    np.subtract(terms, parts, out=parts)
    return high, np.add.reduce(parts, axis=axis, keepdims=True)


def row_sums(terms: Array, axis: int) -> Array:
    """Σ terms for terms ≥ 0 as large as they come; inf only if the sum or a term is."""
    bound = np.maximum.reduce(terms, axis=axis, keepdims=True)
    scale = np.where(bound > HUGE, 2.0**-128, 1.0)
    high, low = pair_sum(terms * scale, bound * scale, axis, terms.shape[axis])
    return np.where(np.isfinite(bound), (high + low) / scale, bound)


def _sums_unshifted(load: Iterable[Callable[[], Block]]) -> dict[str, Any] | None:
    """What belongs to the row of which each call loads a chunk, unless it has to be shifted.

    One exponential instead of the two of `_sums_of_chunks`, and a third of its passes.
    """
    parts, limit = [], 0.0
    for chunk in load:
        block = chunk()
        block.exponentiate()
        if block.shifted is not None:
            return None
        parts.append((block.maximum, block.high, block.low))
        limit += block.e.size**2 * 2.0**-40
    maxima, highs, lows = (np.stack(part) for part in zip(*parts, strict=True))
    m = np.maximum.reduce(maxima)
    top = np.exp(m)
    high, low = pair_sum(highs, np.maximum.reduce(highs, keepdims=True), 0, len(highs))
    high, low = high[0], low[0] + np.add.reduce(lows)
    rest = (high - top) + low
    if not rest >= max(block.confident, limit) * top:
        return None
    return {
        "maximum": m, "shifted": np.zeros(m.shape, bool), "top": top,
        "without_pivot": (rest, rest / top), "high": high, "low": low, "total": high + low,
    }  # fmt: skip


def _sums_of_chunks(load: list[Callable[[], Block]], classes: int) -> dict[str, Any]:
    """What belongs to the rows of which each call loads a chunk."""
    first = load[0]()
    axis = first.axis

    def fold(ufunc: np.ufunc, of: Callable[[Block], Array]) -> Array:
        result = None
        for chunk in load:
            part = ufunc.reduce(of(chunk()), axis=axis, keepdims=True)
            result = part if result is None else ufunc(result, part)
        assert result is not None
        return result

    m = fold(np.maximum, lambda block: block.z)
    least = fold(np.minimum, lambda block: np.where(block.z == -np.inf, np.inf, block.z))
    ties = fold(np.add, lambda block: (block.z == m).astype(np.float64))
    second = fold(np.maximum, lambda block: np.where(block.z == m, -np.inf, block.z))
    zero = (m <= UNSHIFTED) & (least >= -UNSHIFTED)
    c = np.where(zero, 0.0, m)
    below = np.where(zero | (m - second < UNSHIFTED), c, shift_below(m))
    (top, _), (bound, _), (scale, _) = (
        exp_minus(m, c), exp_minus(second, below), exp_minus(m, below)
    )  # fmt: skip
    high = low = np.zeros_like(m)
    for chunk in load:
        block = chunk()
        e, _ = exp_minus(np.where(block.z == m, -np.inf, block.z), below)
        part = pair_sum(e, bound, axis, classes)
        high, low = high + part[0], low + part[1]
    if not np.array_equal(c, below, equal_nan=True):
        high, low = high * (top / scale), low * (top / scale)
    pivots = ties * top
    rest = (ties - 1.0) * top + (high + low)
    total = pivots + high
    back = total - pivots
    low = low + ((pivots - (total - back)) + (high - back))
    return {
        "maximum": m, "shifted": ~zero, "top": top, "without_pivot": (rest, rest / top),
        "high": total, "low": low, "total": total + low,
    }  # fmt: skip


def _in_lines(array: Array) -> bool:
    """Whether ufuncs run along contiguous memory."""
    return array.ndim == 2 and (array.strides[1] == array.itemsize or array.shape[1] == 1)


def _lend(number: int, size: int) -> Array:
    """Scratch memory of this thread, valid until the next block."""
    arrays: list[Array] | None = getattr(_scratch, "arrays", None)
    if arrays is None:
        arrays = _scratch.arrays = [np.empty(0)] * 4
    if arrays[number].size >= size:
        return arrays[number][:size]
    array = np.empty(size)
    if size <= LONGEST:
        arrays[number] = array
    return array


def rounded(values: Array, dtype: np.dtype[Any]) -> Any:
    """The result in its own type, a NumPy scalar for 0-d."""
    return values.astype(dtype, copy=False)[()]
