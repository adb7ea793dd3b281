"""cross_entropy with hard labels, soft_cross_entropy with target distributions."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from . import fused_gradient
from ._kernel import Axis

__all__ = ["cross_entropy", "soft_cross_entropy"]


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
    """-log softmax(z)[label]."""
    return fused_gradient.cross_entropy_value_and_grad(
        z, labels, axis=axis, reduction=reduction, weight=weight,
        ignore_index=ignore_index, label_smoothing=label_smoothing,
    )[0]


def soft_cross_entropy(
    z: ArrayLike, targets: ArrayLike, *, axis: Axis = -1, reduction: str = "mean"
) -> Any:
    """-Σ t log softmax(z)."""
    return fused_gradient.soft_cross_entropy_value_and_grad(
        z, targets, axis=axis, reduction=reduction
    )[0]
