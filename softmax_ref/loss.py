"""Cross-entropy of logits with labels (one class a row) or targets (a distribution a row)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ._kernel import (
    HUGE,
    PIECE,
    Array,
    Axis,
    Block,
    Need,
    Number,
    Place,
    Rows,
    as_array,
    as_cube,
    large_sum,
    lazy,
    least_of,
    most_of,
    pair_sum,
    real_array,
)

__all__ = ["cross_entropy", "soft_cross_entropy"]


class Losses:
    """One loss a row, kept (``none``) or added up (``sum``, ``mean``)."""

    def __init__(self, rows: Rows, reduction: str) -> None:
        if not isinstance(reduction, str) or reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
        if not rows.classes:
            raise ValueError(f"z must have at least one class, got shape {rows.shape}")
        self.rows, self.reduction = rows, reduction
        self.divisor = 1.0
        self.pending: list[Array] = []
        self.count = 0
        self.parts: list[float] = []
        self.averages: list[float] = []  # where the sum might overflow and the mean does not
        if reduction == "none":
            self.each = np.empty((rows.sizes[0], rows.sizes[2]), rows.dtype)

    def average_over(self, weight: float) -> None:
        """What a mean divides by."""
        if self.reduction == "mean":
            if not weight > 0:
                raise ValueError(
                    "reduction='mean' has nothing to average: z, labels and weight leave a total "
                    f"weight of {weight}, expected more than 0"
                )
            self.divisor = float(weight)

    def add(self, block: Block, loss_times: Callable[[float], Number]) -> None:
        """Take the losses of a block, given as a function of a factor to multiply them by."""
        if not block.first:
            return
        loss = np.ravel(loss_times(1.0))
        if self.reduction == "none":
            target = self.each[block.rows]
            target[...] = loss.reshape(target.shape)
            return
        if most_of(loss) <= HUGE:
            self.pending.append(loss)
            self.count += loss.size
            if self.count > PIECE:
                self.collect()
        else:
            exponent = math.frexp(self.divisor)[1]  # scaled by a power of two nothing is rounded
            averages = np.ravel(loss_times(2.0**-exponent)) / math.ldexp(self.divisor, -exponent)
            self.averages.append(float(large_sum(averages, 0)))

    def collect(self) -> None:
        """Add up what is pending, as a pair: a mean of millions is as accurate as each of them."""
        if self.pending:
            loss = self.pending[0] if len(self.pending) == 1 else np.concatenate(self.pending)
            if loss.size < 128:  # exact, and faster for a few
                self.parts += loss.tolist()
            else:
                self.parts += pair_sum(loss, 0)
            self.pending, self.count = [], 0

    def result(self) -> Any:
        if self.reduction == "none":
            return self.each.reshape(self.rows.kept)[()]
        self.collect()
        total = math.fsum(self.parts) / self.divisor
        if self.averages:  # their sum may overflow
            total = math.fsum(x * 2.0**-64 for x in [total, *self.averages]) * 2.0**64
        return self.rows.dtype.type(total)


class Labels(NamedTuple):
    """What the arguments say about the rows of one block."""

    at: Any  # the index of the label's entry in each row; None: in another chunk of a long row
    z: Number  # the label's logit, one a row like the block's own numbers
    weight: Number | None  # likewise; None: all 1
    ignored: Any  # likewise; None: no row is


class HardLabels:
    """The checked arguments of `cross_entropy`, and what they say about a block of rows."""

    def __init__(
        self,
        z: ArrayLike,
        labels: ArrayLike,
        axis: int,
        reduction: str,
        weight: ArrayLike | None,
        ignore_index: int | None,
        label_smoothing: float,
    ) -> None:
        if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
            raise TypeError(f"axis must be one integer, got {axis!r}")
        self.rows = rows = Rows(z, axis)
        if not rows.shape:
            raise ValueError("z must have a class axis, got a number")
        self.losses = Losses(rows, reduction)
        self.ignore_index = _optional_index(ignore_index)
        self.labels = self._checked_labels(labels)
        self.smoothing = _fraction(label_smoothing)
        self.weight = None if weight is None else _checked_weight(weight, rows.classes)
        self.exponent = 0  # weights count divided by this power of two
        if reduction == "mean":
            self.losses.average_over(self._total_weight())

    def _checked_labels(self, labels: ArrayLike) -> Array:
        y = as_array(labels, "labels")
        if y.dtype.kind not in "iu":
            raise TypeError(f"labels must have an integer dtype, got {y.dtype}")
        if y.shape != self.rows.kept:
            raise ValueError(
                f"labels must have shape {self.rows.kept}, that of z without axis, got {y.shape}"
            )
        for judged in self._not_ignored(y):
            for label in (least_of(judged), most_of(judged)):
                if not 0 <= label < self.rows.classes:
                    also = "" if self.ignore_index is None else f" or {self.ignore_index}"
                    raise ValueError(
                        f"labels must be in 0..{self.rows.classes - 1}{also}, got {label}"
                    )
        return y

    def _not_ignored(self, labels: Array) -> Iterator[Array]:
        """The labels that count, some at a time."""
        for y in pieces(labels):
            counted = y if self.ignore_index is None else y[y != self.ignore_index]
            if counted.size:
                yield counted

    def _total_weight(self) -> float:
        """The weight of all rows that count; scales weights to near 1, which a mean ignores."""
        if self.weight is None:
            if self.ignore_index is None:
                return float(self.labels.size)
            return float(sum(y.size for y in self._not_ignored(self.labels)))
        least, most = math.inf, 0.0
        for weights in self._weights_of_rows(self.weight):
            used = weights[weights > 0.0]
            if used.size:
                least, most = min(least, used.min()), max(most, used.max())
        if not most:
            return 0.0
        # the largest used near 1, unless others underflow then, or overflow if smoothing uses all
        (_, lowest), (_, highest) = math.frexp(least), math.frexp(most)
        self.exponent = max(min(highest, lowest + 1000), highest - 900)
        if self.smoothing:
            largest = math.frexp(float(self.weight.max()))[1]
            self.exponent = max(self.exponent, largest - 1000)
        return math.fsum(x for w in self._weights_of_rows(self.weight) for x in pair_sum(w, 0))

    def _weights_of_rows(self, weight: Array) -> Iterator[Array]:
        """The weights of the labels that count, some at a time."""
        for y in self._not_ignored(self.labels):
            yield self._scaled(weight[y.astype(np.intp)])

    def _scaled(self, weights: Any) -> Any:
        """Weights as float64, divided by the power of two."""
        weights = weights.astype(np.float64, copy=False)
        return np.ldexp(weights, -self.exponent) if self.exponent else weights

    @lazy
    def sum_of_weights(self) -> float:
        """Of all classes."""
        if self.weight is None:
            return float(self.rows.classes)
        parts = (self.weight[k : k + PIECE] for k in range(0, self.rows.classes, PIECE))
        return math.fsum(x for w in parts for x in pair_sum(self._scaled(w), 0))

    def blocks(self, need: Need, out: Array | None = None) -> Iterator[tuple[Block, Labels]]:
        """Blocks with the labels of their rows."""
        first, (before, _, after) = self.rows.axes[0], self.rows.sizes
        cube = as_cube(self.labels, first, first, (before, 1, after))
        for block in self.rows.blocks(need, out, temporaries=3 if self.smoothing else 0):
            y: Any = cube[block.rows[0], 0, block.rows[1]]
            ignored = None
            if self.ignore_index is not None:
                ignored = y == self.ignore_index
                y = np.where(ignored, 0, y)
                ignored = block.per_row(ignored)
            y = y.item() if block.count == 1 else y.astype(np.intp, copy=False)
            at = block.index(y)
            weight = None if self.weight is None else block.per_row(self._scaled(self.weight[y]))
            yield block, Labels(at, block.entry(self.rows.cube, y, at), weight, ignored)

    def loss(self, block: Block, labels: Labels, scale: float) -> Number:
        """-log p·scale at the label of each row, smoothed and weighted."""
        loss = block.minus_log(labels.z, scale)
        if labels.weight is not None:
            loss = product(labels.weight, loss)
        if self.smoothing:
            share = 2.0 * self.smoothing / self.rows.classes
            spread = sum_of_products(
                block, lambda place: share * self.class_weights(block, place), scale / 2.0
            )
            loss = product(1.0 - self.smoothing, loss) + spread
        return loss if labels.ignored is None else np.where(labels.ignored, 0.0, loss)

    def class_weights(self, block: Block, place: Place) -> Array:
        """The weights along the class axis of a block, or of a piece of its only row."""
        if self.weight is None:
            return np.ones(1)
        w = self._scaled(self.weight[place[1]])
        return w[:, np.newaxis] if block.axis == 0 and block.count > 1 else w


def sum_of_terms(block: Block, terms: Callable[[Place, Array], Array]) -> Number:
    """Σ terms over the classes of each row, from the places and the logits of its pieces."""
    sums = [large_sum(terms(place, z), block.axis) for place, z in block.whole_rows()]
    return sums[0] if len(sums) == 1 else large_sum(np.array(sums), 0)


def sum_of_products(block: Block, factor: Callable[[Place], Array], scale: float) -> Number:
    """Σ factor·(-log p)·scale over the classes of each row, for factors ≥ 0.

    -log p = log Σ exp(z - m) + (m - z): two terms ≥ 0, no cancellation.  With scale 1/2 nothing
    overflows but the sum.
    """
    m, log_sum = block.maximum * scale, block.log_sum * scale
    return sum_of_terms(
        block, lambda place, z: product(factor(place), log_sum + (m - z * scale))
    )


def product(factor: Number, loss: Number) -> Number:
    """factor·loss with 0·inf = 0: what has no weight costs nothing, even where p is 0."""
    return np.where((factor == 0.0) & (loss == np.inf), 0.0, factor * loss)


def pieces(values: Array) -> Iterator[Array]:
    """All numbers of an array, some thousands at a time, in the order of its memory."""
    if values.size <= PIECE:
        yield values.reshape(-1)
        return
    native = values.dtype.newbyteorder("=")
    yield from np.nditer(
        values, ["external_loop", "buffered"], op_dtypes=[native], casting="equiv", buffersize=PIECE
    )


def _optional_index(ignore_index: int | None) -> int | None:
    if ignore_index is None:
        return None
    if not isinstance(ignore_index, (int, np.integer)) or isinstance(ignore_index, bool):
        raise TypeError(f"ignore_index must be an integer or None, got {ignore_index!r}")
    return int(ignore_index)


def _fraction(label_smoothing: float) -> float:
    # float first: to ask an abstract class takes 0.4 µs
    if not isinstance(label_smoothing, (float, Real)) or isinstance(label_smoothing, bool):
        raise TypeError(f"label_smoothing must be a real number, got {label_smoothing!r}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing!r}")
    return float(label_smoothing)


def _checked_weight(weight: ArrayLike, classes: int) -> Array:
    w = real_array(weight, "weight")
    if w.shape != (classes,):
        raise ValueError(f"weight must have shape ({classes},), one a class, got {w.shape}")
    return _finite_and_not_negative(w, "weight")


def _finite_and_not_negative(values: Array, name: str) -> Array:
    if values.size:
        for extreme in (values.min(), values.max()):  # NaN shows in both
            if not 0 <= extreme < np.inf:
                raise ValueError(f"{name} must be finite and not negative, got {extreme}")
    return values


@np.errstate(all="ignore")
def cross_entropy(
    z: ArrayLike,
    labels: ArrayLike,
    *,
    axis: int = -1,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Any:
    r"""The loss -log softmax(z)[label] of every row, or its mean or sum.

    .. math::
        \ell = \log\sum_j e^{z_j} - z_y = \mathrm{log1p}\Big(\sum_{j\ne k} e^{z_j-z_k}\Big)
        + (z_k - z_y), \qquad k = \operatorname{argmax} z

    With weights w and smoothing ε, and K classes,

    .. math:: \ell = (1-ε)\,w_y\,(-\log p_y) + \frac ε K \sum_c w_c\,(-\log p_c).

    Parameters
    ----------
    z : array_like
        Logits; ``-inf`` masks a class.
    labels : array_like of integers, shape of z without ``axis``
        0 ≤ label < K, never counted from the end.
    axis : int
        Where the classes are.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of ``weight[label]`` over the rows that are not ignored.
    weight : array_like, shape (K,), optional
        One finite factor ≥ 0 a class.
    ignore_index : int, optional
        Rows with this label count for nothing; it may lie outside of 0..K-1.
    label_smoothing : float
        ε in [0, 1]: the label keeps 1 - ε, and ε/K goes to every class.

    Returns
    -------
    NumPy scalar, or for ``"none"`` an ndarray of the shape of labels, float type of z
        ``inf`` where the label's class is masked; NaN for a row with NaN or ``+inf``, or of
        nothing but ``-inf``.

    Raises
    ------
    TypeError
        z, labels, weight, axis, ignore_index or label_smoothing of a wrong type.
    ValueError
        A label out of range, a shape that does not fit, no class, a negative or infinite weight,
        an unknown reduction, or a mean over nothing.

    Notes
    -----
    Within 3 ULP as `softmax_ref.softmax`, however confident the row; one more each for a weight and
    a smoothing, where all terms are normal numbers.  float32 and float16: computed in float64 and
    rounded once.  `softmax_ref._kernel` has the bounds.

    Examples
    --------
    >>> print(cross_entropy([[0.0, 40.0]], [1]))
    4.248354255291589e-18
    >>> print(cross_entropy([[1e8, 1e8], [0.0, 0.0]], [0, 1]))
    0.6931471805599453
    """
    hard = HardLabels(z, labels, axis, reduction, weight, ignore_index, label_smoothing)
    for block, labels_here in hard.blocks("sums"):
        hard.losses.add(block, partial(hard.loss, block, labels_here))
    return hard.losses.result()


class SoftTargets:
    """The checked arguments of `soft_cross_entropy`."""

    def __init__(self, z: ArrayLike, targets: ArrayLike, axis: Axis, reduction: str) -> None:
        self.rows = rows = Rows(z, axis)
        self.losses = Losses(rows, reduction)
        self.last_total: Number = 0.0  # of the first chunk of a long row, for the others
        given = real_array(targets, "targets")
        if given.shape != rows.shape:
            raise ValueError(f"targets must have the shape of z, {rows.shape}, got {given.shape}")
        self.targets = rows.as_cube(_finite_and_not_negative(given, "targets"))
        self.losses.average_over(rows.sizes[0] * rows.sizes[2])

    def blocks(self, need: Need, out: Array | None = None) -> Iterator[Block]:
        return self.rows.blocks(need, out, temporaries=3)

    def total(self, block: Block) -> Number:
        """T = Σ t of each row."""
        if block.first:
            self.last_total = sum_of_terms(block, lambda place, _: block.load(self.targets, place))
        return self.last_total

    def loss(self, block: Block, scale: float) -> Number:
        """Σ t·(-log p)·scale of each row."""
        return 2.0 * sum_of_products(block, partial(block.load, self.targets), scale / 2.0)


@np.errstate(all="ignore")
def soft_cross_entropy(
    z: ArrayLike, targets: ArrayLike, *, axis: Axis = -1, reduction: str = "mean"
) -> Any:
    r"""The loss -Σ_k t_k log softmax(z)_k of every row, or its mean or sum.

    Parameters
    ----------
    z : array_like
        Logits; ``-inf`` masks a class.
    targets : array_like, shape of z
        Finite weights t ≥ 0; a distribution if they sum to 1, but they need not.
    axis : int, tuple of int or None
        Where the classes are; None: everywhere.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of rows.

    Returns
    -------
    NumPy scalar, or for ``"none"`` an ndarray of the shape of z without axis, float type of z
        A masked class costs nothing with target 0 (0·log 0 = 0) and ``inf`` with any other.

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`; a target that is negative, infinite or NaN.

    Notes
    -----
    Within 4 ULP: a sum of terms ≥ 0 of 3 ULP each, added as a pair; -log p has to be a normal
    number where t > 0.

    Examples
    --------
    >>> print(soft_cross_entropy([[0.0, 40.0]], [[0.0, 1.0]]))
    4.248354255291589e-18
    """
    soft = SoftTargets(z, targets, axis, reduction)
    for block in soft.blocks("sums"):
        soft.losses.add(block, partial(soft.loss, block))
    return soft.losses.result()
