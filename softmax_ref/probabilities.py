"""Softmax, its logarithm, its complement, and the logarithm of its denominator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._kernel import Axis, Later, Rows, log_of_sum

__all__ = ["log_softmax", "logsumexp", "softmax", "softmax_complement"]


@np.errstate(all="ignore")
def softmax(z: ArrayLike, axis: Axis = -1) -> Any:
    r"""The probabilities exp(z) / Σ exp(z) of every row.

    .. math:: p_i = \frac{e^{z_i}}{\sum_j e^{z_j}}

    Parameters
    ----------
    z : array_like
        Logits: float16, float32, float64, the bfloat16 of ml_dtypes, or integers and bools, which
        become float64 first.  ``-inf`` masks a class.
    axis : int, tuple of int or None
        Where the classes are; None: everywhere.

    Returns
    -------
    ndarray, shape and float type of z (a NumPy scalar for 0-d)
        0 where masked.  NaN for a whole row with NaN or ``+inf``, or of nothing but ``-inf``;
        other rows are not touched by it.  Empty rows give an empty result.

    Raises
    ------
    TypeError
        z is complex, wider than 64 bits, no number, or a masked array; axis is no integer.
    ValueError
        axis out of range or twice the same.

    Notes
    -----
    Every component within 3 ULP for any number of classes, range and offset, subnormal results
    included, but for coincidences of roundings that reach 3.3: `softmax_ref._kernel` has the bounds
    and what was seen.  float32 and float16: computed in float64 and rounded once.  Rows do not
    influence each other.

    Examples
    --------
    >>> softmax([0.0, 40.0])
    array([4.24835426e-18, 1.00000000e+00])
    >>> softmax([[1000.0, 1000.0], [-1000.0, float("-inf")]])
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    rows = Rows(z, axis)
    out = np.empty(rows.sizes, rows.dtype)
    for block in rows.blocks("probabilities", out):
        block.write(out, block.quotients())
    return rows.from_cube(out)


@np.errstate(all="ignore")
def log_softmax(z: ArrayLike, axis: Axis = -1) -> Any:
    r"""The logarithm of softmax of every row, z - log Σ exp(z).

    .. math:: \log p_i = (z_i - z_k) - \mathrm{log1p}\Big(\sum_{j\ne k} e^{z_j-z_k}\Big),
        \qquad k = \operatorname{argmax} z

    Both terms are ≤ 0, so nothing cancels, and the pivot's 1 absorbs nothing.

    Parameters
    ----------
    z : array_like
        Logits, as for `softmax`.
    axis : int, tuple of int or None
        Where the classes are; None: everywhere.

    Returns
    -------
    ndarray, shape and float type of z (a NumPy scalar for 0-d)
        ``-inf`` where masked; NaN for rows without a softmax.

    Raises
    ------
    TypeError, ValueError
        As `softmax`.

    Notes
    -----
    Every component within 3 ULP, with the reserve of `softmax`, the largest of a confident row
    included.

    Examples
    --------
    >>> log_softmax([0.0, 40.0])
    array([-4.00000000e+01, -4.24835426e-18])
    """
    rows = Rows(z, axis)
    out = np.empty(rows.sizes, rows.dtype)
    for block in rows.blocks("logits", out):
        block.write(out, block.logarithms())
    return rows.from_cube(out)


@np.errstate(all="ignore")
def softmax_complement(z: ArrayLike, axis: Axis = -1) -> Any:
    r"""1 - softmax of every row, from the sum of the other exponentials.

    .. math:: 1 - p_i = \frac{\sum_{j\ne i} e^{z_j}}{\sum_j e^{z_j}}

    Parameters
    ----------
    z : array_like
        Logits, as for `softmax`.
    axis : int, tuple of int or None
        Where the classes are; None: everywhere.

    Returns
    -------
    ndarray, shape and float type of z (a NumPy scalar for 0-d)
        1 where masked; NaN for rows without a softmax.

    Raises
    ------
    TypeError, ValueError
        As `softmax`.

    Notes
    -----
    Every component within 3 ULP as in `softmax`, where ``1 - softmax(z)`` is 0 for a confident row.

    Examples
    --------
    >>> softmax_complement([0.0, 40.0])
    array([1.00000000e+00, 4.24835426e-18])
    """
    rows = Rows(z, axis)
    out = np.empty(rows.sizes, rows.dtype)
    for block in rows.blocks("exponentials", out):
        block.write(out, (np.positive, block.complements()))
    return rows.from_cube(out)


@np.errstate(all="ignore")
def logsumexp(z: ArrayLike, axis: Axis = -1, keepdims: bool = False) -> Any:
    r"""log Σ exp(z) of every row.

    .. math:: \mathrm{lse} = z_k + \mathrm{log1p}\Big(\sum_{j\ne k} e^{z_j-z_k}\Big),
        \qquad k = \operatorname{argmax} z

    Parameters
    ----------
    z : array_like
        Logits, as for `softmax`.
    axis : int, tuple of int or None
        Where the classes are; None: everywhere.
    keepdims : bool
        Keep the axes that were summed over, with length 1.

    Returns
    -------
    NumPy scalar or ndarray, shape of z without axis, float type of z
        ``-inf`` for rows of nothing but ``-inf`` and for empty rows; ``inf`` for rows with
        ``+inf``; NaN for rows with NaN.

    Raises
    ------
    TypeError, ValueError
        As `softmax`.

    Notes
    -----
    Within 3 ULP; computed as log Σ exp(z) where that is 1 or more and no exp(z) overflows.  The two
    terms above cancel only for -log K ≤ z_k < 0, at worst for normalised log-probabilities, whose
    logsumexp is a rounding error near 0.  Rows that lose a digit so are summed again with 60 or,
    near 0, with 115 bits (`softmax_ref._kernel.cancellation`), the latter at 30 to 120 times the
    cost; if that is not enough, as for one of these in some hundreds, by integers, at 300 times.

    Examples
    --------
    >>> print(logsumexp([0.0, -40.0]))
    4.248354255291589e-18
    >>> logsumexp([[1000.0, 1000.0]], axis=1, keepdims=True)
    array([[1000.69314718]])
    """
    rows = Rows(z, axis)
    out = np.full((rows.sizes[0], rows.sizes[2]), -np.inf, rows.dtype)
    later = Later(out)
    for block in rows.blocks("unshifted sums"):
        value, again = log_of_sum(block)
        target = out[block.rows]
        target[...] = np.reshape(value, target.shape)
        if again.size:
            later.add(block, again)
    later.fill()
    shape = rows.kept
    if keepdims:
        shape = tuple(1 if a in rows.axes else n for a, n in enumerate(rows.shape))
    return out.reshape(shape)[()]
