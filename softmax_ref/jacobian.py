"""The Jacobians of softmax and log_softmax, and their product with a vector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _kernel
from ._kernel import Axis
from .probabilities import complement

__all__ = ["log_softmax_jacobian", "softmax_jacobian", "softmax_vjp"]


def _jacobian(z: ArrayLike, logarithmic: bool) -> Any:
    array = _kernel.real_array(z, "z")
    rows, _ = _kernel.as_rows(array, -1)
    with np.errstate(all="ignore"):
        s = _kernel.shifted(rows)
        p, q = s.e / (1 + s.rest), complement(s)
        left = -1.0 if logarithmic else -p[:, :, None]
        J = np.broadcast_to(left * p[:, None, :], (*p.shape, p.shape[1])).copy()
        i = np.arange(p.shape[1])
        J[:, i, i] = q if logarithmic else p * q
    shape = array.shape or (1,)
    return _kernel.finished(J.reshape(*shape, shape[-1]), array.dtype, 2)


def softmax_jacobian(z: ArrayLike) -> Any:
    """diag(p) - p pᵀ."""
    return _jacobian(z, False)


def log_softmax_jacobian(z: ArrayLike) -> Any:
    """I - 1 pᵀ."""
    return _jacobian(z, True)


def softmax_vjp(z: ArrayLike, g: ArrayLike, axis: Axis = -1) -> Any:
    """J g = p (g - Σ p g)."""
    array = _kernel.real_array(z, "z")
    upstream = _kernel.real_array(g, "g")
    if upstream.shape != array.shape:
        raise ValueError(f"g must have the shape of z, {array.shape}, got {upstream.shape}")
    rows, restore = _kernel.as_rows(array, axis)
    v, _ = _kernel.as_rows(upstream, axis)
    with np.errstate(all="ignore"):
        s = _kernel.shifted(rows)
        p = s.e / (1 + s.rest)
        if v.shape[1]:
            v = v - np.take_along_axis(v, s.pivot, axis=1)
        mean = _kernel.pairwise_exact(np.where(p == 0, 0.0, p * v))
        out = np.where(p == 0, 0.0, p * (v - mean))
    dtype = np.result_type(array.dtype, upstream.dtype)
    return _kernel.finished(restore(out).reshape(array.shape), dtype, array.ndim)
