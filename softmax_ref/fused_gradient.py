"""The gradients of the losses by the logits, p - e_y and T·p - t, fused with softmax."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._kernel import Array, Axis, Block, Number
from .loss import HardLabels, Labels, SoftTargets

__all__ = [
    "cross_entropy_grad",
    "cross_entropy_value_and_grad",
    "soft_cross_entropy_grad",
    "soft_cross_entropy_value_and_grad",
]


def _write_hard(hard: HardLabels, out: Array, block: Block, labels: Labels) -> None:
    """w·(p - e_y)/divisor of the rows of a block, the label's entry as -w·(1 - p_y)/divisor."""
    at, _, weight, ignored = labels
    divisor = hard.losses.divisor
    at_label = None
    # before e is overwritten
    rest: Any = None if at is None else block.rest(block.pick(block.e, at))
    if hard.smoothing:
        others = None if at is None else block.complement(rest)
        _write_smoothed(hard, out, block, at, weight, others)
    elif weight is None:
        if at is not None:
            at_label = -block.complement(rest, divisor)
        # of two classes both entries are the same number: their sum is exactly 0
        two = hard.rows.classes == 2
        operation = (np.negative, at_label) if two else block.quotients(divisor)
        block.write(out, operation, at, at_label)
    else:
        factor = weight / divisor
        if at is not None:
            at_label = -block.complement(rest) * factor
        block.write(out, (np.multiply, block.probabilities(), factor), at, at_label)
    if ignored is not None and np.any(ignored):
        target = block.view(out)
        np.copyto(target, 0.0, where=np.broadcast_to(ignored, block.z.shape).reshape(target.shape))


def _write_smoothed(
    hard: HardLabels, out: Array, block: Block, at: Any, weight: Number | None, others: Number
) -> None:
    """(1-ε)·w_y·(p - e_y) + ε/K·(p·Σw - w), divided."""
    keep, share = 1.0 - hard.smoothing, hard.smoothing / hard.rows.classes
    w, divisor = hard.class_weights(block, block.place), hard.losses.divisor
    total = hard.sum_of_weights
    w_y: Number = 1.0 if weight is None else weight
    p = block.probabilities()
    label = None
    if at is not None:
        label = share * (block.pick(p, at) * total - w_y) - keep * w_y * others
        label = label / divisor
    gradient = p * (keep * w_y + share * total) - share * w
    block.write(out, (np.divide, gradient, divisor), at, label)


@np.errstate(all="ignore")
def cross_entropy_value_and_grad(
    z: ArrayLike,
    labels: ArrayLike,
    *,
    axis: int = -1,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Any, Any]:
    r"""The loss of `softmax_ref.cross_entropy` and its gradient by z, in one pass.

    Parameters
    ----------
    z, labels, axis, reduction, weight, ignore_index, label_smoothing
        As in `softmax_ref.cross_entropy`.

    Returns
    -------
    loss : NumPy scalar or ndarray
        As `softmax_ref.cross_entropy` returns it.
    gradient : ndarray, shape and float type of z
        As `cross_entropy_grad` returns it.

    Raises
    ------
    TypeError, ValueError
        As `softmax_ref.cross_entropy`.

    Notes
    -----
    Within 3 ULP each, see there.

    Examples
    --------
    >>> loss, gradient = cross_entropy_value_and_grad([[0.0, 40.0]], [1])
    >>> print(loss, gradient)
    4.248354255291589e-18 [[ 4.24835426e-18 -4.24835426e-18]]
    """
    hard = HardLabels(z, labels, axis, reduction, weight, ignore_index, label_smoothing)
    out = np.empty(hard.rows.sizes, hard.rows.dtype)
    for block, labels_here in hard.blocks("exponentials", out):
        hard.losses.add(block, partial(hard.loss, block, labels_here))
        _write_hard(hard, out, block, labels_here)
    return hard.losses.result(), hard.rows.from_cube(out)


@np.errstate(all="ignore")
def cross_entropy_grad(
    z: ArrayLike,
    labels: ArrayLike,
    *,
    axis: int = -1,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Any:
    r"""The gradient of `softmax_ref.cross_entropy` by z: softmax(z) - one_hot(labels), scaled.

    .. math::
        \frac{\partial\ell}{\partial z_i} = \frac1N \begin{cases} p_i & i \ne y \\
        -(1 - p_y) & i = y\end{cases}

    with 1/N for the mean and 1 otherwise; with weights and smoothing
    :math:`(1-ε)\,w_y\,(p - e_y) + \frac ε K (p \sum_c w_c - w)`.

    Parameters
    ----------
    z, labels, axis, reduction, weight, ignore_index, label_smoothing
        As in `softmax_ref.cross_entropy`.  With ``reduction="none"`` row i of the gradient is that
        of loss i.

    Returns
    -------
    ndarray, shape and float type of z
        0 where a row is ignored or, without smoothing, a class masked; NaN for rows without a
        softmax.

    Raises
    ------
    TypeError, ValueError
        As `softmax_ref.cross_entropy`.

    Notes
    -----
    Every component within 3 ULP as in `softmax_ref.softmax`, the label's included, because it is
    computed from the sum of the others and never as p_y - 1.  With weights two more, where p is a
    normal number.  With smoothing the formula subtracts: the error is at most 8·2⁻⁵³ of the larger
    of ((1-ε) w_y + ε/K·Σw)·p_i and ε/K·w_i, at the label of the largest of (1-ε) w_y (1-p_y),
    ε/K·Σw·p_y and ε/K·w_y, where p is a normal number and Σw finite; for float32 and float16 2⁻⁴⁴
    instead of 8·2⁻⁵³, before the result is rounded.

    Examples
    --------
    >>> cross_entropy_grad([[0.0, 40.0]], [1])
    array([[ 4.24835426e-18, -4.24835426e-18]])
    """
    hard = HardLabels(z, labels, axis, reduction, weight, ignore_index, label_smoothing)
    out = np.empty(hard.rows.sizes, hard.rows.dtype)
    for block, labels_here in hard.blocks("exponentials", out):
        _write_hard(hard, out, block, labels_here)
    return hard.rows.from_cube(out)


def _write_soft(soft: SoftTargets, out: Array, block: Block) -> None:
    """(T·p - t)/N of the rows of a block."""
    gradient = block.probabilities()
    gradient *= soft.total(block)
    gradient -= block.load(soft.targets, block.place)
    block.write(out, (np.divide, gradient, soft.losses.divisor))


@np.errstate(all="ignore")
def soft_cross_entropy_value_and_grad(
    z: ArrayLike, targets: ArrayLike, *, axis: Axis = -1, reduction: str = "mean"
) -> tuple[Any, Any]:
    r"""The loss of `softmax_ref.soft_cross_entropy` and its gradient by z, in one pass.

    Parameters
    ----------
    z, targets, axis, reduction
        As in `softmax_ref.soft_cross_entropy`.

    Returns
    -------
    loss : NumPy scalar or ndarray
        As `softmax_ref.soft_cross_entropy` returns it.
    gradient : ndarray, shape and float type of z
        As `soft_cross_entropy_grad` returns it.

    Raises
    ------
    TypeError, ValueError
        As `softmax_ref.soft_cross_entropy`.

    Notes
    -----
    Loss ≤ 4 ULP; the gradient's bound is absolute, see `soft_cross_entropy_grad`.

    Examples
    --------
    >>> loss, gradient = soft_cross_entropy_value_and_grad([[0.0, 0.0]], [[1.0, 3.0]])
    >>> print(loss, gradient)
    2.772588722239781 [[ 1. -1.]]
    """
    soft = SoftTargets(z, targets, axis, reduction)
    out = np.empty(soft.rows.sizes, soft.rows.dtype)
    for block in soft.blocks("exponentials", out):
        soft.losses.add(block, partial(soft.loss, block))
        _write_soft(soft, out, block)
    return soft.losses.result(), soft.rows.from_cube(out)


@np.errstate(all="ignore")
def soft_cross_entropy_grad(
    z: ArrayLike, targets: ArrayLike, *, axis: Axis = -1, reduction: str = "mean"
) -> Any:
    r"""The gradient of `softmax_ref.soft_cross_entropy` by z.

    .. math:: \frac{\partial\ell}{\partial z} = \frac1N\,(T p - t), \qquad T = \sum_k t_k

    Only for targets that sum to 1 is this p - t.

    Parameters
    ----------
    z, targets, axis, reduction
        As in `softmax_ref.soft_cross_entropy`.

    Returns
    -------
    ndarray, shape and float type of z

    Raises
    ------
    TypeError, ValueError
        As `softmax_ref.soft_cross_entropy`.

    Notes
    -----
    A difference that vanishes at the minimum, so no promise in ULP: the error of component i is
    at most 8·2⁻⁵³·max(T·p_i, t_i)/N where T·p_i is a normal number and T finite; for float32 and
    float16 2⁻⁴⁴ instead of 8·2⁻⁵³, before the result is rounded.

    Examples
    --------
    >>> soft_cross_entropy_grad([[0.0, 0.0]], [[0.5, 0.25]], reduction="sum")
    array([[-0.125,  0.125]])
    """
    soft = SoftTargets(z, targets, axis, reduction)
    out = np.empty(soft.rows.sizes, soft.rows.dtype)
    for block in soft.blocks("exponentials", out):
        _write_soft(soft, out, block)
    return soft.rows.from_cube(out)
