"""The accuracy contract: every component of every result, against digits that are right.

Budgets in units in the last place (ULP) of the exact value, where every number has a spacing,
subnormals too:

* softmax, its complement, log-softmax, logsumexp, hard-label loss and gradient: 3;
* Jacobians: 6;
* soft-target gradient and vector-Jacobian product, whose components may cancel: 8 u of what is
  subtracted (plus, where that is subnormal, as many least spacings as numbers were rounded);
* float32 and float16: computed in float64 and rounded once, so half an ULP plus the float64 budget,
  which in their ULPs is 3 · 2^-29 and 3 · 2^-42.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from generators import FAMILIES, LOGSUMEXP_CANCELS, family, generator, rows
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf
from oracles import (
    assert_ulps,
    assert_within,
    cross_entropy,
    flat,
    oracle,
    soft_cross_entropy,
    ulps,
)

import softmax_ref as sr

BUDGET = 3.0
JACOBIAN_BUDGET = 6.0
UNIT = 2.0**-53
LEAST = Fraction(1, 2**1074)
HALF_PRECISIONS = {
    np.dtype(np.float32): 0.5 + 3 * 2.0**-29,
    np.dtype(np.float16): 0.5 + 3 * 2.0**-42,
}
SHAPES = ((6, 2), (6, 10), (1, 100))

#: the families that every fast selection meets: each breaks another shortcut
CORE_FAMILIES = (
    "wide 350",
    "dominant 30-60",
    "offset 1e15",
    "masked",
    "subnormal tail",
    "ties",
    "faint",
)
EVERY_FAMILY = [
    pytest.param(name, marks=pytest.mark.core) if name in CORE_FAMILIES else name
    for name in FAMILIES
]

FORWARD = {
    "softmax": (sr.softmax, lambda truth: truth.probabilities()),
    "softmax_complement": (sr.softmax_complement, lambda truth: truth.complements()),
    "log_softmax": (sr.log_softmax, lambda truth: truth.log_probabilities()),
    "logsumexp": (sr.logsumexp, lambda truth: [truth.logsumexp()]),
}


# --------------------------------------------------------------------------------------------------
# The headline, to all digits.


@pytest.mark.core
def test_confident_row_to_all_digits() -> None:
    """z = (0, 40), y = 1: the loss is log1p(e^-40), the gradient ±1/(1 + e^40)."""
    z = np.array([[0.0, 40.0]])
    loss, gradient = sr.cross_entropy_value_and_grad(z, [1])
    assert f"{loss:.15e}" == "4.248354255291589e-18"
    with mpmath.workdps(60):
        g = 1 / (1 + mpmath.exp(40))
        assert_ulps([loss], [mpmath.log1p(mpmath.exp(-40))], BUDGET, "loss")
        assert_ulps(gradient, [g, -g], BUDGET, "gradient")
        assert_ulps(sr.softmax_complement(z), [1 - g, g], BUDGET, "complement")
        assert_ulps(
            sr.log_softmax(z),
            [-40 - mpmath.log1p(mpmath.exp(-40)), -mpmath.log1p(mpmath.exp(-40))],
            BUDGET,
            "log_softmax",
        )
    assert gradient[0, 0] == -gradient[0, 1]
    assert sr.logsumexp(np.array([0.0, -40.0])) == pytest.approx(4.248354255291589e-18, rel=1e-15)


@pytest.mark.core
@pytest.mark.parametrize(
    "gap", [5, 16.7, 20, 30, 36.8, 40, 100, 300, 600, 700, 708.5, 740, 744.5, 800]
)
def test_one_dominant_logit_at_every_gap(gap: float) -> None:
    """No gap is too large: the loss falls like e^-gap until it is the least subnormal, then 0."""
    row = np.array([0.0, gap])
    truth = oracle(row)
    for name, (function, expected) in FORWARD.items():
        assert_ulps(function(row), expected(truth), BUDGET, (name, gap))
        assert_ulps(function(row - gap), expected(oracle(row - gap)), BUDGET, (name, gap, "max 0"))
    for label in (0, 1):
        want = cross_entropy([row], [label])
        loss, gradient = sr.cross_entropy_value_and_grad(row[None], [label])
        assert_ulps([loss], [want.value], BUDGET, ("loss", gap, label))
        assert_ulps(gradient, want.gradient[0], BUDGET, ("gradient", gap, label))


# --------------------------------------------------------------------------------------------------
# Families.


@pytest.mark.parametrize("name", EVERY_FAMILY)
def test_families_forward(name: str) -> None:
    for count, classes in SHAPES:
        z = family(name, count, classes)
        for function_name, (function, expected) in FORWARD.items():
            got = function(z)
            for i, row in enumerate(z):
                assert_ulps(
                    got[i], expected(oracle(row)), BUDGET, (function_name, name, row.tolist())
                )


@pytest.mark.parametrize("name", EVERY_FAMILY)
def test_families_loss_and_gradient(name: str) -> None:
    """Label = argmax (the confident case), argmin, and one drawn at random; none, sum and mean."""
    for count, classes in SHAPES:
        z = family(name, count, classes)
        rng = generator(f"labels {name}")
        for labels in (z.argmax(1), z.argmin(1), rng.integers(classes, size=count)):
            about = (name, z.tolist(), labels.tolist())
            each = cross_entropy(z, labels, reduction="none")
            assert_ulps(sr.cross_entropy(z, labels, reduction="none"), each.rows, BUDGET, about)
            assert_ulps(
                sr.cross_entropy_grad(z, labels, reduction="none"),
                flat(each.gradient),
                BUDGET,
                about,
            )
            for reduction in ("sum", "mean"):
                want = cross_entropy(z, labels, reduction=reduction)
                loss, gradient = sr.cross_entropy_value_and_grad(z, labels, reduction=reduction)
                # a sum of losses that were rounded to the grid of the subnormals is off by as much
                slack = 0.5 * count if abs(want.value) < 2.0**-1020 else 0
                assert_ulps([loss], [want.value], BUDGET + slack, (reduction, about))
                assert_ulps(gradient, flat(want.gradient), BUDGET, (reduction, about))


@pytest.mark.parametrize("name", EVERY_FAMILY)
def test_families_jacobian(name: str) -> None:
    for classes in (2, 5):
        for row in family(name, 3, classes):
            truth = oracle(row)
            assert_ulps(
                sr.softmax_jacobian(row),
                flat(truth.jacobian()),
                JACOBIAN_BUDGET,
                (name, row.tolist()),
            )
            assert_ulps(
                sr.log_softmax_jacobian(row),
                flat(truth.log_jacobian()),
                JACOBIAN_BUDGET,
                (name, row.tolist()),
            )


@pytest.mark.parametrize("name", EVERY_FAMILY)
def test_families_soft_targets(name: str) -> None:
    """Near the optimum (t = p) the gradient cancels: the bound is 8 u of what is subtracted."""
    for classes in (2, 7):
        z = family(name, 4, classes)
        rng = generator(f"targets {name} {classes}")
        targets = rng.dirichlet(np.ones(classes), size=4)
        targets[1] = sr.softmax(z[1])
        targets[2] *= 3.5
        targets[z == -math.inf] = 0
        for reduction in ("none", "sum", "mean"):
            want = soft_cross_entropy(z, targets, reduction=reduction)
            loss, gradient = sr.soft_cross_entropy_value_and_grad(z, targets, reduction=reduction)
            about = (name, reduction, z.tolist(), targets.tolist())
            bound = [8 * UNIT * s + 4 * mpf(2) ** -1074 for s in flat(want.scale)]
            assert_within(gradient, flat(want.gradient), bound, about)
            truth = want.rows if reduction == "none" else [want.value]
            if max(abs(v) for v in truth) < 1e308:
                limit = [8 * UNIT * abs(v) + 4 * classes * mpf(2) ** -1074 for v in truth]
                assert_within(loss, truth, limit, about)
            else:
                assert_ulps(loss, truth, 8, about)


@pytest.mark.parametrize("name", EVERY_FAMILY)
def test_families_vector_jacobian_product(name: str) -> None:
    """|error| <= 8 u p_i (|g_i| + Σ p |g|), also for cotangents with a large common part."""
    for classes in (2, 7):
        z = family(name, 4, classes)
        rng = generator(f"cotangents {name} {classes}")
        cotangents = rng.normal(size=(4, classes))
        cotangents[1] += 1e6
        cotangents[2] *= 10.0 ** rng.integers(-12, 12, classes)
        got = sr.softmax_vjp(z, cotangents)
        for row, g, result in zip(z, cotangents, got, strict=True):
            p = oracle(row).probabilities()
            with mpmath.workprec(4000):
                inner = mpmath.fdot(p, map(mpf, map(float, g)))
                size = mpmath.fdot(p, map(abs, map(float, g)))
                want = [a * (mpf(float(b)) - inner) for a, b in zip(p, g, strict=True)]
                bound = [
                    8 * UNIT * a * (abs(float(b)) + size)
                    + 4 * mpf(2) ** -1074 * (1 + abs(float(b)) + size)
                    for a, b in zip(p, g, strict=True)
                ]
            assert_within(result, want, bound, (name, row.tolist(), g.tolist()))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("classes", [6, 60, 200])
def test_vector_jacobian_product_with_a_common_part(classes: int, dtype: type) -> None:
    """J 1 = 0: a constant cotangent gives 0, a large common part costs no digits of the rest.

    The common part is a power of two on the grid of the rest, so that adding it is exact.
    """
    rng = generator("common part")
    z = rng.normal(size=(20, classes)).astype(dtype)
    rest = rng.integers(-(2**20), 2**20, size=(20, classes)) * 2.0**-20
    assert np.array_equal(sr.softmax_vjp(z, np.full_like(z, 3.7)), np.zeros_like(z))
    plain, shifted = sr.softmax_vjp(z, rest), sr.softmax_vjp(z, rest + 2.0**20)
    # components that cancel are compared with the size of what cancels
    scale = sr.softmax(z) * (abs(rest) + np.abs(rest).max(1, keepdims=True))
    assert np.all(abs(plain - shifted) <= 16 * UNIT * scale)
    z[range(20), rng.integers(0, classes, 20)] += 25.0  # what is common to all is taken there
    confident = sr.softmax_vjp(z, rest + 2.0**20)
    assert np.all(abs(confident.sum(axis=1)) <= 2.0**-44 * abs(confident).sum(axis=1))


# --------------------------------------------------------------------------------------------------
# Many classes, many rows.


@functools.cache
def _long_row(classes: int) -> np.ndarray:
    """Distinct values are few (200), so that the oracle is cheap; their order is random."""
    rng = generator(f"long row {classes}")
    return rng.choice(rng.normal(size=200) * 5, classes)


@pytest.mark.parametrize("classes", [1000, 100_000, 1_000_000])
@pytest.mark.parametrize("axis", [0, -1])
def test_many_classes(classes: int, axis: int) -> None:
    """No error grows with K, and not along axis 0 either, where NumPy's own sum is sequential."""
    row = _long_row(classes)
    z = np.stack([row, row[::-1]], axis=1 if axis == 0 else 0)
    truth = oracle(row)
    places = sorted({int(np.argmax(row)), int(np.argmin(row)), 0, 17, classes - 1})
    got = {
        name: np.moveaxis(function(z, axis=axis), axis, -1)
        for name, (function, _) in FORWARD.items()
        if name != "logsumexp"
    }
    for i in places:
        for line, place in ((0, i), (1, classes - 1 - i)):
            about = (classes, axis, i, line)
            assert_ulps([got["softmax"][line, place]], [truth.probability(i)], BUDGET, about)
            assert_ulps(
                [got["log_softmax"][line, place]], [truth.log_probability(i)], BUDGET, about
            )
            assert_ulps(
                [got["softmax_complement"][line, place]], [truth.complement(i)], BUDGET, about
            )
    assert_ulps(sr.logsumexp(z, axis=axis), [truth.logsumexp()] * 2, BUDGET, (classes, axis))
    # no component was forgotten: equal logits have equal results
    for values in got.values():
        for value in np.unique(row)[:5]:
            assert np.unique(values[0][row == value]).size == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("axis", [0, -1])
def test_many_classes_in_short_formats(dtype: type, axis: int) -> None:
    classes = 100_000
    row = _long_row(classes).astype(dtype)
    truth = oracle(row)
    z = np.stack([row, row], axis=1 if axis == 0 else 0)
    limit = HALF_PRECISIONS[np.dtype(dtype)]
    p = np.moveaxis(sr.softmax(z, axis=axis), axis, -1)
    log_p = np.moveaxis(sr.log_softmax(z, axis=axis), axis, -1)
    assert p.dtype == log_p.dtype == dtype
    for i in (0, 3, int(np.argmax(row)), classes - 1):
        assert_ulps([p[1, i]], [truth.probability(i)], limit, i, dtype)
        assert_ulps([log_p[1, i]], [truth.log_probability(i)], limit, i, dtype)
    assert_ulps(sr.logsumexp(z, axis=axis), [truth.logsumexp()] * 2, limit, "lse", dtype)


def test_subnormal_tail_of_many_classes() -> None:
    """A thousand others at e^-740: each is a subnormal, their sum and what depends on it is not."""
    rng = generator("tail")
    row = np.append(rng.choice(rng.uniform(-744, -735, 100), 1000), 0.0)
    truth = oracle(row)
    pivot = row.size - 1
    assert_ulps(sr.softmax(row), truth.probabilities(), BUDGET, "softmax")
    assert_ulps(
        [sr.softmax_complement(row)[pivot]], [truth.complement(pivot)], BUDGET, "complement"
    )
    assert_ulps([sr.log_softmax(row)[pivot]], [truth.log_probability(pivot)], BUDGET, "log_softmax")
    assert_ulps([sr.logsumexp(row)], [truth.logsumexp()], BUDGET, "logsumexp")
    loss, gradient = sr.cross_entropy_value_and_grad(row[None], [pivot])
    assert_ulps([loss], [-truth.log_probability(pivot)], BUDGET, "loss")
    assert_ulps([gradient[0, pivot]], [-truth.complement(pivot)], BUDGET, "gradient")


@pytest.mark.parametrize("name", ["uniform", "dominant 30-60", "offset 1e15", "subnormal tail"])
def test_mean_over_many_rows(name: str) -> None:
    """The mean of 2000 losses (of 20 rows, repeated) and its gradient are as good as one."""
    z = np.tile(family(name, 20, 6), (100, 1))
    labels = np.tile(z[:20].argmax(1), 100)
    want = cross_entropy(z[:20], labels[:20], reduction="mean")
    loss, gradient = sr.cross_entropy_value_and_grad(z, labels)
    assert_ulps([loss], [want.value], BUDGET, name)
    with mpmath.workprec(400):
        exact = [g / 100 for g in flat(want.gradient)]
    assert_ulps(gradient[:20], exact, BUDGET, name)
    assert np.array_equal(gradient[:20], gradient[-20:])


def test_mean_whose_sum_overflows() -> None:
    """Two losses of 1.7e308: their sum is infinite in float64, their mean is not."""
    z = np.array([[1.7e308, 0.0]] * 2)
    assert sr.cross_entropy(z, [1, 1], reduction="mean") == 1.7e308
    assert sr.cross_entropy(z, [1, 1], reduction="sum") == math.inf


# --------------------------------------------------------------------------------------------------
# hypothesis: rows of every kind.


@given(rows())
def test_any_row_forward(row: list[float]) -> None:
    truth = oracle(row)
    for name, (function, expected) in FORWARD.items():
        assert_ulps(function(np.array(row)), expected(truth), BUDGET, (name, row))


@given(rows(2, 6), st.data())
def test_any_row_loss_and_gradient(row: list[float], data: st.DataObject) -> None:
    label = data.draw(st.integers(0, len(row) - 1))
    want = cross_entropy([row], [label])
    loss, gradient = sr.cross_entropy_value_and_grad(np.array([row]), [label])
    assert_ulps([loss], [want.value], BUDGET, (row, label))
    assert_ulps(gradient, want.gradient[0], BUDGET, (row, label))


@given(rows(1, 5))
def test_any_row_jacobian(row: list[float]) -> None:
    truth = oracle(row)
    assert_ulps(sr.softmax_jacobian(np.array(row)), flat(truth.jacobian()), JACOBIAN_BUDGET, row)
    assert_ulps(
        sr.log_softmax_jacobian(np.array(row)), flat(truth.log_jacobian()), JACOBIAN_BUDGET, row
    )


# --------------------------------------------------------------------------------------------------
# logsumexp where the maximum and the logarithm of the sum cancel.


@pytest.mark.parametrize("name", LOGSUMEXP_CANCELS)
@pytest.mark.parametrize("shape", [(40, 2), (40, 3), (20, 10), (3, 1000)])
def test_logsumexp_of_log_probabilities(name: str, shape: tuple[int, int]) -> None:
    """Nearly 0 and still right in every digit, in a batch and alone."""
    z = family(name, *shape)
    got = sr.logsumexp(z)
    for i, row in enumerate(z):
        assert_ulps([got[i]], [oracle(row).logsumexp()], BUDGET, row.tolist()[:10])
        assert sr.logsumexp(row) == got[i]


@pytest.mark.core
def test_logsumexp_two_equal_logits_around_minus_log_two() -> None:
    """lse = ln 2 - a for z = (-a, -a): next to ln 2 only the rounding error of a is left."""
    for steps in (-3, -1, 0, 1, 3):
        a = math.log(2) + steps * 2.0**-53
        row = np.array([-a, -a])
        assert_ulps([sr.logsumexp(row)], [oracle(row).logsumexp()], BUDGET, steps)


# --------------------------------------------------------------------------------------------------
# float32 and float16: correctly rounded, up to double rounding.


def _as(name: str, rows_: int, classes: int, dtype: type) -> np.ndarray:
    """A family in a short format; what overflows there is cut to a large finite number."""
    limit = float(np.finfo(dtype).max)
    values = family(name, rows_, classes)
    finite = np.clip(values, -limit, limit)
    return np.where(np.isinf(values), values, finite).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", EVERY_FAMILY)
def test_families_in_short_formats(name: str, dtype: type) -> None:
    limit = HALF_PRECISIONS[np.dtype(dtype)]
    z = _as(name, 5, 6, dtype)
    labels = z.argmax(1)
    for function_name, (function, expected) in FORWARD.items():
        got = function(z)
        assert got.dtype == dtype, function_name
        for i, row in enumerate(z):
            assert_ulps(got[i], expected(oracle(row)), limit, (function_name, row.tolist()), dtype)
    for reduction in ("none", "sum", "mean"):
        want = cross_entropy(z, labels, reduction=reduction)
        loss, gradient = sr.cross_entropy_value_and_grad(z, labels, reduction=reduction)
        assert loss.dtype == gradient.dtype == dtype
        truth = want.rows if reduction == "none" else [want.value]
        assert_ulps(loss, truth, limit, (reduction, z.tolist()), dtype)
        assert_ulps(gradient, flat(want.gradient), limit, (reduction, z.tolist()), dtype)
    jacobian = sr.softmax_jacobian(z)
    assert jacobian.dtype == dtype
    for i, row in enumerate(z):
        # 6 ULP in float64 before the rounding instead of 3
        assert_ulps(jacobian[i], flat(oracle(row).jacobian()), 2 * limit - 0.5, row.tolist(), dtype)


@pytest.mark.parametrize("gap", [8.0, 16.0, 20.0, 22.0, 23.0, 24.0, 24.5, 25.0, 30.0])
def test_confident_rows_of_many_classes_in_a_short_format(gap: float) -> None:
    """Where the sum is a plain one, and S - e has few of its digits: 2⁻⁴⁴ of it are promised."""
    z = generator(f"confident, short {gap}").normal(0, 1, (8, 60)).astype(np.float32)
    z[:, 7] = gap
    want = cross_entropy(z, [7] * 8, reduction="none")
    loss, gradient = sr.cross_entropy_value_and_grad(z, [7] * 8, reduction="none")
    limit = 0.5 + 2.0**-20
    assert_ulps(loss, want.rows, limit, gap, np.float32)
    assert_ulps(gradient, flat(want.gradient), limit, gap, np.float32)
    log_p, q = sr.log_softmax(z), sr.softmax_complement(z)
    for i, row in enumerate(z):
        assert_ulps(log_p[i], oracle(row).log_probabilities(), limit, gap, np.float32)
        assert_ulps(q[i], oracle(row).complements(), limit, gap, np.float32)


@given(rows(), st.sampled_from([np.float32, np.float16]))
def test_short_formats_any_row(row: list[float], dtype: type) -> None:
    limit = float(np.finfo(dtype).max)
    short = np.array([v if v == -math.inf else min(max(v, -limit), limit) for v in row]).astype(
        dtype
    )
    truth = oracle(short)
    for name, (function, expected) in FORWARD.items():
        got = np.asarray(function(short))
        assert got.dtype == dtype
        assert_ulps(got, expected(truth), HALF_PRECISIONS[np.dtype(dtype)], (name, row), dtype)


def test_the_budget_can_be_exceeded() -> None:
    """The yardstick measures: the shifted textbook formulas exceed the budget where they should."""
    row = np.array([0.0, 40.0])
    e = np.exp(row - row.max())
    p = e / e.sum()
    assert ulps(1 - p[1], oracle(row).complement(1)) > 2**50
    assert ulps(np.log(p)[1], oracle(row).log_probability(1)) > 2**50
    wide = np.array([-349.9, 349.7])
    assert ulps(np.exp(wide[0] - wide[1]), oracle(wide).probability(0)) > 20
