"""Numbers to compare with: errors in ULPs, differences, and digits from mpmath."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
from mpmath import mpf


def ulps(computed: Any, exact: Sequence[Any] | Any) -> np.ndarray:
    """Error of `computed` in units in the last place of the exact value.

    Parameters
    ----------
    computed : array_like of a floating dtype, any shape
    exact : numbers of the same count (mpmath, float, int or Fraction), in C order

    Returns
    -------
    ndarray of float64, shape of `computed`: |computed − exact| / spacing, the spacing being that
    of the dtype of `computed` at `exact` (the subnormal spacing below the smallest normal number).
    Infinite where `computed` is not finite and differs from `exact`.
    """
    array = np.asarray(computed)
    info = np.finfo(array.dtype)
    flat = [exact] if np.ndim(array) == 0 else list(np.ravel(np.array(exact, dtype=object)))
    if len(flat) != array.size:
        raise ValueError(f"exact: expected {array.size} numbers, got {len(flat)}")
    errors = [_ulps(float(c), mpmath.mpmathify(e), info)
              for c, e in zip(array.flat, flat, strict=True)]
    return np.array(errors).reshape(array.shape)


def _ulps(computed: float, exact: mpf, info: Any) -> float:
    if not (np.isfinite(computed) and mpmath.isfinite(exact)):
        return 0.0 if computed == exact or (np.isnan(computed) and mpmath.isnan(exact)) else np.inf
    exponent = max(mpmath.frexp(exact)[1] - 1 if exact else info.minexp, int(info.minexp))
    with mpmath.workprec(max(mpmath.mp.prec, 2400)):  # the subtraction is exact
        return float(abs(mpf(computed) - exact) / mpmath.ldexp(mpf(1), exponent - int(info.nmant)))


def central_difference(function: Callable[[np.ndarray], Any], x: Any,
                       h: float = 1e-5) -> np.ndarray:
    """Jacobian of `function` at the vector `x` by central differences with step `h`.

    Truncation error O(h²), rounding error O(u/h): for a function of size 1 in float64 the best
    step is near 1e-5, with an error near 1e-10. Shape: that of the value, then that of `x`.
    """
    x = np.asarray(x, dtype=float)
    columns = [(np.asarray(function(x + h * e)) - np.asarray(function(x - h * e))) / (2 * h)
               for e in np.eye(x.size)]
    return np.stack(columns, axis=-1)


def complex_step(function: Callable[[np.ndarray], Any], x: Any, h: float = 1e-30) -> np.ndarray:
    """Jacobian of `function` at the vector `x` as Im f(x + i h e_k) / h [squire1998]_.

    No difference is taken, so nothing cancels and the truncation error h² vanishes; `function`
    must be analytic and must accept complex arguments. Shape as in `central_difference`.
    """
    x = np.asarray(x, dtype=complex)
    columns = [np.imag(np.asarray(function(x + 1j * h * e))) / h for e in np.eye(x.size)]
    return np.stack(columns, axis=-1)


def _with_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run with 50 digits more than the widest gap of the row can cost."""
    def run(row: Iterable[float], *args: Any) -> Any:
        numbers = [float(value) for value in row]
        finite = [value for value in numbers if np.isfinite(value)]
        gap = max(finite) - min(finite) if finite else 0.0
        size = max((abs(value) for value in finite), default=0.0)
        with mpmath.workdps(50 + int(gap / np.log(10)) + len(str(int(size)))):
            return function([mpf(value) for value in numbers], *args)
    run.__doc__ = function.__doc__
    return run


@_with_precision
def _softmax(row: list[mpf]) -> list[mpf]:
    """Probabilities of a row of logits."""
    total = mpmath.fsum(mpmath.exp(z) for z in row)
    return [mpmath.exp(z) / total for z in row]


@_with_precision
def _log_softmax(row: list[mpf]) -> list[mpf]:
    """Logarithms of the probabilities of a row of logits."""
    largest = max(row)  # subtracted first, so that a row of one class gives exactly 0
    total = mpmath.log(mpmath.fsum(mpmath.exp(z - largest) for z in row))
    return [z - largest - total for z in row]


@_with_precision
def _logsumexp(row: list[mpf]) -> mpf:
    """log Σ exp(z) of a row of logits."""
    return mpmath.log(mpmath.fsum(mpmath.exp(z) for z in row))


@_with_precision
def _cross_entropy(row: list[mpf], label: int) -> mpf:
    """Loss −log p_y of a row of logits with the class index y."""
    return mpmath.log(mpmath.fsum(mpmath.exp(z - row[label]) for z in row))


@_with_precision
def _cross_entropy_grad(row: list[mpf], label: int) -> list[mpf]:
    """Gradient p − e_y of that loss."""
    total = mpmath.fsum(mpmath.exp(z) for z in row)
    return [mpmath.exp(z) / total - (k == label) for k, z in enumerate(row)]


@_with_precision
def _jacobian(row: list[mpf]) -> list[list[mpf]]:
    """Jacobian p_i (δ_ij − p_j) of softmax."""
    total = mpmath.fsum(mpmath.exp(z) for z in row)
    p = [mpmath.exp(z) / total for z in row]
    return [[p[i] * ((i == j) - p[j]) for j in range(len(p))] for i in range(len(p))]


oracle = SimpleNamespace(softmax=_softmax, log_softmax=_log_softmax, logsumexp=_logsumexp,
                         cross_entropy=_cross_entropy, cross_entropy_grad=_cross_entropy_grad,
                         jacobian=_jacobian)
"""The definitions, evaluated by mpmath for one row of finite floats with digits to spare."""
