"""The derivatives: proved by SymPy for K = 2, 3, 4, and met by numerical differences.

Numerical differences see formulas, signs and factors.  They cannot see the loss of all digits in a
confident row (the last test shows it): that is what the other test modules are for.
"""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import sympy as sp
from generators import generator
from mpmath import mpf
from oracles import assert_ulps, flat, oracle

import softmax_ref as sr
from softmax_ref import textbook

CLASSES = (2, 3, 4)


# --------------------------------------------------------------------------------------------------
# SymPy: derivative of the definition, turned into numbers with 50 digits, against the package.


def _symbols(classes: int) -> tuple[list[sp.Symbol], list[sp.Expr], sp.Expr]:
    z = list(sp.symbols(f"z0:{classes}", real=True))
    total = sum(sp.exp(v) for v in z)
    return z, [sp.exp(v) / total for v in z], total


def _points(classes: int) -> list[list[float]]:
    rng = generator(f"points {classes}")
    return [*(rng.normal(size=(3, classes)) * 4).tolist(), [40.0, *rng.normal(size=classes - 1)]]


def _numbers(expressions: list[sp.Expr], z: list[sp.Symbol], point: list[float]) -> list[mpf]:
    """The values at a point, the coordinates taken as the exact rationals that they are."""
    at = {
        symbol: sp.Rational(*value.as_integer_ratio())
        for symbol, value in zip(z, point, strict=True)
    }
    with mpmath.workdps(60):
        return [mpf(str(sp.N(e.subs(at), 60, maxn=400))) for e in expressions]


@pytest.mark.parametrize("classes", CLASSES)
def test_jacobian_is_the_derivative_of_softmax(classes: int) -> None:
    z, p, _ = _symbols(classes)
    derivatives = [sp.diff(p[i], z[j]) for i in range(classes) for j in range(classes)]
    formula = [p[i] * (int(i == j) - p[j]) for i in range(classes) for j in range(classes)]
    for a, b in zip(derivatives, formula, strict=True):
        assert sp.simplify(a - b) == 0
    for point in _points(classes):
        want = _numbers(derivatives, z, point)
        assert_ulps(sr.softmax_jacobian(np.array(point)), want, 6, point)
        assert_ulps(flat(oracle(point).jacobian()), want, 1, "the oracle itself")


@pytest.mark.parametrize("classes", CLASSES)
def test_log_jacobian_is_the_derivative_of_log_softmax(classes: int) -> None:
    z, p, total = _symbols(classes)
    derivatives = [
        sp.diff(z[i] - sp.log(total), z[j]) for i in range(classes) for j in range(classes)
    ]
    for i in range(classes):
        for j in range(classes):
            assert sp.simplify(derivatives[i * classes + j] - (int(i == j) - p[j])) == 0
    for point in _points(classes):
        assert_ulps(
            sr.log_softmax_jacobian(np.array(point)), _numbers(derivatives, z, point), 6, point
        )


@pytest.mark.parametrize("classes", CLASSES)
def test_fused_gradient_is_the_derivative_of_the_loss(classes: int) -> None:
    z, p, total = _symbols(classes)
    for label in range(classes):
        loss = sp.log(total) - z[label]
        gradient = [sp.diff(loss, v) for v in z]
        for k in range(classes):
            assert sp.simplify(gradient[k] - (p[k] - int(k == label))) == 0
        for point in _points(classes):
            got = sr.cross_entropy_grad(np.array([point]), [label])
            assert_ulps(got, _numbers(gradient, z, point), 3, (point, label))


@pytest.mark.parametrize("classes", CLASSES)
def test_hessian_of_the_loss_is_the_jacobian_of_softmax(classes: int) -> None:
    """diag(p) - p pᵀ, whatever the label."""
    z, p, total = _symbols(classes)
    for label in range(classes):
        hessian = sp.hessian(sp.log(total) - z[label], z)
        for i in range(classes):
            for j in range(classes):
                assert sp.simplify(hessian[i, j] - p[i] * (int(i == j) - p[j])) == 0
    for point in _points(classes):
        assert_ulps(
            sr.softmax_jacobian(np.array(point)), _numbers(list(hessian), z, point), 6, point
        )


@pytest.mark.parametrize("classes", (2, 3))
def test_weighted_smoothed_gradient_is_the_derivative_of_its_loss(classes: int) -> None:
    """(1-ε) w_y (p - e_y) + (ε/K)(p Σw - w), and T p - t for soft targets."""
    z, p, total = _symbols(classes)
    epsilon = sp.Symbol("epsilon")
    w = sp.symbols(f"w0:{classes}")
    t = sp.symbols(f"t0:{classes}")
    log_p = [v - sp.log(total) for v in z]
    for label in range(classes):
        loss = -(1 - epsilon) * w[label] * log_p[label] - epsilon / classes * sum(
            w[k] * log_p[k] for k in range(classes)
        )
        for k in range(classes):
            formula = (1 - epsilon) * w[label] * (p[k] - int(k == label)) + epsilon / classes * (
                p[k] * sum(w) - w[k]
            )
            assert sp.simplify(sp.diff(loss, z[k]) - formula) == 0
    soft = -sum(a * b for a, b in zip(t, log_p, strict=True))
    for k in range(classes):
        assert sp.simplify(sp.diff(soft, z[k]) - (sum(t) * p[k] - t[k])) == 0


# --------------------------------------------------------------------------------------------------
# Complex step: exact to rounding for any h, but only through formulas without a maximum.


@pytest.mark.parametrize("step", [1e-20, 1e-30, 1e-100])
def test_complex_step_through_the_textbook_softmax(step: float) -> None:
    """Im f(z + i h e_j) / h: no subtraction, so no loss. 4e-15 is 16 u times the largest entry."""
    rng = generator("complex step")
    for _ in range(20):
        z = rng.normal(size=5) * 4
        jacobian, log_jacobian = sr.softmax_jacobian(z), sr.log_softmax_jacobian(z)
        for j in range(5):
            moved = z.astype(complex)
            moved[j] += 1j * step
            column = textbook.softmax(moved).imag / step
            np.testing.assert_allclose(column, jacobian[:, j], rtol=1e-13, atol=4e-15)
            lse = textbook.logsumexp_naive(moved).imag / step
            np.testing.assert_allclose(lse, sr.softmax(z)[j], rtol=1e-13, atol=0)
            np.testing.assert_allclose(
                (moved - textbook.logsumexp_naive(moved)).imag / step,
                log_jacobian[:, j],
                rtol=1e-13,
                atol=4e-15,
            )


def test_complex_step_through_the_textbook_loss() -> None:
    rng = generator("complex step loss")
    for _ in range(20):
        z = rng.normal(size=(1, 5)) * 4
        targets = rng.random((1, 5)) * 2
        want = sr.soft_cross_entropy_grad(z, targets)
        for j in range(5):
            moved = z.astype(complex)
            moved[0, j] += 1e-30j
            got = textbook.cross_entropy_one_hot(moved, targets)[0].imag / 1e-30
            # 64 u of the size of what is subtracted, T p + t <= 2 T
            assert abs(got - want[0, j]) <= 64 * 2.0**-53 * 2 * targets.sum()


def test_complex_step_directional_derivative_is_the_vector_jacobian_product() -> None:
    rng = generator("directional")
    for _ in range(20):
        z, g = rng.normal(size=(2, 6)) * 3
        got = textbook.softmax(z + 1e-30j * g).imag / 1e-30
        np.testing.assert_allclose(got, sr.softmax_vjp(z, g), rtol=1e-12, atol=1e-15 * abs(g).max())


# --------------------------------------------------------------------------------------------------
# Central differences: h = 1e-5 balances h²|f‴|/6 ≈ 1e-11 against u|f|/h ≈ 1e-11 |f|.

STEP = 1e-5
TOLERANCE = 1e-9  # relative to the largest component; measured worst 1e-10


@pytest.mark.core
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reduction": "sum"},
        {"label_smoothing": 0.2},
        {"weight": [0.5, 2.0, 1.0, 3.0, 0.1]},
        {"ignore_index": 3},
        {
            "weight": [0.5, 2.0, 1.0, 3.0, 0.1],
            "label_smoothing": 0.3,
            "ignore_index": 0,
            "reduction": "sum",
        },
    ],
)
def test_central_differences_of_the_hard_label_loss(options: dict) -> None:
    z = generator("central").normal(size=(3, 5)) * 2
    labels = np.array([0, 3, 1])
    gradient = sr.cross_entropy_grad(z, labels, **options)
    numeric = np.empty_like(z)
    for index in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[index] += STEP
        down[index] -= STEP
        rise = sr.cross_entropy(up, labels, **options) - sr.cross_entropy(down, labels, **options)
        numeric[index] = rise / (up[index] - down[index])
    assert abs(numeric - gradient).max() <= TOLERANCE * abs(gradient).max()


@pytest.mark.core
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_central_differences_of_the_soft_target_loss(reduction: str) -> None:
    rng = generator("central soft")
    z, targets = rng.normal(size=(3, 5)) * 2, rng.random((3, 5)) * 3
    gradient = sr.soft_cross_entropy_grad(z, targets, reduction=reduction)
    numeric = np.empty_like(z)
    for index in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[index] += STEP
        down[index] -= STEP
        rise = sr.soft_cross_entropy(up, targets, reduction=reduction) - sr.soft_cross_entropy(
            down, targets, reduction=reduction
        )
        numeric[index] = rise / (up[index] - down[index])
    assert abs(numeric - gradient).max() <= TOLERANCE * abs(gradient).max()


@pytest.mark.core
@pytest.mark.parametrize(
    ("function", "jacobian"),
    [(sr.softmax, sr.softmax_jacobian), (sr.log_softmax, sr.log_softmax_jacobian)],
)
def test_central_differences_of_softmax(function, jacobian) -> None:
    z = generator("central softmax").normal(size=6) * 2
    numeric = np.empty((6, 6))
    for j in range(6):
        up, down = z.copy(), z.copy()
        up[j] += STEP
        down[j] -= STEP
        numeric[:, j] = (function(up) - function(down)) / (up[j] - down[j])
    want = jacobian(z)
    assert abs(numeric - want).max() <= TOLERANCE * abs(want).max()


# --------------------------------------------------------------------------------------------------
# In the confident regime only more digits help.


@pytest.mark.parametrize("gap", [20, 40, 200, 700])
def test_derivative_of_the_loss_in_many_digits(gap: int) -> None:
    """A central difference with 900 digits sees what one with 16 cannot."""
    z = [float(gap), 0.0, 0.3]
    with mpmath.workdps(900):
        h = mpf(10) ** -400

        def loss(moved: list[mpf]) -> mpf:
            return mpmath.log(mpmath.fsum(mpmath.exp(v) for v in moved)) - moved[0]

        want = []
        for k in range(3):
            up = [mpf(v) + (h if i == k else 0) for i, v in enumerate(z)]
            down = [mpf(v) - (h if i == k else 0) for i, v in enumerate(z)]
            want.append((loss(up) - loss(down)) / (2 * h))
    assert_ulps(sr.cross_entropy_grad(np.array([z]), [0]), want, 3, z)


def test_differences_are_blind_to_confident_rows() -> None:
    """Why no gradient check in float64 finds the lost digits: it loses them itself."""
    z = np.array([40.0, 0.0])
    up, down = z + np.array([STEP, 0]), z - np.array([STEP, 0])
    textbook_loss = [float(textbook.cross_entropy_two_step(v, 0)) for v in (up, down)]
    numeric = (textbook_loss[0] - textbook_loss[1]) / (2 * STEP)
    assert (
        numeric == 0 == float(textbook.fused_gradient(z, 0)[0])
    )  # the check passes, both are wrong
    assert sr.cross_entropy_grad(z, 0)[0] == pytest.approx(-math.exp(-40), rel=1e-15, abs=0)
