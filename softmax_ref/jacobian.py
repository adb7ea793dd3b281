"""The Jacobians of softmax and log_softmax, and the product with a vector that needs neither."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._kernel import PIECE, Array, Axis, Block, Number, Rows, float_type, large_sum, real_array
from .probabilities import softmax, softmax_complement

__all__ = ["log_softmax_jacobian", "softmax_jacobian", "softmax_vjp"]


def _jacobian(z: ArrayLike, off_diagonal: Any, diagonal: Any) -> Any:
    """Fill (..., K, K) from p and q = 1 - p, a few rows or lines of one at a time."""
    rows = Rows(z, -1)
    classes = rows.classes
    out = np.empty((rows.sizes[0], classes, classes), rows.dtype)
    step = max(1, PIECE // max(1, classes**2))
    lines = max(1, PIECE // max(1, classes))
    for i in range(0, len(out), step):
        logits = rows.cube[i : i + step, :, 0].astype(np.float64)
        p, q = softmax(logits), softmax_complement(logits)
        for k in range(0, classes, lines):
            part = slice(k, k + lines)
            J = off_diagonal(p[:, part, np.newaxis], p[:, np.newaxis, :])
            np.einsum("nii->ni", J[:, :, part])[...] = diagonal(p[:, part], q[:, part])
            out[i : i + step, part] = J
    return out.reshape(*(rows.shape or (1,)), classes)


@np.errstate(all="ignore")
def softmax_jacobian(z: ArrayLike) -> Any:
    r"""The matrix ∂p_i/∂z_j = p_i (δ_ij - p_j) of every row.

    .. math:: J = \mathrm{diag}(p) - p p^\top

    Parameters
    ----------
    z : array_like, shape (..., K)
        Logits.

    Returns
    -------
    ndarray, shape (..., K, K), float type of z
        ``J[..., i, j]``; symmetric to the last bit.

    Raises
    ------
    TypeError
        As `softmax_ref.softmax`.

    Notes
    -----
    Every entry within 6 ULP.  The diagonal is p_i·q_i with q = `softmax_ref.softmax_complement`:
    for a confident row p_i·(1 - p_i) would be 0.  It takes K² numbers a row: for a product with a
    vector use `softmax_vjp`.

    Examples
    --------
    >>> softmax_jacobian([0.0, 40.0])
    array([[ 4.24835426e-18, -4.24835426e-18],
           [-4.24835426e-18,  4.24835426e-18]])
    """
    return _jacobian(z, lambda p_i, p_j: -p_i * p_j, lambda p, q: p * q)


@np.errstate(all="ignore")
def log_softmax_jacobian(z: ArrayLike) -> Any:
    r"""The matrix ∂ log p_i/∂z_j = δ_ij - p_j of every row.

    .. math:: I - \mathbf 1 p^\top

    Parameters
    ----------
    z : array_like, shape (..., K)
        Logits.

    Returns
    -------
    ndarray, shape (..., K, K), float type of z
        ``J[..., i, j]``.

    Raises
    ------
    TypeError
        As `softmax_ref.softmax`.

    Notes
    -----
    Every entry within 3 ULP as in `softmax_ref.softmax`; the diagonal is
    `softmax_ref.softmax_complement`.

    Examples
    --------
    >>> log_softmax_jacobian([0.0, 40.0])
    array([[ 1.00000000e+00, -1.00000000e+00],
           [-4.24835426e-18,  4.24835426e-18]])
    """
    return _jacobian(z, lambda p_i, p_j: -np.ones_like(p_i) * p_j, lambda p, q: q)


@np.errstate(all="ignore")
def softmax_vjp(z: ArrayLike, g: ArrayLike, axis: Axis = -1) -> Any:
    r"""The product J g of every row, without J.  J is symmetric, so this is Jᵀg as well.

    .. math:: (J g)_i = p_i \left(g_i - \sum_j p_j g_j\right)

    Parameters
    ----------
    z : array_like
        Logits.
    g : array_like, shape of z
        The upstream gradient ∂L/∂p (or a direction, for the forward derivative).
    axis : int, tuple of int or None
        Where the classes are; None: everywhere.

    Returns
    -------
    ndarray, shape of z
        ∂L/∂z, in the wider float type of z and g.

    Raises
    ------
    TypeError, ValueError
        As `softmax_ref.softmax`; g has another shape than z.

    Notes
    -----
    A difference, so no promise in ULP: the error of component i is at most
    8·2⁻⁵³·p_i·(\|g_i\| + Σ_j p_j \|g_j\|), also with g replaced by g - g_k for the largest p_k:
    a part common to all g_i does no harm.  2⁻⁴⁴ instead of 8·2⁻⁵³ before a result of less than 64
    bits is rounded.  Where p_i is 0 (a mask), the result is 0.  The products p_j g_j must not
    underflow, and the differences g_i - g_k not overflow.

    Examples
    --------
    >>> softmax_vjp([0.0, 40.0], [1.0, 2.0])
    array([-4.24835426e-18,  4.24835426e-18])
    """
    rows, upstream = Rows(z, axis), real_array(g, "g")
    if upstream.shape != rows.shape:
        raise ValueError(f"g must have the shape of z, {rows.shape}, got {upstream.shape}")
    v_cube = rows.as_cube(upstream)
    out = np.empty(rows.sizes, np.result_type(rows.dtype, float_type(upstream)))
    rows.short = out.itemsize < 8  # float32 z is taken for float64 if g is that
    for block in rows.blocks("exponentials", out, temporaries=3):
        if block.first:
            pivot = _pivot(block)  # before z may be overwritten
        p, v = block.probabilities(), block.load(v_cube, block.place)
        if block.first:
            # J·1 = 0: what all components share must not cost digits
            common = block.entry(v_cube, pivot, block.index(pivot))
            if block.classes < rows.classes:
                mean = _mean_of_long_row(block, v_cube, common)
        v -= common
        v[p == 0.0] = 0.0
        if block.classes == rows.classes:
            mean = large_sum(p * v, block.axis)
        block.write(out, (np.multiply, p, v - mean))
    return rows.from_cube(out)


def _pivot(block: Block) -> Any:
    """The class of the largest logit of each row."""
    if block.count == 1:
        for place, z in block.whole_rows():
            found = np.flatnonzero(z == block.maximum)
            if found.size:
                return int(place[1].start + found[0])
        return 0  # NaN
    return np.argmax(block.z, axis=block.axis)


def _mean_of_long_row(block: Block, v_cube: Array, common: Number) -> Number:
    """Σ p·(v - common) of a row that comes in chunks, from its first one."""
    parts: list[float] = []
    for place, z in block.whole_rows():
        p = block.exponentials(z) / block.high
        v = np.where(p == 0.0, 0.0, block.load(v_cube, place) - common)
        parts.append(float(large_sum(p * v, 0)))
    return large_sum(np.array(parts), 0)
