"""Loss and gradient in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _kernel
from ._kernel import Axis
from .probabilities import complement

__all__ = [
    "cross_entropy_grad",
    "cross_entropy_value_and_grad",
    "soft_cross_entropy_grad",
    "soft_cross_entropy_value_and_grad",
]


def _check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


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
    """The loss of `cross_entropy` and its gradient by z."""
    _check_reduction(reduction)
    array = _kernel.real_array(z, "z")
    if array.ndim == 0:
        raise ValueError("z must have a class axis, got a scalar")
    (class_axis,) = _kernel.normal_axes(axis, array.ndim)
    rows, restore = _kernel.as_rows(array, axis)
    count, K = rows.shape
    if K == 0:
        raise ValueError("z must have at least one class, got none")
    y = np.asarray(labels)
    if y.dtype.kind not in "iu" and y.size:
        raise TypeError(f"labels must have an integer dtype, got {y.dtype}")
    expected = array.shape[:class_axis] + array.shape[class_axis + 1 :]
    if y.shape != expected:
        raise ValueError(f"labels must have shape {expected}, got {y.shape}")
    y = y.reshape(-1)
    valid = np.ones(count, bool) if ignore_index is None else y != ignore_index
    outside = valid & ((y < 0) | (y >= K))
    if outside.any():
        raise ValueError(f"labels must be in 0..{K - 1}, got {y[outside][0]}")
    y = np.where(valid, y, 0).astype(np.intp)
    w = np.ones(K) if weight is None else _kernel.real_array(weight, "weight").astype(float)
    if w.shape != (K,) or not np.all(np.isfinite(w)) or (w < 0).any():
        raise ValueError(f"weight must be ({K},) finite numbers ≥ 0, got {weight!r}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing!r}")
    wy = np.where(valid, w[y], 0.0)
    total = float(wy.sum())
    if reduction == "mean" and total == 0:
        raise ValueError("reduction='mean' has nothing to average: no row has a weight > 0")
    divisor = total if reduction == "mean" else 1.0
    eps = float(label_smoothing)
    r = np.arange(count)
    with np.errstate(all="ignore"):
        s = _kernel.shifted(rows)
        L = np.log1p(s.rest)
        log_p = s.high - (L - s.low)
        q = complement(s)
        loss = wy * -log_p[r, y]
        g = s.e / ((1 + s.rest) * divisor)
        g *= wy[:, None]
        g[r, y] = -q[r, y] * wy / divisor
        if eps:
            terms = np.where(w == 0, 0.0, w * -log_p)
            smooth = _kernel.pairwise_exact(terms)[:, 0]
            loss = (1 - eps) * loss + np.where(valid, eps / K * smooth, 0.0)
            p = s.e / (1 + s.rest)
            g = (1 - eps) * g + valid[:, None] * (eps / K) * (p * w.sum() - w) / divisor
        loss[~valid] = 0.0
        g[~valid] = 0.0
    value = loss.reshape(expected) if reduction == "none" else np.asarray(loss.sum() / divisor)
    return (
        _kernel.finished(value, array.dtype, value.ndim),
        _kernel.finished(restore(g), array.dtype, array.ndim),
    )


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
    """softmax(z) - one_hot(labels), scaled."""
    return cross_entropy_value_and_grad(
        z, labels, axis=axis, reduction=reduction, weight=weight,
        ignore_index=ignore_index, label_smoothing=label_smoothing,
    )[1]


def soft_cross_entropy_value_and_grad(
    z: ArrayLike, targets: ArrayLike, *, axis: Axis = -1, reduction: str = "mean"
) -> tuple[Any, Any]:
    """The loss of `soft_cross_entropy` and its gradient by z, T·p - t with T = Σt."""
    _check_reduction(reduction)
    array = _kernel.real_array(z, "z")
    t_array = _kernel.real_array(targets, "targets")
    if t_array.shape != array.shape:
        raise ValueError(f"targets must have the shape of z, {array.shape}, got {t_array.shape}")
    if not np.all(np.isfinite(t_array)) or (t_array < 0).any():
        raise ValueError("targets must be finite and ≥ 0")
    rows, restore = _kernel.as_rows(array, axis)
    t, _ = _kernel.as_rows(t_array, axis)
    if rows.shape[1] == 0:
        raise ValueError("z must have at least one class, got none")
    if reduction == "mean" and len(rows) == 0:
        raise ValueError("reduction='mean' has nothing to average: z has no rows")
    divisor = len(rows) if reduction == "mean" else 1
    with np.errstate(all="ignore"):
        s = _kernel.shifted(rows)
        log_p = s.high - (np.log1p(s.rest) - s.low)
        nan = np.isnan(s.rest)[:, 0]
        loss = _kernel.pairwise_exact(np.where(t == 0, 0.0, -t * log_p))[:, 0]
        T = _kernel.pairwise_exact(t)
        g = (T * (s.e / (1 + s.rest)) - t) / divisor
        loss[nan] = np.nan
    axes = _kernel.normal_axes(axis, max(array.ndim, 1))
    shape = [n for a, n in enumerate(array.shape) if a not in axes]
    value = loss.reshape(shape) if reduction == "none" else np.asarray(loss.sum() / divisor)
    return (
        _kernel.finished(value, array.dtype, value.ndim),
        _kernel.finished(restore(g).reshape(array.shape), array.dtype, array.ndim),
    )


def soft_cross_entropy_grad(
    z: ArrayLike, targets: ArrayLike, *, axis: Axis = -1, reduction: str = "mean"
) -> Any:
    """T·p - t, scaled."""
    return soft_cross_entropy_value_and_grad(z, targets, axis=axis, reduction=reduction)[1]
