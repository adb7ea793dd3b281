"""Bugs met in other libraries or here, one test each: none of them may ever be met again.

The name of a test says what went wrong; the docstring says where it was reported.
"""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from generators import generator
from oracles import assert_ulps, cross_entropy, oracle

import softmax_ref as sr

LOG_2 = math.log(2)


@pytest.mark.core
def test_log_softmax_of_the_maximum_is_not_zero() -> None:
    """scipy#19521, pytorch#195678: log(1 + s) absorbs s."""
    got = sr.log_softmax([0.0, -40.0, -41.0])[0]
    assert_ulps([got], [oracle([0.0, -40.0, -41.0]).log_probability(0)], 3, "log_softmax")
    assert got < 0


@pytest.mark.core
def test_logsumexp_of_0_and_minus_40_is_not_zero() -> None:
    """scipy#18295, jax#1205."""
    assert sr.logsumexp([0.0, -40.0]) == pytest.approx(4.248354255291589e-18, rel=4e-16, abs=0)


@pytest.mark.core
def test_logsumexp_of_log_probabilities_is_not_noise() -> None:
    """The self-check logsumexp(log_softmax(z)) == 0 gives noise everywhere; here it is a result."""
    log_p = sr.log_softmax(generator("self-check").normal(size=(30, 10)))
    for row, value in zip(log_p, sr.logsumexp(log_p), strict=True):
        assert_ulps([value], [oracle(row).logsumexp()], 3, row.tolist())


@pytest.mark.core
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_equal_logits_cost_log_2(dtype: type) -> None:
    """pytorch#11752, #38839, mlx#4169, #4188: lse - z_y is rounded at the size of the logits."""
    for value in (1e4, 1e6, 1e8, -1e8, 1e16, 1e30):
        loss = sr.cross_entropy(np.full((1, 2), value, dtype), [0])
        exact = -oracle([0.0, 0.0]).log_probability(0)
        assert_ulps([loss], [exact], 3, value, dtype)
        assert_ulps(sr.log_softmax(np.full(2, value, dtype)), [-exact] * 2, 3, value, dtype)


@pytest.mark.core
@pytest.mark.parametrize(
    ("dtype", "row"),
    [
        (np.int8, [127, -128]),
        (np.uint8, [0, 255]),
        (np.int16, [32767, -32768]),
        (np.int64, [2**62, -(2**62)]),
    ],
)
def test_integers_do_not_wrap_around_in_the_shift(dtype: type, row: list[int]) -> None:
    """softmax(int8 [127, -128]) is (1, 1.8e-111), not (0.27, 0.73)."""
    assert_ulps(sr.softmax(np.array(row, dtype)), oracle(row).probabilities(), 3, row)
    assert sr.softmax(np.array(row, dtype)).dtype == np.float64
    assert_ulps(sr.log_softmax(np.array(row, dtype)), oracle(row).log_probabilities(), 3, row)


@pytest.mark.core
@pytest.mark.parametrize("axis", [0, -1])
def test_float16_with_70_000_classes(axis: int) -> None:
    """jax#40409, candle#3727: the sum of 70 000 ones is infinite in float16."""
    z = np.zeros((70_000, 2) if axis == 0 else (2, 70_000), np.float16)
    p = sr.softmax(z, axis=axis)
    assert p.dtype == np.float16 and np.all(p == np.float16(1 / 70_000)) and np.all(p > 0)
    assert np.all(sr.logsumexp(z, axis=axis) == np.float16(math.log(70_000)))
    assert np.all(sr.log_softmax(z, axis=axis) == -np.float16(math.log(70_000)))
    gradient = sr.cross_entropy_grad(z, [0, 1], axis=axis)
    assert np.all(np.isfinite(gradient)) and gradient.min() == np.float16(-0.5 * (1 - 1 / 70_000))


@pytest.mark.core
@pytest.mark.parametrize("rows", [30_000, 100_000])
def test_float16_mean_over_many_rows(rows: int) -> None:
    """pytorch#85791, #29429, #61523: the sum of the losses is infinite, the mean NaN."""
    z = np.zeros((rows, 10), np.float16)
    labels = np.zeros(rows, int)
    assert sr.cross_entropy(z, labels) == np.float16(math.log(10))
    # the sum has no float16 value; the gradient of the mean has: a subnormal one
    assert sr.cross_entropy(z, labels, reduction="sum") == math.inf
    gradient = sr.cross_entropy_grad(z, labels)
    assert gradient[0, 1] == np.float16(0.1 / rows) > 0


@pytest.mark.core
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classes_on_axis_0_are_summed_as_well_as_on_the_last(dtype: type) -> None:
    """A sequential sum of 10⁵ terms costs 73 ULP and more; the transposed call must not."""
    rng = generator("axis 0")
    z = rng.choice(rng.normal(size=50), (2, 100_000)).astype(dtype)
    assert np.array_equal(sr.softmax(z.T, axis=0).T, sr.softmax(z))
    assert np.array_equal(sr.logsumexp(z.T, axis=0), sr.logsumexp(z))
    truth = oracle(z[0])
    p = sr.softmax(z.T, axis=0)[:, 0]
    for i in (0, 99_999):
        assert_ulps([p[i]], [truth.probability(i)], 3, i, dtype)


@pytest.mark.core
def test_probabilities_sum_to_one_in_every_format_on_long_axes() -> None:
    """pytorch#143644, candle#3727: rows summing to 0.7 or 2. Rounding K of them costs K u p."""
    z = generator("long rows").normal(size=(2, 30_000))
    for dtype, unit in ((np.float64, 2.0**-53), (np.float32, 2.0**-24), (np.float16, 2.0**-11)):
        p = sr.softmax(z.astype(dtype)).astype(np.float64)
        least = float(np.finfo(dtype).smallest_subnormal)
        assert np.all(abs(p.sum(axis=1) - 1) <= 4 * unit + 30_000 * least / 2)


@pytest.mark.core
def test_gradient_of_a_confident_row_sums_to_zero() -> None:
    """pytorch#195680, jax#40384, tensorflow#126634: the label component alone vanishes."""
    for gap in (17.0, 30.0, 40.0, 300.0):
        for dtype in (np.float64, np.float32):
            if dtype is np.float32 and gap > 80:
                continue  # subnormal in float32: no relative accuracy to be had
            g = sr.cross_entropy_grad(np.array([[gap, 0.0]], dtype), [0])[0]
            assert g[0] == -g[1] != 0


@pytest.mark.core
def test_two_classes_agree_with_the_binary_loss_on_both_sides() -> None:
    """pytorch#195677, #195529, #103316, scikit-learn#28046: BCE lost the loss at ±40."""
    for x in (-40.0, 40.0, 232.9, -232.9, 37.0):
        z = np.array([[0.0, x]])
        for label in (0, 1):
            signed = x if label else -x
            loss, g = sr.cross_entropy_value_and_grad(z, [label])
            want = (
                math.log1p(math.exp(-signed))
                if signed > 0
                else -signed + math.log1p(math.exp(signed))
            )
            assert loss == pytest.approx(want, rel=1e-15, abs=0)
            tail = (
                math.exp(-signed) / (1 + math.exp(-signed))
                if signed > 0
                else 1 / (1 + math.exp(signed))
            )
            sign = -1 if label else 1
            # the sign is compared, and no absolute tolerance hides it
            assert g[0, 1] == pytest.approx(sign * tail, rel=1e-15, abs=0)


@pytest.mark.core
def test_large_losses_are_linear_and_never_floored() -> None:
    """Caffe's plateau at 87.3365 (BVLC/caffe#399), keras#17634: clipping hides the error."""
    for gap in (90.0, 104.0, 745.0, 800.0, 1e6, 1e300):
        for dtype in (np.float64, np.float32):
            if gap < float(np.finfo(dtype).max):
                loss, g = sr.cross_entropy_value_and_grad(np.array([[gap, 0.0]], dtype), [1])
                assert loss == dtype(gap) and np.array_equal(g, [[1.0, -1.0]])


@pytest.mark.core
def test_masks_in_forward_and_backward() -> None:
    """optax#896, #1762, jax#23842, #16208, flashinfer#4401: a masked class gives NaN somewhere."""
    z = np.array([[-math.inf, 0.0, 1.0], [3.0, -math.inf, -math.inf]])
    for dtype in (np.float64, np.float32, np.float16):
        x = z.astype(dtype)
        for values in (
            sr.softmax(x),
            sr.softmax_jacobian(x),
            sr.softmax_vjp(x, np.ones_like(x)),
            sr.log_softmax_jacobian(x),
            sr.cross_entropy_grad(x, [1, 0]),
            sr.soft_cross_entropy_grad(x, [[0, 0.5, 0.5], [1, 0, 0]]),
        ):
            assert np.all(np.isfinite(values))
        assert np.array_equal(sr.log_softmax(x) == -math.inf, x == -math.inf)
        assert np.isfinite(sr.soft_cross_entropy(x, [[0, 0.5, 0.5], [1, 0, 0]]))


@pytest.mark.core
def test_a_finite_sentinel_is_a_logit_like_any_other() -> None:
    """flashinfer#4450: -5e4 is no mask; logits below it still win."""
    p = sr.softmax([-5e4, -6e4, -7e4])
    assert np.array_equal(p, [1.0, 0.0, 0.0])
    assert np.array_equal(sr.softmax([-1e300, -1e300]), [0.5, 0.5])


@pytest.mark.core
def test_logsumexp_of_minus_infinities_is_minus_infinity() -> None:
    """tensorflow#11692, jax#1624, #6811, numpy#2714: NaN, or a warning."""
    for count in (1, 2, 5):
        assert sr.logsumexp(np.full(count, -math.inf)) == -math.inf


@pytest.mark.core
def test_empty_arrays() -> None:
    """scipy#20399, jax#7643: an error."""
    assert sr.logsumexp([]) == -math.inf
    assert sr.softmax([]).shape == (0,) and sr.log_softmax(np.empty((3, 0))).shape == (3, 0)


@pytest.mark.core
def test_smoothing_skips_ignored_rows() -> None:
    """pytorch#73205: label smoothing counted the ignored rows."""
    z = generator("smoothing ignored").normal(size=(4, 3))
    kept = [0, 2]
    got = sr.cross_entropy(z, [1, -100, 2, -100], ignore_index=-100, label_smoothing=0.1)
    assert got == pytest.approx(sr.cross_entropy(z[kept], [1, 2], label_smoothing=0.1), rel=1e-15)


@pytest.mark.core
def test_weight_smoothing_and_ignore_index_together() -> None:
    """pytorch#69339, #91383, #72056: index -100 is out of bounds of the weights."""
    z = generator("all three").normal(size=(3, 3))
    loss, g = sr.cross_entropy_value_and_grad(
        z, [0, -100, 2], weight=[1, 2, 3], ignore_index=-100, label_smoothing=0.1
    )
    assert math.isfinite(loss) and np.all(g[1] == 0) and np.all(np.isfinite(g))


@pytest.mark.core
@pytest.mark.parametrize("size", [2, 3, 7])
def test_square_input_is_never_taken_along_the_wrong_axis(size: int) -> None:
    """pytorch#37399, #49841: an implicit axis; N = K hides it."""
    z = generator(f"square {size}").normal(size=(size, size)) * 3
    np.testing.assert_allclose(sr.softmax(z).sum(axis=1), 1, rtol=1e-15)
    assert not np.allclose(sr.softmax(z).sum(axis=0), 1)
    labels = np.arange(size)[::-1].copy()
    g = sr.cross_entropy_grad(z, labels, reduction="sum")
    for i in range(size):
        assert g[i, labels[i]] < 0
        assert_ulps(
            sr.cross_entropy(z[i], labels[i]), [-oracle(z[i]).log_probability(labels[i])], 3, z
        )
    cube = generator("cube").normal(size=(3, 3, 3))
    assert np.array_equal(sr.softmax(cube)[1, 2], sr.softmax(cube[1, 2]))


@pytest.mark.core
def test_targets_with_shape_of_labels_are_not_guessed() -> None:
    """pytorch#107680: hard or soft is the caller's word, not a matter of shape or dtype."""
    z = np.zeros((2, 2))
    with pytest.raises((ValueError, TypeError), match="labels"):
        sr.cross_entropy(z, np.array([[1, 0], [0, 1]]))
    with pytest.raises(ValueError, match="targets"):
        sr.soft_cross_entropy(z, np.array([1, 0]))


@pytest.mark.core
def test_rows_without_a_target_do_not_move() -> None:
    """tensorflow#60314, #2327: gradient p instead of T p - t = 0."""
    z = generator("no target").normal(size=(2, 4))
    loss, g = sr.soft_cross_entropy_value_and_grad(z, np.zeros((2, 4)))
    assert loss == 0 and np.all(g == 0)


@pytest.mark.core
def test_all_equal_logits_have_the_gradient_of_a_fair_coin() -> None:
    """jax#13529: noise."""
    for count in (2, 4, 8, 64):
        for dtype in (np.float64, np.float32, np.float16):
            g = sr.cross_entropy_grad(np.full((1, count), 3.3, dtype), [0])[0]
            assert g[0] == -(1 - 1 / count) and np.all(g[1:] == 1 / count)


@pytest.mark.core
def test_subnormal_probabilities_are_kept() -> None:
    """XLA flushes them to zero."""
    for dtype, gap in ((np.float64, 720.0), (np.float32, 95.0), (np.float16, 14.0)):
        z = np.array([0.0, gap], dtype)
        assert 0 < sr.softmax(z)[0] < np.finfo(dtype).smallest_normal


@pytest.mark.core
def test_weights_of_zero_logits_ties_and_signs_in_logsumexp() -> None:
    """scipy#22903: the accuracy fix broke rows in which the maximum is tied or negative."""
    assert sr.logsumexp([-1000.0, -1000.0]) == pytest.approx(-1000 + LOG_2, rel=2e-16)
    assert sr.logsumexp([5.0] * 4) == pytest.approx(5 + 2 * LOG_2, rel=4e-16)
    assert sr.logsumexp([0.0, -0.0]) == pytest.approx(LOG_2, rel=2e-16)


@pytest.mark.core
def test_log_softmax_is_not_taken_twice() -> None:
    """Lightning-bolts#654: softmax of softmax is another thing; log_softmax twice is not.

    Idempotent as far as rounding the log-probabilities allows: 2 · (largest |log p|) · u.
    """
    log_p = sr.log_softmax(generator("twice").normal(size=(5, 6)) * 3)
    again = sr.log_softmax(log_p)
    assert np.all(
        abs(again - log_p) <= 2 * abs(log_p).max() * 2.0**-53 + 6 * np.spacing(abs(log_p))
    )


@pytest.mark.core
def test_huge_temperature_does_not_contract_into_nan() -> None:
    """SlopDotCash/asi#2886: x - max was not 0 at the maximum once |x| passed 2³¹."""
    for scale in (2.0**31, 2.0**62, 1e300):
        z = np.array([1.0, 0.5, -1.0]) * scale
        assert np.array_equal(sr.softmax(z), [1.0, 0.0, 0.0])
        assert sr.log_softmax(z)[0] == 0 and np.all(np.isfinite(sr.log_softmax(z)))


# --- found by attacking the package ---------------------------------------------------------------


def test_ties_among_very_many_classes() -> None:
    """A row of 400 000 classes counts as confident too early if the limit grows with K²."""
    z = np.full((1, 400_000), -np.inf)
    z[0, :2] = 0.0
    assert sr.logsumexp(z)[0] == math.log(2)
    assert sr.cross_entropy(z, [0]) == math.log(2)
    np.testing.assert_array_equal(sr.log_softmax(z)[0, :2], -math.log(2))


@pytest.mark.parametrize("classes", [100, 1000, 50_000, 100_001])
def test_logsumexp_of_a_sum_far_below_one(classes: int) -> None:
    """m and log K cancel in part, but Σ - 1 is no measure of a Σ near 0."""
    m = -1.95 * math.log(classes)
    with mpmath.workdps(30):
        exact = mpmath.mpf(m) + mpmath.log(classes)
    assert_ulps([sr.logsumexp(np.full(classes, m))], [exact], 3.0, classes)


def test_logsumexp_of_very_many_log_probabilities() -> None:
    """Close to 0 the rounding of 700 000 terms counts."""
    z = sr.log_softmax(np.random.default_rng(0).normal(size=100_000))
    exact = sr.exact.logsumexp(z.tolist())
    assert abs(sr.logsumexp(z) - exact) <= 3 * math.ulp(exact)


@pytest.mark.parametrize("form", ["alone", "in a batch", "on axis 0", "in groups"])
def test_logsumexp_of_which_115_bits_are_not_enough(form: str) -> None:
    """Σ exp(z) is 1 to 44 digits: only `exact` knows what is left, and it takes plain numbers."""
    row = [-0.6931471805599453, -0.6931471805599454, -37.97082430516641, -70.98144524731612]
    z, axis = np.array(row), -1
    if form == "in a batch":
        z = np.stack([np.zeros(4), z, z])
    elif form == "on axis 0":
        z, axis = np.tile(z, (3, 1)).T, 0
    elif form == "in groups":  # of which no view is a row
        z, axis = np.full((400, 60), -np.inf)[:, :50], None
        z[0, :4] = row
    assert_ulps([np.ravel(sr.logsumexp(z, axis=axis))[-1]], [oracle(row, 400).logsumexp()], 3, row)


@pytest.mark.parametrize("z, classes", [(-4.815271265270744, 186), (-4.124308408243336, 87)])
def test_logsumexp_of_a_sum_of_three_halves(z: float, classes: int) -> None:
    """Here exp errs by nearly the most (with AVX-512), and log S is so small that it counts."""
    with mpmath.workdps(30):
        exact = mpmath.mpf(z) + mpmath.log(classes)
    assert_ulps([sr.logsumexp(np.full(classes, z))], [exact], 3.0, classes)


def test_logsumexp_of_a_long_row_with_a_sum_of_a_third() -> None:
    """Between the rows of which log S will do and those near 0."""
    z = np.full(60_000, -600.0)
    z[:3] = -2.1
    with mpmath.workdps(30):
        exact = mpmath.mpf(z[0].item()) + mpmath.log(3)
    assert_ulps([sr.logsumexp(z)], [exact], 3.0, "three of 60000 classes")


def test_a_row_alone_and_in_a_batch() -> None:
    """S - top is rounded where S > 2·top; the rounding has to be kept."""
    row = np.array([0.06872920509825783, 0.2076172022635756, 0.20490533056392526])
    np.testing.assert_array_equal(sr.log_softmax(np.tile(row, (5, 1)))[3], sr.log_softmax(row))


def test_weights_of_any_size() -> None:
    """Weights times exponentials overflow, weights times probabilities do not."""
    p = 1 / (1 + math.e)
    for z, w in (([500.0, 499.0], 1e100), ([-500.0, -501.0], 1e-150)):
        gradient = sr.cross_entropy_grad([z], [0], weight=[w, 1.0], reduction="sum")
        np.testing.assert_allclose(gradient, [[-w * p, w * p]], rtol=1e-15)
    loss = math.log1p(math.e)
    for w, count in (([1e308, 1.0], 10), ([1.7e308, 1.7e308], 2)):  # 5 ULP with weights
        got = sr.cross_entropy([[1.0, 2.0]] * count, [0] * count, weight=w)
        assert abs(got - loss) <= 5 * math.ulp(loss)


@pytest.mark.parametrize(
    ("z", "labels", "weight"),
    [
        ([[0.0, 0.0]], [1], [1e300, 1e-290]),
        ([[0.0, 0.0]], [1], [1e300, 1e-280]),
        ([[600.0, 0.0]], [0], [1e-100, 1e-100]),
        ([[40.0, 0.0]], [0], [1e-300, 1e-300]),
        ([[0.0, 0.0]], [0], [5e-324, 5e-324]),
        ([[0.0, 1.0], [3.0, 0.0]], [0, 1], [1e-310, 2e-310]),
        ([[1.7e308, 0.0]], [1], [1e-50, 1e-50]),
        ([[1.7e308, 0.0], [0.0, 0.0]], [1, 0], [1e-50, 1e-50]),
        ([[1000.0, 0.0], [1e300, 0.0]], [0, 1], [1e308, 1e-10]),
    ],
)
def test_weights_of_any_size_in_a_mean(
    z: list[list[float]], labels: list[int], weight: list[float]
) -> None:
    """Neither their sum nor their products with the losses over- or underflow."""
    want = cross_entropy(z, labels, weight=weight)
    assert_ulps([sr.cross_entropy(z, labels, weight=weight)], [want.value], 4.0, (z, weight))
    gradient = sr.cross_entropy_grad(z, labels, weight=weight)
    assert_ulps(gradient, [g for row in want.gradient for g in row], 5.0, (z, weight))


def test_an_unused_weight_that_smoothing_needs() -> None:
    """Scaled with those in use it overflowed, and met a probability of 0."""
    for weight in ([1e-160, 1e160], [1e-10, 1.7e308]):
        loss = sr.cross_entropy([[0.0, 800.0]], [0], weight=weight, label_smoothing=0.1)
        assert loss == pytest.approx(760.0, rel=1e-15)


def test_weights_whose_sum_overflows() -> None:
    """Only a mean needs the sum."""
    huge = [1.7e308, 1.7e308]
    losses = sr.cross_entropy([[0.0, 0.0]] * 2, [0, 1], weight=huge, reduction="none")
    np.testing.assert_allclose(losses, 1.7e308 * LOG_2, rtol=1e-15)
    total = sr.cross_entropy([[9.0, 0.0], [0.0, 9.0]], [0, 1], weight=huge, reduction="sum")
    assert total == pytest.approx(1.7e308 * (2 * math.log1p(math.exp(-9))), rel=1e-15)
    tiny = [1e-310, 1e-310]
    assert math.isnan(sr.cross_entropy([[math.nan, 0.0]], [0], weight=tiny))
    assert sr.cross_entropy([[-math.inf, 0.0]], [0], weight=tiny) == math.inf


@pytest.mark.parametrize("classes", [2, 3, 10, 50, 51])
def test_confident_rows_alone_and_in_a_batch(classes: int) -> None:
    """What counts as confident, and every rounding, must be the same in both."""
    rng = generator(f"alone {classes}")
    z = rng.normal(0, 30, (400, classes))
    y = rng.integers(0, classes, len(z))
    for function in (sr.softmax, sr.log_softmax, sr.softmax_complement, sr.logsumexp):
        np.testing.assert_array_equal(function(z), [function(row) for row in z])
    for function in (sr.cross_entropy, sr.cross_entropy_grad):
        np.testing.assert_array_equal(
            function(z, y, reduction="none"),
            [function(row, label, reduction="none") for row, label in zip(z, y, strict=True)],
        )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_many_huge_losses(reduction: str) -> None:
    """Averages of blocks added up plainly lose a digit in a thousand."""
    z = np.zeros((100_000, 2))
    z[:, 0] = 1e303
    got = sr.cross_entropy(z, np.ones(len(z), int), reduction=reduction)
    assert got == (1e303 if reduction == "mean" else 1e308)


@pytest.mark.parametrize(
    "row",
    [
        [27.074231805769692, 3.5013554454413054],
        [29.841222544555464, 24.285109697688185],
        [-4.849766433393876] * 164,
    ],
)
def test_the_worst_rows_known(row: list[float]) -> None:
    """3.23 ULP with AVX-512: two exponentials off by 0.7 each, in opposite directions, just above
    powers of two, and two more roundings.  No sum or quotient can undo that."""
    exact = oracle(row)
    assert_ulps(sr.softmax(row), exact.probabilities(), 3.3, row)
    assert_ulps(sr.softmax_complement(row), exact.complements(), 3.3, row)
    assert_ulps(sr.log_softmax(row), exact.log_probabilities(), 3.3, row)
    assert_ulps([sr.logsumexp(row)], [exact.logsumexp()], 3.3, row)


def test_rows_in_chunks_in_some_layouts_only() -> None:
    """A chunk of small exponentials is no reason to shift a row that needs no shift."""
    z = np.full(37_501, -560.0) - np.arange(37_501) * 1e-4
    z[0] = 1.0
    for function in (sr.softmax, sr.log_softmax, sr.softmax_complement):
        beside = np.stack([z, z], 1)
        np.testing.assert_array_equal(function(beside, axis=0)[:, 0], function(z))


@pytest.mark.parametrize(
    ("classes", "logit"),
    [
        (284, float.fromhex("-0x1.5988cb3e36545p+2")),
        (312, float.fromhex("-0x1.5f8d5d3e1dca5p+2")),
        (199, -5.543304824724492),
    ],
)
def test_logsumexp_just_below_a_quarter(classes: int, logit: float) -> None:
    """Where the unit in the last place halves, log S alone is off by 4 ULP."""
    row = [logit] * classes
    assert_ulps([sr.logsumexp(row)], [oracle(row).logsumexp()], 3.0, (classes, logit))


@pytest.mark.parametrize(
    ("classes", "logit", "last"),
    [
        (96, -4.817672375350653, -20.469144857431754),
        (12, -2.7382903977112623, -13.184805945626776),
        (767, -6.894013488402161, -15.692610567724591),
    ],
)
def test_logsumexp_just_above_a_quarter(classes: int, logit: float, last: float) -> None:
    """An error of S counts four times there: log S alone was off by 3.37 ULP."""
    row = [logit] * classes + [last]
    assert_ulps([sr.logsumexp(row)], [oracle(row).logsumexp()], 3.0, row[-2:])


@pytest.mark.parametrize(
    ("top", "classes"),
    [
        (-5.474356673049412e-18, 100),
        (-5.789306005557805e-17, 1000),
        (-2.879291792195787e-16, 5000),
    ],
)
def test_log_probabilities_of_many_far_classes(top: float, classes: int) -> None:
    """exp(-44.3) in float64 costs 430 ULP where 4999 of them nearly make up for the first."""
    row = [top] + [-44.3] * (classes - 1)
    assert_ulps([sr.logsumexp(row)], [oracle(row).logsumexp()], 3.0, row[:2])


@pytest.mark.parametrize(
    ("logit", "classes", "others"),
    [
        (-6.197293032934099, 490, [-5.848758659402533, -21.96685421009604, -54.231104963212324]),
        (-6.197293032934099, 491, [-7.071987632383663, -23.19008318498327, -55.4938912433849]),
    ],
)
def test_log_probabilities_whose_errors_add_up(
    logit: float, classes: int, others: list[float]
) -> None:
    """Hundreds of equal exponentials err alike: 3.87 ULP of 2e-19 with two bits less."""
    row = [logit] * classes + others
    assert_ulps([sr.logsumexp(row)], [oracle(row).logsumexp()], 2.0, row[-4:])


def test_the_smallest_log_probability() -> None:
    """Rows near 1 - 1e-300 are as fast as others, and as right."""
    row = [-6.413231764904212e-291] + [-676.7] * 4999
    assert_ulps([sr.logsumexp(row)], [oracle(row).logsumexp()], 2.0, row[:2])
    for row in ([-5e-324, -744.5], [-5e-324, -800.0], [-1e-320, -735.0], [-1e-310, -715.0, -717.0]):
        assert_ulps([sr.logsumexp(row)], [oracle(row).logsumexp()], 2.0, row)


def test_sums_in_different_orders() -> None:
    """The last bits of a sum depend on the order of its terms: it must not depend on the layout."""
    z = np.full((2, 51), -np.inf)
    z[:, [37, 11, 18]] = 4.400043563589872, 4.175197904645426, -55.37806425625057
    rng = generator("sums")
    near = rng.normal(size=(3000, 60)) * 5  # S near the least that one number splits
    near += math.log(2 * 60**2 * 2.0**-18) - sr.logsumexp(near)[:, np.newaxis]
    for rows in (z, near, near.astype(np.float32)):
        for function in (sr.softmax, sr.log_softmax, sr.softmax_complement):
            np.testing.assert_array_equal(
                function(np.ascontiguousarray(rows.T), axis=0).T, function(rows)
            )
        np.testing.assert_array_equal(
            sr.logsumexp(np.ascontiguousarray(rows.T), axis=0), sr.logsumexp(rows)
        )


def test_float32_logsumexp_that_cancels() -> None:
    z = np.float32([-2.9493096, -2.460529, -0.7492091, -1.0638671, -3.1150002])
    assert sr.logsumexp(z) == np.float32(sr.exact.logsumexp(z.tolist()))


def test_mean_of_huge_losses_that_differ_little() -> None:
    """Scaled by 1/3 before the difference, its digits are gone."""
    a = 1e300
    b = math.nextafter(a, 0)
    assert sr.cross_entropy([[a, b]] * 3, [1] * 3) == pytest.approx(a - b, rel=1e-15)


def test_ignore_index_beyond_int64() -> None:
    labels = np.array([0, 2**64 - 1, 1], np.uint64)
    z = np.array([[0.0, 1.0]] * 3)
    losses = sr.cross_entropy(z, labels, ignore_index=2**64 - 1, reduction="none")
    assert losses[1] == 0 and losses[0] > losses[2] > 0


def test_product_with_huge_cotangents() -> None:
    for g in (3e307, 1.7e308):
        np.testing.assert_allclose(sr.softmax_vjp([0.0, 0.0], [g, 0.0]), [g / 4, -g / 4])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(60, 1024), (1000, 512), (3000, 128)])
def test_classes_at_steps_of_a_kilobyte(shape: tuple[int, int], dtype: type) -> None:
    """Such rows are gathered in two steps (a copy in one took up to seven times as long)."""
    z = (generator("steps").normal(size=shape) * 3).astype(dtype)
    y = generator("labels").integers(0, shape[0], shape[1])
    for function in (sr.softmax, sr.log_softmax, sr.softmax_complement):
        np.testing.assert_array_equal(function(z, axis=0).T, function(z.T.copy()))
    for ours, other in zip(
        sr.cross_entropy_value_and_grad(z, y, axis=0),
        sr.cross_entropy_value_and_grad(z.T.copy(), y),
        strict=True,
    ):
        np.testing.assert_array_equal(np.transpose(ours), other)


@pytest.mark.parametrize("shape", [(30_000, 10), (3000, 100), (12, 10_000)])
def test_a_block_after_one_of_other_sums(shape: tuple[int, int]) -> None:
    """What splits the exponentials of a block is guessed from the one before, its result is not."""
    z = generator("blocks").normal(size=shape) * 3
    third = shape[0] // 3
    z[third : 2 * third] += 40.0
    z[third + 1] -= 40.0
    for function in (sr.softmax, sr.log_softmax, sr.softmax_complement, sr.logsumexp):
        together = function(z)
        for i in range(0, shape[0], third):
            np.testing.assert_array_equal(function(z[i : i + third]), together[i : i + third])
        for i in (0, third, third + 1, 2 * third):
            np.testing.assert_array_equal(function(z[i]), together[i])


@pytest.mark.parametrize("total", [2.0**40, 5000 / 4])
@pytest.mark.parametrize("off", [-1e-9, 1e-9])
@pytest.mark.parametrize("rest", [2.0**8, 1.0, 2.0**-17, 2.0**-24])
def test_edges_of_the_split_of_many_classes(total: float, off: float, rest: float) -> None:
    """From 4097 classes on one number splits the exponentials of rows with K/4 ≤ S ≤ 2⁴⁰; the
    smaller S - e is beside it, the earlier it must be summed anew."""
    row = generator(f"split {total} {off} {rest}").normal(size=5000)
    row += math.log(rest) - math.log(math.fsum(map(math.exp, row)))
    row[7] = math.log(total - rest) + off
    exact = oracle(row)
    assert_ulps(sr.softmax(row), exact.probabilities(), 3.0, (total, off, rest))
    assert_ulps(sr.softmax_complement(row), exact.complements(), 3.0, (total, off, rest))
    assert_ulps(sr.log_softmax(row), exact.log_probabilities(), 3.0, (total, off, rest))
    assert_ulps([sr.logsumexp(row)], [exact.logsumexp()], 3.0, (total, off, rest))


def test_float32_logsumexp_beside_other_rows() -> None:
    """Alone from a plain sum, beside ordinary rows from a pair: the last bit differed."""
    row = np.array([-0.01633208803832531, -4.867114543914795, -4.7345709800720215], np.float32)
    alone = sr.logsumexp(row)
    assert sr.logsumexp(np.stack([row, row * 0 + 5, row * 0 + 5]))[0] == alone
    assert_ulps([alone], [oracle(row).logsumexp()], 0.5 + 2.0**-20, "alone", np.float32)


@pytest.mark.parametrize("classes", [5, 50, 1000])
def test_float32_gradients_of_nearly_their_own_targets(classes: int) -> None:
    """The gradient alone summed plainly, and beside the loss as a pair: they differed."""
    z = generator(f"targets {classes}").normal(size=(300, classes)).astype(np.float32)
    z[0] = -7.408102989196777
    z[0, 0] = 0.0
    t = sr.softmax(z.astype(np.float64))
    gradient = sr.soft_cross_entropy_grad(z, t, reduction="sum")
    _, beside_the_loss = sr.soft_cross_entropy_value_and_grad(z, t, reduction="sum")
    np.testing.assert_array_equal(gradient, beside_the_loss)
    # p is right to 2^-44 of itself, t within 4 units of 2^-53, and T within as much of 1
    assert np.all(abs(gradient) <= t * (2.0**-44 + 8 * 2.0**-53))


def test_vjp_of_float32_logits_and_float64_factors_is_that_of_float64() -> None:
    """The result is float64, and so has to be what it is computed with."""
    rng = generator("mixed types")
    for classes in (5, 100, 1000):
        z, g = rng.normal(size=(2, 50, classes))
        z = z.astype(np.float32)
        np.testing.assert_array_equal(sr.softmax_vjp(z, g), sr.softmax_vjp(z.astype(float), g))


@pytest.mark.parametrize("dtype", ["foo", "int32", "complex64"])
def test_limits_of_no_format_name_the_argument(dtype: str) -> None:
    with pytest.raises(TypeError, match=f"^dtype must be one of .*got '{dtype}'"):
        sr.limits.exp_overflow(dtype)
