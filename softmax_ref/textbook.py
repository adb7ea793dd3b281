"""The formulas as articles and frameworks print them, kept to be broken.

Plain NumPy on the last axis, in the dtype of the input, without a guard: each function is one
formula.  What takes no maximum also takes complex logits, so that complex-step differentiation can
run through it.  Nothing in the package calls these; use `softmax_ref.softmax` and friends.

Shapes: ``z`` and all probabilities are (..., K); ``y`` holds class indices and is (...), of any
integer dtype; a gradient has the shape of ``z``, a loss that of ``y``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "bottom_diff_batch",
    "bottom_diff_row",
    "cross_entropy_floored",
    "cross_entropy_from_logsumexp",
    "cross_entropy_one_hot",
    "cross_entropy_two_step",
    "fused_gradient",
    "jacobian",
    "log_softmax_from_logsumexp",
    "log_softmax_shifted",
    "log_softmax_two_step",
    "logsumexp_naive",
    "logsumexp_shifted",
    "one_hot",
    "softmax",
    "softmax_from_logsumexp",
    "softmax_shifted",
    "two_step_gradient",
]

Array = np.ndarray[Any, np.dtype[Any]]


def one_hot(y: ArrayLike, classes: int) -> Array:
    """The label as a vector: (...) indices to (..., classes), 1 at the label and 0 elsewhere."""
    return np.eye(classes)[np.asarray(y)]


def _at(values: Array, y: ArrayLike) -> Array:
    """values[..., y], one entry a row."""
    return np.take_along_axis(values, np.asarray(y)[..., np.newaxis], axis=-1)[..., 0]


def softmax(z: ArrayLike) -> Array:
    """exp(z) / Σ exp(z), as defined (S0-02, S1-01, S2-02, S3-04, S4-17).  Complex logits allowed.

    Breaks: inf/inf = NaN where exp overflows, 0/0 = NaN where every exp underflows, and silently
    0 where only the sum overflows (float64 logits 709.5, 709.5).
    """
    e = np.exp(np.asarray(z))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def softmax_shifted(z: ArrayLike) -> Array:
    """exp(z - m) / Σ exp(z - m), m the maximum (S4-07).

    Breaks: z - m is rounded before exp, which costs (max - min) units in the last place of the
    small probabilities; integer logits may wrap around in z - m; -inf throughout gives NaN.
    """
    z = np.asarray(z)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def softmax_from_logsumexp(z: ArrayLike) -> Array:
    """exp(z - logsumexp(z)): softmax without a division (G-43).

    Breaks: loses as many digits as logsumexp has before its point; Σp = 1.00038 in float32 at an
    offset of 10⁴.
    """
    z = np.asarray(z)
    return np.asarray(np.exp(z - logsumexp_shifted(z)[..., np.newaxis]))


def logsumexp_naive(z: ArrayLike) -> Array:
    """log Σ exp(z).  Complex logits allowed.

    Breaks: inf where exp or the sum overflows, -inf where every exp underflows.
    """
    return np.asarray(np.log(np.exp(np.asarray(z)).sum(axis=-1)))


def logsumexp_shifted(z: ArrayLike) -> Array:
    """m + log Σ exp(z - m), m the maximum.

    Breaks: the pivot's 1 absorbs the other terms: (0, -40) gives 0 instead of 4.2e-18.
    """
    z = np.asarray(z)
    m = z.max(axis=-1, keepdims=True)
    return np.asarray(m[..., 0] + np.log(np.exp(z - m).sum(axis=-1)))


def log_softmax_two_step(z: ArrayLike) -> Array:
    """log of `softmax_shifted` (OF-10, G-28).

    Breaks: -inf once a probability underflows, wrong digits once it is subnormal.
    """
    return np.asarray(np.log(softmax_shifted(z)))


def log_softmax_shifted(z: ArrayLike) -> Array:
    """d - log Σ exp(d) with d = z - m: what most frameworks compute.

    Breaks: the largest entry of a confident row is 0, because log(1 + s) absorbs s.
    """
    z = np.asarray(z)
    d = z - z.max(axis=-1, keepdims=True)
    return np.asarray(d - np.log(np.exp(d).sum(axis=-1, keepdims=True)))


def log_softmax_from_logsumexp(z: ArrayLike) -> Array:
    """z - logsumexp(z).

    Breaks: cancels at the size of the logits: float32 (1e8, 1e8) gives 0 instead of -log 2.
    """
    z = np.asarray(z)
    return np.asarray(z - logsumexp_shifted(z)[..., np.newaxis])


def cross_entropy_two_step(z: ArrayLike, y: ArrayLike) -> Array:
    """-log p_y with p from `softmax_shifted` (S0-08 after S0-02; S4-35).

    Breaks: inf once p_y underflows, 0 for confident rows.
    """
    return np.asarray(-np.log(_at(softmax_shifted(z), y)))


def cross_entropy_floored(z: ArrayLike, y: ArrayLike) -> Array:
    """-log max(p_y, FLT_MIN), as Caffe's SoftmaxWithLoss computes it (OC-03).

    Breaks: the loss is flat at 87.3365 for every worse mistake, in float64 too.
    """
    floor = np.finfo(np.float32).tiny
    return np.asarray(-np.log(np.maximum(_at(softmax_shifted(z), y), floor)))


def cross_entropy_from_logsumexp(z: ArrayLike, y: ArrayLike) -> Array:
    """log Σ exp(z) - z_y (S0-10, S4-36, G-29), with the shifted logsumexp.

    Breaks: the difference is rounded at the size of the logits, not of the loss.
    """
    z = np.asarray(z)
    return np.asarray(logsumexp_shifted(z) - _at(z, y))


def cross_entropy_one_hot(z: ArrayLike, targets: ArrayLike) -> Array:
    """-Σ_k t_k log p_k with targets t of the shape of z (S1-12, S2-12, S4-38).  Complex z allowed.

    Breaks: 0·log 0 = NaN where a probability with target 0 underflows (G-30).
    """
    return np.asarray(-(np.asarray(targets) * np.log(softmax(z))).sum(axis=-1))


def jacobian(p: ArrayLike) -> Array:
    """diag(p) - p pᵀ from probabilities (..., K) to (..., K, K) (S1-07, G-01).

    Breaks: the diagonal p(1 - p) cancels for p near 1.
    """
    p = np.asarray(p)
    identity = np.eye(p.shape[-1], dtype=p.dtype)
    return np.asarray(identity * p[..., np.newaxis] - p[..., :, np.newaxis] * p[..., np.newaxis, :])


def bottom_diff_row(top_diff: ArrayLike, top_data: ArrayLike) -> Array:
    """(top_diff - dot(top_diff, top_data)) * top_data: softmax backward as S1-11 prints it.

    Right for one sample, both (K,).  Breaks: for a batch, ``dot`` multiplies matrices: an error for
    (N, K), a wrong result without an error for (K, K).
    """
    top_diff, top_data = np.asarray(top_diff), np.asarray(top_data)
    return np.asarray((top_diff - np.dot(top_diff, top_data)) * top_data)


def bottom_diff_batch(top_diff: ArrayLike, top_data: ArrayLike) -> Array:
    """The same for (..., K), the inner product taken a row (OC-02).

    Breaks: a large common part of top_diff cancels.
    """
    top_diff, top_data = np.asarray(top_diff), np.asarray(top_data)
    inner = (top_diff * top_data).sum(axis=-1, keepdims=True)
    return np.asarray((top_diff - inner) * top_data)


def fused_gradient(z: ArrayLike, y: ArrayLike) -> Array:
    """p - one_hot(y) with p from `softmax_shifted` (S0-20, S1-18, S4-49): of the sum over rows.

    Breaks: p_y - 1 is 0 for confident rows, while the other entries are not.
    """
    p = softmax_shifted(z)
    return np.asarray(p - one_hot(y, p.shape[-1]).astype(p.dtype))


def two_step_gradient(z: ArrayLike, y: ArrayLike) -> Array:
    """J (-e_y / p_y), loss and softmax differentiated one after the other (S0-21..23).

    Breaks: 1/p_y overflows once p_y is subnormal, then inf·0 = NaN, although p is right.
    """
    p = softmax_shifted(z)
    upstream = -one_hot(y, p.shape[-1]).astype(p.dtype) / p
    return np.asarray((jacobian(p) @ upstream[..., np.newaxis])[..., 0])
