"""The formulas that are kept to be broken: right on ordinary rows, wrong exactly where they say so.

And the thresholds at which floating point ends, recomputed from mpmath.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from generators import generator
from mpmath import mpf
from oracles import oracle

from softmax_ref import limits, textbook

# --------------------------------------------------------------------------------------------------
# Right on ordinary rows.


def _rows(function: Callable, row: list[float]) -> list[mpf]:
    return [getattr(oracle(row), function)(i) for i in range(len(row))]


SAME_SHAPE = {
    "softmax": "probability",
    "softmax_shifted": "probability",
    "softmax_from_logsumexp": "probability",
    "log_softmax_two_step": "log_probability",
    "log_softmax_shifted": "log_probability",
    "log_softmax_from_logsumexp": "log_probability",
}


@pytest.mark.parametrize("name", SAME_SHAPE)
def test_rowwise_formulas_on_ordinary_rows(name: str) -> None:
    """On N(0, 1) logits every formula is good to 1e-13 (some hundreds of u: they differ later)."""
    z = generator("textbook").normal(size=(4, 3, 5))
    got = getattr(textbook, name)(z)
    assert got.shape == z.shape
    for index in np.ndindex(4, 3):
        want = [float(v) for v in _rows(SAME_SHAPE[name], z[index].tolist())]
        np.testing.assert_allclose(got[index], want, rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", ["logsumexp_naive", "logsumexp_shifted"])
def test_logsumexp_formulas_on_ordinary_rows(name: str) -> None:
    z = generator("textbook lse").normal(size=(4, 5)) + 3
    want = [float(oracle(row).logsumexp()) for row in z]
    np.testing.assert_allclose(getattr(textbook, name)(z), want, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    "name", ["cross_entropy_two_step", "cross_entropy_floored", "cross_entropy_from_logsumexp"]
)
def test_loss_formulas_on_ordinary_rows(name: str) -> None:
    z = generator("textbook loss").normal(size=(2, 4, 5))
    labels = np.arange(8).reshape(2, 4) % 5
    got = getattr(textbook, name)(z, labels)
    assert got.shape == (2, 4)
    for index in np.ndindex(2, 4):
        want = float(-oracle(z[index]).log_probability(int(labels[index])))
        assert got[index] == pytest.approx(want, rel=1e-13, abs=0)
    one_hot = textbook.one_hot(labels, 5)
    assert one_hot.shape == (2, 4, 5) and np.array_equal(one_hot.argmax(-1), labels)
    assert np.array_equal(np.unique(one_hot), [0, 1]) and np.all(one_hot.sum(-1) == 1)
    np.testing.assert_allclose(textbook.cross_entropy_one_hot(z, one_hot), got, rtol=1e-13)


@pytest.mark.parametrize("name", ["fused_gradient", "two_step_gradient"])
def test_gradient_formulas_on_ordinary_rows(name: str) -> None:
    z = generator("textbook gradient").normal(size=(4, 5))
    labels = np.array([0, 4, 2, 2])
    got = getattr(textbook, name)(z, labels)
    for row, label, gradient in zip(z, labels, got, strict=True):
        p = [float(v) for v in oracle(row).probabilities()]
        p[label] -= 1
        np.testing.assert_allclose(gradient, p, rtol=1e-13, atol=1e-16)


def test_backward_formulas() -> None:
    rng = generator("bottom diff")
    z = rng.normal(size=(4, 5))
    p, g = textbook.softmax(z), rng.normal(size=(4, 5))
    jacobian = textbook.jacobian(p)
    assert jacobian.shape == (4, 5, 5)
    want = np.einsum("nij,nj->ni", jacobian, g)
    np.testing.assert_allclose(textbook.bottom_diff_batch(g, p), want, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(
        textbook.bottom_diff_row(g[0], p[0]), want[0], rtol=1e-12, atol=1e-16
    )


# --------------------------------------------------------------------------------------------------
# Wrong where they say so.


def test_naive_softmax_overflows_and_underflows() -> None:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        assert np.all(np.isnan(textbook.softmax([710.0, 710.0])))
        assert np.all(np.isnan(textbook.softmax([-746.0, -746.0])))
        assert np.array_equal(textbook.softmax([709.5, 709.5]), [0.0, 0.0])
        assert textbook.logsumexp_naive([710.0, 0.0]) == math.inf
        assert textbook.logsumexp_naive([-746.0, -746.0]) == -math.inf


def test_the_shift_repairs_the_overflow_but_not_the_confident_row() -> None:
    z = np.array([0.0, 40.0])
    assert textbook.logsumexp_shifted([0.0, -40.0]) == 0
    assert textbook.log_softmax_shifted(z)[1] == 0
    assert textbook.cross_entropy_two_step(z, 1) == 0
    assert textbook.cross_entropy_from_logsumexp(z, 1) == 0
    assert np.array_equal(textbook.fused_gradient(z, 1) == 0, [False, True])
    assert np.array_equal(textbook.softmax_shifted([710.0, 710.0]), [0.5, 0.5])


def test_log_of_softmax_is_minus_infinity_where_the_logarithm_is_not() -> None:
    with np.errstate(divide="ignore"):
        assert textbook.log_softmax_two_step([0.0, -746.0])[1] == -math.inf
    assert textbook.log_softmax_shifted([0.0, -746.0])[1] == -746


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_floor_is_a_plateau_in_every_format(dtype: type) -> None:
    """-log FLT_MIN = 87.3365, however wrong the row is."""
    plateau = float(-mpmath.log(mpf(2) ** -126))
    for gap in (90.0, 150.0, 1000.0):
        z = np.array([[0.0, gap]], dtype)
        assert float(textbook.cross_entropy_floored(z, [0])[0]) == pytest.approx(plateau, rel=1e-6)


@pytest.mark.parametrize(("gap", "found"), [(745.0, np.isinf), (750.0, np.isnan)])
def test_the_two_step_gradient_is_not_finite_where_the_fused_one_is_right(gap, found) -> None:
    """1/p_y overflows for a subnormal p_y; for p_y = 0 it is infinite and 0 · inf follows."""
    z = np.array([0.0, gap])
    with np.errstate(all="ignore"):
        assert np.any(found(textbook.two_step_gradient(z, 0)))
    np.testing.assert_array_equal(textbook.fused_gradient(z, 0), [-1.0, 1.0])


def test_subtracting_from_logsumexp_cancels_at_the_size_of_the_logits() -> None:
    z = np.full(2, 1e8, np.float32)
    assert textbook.cross_entropy_from_logsumexp(z, 0) == 0
    assert textbook.cross_entropy_two_step(z, 0) == pytest.approx(math.log(2), rel=1e-6)


def test_one_hot_loss_is_nan_where_a_probability_underflows() -> None:
    with np.errstate(all="ignore"):
        assert np.isnan(textbook.cross_entropy_one_hot([0.0, -800.0], [1.0, 0.0]))


def test_the_printed_backward_pass_mixes_the_rows_of_a_square_batch() -> None:
    rng = generator("square")
    z, g = rng.normal(size=(2, 4, 4))
    p = textbook.softmax(z)
    assert not np.allclose(textbook.bottom_diff_row(g, p), textbook.bottom_diff_batch(g, p))
    with pytest.raises(ValueError, match=r"aligned|shape|dimension"):
        textbook.bottom_diff_row(g[:3], p[:3])


# --------------------------------------------------------------------------------------------------
# Limits, from first principles: round e^x in mpmath to the format.

FORMATS = {"float16": (11, 15), "bfloat16": (8, 127), "float32": (24, 127), "float64": (53, 1023)}


class Rounding:
    """Round a positive real to a format: the format's own numbers, made from bits and exponents."""

    def __init__(self, name: str) -> None:
        self.bits, self.greatest = FORMATS[name]
        self.least = 2 - self.greatest - self.bits  # exponent of the least subnormal

    def spacing(self, x: mpf) -> mpf:
        exponent = mpmath.frexp(x)[1] - self.bits if x else self.least
        return mpf(2) ** max(exponent, self.least)

    def __call__(self, x: mpf) -> mpf:
        step = self.spacing(x)
        rounded = mpmath.nint(x / step) * step  # nint: ties to even
        return mpf("inf") if rounded >= mpf(2) ** (self.greatest + 1) else rounded

    def next(self, x: mpf) -> mpf:
        """The neighbour of x farther from 0."""
        return x + mpmath.sign(x) * self.spacing(abs(x))

    def holds(self, x: float) -> bool:
        return self(abs(mpf(x))) == abs(mpf(x))


def _is_the_last(name: str, x: float, condition: Callable[[Rounding, mpf], bool]) -> None:
    """x is a number of the format, satisfies the condition, and its outer neighbour does not."""
    rounding = Rounding(name)
    with mpmath.workprec(300):
        assert rounding.holds(x), f"{x!r} is no {name}"
        assert condition(rounding, mpf(x)), x
        assert not condition(rounding, rounding.next(mpf(x))), x


@pytest.mark.parametrize("name", FORMATS)
def test_thresholds_are_the_last_numbers_of_their_kind(name: str) -> None:
    smallest_normal = mpf(2) ** (1 - FORMATS[name][1])
    _is_the_last(name, limits.exp_overflow(name), lambda r, x: r(mpmath.exp(x)) < mpf("inf"))
    _is_the_last(name, limits.exp_underflow(name), lambda r, x: r(mpmath.exp(x)) > 0)
    _is_the_last(name, limits.exp_subnormal(name), lambda r, x: r(mpmath.exp(x)) >= smallest_normal)
    _is_the_last(
        name,
        limits.reciprocal_exp_overflow(name),
        lambda r, x: r(1 / r(mpmath.exp(x))) < mpf("inf"),
    )
    _is_the_last(name, limits.absorption_gap(name), lambda r, x: r(1 + r(mpmath.exp(-x))) != 1)


@pytest.mark.parametrize(
    ("name", "overflow", "subnormal", "underflow", "gap"),
    [
        ("float64", 709.782712893384, -708.3964185, -745.1332191, 36.7368),
        ("float32", 88.72283, -87.33654475, -103.9720771, 16.6355),
        ("float16", 11.086, -9.704060528, -17.32867951, 7.6246),
        ("bfloat16", 88.719, -87.33654475, -92.8817222, 5.5452),
    ],
)
def test_thresholds_are_the_known_ones(
    name: str, overflow: float, subnormal: float, underflow: float, gap: float
) -> None:
    """The real thresholds, cut to the format: at most one spacing closer to 0."""
    step = 2.0 ** -FORMATS[name][0] * 2  # relative spacing
    for got, known in (
        (limits.exp_overflow(name), overflow),
        (limits.exp_subnormal(name), subnormal),
        (limits.exp_underflow(name), underflow),
        (limits.absorption_gap(name), gap),
    ):
        assert abs(got) <= abs(known) * (1 + 1e-5)
        assert abs(got) >= abs(known) * (1 - step - 1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_formats_agree_with_numpy(dtype: type) -> None:
    found, info = limits.format_of(dtype), np.finfo(dtype)
    assert found is limits.FORMATS[np.dtype(dtype).name]
    assert found.largest == info.max
    assert found.smallest_normal == info.smallest_normal
    assert found.smallest_subnormal == info.smallest_subnormal
    assert 2 * found.unit_roundoff == info.eps


def test_formats_are_found_by_dtype_and_by_name() -> None:
    for function in (
        limits.exp_overflow,
        limits.exp_underflow,
        limits.exp_subnormal,
        limits.reciprocal_exp_overflow,
        limits.absorption_gap,
    ):
        assert function(np.float32) == function("float32") == function(np.dtype(np.float32))
        for bad in (np.int32, "complex64", object):
            with pytest.raises(TypeError, match="dtype"):
                function(bad)


def test_formats_round_like_numpy() -> None:
    from fractions import Fraction

    rng = generator("rounding")
    for dtype in (np.float16, np.float32):
        form = limits.format_of(dtype)
        values = np.concatenate(
            [10.0 ** rng.uniform(-8, 4, 200), [0.0, 1.0, 65519.9, 65504.0, 3e-8]]
        )
        for value in values:
            rounded = form.round(Fraction(float(value)))
            with np.errstate(over="ignore"):
                want = float(dtype(value))
            assert (math.inf if rounded is None else float(rounded)) == want, value


def test_thresholds_on_this_machine() -> None:
    """NumPy's exp agrees about overflow and underflow in float64 (its errors are below 1 ULP)."""
    last = limits.exp_overflow(np.float64)
    with np.errstate(over="ignore"):
        assert np.exp(last) < math.inf == np.exp(np.nextafter(last, math.inf))
    gap = limits.absorption_gap(np.float64)
    assert 1 + np.exp(-gap) != 1 and 1 + np.exp(-gap - 1e-6) == 1
