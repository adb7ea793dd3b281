"""What is true of the *floats*, not only of the real numbers behind them."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from generators import FAMILIES, batches, dyadic_rows, family, generator, rows
from hypothesis import given
from hypothesis import strategies as st
from oracles import apart, oracle, ulps

import softmax_ref as sr
from softmax_ref import exact
from softmax_ref._kernel import Rows
from softmax_ref._kernel.cancellation import _with_60_bits
from softmax_ref._kernel.exponentials import SPLIT, least_sum
from softmax_ref._kernel.layout import WIDE
from softmax_ref._kernel.log_sums import _careful, log_of_sum
from softmax_ref._kernel.pairs import exp_minus
from softmax_ref._kernel.scattered import Scattered

UNIT = 2.0**-53
LEAST = 5e-324

FORWARD = {
    "softmax": sr.softmax,
    "softmax_complement": sr.softmax_complement,
    "log_softmax": sr.log_softmax,
    "logsumexp": sr.logsumexp,
}
SAME_SHAPE = {name: f for name, f in FORWARD.items() if name != "logsumexp"}


def bits(values: object) -> bytes:
    """The bytes of an array in C order: equality of bits (NaNs included), not of values."""
    return np.ascontiguousarray(values).tobytes()


def total(values: object) -> float:
    """The sum, rounded once."""
    return math.fsum(np.asarray(values, dtype=np.float64).ravel())


# --------------------------------------------------------------------------------------------------
# What is added to the error of NumPy's exp.


@pytest.mark.parametrize("shifted", [False, True], ids=["plain", "shifted"])
@pytest.mark.parametrize("classes", [2, 3, 10, 50, 51, 150, 151, 1000])
def test_two_roundings_follow_the_exponentials(classes: int, shifted: bool) -> None:
    """Half a unit for the quotient and half for taking off its tail, as if S had all its digits.

    The contract has room for one more, so that its tests would seldom notice a tail that is lost.
    """
    rng = generator(f"two roundings {classes}, {shifted}")
    z = rng.normal(0, 2, (max(4, 600 // classes), classes))
    if shifted:  # S < 1 beside an exp(z) below 1e-240; z - m is rounded wherever |m| < |z - m|
        z = -np.log(classes) - rng.exponential(2.0, (max(4, 3000 // classes), classes))
        z[:, -1] = -560.0 - rng.random(len(z))
    labels = rng.integers(0, classes, len(z))
    p, q = sr.softmax(z), sr.softmax_complement(z)
    gradient = sr.cross_entropy_grad(z, labels)
    if shifted:
        e, lost = exp_minus(z, z.max(axis=1, keepdims=True))
    else:
        e, lost = np.exp(z), np.zeros_like(z)
    limit = 1 + 2.0**-20
    for i, (y, first, second) in enumerate(zip(labels, e.tolist(), lost.tolist(), strict=True)):
        terms = [Fraction(a) + Fraction(b) for a, b in zip(first, second, strict=True)]
        s = sum(terms)
        for k, term in enumerate(terms):
            assert ulps(p[i, k], term / s) <= limit
            if k != y and classes > 2:  # of two classes, both entries are (S - e)/S
                assert ulps(gradient[i, k], term / (s * len(z))) <= limit
        rest = s - Fraction(first[y])  # beside a large one, what its rounding took is left to err
        if rest > s / 2:
            assert ulps(-gradient[i, y], rest / (s * len(z))) <= limit + (1 if shifted else 0)
            assert ulps(q[i, y], rest / s) <= limit + 1  # 1 - p, one more


@pytest.mark.parametrize("classes", [3, 10, 51, 1000])
def test_two_roundings_follow_the_others_of_a_confident_shifted_row(classes: int) -> None:
    """What rounding took from their exponentials counts, too: half a unit of each."""
    rng = generator(f"two roundings, confident {classes}")
    z = rng.uniform(-50, -30, (1000 // classes + 20, classes))
    z[:, 0], z[:, -1] = -rng.uniform(1, 20, len(z)), -560.0
    q = sr.softmax_complement(z)[:, 0]
    e, lost = exp_minus(z, z[:, :1])
    for i in range(len(z)):
        s = sum(map(Fraction, e[i].tolist())) + sum(map(Fraction, lost[i].tolist()))
        assert ulps(q[i], (s - 1) / s) <= 1 + 2.0**-20


@pytest.mark.parametrize("shifted", [False, True], ids=["plain", "shifted"])
@pytest.mark.parametrize("classes", [2, 3, 10, 50, 51, 1000, 5000, 60_000])
def test_sums_are_right_to_58_bits(classes: int, shifted: bool) -> None:
    """2⁻⁵⁹ by the bound, and the rounding of their lower part; what e itself has lost included."""
    rng = generator(f"sums {classes}, {shifted}")
    if shifted:  # by m, with ties of which z - m is rounded, and an exp(z) below 1e-240
        limit = 2.0 ** math.ceil(math.log2(math.log(classes) + 1.0))
        m = -limit * rng.uniform(0.95, 0.99, (4, 1))
        z = np.repeat(m - limit * rng.uniform(1.01, 1.1, (4, 1)), classes, axis=1)
        z[:, :1], z[:, -1] = m, -560.0
    else:
        z = 1.0 - np.log(classes) - rng.exponential(2.0, (4, classes))
    whole: dict[int, Fraction] = {}
    for block in Rows(z, 1).blocks():
        assert (block.shifted is not False) == shifted
        first, count = block.place[0].start, block.count
        e = np.reshape(block.e if block.axis or count == 1 else block.e.T, (count, -1))
        lost = np.zeros_like(block.e)
        for at in block._pieces(block.shifted) if shifted else ():
            lost[at] = block._shifted_part(at)[1]
        lost = np.reshape(lost if block.axis or count == 1 else lost.T, (count, -1))
        for i in range(count):
            terms = [*e[i].tolist(), *lost[i].tolist()]
            whole[first + i] = whole.get(first + i, Fraction(0)) + sum(map(Fraction, terms))
        sums = zip(np.ravel(block.high).tolist(), np.ravel(block.low).tolist(), strict=True)
        for i, (high, low) in enumerate(sums):
            if (block.place[1].stop or classes) >= classes:  # all chunks of the row have come
                exact = whole[first + i]
                assert high + low == high
                assert abs(Fraction(high) + Fraction(low) - exact) <= exact / 2**58


@pytest.mark.parametrize("classes", [2, 10, 50, 51, 100, 128, 129, 300, 301, 1000])
def test_the_least_sums_that_the_constant_splits_are_right_to_58_bits(classes: int) -> None:
    """Of equal terms, so that what splitting drops of each adds up."""
    rng = generator(f"least sums {classes}")
    limit = least_sum(classes)
    z = np.repeat(np.log(limit * rng.uniform(1.001, 1.1, (50, 1)) / classes), classes, axis=1)
    (block,) = Rows(z, 1).blocks()
    e = block.e if block.axis else block.e.T
    assert np.all(block.big == SPLIT)
    pairs = zip(np.ravel(block.high).tolist(), np.ravel(block.low).tolist(), strict=True)
    for row, (high, low) in zip(e.tolist(), pairs, strict=True):
        exact = sum(map(Fraction, row))
        assert abs(Fraction(high) + Fraction(low) - exact) <= exact / 2**58


def test_two_roundings_follow_log_of_the_sum() -> None:
    """NumPy's log, 0.7 units at most, and its correction where S is not much above 1."""
    z = generator("log of the sum").uniform(-3.0, -2.1, (400, 20))
    for row, value in zip(np.exp(z).tolist(), sr.logsumexp(z).tolist(), strict=True):
        s = sum(map(Fraction, row))
        if s > 1.65:  # log s > 0.5: below, there are more digits to S than these exponentials have
            with mpmath.workprec(200):
                exact = mpmath.log(mpmath.mpf(s.numerator) / s.denominator)
            assert ulps(value, exact) <= 1.2 + 2.0**-20


@pytest.mark.parametrize("classes", [1, 3, 50, 1000, 2500])
def test_60_bits_where_the_result_is_not_near_zero(classes: int) -> None:
    """A logarithm and an addition, each to 0.7 units, of a sum that is as good as exact."""
    rng = generator(f"60 bits {classes}")
    z = rng.normal(0, 3, (6, classes))
    z -= sr.logsumexp(z)[:, np.newaxis]
    z += rng.uniform(0.26, 0.6, (6, 1)) * np.tile([[-1], [1]], (3, 1))
    z = np.minimum(z, -(2.0**-30))
    if classes > 3:
        z[0, 1], z[1, 2], z[2, 2] = -np.inf, -1e308, -56.0
    with np.errstate(all="ignore"):
        values = _with_60_bits(z)
    for row, value in zip(z.tolist(), values.tolist(), strict=True):
        exact = oracle(row).logsumexp()
        if abs(exact) >= 0.25:
            assert ulps(value, exact) <= 1.4


@pytest.mark.parametrize("classes", [3, 12, 60, 1000])
def test_float32_has_44_bits_before_it_is_rounded(classes: int) -> None:
    """Of results that are rounded to 24, the tests of the contract see few of the last bits.

    One logit has most of the sum, from three quarters on, and it cancels up to a million times.
    """
    rng = generator(f"44 bits {classes}")
    for exponent in range(-24, 3):
        z = rng.normal(0, 2, (8, classes))
        z[:, 0] = sr.logsumexp(z[:, 1:], axis=1) + rng.uniform(1, 13, 8)
        z = sr.log_softmax(z) + 2.0**exponent * rng.uniform(-1, 1, (8, 1))
        z = z.astype(np.float32)
        (block,) = Rows(z, 1).blocks("unshifted sums")
        value, again = log_of_sum(block)
        value = np.ravel(value)
        if again.size:
            value[again] = _careful(Rows(z[again], 1))
        for i in range(8):
            exact = oracle(z[i]).logsumexp()
            assert abs(value[i] - exact) <= abs(exact) * 2.0**-44, (exponent, z[i])


@pytest.mark.parametrize("offset", [0.0, -3.0, 60.0, -75.0, 80.0, -86.0, 205.0, -900.0])
@pytest.mark.parametrize("classes", [2, 3, 10, 50, 51, 200, 1100, 4500])
@pytest.mark.parametrize("spread", [1.0, 0.0], ids=["random", "equal others"])
@np.errstate(all="ignore")  # as in every public function
def test_float32_logarithms_have_44_bits_before_they_are_rounded(
    spread: float, classes: int, offset: float
) -> None:
    """From p = 1/2 to 1 - 10⁻¹⁰ for one class, on both sides of where log S - z will do.

    Beside equal others all additions to a large one may round the same way.
    """
    rng = generator(f"44 bits of logarithms {classes} {offset}")
    rows = 24 if classes < 1000 else 8
    z = spread * rng.normal(0, 1, (rows, classes)) + rng.uniform(-8, 0, (rows, 1))
    largest = rng.integers(0, classes, rows)
    largest[::2] = classes - 1  # in what is left over when parts are full
    z[range(rows), largest] = -np.inf
    z[range(rows), largest] = sr.logsumexp(z, axis=1) + np.geomspace(0.1, 24, rows)
    z = (z + offset).astype(np.float32)
    (block,) = Rows(z, 1).blocks("logits")
    ufunc, *operands = block.logarithms()
    logs = ufunc(*operands)
    logs = logs if block.axis else logs.T
    labels = {"largest": largest, "others": (largest + 1) % classes}
    losses = {}
    for name, label in labels.items():
        for need in ("sums", "exponentials"):
            (block,) = Rows(z, 1).blocks(need)
            at_label = block.per_row(z[range(rows), label].astype(np.float64))
            losses[name, need] = np.ravel(block.minus_log(at_label, 1.0))
    at = block.index(largest)
    rest = np.ravel(block.complement(block.rest(block.pick(block.e, at))))
    for i in range(rows):
        truth = oracle(z[i])
        for k in {*range(min(classes, 10)), largest[i]}:
            exact = truth.log_probability(k)
            assert abs(logs[i, k] - exact) <= abs(exact) * 2.0**-44, (i, k, z[i])
        exact = truth.complement(largest[i])
        assert abs(rest[i] - exact) <= exact * 2.0**-44, z[i]
        for (name, need), loss in losses.items():
            exact = -truth.log_probability(labels[name][i])
            assert abs(loss[i] - exact) <= exact * 2.0**-44, (name, need, z[i])


@pytest.mark.parametrize("classes", [20, 50])
@np.errstate(all="ignore")
def test_float32_logarithms_if_all_additions_round_up(classes: int) -> None:
    """After 1, each of many equal terms of (n + 0.51)·2⁻⁵² adds 0.49·2⁻⁵² too much to the sum."""
    rng = generator(f"round up {classes}")
    for others in np.linspace(0.03, 0.4, 38):
        near = math.log(others / (classes - 1)) + rng.uniform(-0.01, 0.01, 4000)
        logits = near.astype(np.float32)
        units = np.exp(logits.astype(np.float64)) * 2.0**52 % 1.0
        z = np.full((2, classes), logits[np.where(units > 0.5, units, 1.0).argmin()])
        z[:, 0] = 0.0
        (block,) = Rows(z, 1).blocks("logits")
        ufunc, *operands = block.logarithms()
        exact = oracle(z[0]).log_probability(0)
        assert abs(ufunc(*operands)[0, 0] - exact) <= abs(exact) * 2.0**-44, z[0]


@pytest.mark.parametrize("classes", [20, 50, 51, 150, 1024, 1025, 9000])
@np.errstate(all="ignore")
def test_float32_has_44_bits_beside_equal_others(classes: int) -> None:
    """All additions to the largest may round the same way: the worst that a plain sum can do."""
    rng = generator(f"44 bits, equal others {classes}")
    count = 400 if classes < 5000 else 20
    log_odds = rng.uniform(-5.5, 1.5, count)  # (1 - p)/p
    a = rng.uniform(-10, 10, count)
    z = np.repeat((a + log_odds - np.log(classes - 1))[:, np.newaxis], classes, axis=1)
    z[:, 0] = a
    z = z.astype(np.float32)
    for block in Rows(z, 1).blocks("logits"):
        rows = z[block.place[0]]
        ufunc, *operands = block.logarithms()
        logs = ufunc(*operands)
        logs = (logs.T if block.axis == 0 and block.count > 1 else logs).reshape(rows.shape)[:, 0]
        (whole,) = Rows(rows, 1).blocks("exponentials")
        label = whole.index(np.zeros(len(rows), int) if len(rows) > 1 else 0)
        rest = np.ravel(whole.complement(whole.rest(whole.pick(whole.e, label))))
        for row, log_p, q in zip(rows.tolist(), logs.tolist(), rest.tolist(), strict=True):
            with mpmath.workprec(120):
                odds = (classes - 1) * mpmath.exp(mpmath.mpf(row[1]) - row[0])
                exact = mpmath.log1p(odds)
                assert abs(log_p + exact) <= exact * 2.0**-44, row[:2]
                assert abs(q - odds / (1 + odds)) <= odds * 2.0**-44, row[:2]


# --------------------------------------------------------------------------------------------------
# Ties, order, permutations.


@given(rows(2, 9))
def test_equal_logits_have_equal_results(row: list[float]) -> None:
    """Bit for bit, wherever in the row they stand; signed zeros are equal logits."""
    z = np.array(row + row[::-1] + row[:1])
    for name, function in SAME_SHAPE.items():
        results = function(z)
        for value in set(z.tolist()):
            assert np.unique(results[z == value]).size == 1, (name, row, value)


@given(rows(1, 9))
def test_all_equal_logits_give_the_reciprocal_of_their_number(row: list[float]) -> None:
    value = max(row)
    for count in (1, 2, 3, 7, 10, 49):
        for p in np.unique(sr.softmax(np.full(count, value))):
            assert ulps(p, Fraction(1, count)) <= 3, (count, value)


@given(rows(2, 9))
def test_order_is_preserved(row: list[float]) -> None:
    """A larger logit never has a smaller probability, or a larger complement."""
    z = np.sort(np.array(row))
    p, log_p, q = sr.softmax(z), sr.log_softmax(z), sr.softmax_complement(z)
    assert np.all(p[1:] >= p[:-1]), row
    assert np.all(log_p[1:] >= log_p[:-1]), row
    assert np.all(q[1:] <= q[:-1]), row


@given(rows(2, 8), st.randoms(use_true_random=False))
def test_permutations_change_no_more_than_the_last_bits(row: list[float], random: object) -> None:
    """At most 2 ULP between the two results: only the rounding of the sums differs."""
    order = list(range(len(row)))
    random.shuffle(order)  # type: ignore[attr-defined]
    z = np.array(row)
    for name, function in SAME_SHAPE.items():
        straight, shuffled = function(z)[order], function(z[order])
        for a, b in zip(straight, shuffled, strict=True):
            assert apart(a, b) <= 2, (name, row, order, a, b)
    a, b = sr.logsumexp(z), sr.logsumexp(z[order])
    assert apart(a, b) <= 3, (row, order, a, b)


# --------------------------------------------------------------------------------------------------
# Ranges and sums.


@given(rows(1, 9))
def test_probabilities_are_probabilities(row: list[float]) -> None:
    z = np.array(row)
    p, q = sr.softmax(z), sr.softmax_complement(z)
    assert np.all((p >= 0) & (p <= 1) & (q >= 0) & (q <= 1)), row
    assert abs(total([*p, -1.0])) <= 4 * UNIT + len(row) * LEAST, row
    assert p.max() >= (1 - 2 * UNIT) / len(row), row
    assert np.all(p[z == -math.inf] == 0) and np.all(q[z == -math.inf] == 1), row
    # p + q = 1, each within 3 ULP: half of 3 spacings below 1, for both
    assert np.all(abs(p + q - 1) <= 4 * UNIT), row


@given(rows(1, 9))
def test_log_probabilities_are_negative_unless_certain(row: list[float]) -> None:
    """0 only where the exact value is below half the least double (or there is one class)."""
    z = np.array(row)
    log_p = sr.log_softmax(z)
    assert np.all(log_p <= 0), row
    truth = oracle(row)
    for i, value in enumerate(log_p):
        if truth.log_probability(i) < -LEAST:
            assert value < 0, (row, i)


@given(rows(1, 9))
def test_logsumexp_is_between_its_bounds(row: list[float]) -> None:
    """max <= lse <= max + log K, one last bit allowed above."""
    value = sr.logsumexp(np.array(row))
    assert value >= max(row), row
    bound = max(row) + math.log(len(row))
    assert value <= math.nextafter(bound, math.inf) or bound == math.inf, row


@given(rows(2, 7), st.data())
def test_loss_is_minus_log_probability(row: list[float], data: st.DataObject) -> None:
    label = data.draw(st.integers(0, len(row) - 1))
    z = np.array(row)
    loss = sr.cross_entropy(z[None], [label])
    assert loss == -sr.log_softmax(z)[label], (row, label)
    assert not math.copysign(1, loss) < 0, "a loss of minus zero"


# --------------------------------------------------------------------------------------------------
# The gradient sums to zero, relatively; its label component is expm1(-loss).


@given(batches(), st.data())
def test_gradient_sums_to_zero_relatively(z: np.ndarray, data: st.DataObject) -> None:
    labels = [data.draw(st.integers(0, z.shape[1] - 1)) for _ in z]
    for reduction in ("none", "sum", "mean"):
        for row, gradient in zip(
            z, sr.cross_entropy_grad(z, labels, reduction=reduction), strict=True
        ):
            size = total(abs(gradient))
            slack = (
                3 * LEAST * len(row)
            )  # three least spacings a component where they are subnormal
            assert abs(total(gradient)) <= 8 * UNIT * size + slack, (reduction, row, gradient)
            if size > 1e-300:
                assert abs(total(gradient)) / size <= 8 * UNIT + 1e-22


@given(rows(2, 7), st.data())
def test_label_component_is_expm1_of_minus_loss(row: list[float], data: st.DataObject) -> None:
    """Within 6 ULP: 3 of either side (expm1 does not amplify relative errors below 0)."""
    label = data.draw(st.integers(0, len(row) - 1))
    loss, gradient = sr.cross_entropy_value_and_grad(np.array([row]), [label], reduction="none")
    expected = math.expm1(-loss[0])
    # and one for expm1 itself
    assert apart(gradient[0, label], expected) <= 6 + 1, (row, label)


@pytest.mark.core
@pytest.mark.parametrize("gap", [1, 10, 20, 30, 40, 300, 700])
def test_confident_gradient_sums_to_zero_and_agrees_with_the_loss(gap: float) -> None:
    z = np.array([[gap, 0.0, 0.3, -0.2]])
    loss, gradient = sr.cross_entropy_value_and_grad(z, [0])
    assert loss > 0
    assert abs(total(gradient)) <= 8 * UNIT * total(abs(gradient))
    assert gradient[0, 0] == pytest.approx(math.expm1(-loss), rel=6 * 2**-52, abs=0)


@pytest.mark.core
def test_two_classes_are_the_sigmoid_and_softplus() -> None:
    """p = 1/(1+e^-x), loss = log(1 + e^-x) in the forms that are accurate for their sign of x."""
    for x in (*np.linspace(-40, 40, 41), 1e-9, -1e-300, 700.0, -700.0, 744.0, 1e308):
        z = np.array([0.0, x])
        p = sr.softmax(z)
        with np.errstate(over="ignore"):
            sigmoid = 1 / (1 + np.exp(-x)) if x >= 0 else np.exp(x) / (1 + np.exp(x))
        # the sigmoid has at most 3 roundings on top of exp's own: 4 ULP, and 3 of ours
        assert p[1] == pytest.approx(sigmoid, rel=7 * 2**-52, abs=2 * LEAST)
        loss = sr.cross_entropy(z[None], [1])
        softplus = np.log1p(np.exp(-x)) if x >= 0 else -x + np.log1p(np.exp(x))
        assert loss == pytest.approx(softplus, rel=7 * 2**-52, abs=2 * LEAST)
        assert loss == pytest.approx(np.logaddexp(0.0, -x), rel=7 * 2**-52, abs=2 * LEAST)


@given(rows(2, 2, masks=False))
def test_two_classes_are_complements(row: list[float]) -> None:
    """K = 2: 1 - p_0 is p_1, to the last bits, and the gradient is antisymmetric."""
    z = np.array(row)
    p, q = sr.softmax(z), sr.softmax_complement(z)
    for a, b in ((p[0], q[1]), (p[1], q[0])):
        assert apart(a, b) <= 4, row


# --------------------------------------------------------------------------------------------------
# Shifts that are exact.


@given(dyadic_rows())
def test_exact_shifts_change_nothing_in_the_exact_tier(case: tuple[list[float], float]) -> None:
    row, shift = case
    moved = [value + shift for value in row]
    assert all(
        Fraction(a) + Fraction(shift) == Fraction(b) for a, b in zip(row, moved, strict=True)
    )
    assert exact.softmax(moved) == exact.softmax(row)
    assert exact.log_softmax(moved) == exact.log_softmax(row)


@given(dyadic_rows())
def test_exact_shifts_change_the_last_bits_at_most(case: tuple[list[float], float]) -> None:
    """The same exact value on both sides, each within 3 ULP of it."""
    row, shift = case
    z, moved = np.array(row), np.array(row) + shift
    for name, function in SAME_SHAPE.items():
        for i, (a, b) in enumerate(zip(function(z), function(moved), strict=True)):
            assert apart(a, b) <= 6, (name, row, shift, i)


# --------------------------------------------------------------------------------------------------
# A row knows nothing of its neighbours, of the block it is in, or of the layout of memory.


@given(batches(8))
def test_rows_are_independent_bit_for_bit(z: np.ndarray) -> None:
    for name, function in FORWARD.items():
        together = function(z)
        for i, row in enumerate(z):
            assert bits(together[i]) == bits(function(z[i : i + 1])[0]), (name, row.tolist())
            assert bits(together[i]) == bits(function(row)), (name, row.tolist(), "one-dimensional")
        backwards = function(z[::-1])
        assert bits(together[::-1]) == bits(backwards), name


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_are_independent_of_the_company_they_keep(name: str) -> None:
    """A row among 3000 rows of another kind: same bits as alone, in every function."""
    rng = generator(f"company {name}")
    for classes in (2, 10, 33):
        guests = family(name, 3, classes)
        company = rng.normal(size=(3000, classes)) * rng.choice([0.1, 1, 100, 1e4], (3000, 1))
        places = [0, 1234, 2999]
        company[places] = guests
        labels = rng.integers(classes, size=3000)
        for function_name, function in FORWARD.items():
            assert bits(function(company)[places]) == bits(function(guests)), (function_name, name)
        loss, gradient = sr.cross_entropy_value_and_grad(company, labels, reduction="none")
        alone = sr.cross_entropy_value_and_grad(guests, labels[places], reduction="none")
        assert bits(loss[places]) == bits(alone[0])
        assert bits(gradient[places]) == bits(alone[1])


def row_with_sum(rng: np.random.Generator, classes: int, wanted: Fraction) -> np.ndarray:
    """Logits of which NumPy's exponentials add up to this number, almost."""
    share = rng.random(classes - 2) ** 3 + 1e-3
    z = np.log(share / share.sum() * float(wanted) * (1 - 2.0**-10))
    for closer in (1 - 2.0**-12, 1.0):
        missing = wanted - sum(map(Fraction, np.exp(z).tolist()))
        z = np.append(z, math.log(missing * Fraction(closer)))
    around = z[-1] + np.arange(-6, 7) * np.spacing(z[-1])
    off = [abs(Fraction(e) - missing) for e in np.exp(around).tolist()]
    z[-1] = around[off.index(min(off))]
    return rng.permutation(z)


@pytest.mark.parametrize("classes", [10, 50, 64, 150, 300, 301])
def test_rows_on_the_edge_of_what_splits_their_sum(classes: int) -> None:
    """Halfway between the limit and the number before, S is rounded by what splits it."""
    rng = generator(f"edge {classes}")
    limit = least_sum(classes)
    halfway = (Fraction(limit) + Fraction(math.nextafter(limit, 0.0))) / 2
    z = np.array([row_with_sum(rng, classes, halfway) for _ in range(100)])
    unusual = rng.normal(-40.0, 1.0, (300_000 // classes, classes))
    company = np.concatenate([unusual, z])
    for name, function in FORWARD.items():
        alone, together = function(z), function(company)[len(unusual) :]
        assert bits(alone) == bits(together), name
        across = function(np.ascontiguousarray(company.T), axis=0)
        assert bits((across.T if across.ndim > 1 else across)[len(unusual) :]) == bits(alone), name


@pytest.mark.parametrize("classes", [7, 16, 20, 33, 50, 51, 300, 1000])
def test_products_that_cancel_are_independent_of_the_company(classes: int) -> None:
    """The mean of g is what rounding leaves of 1 - 1: the order of the sum decides all of it."""
    rng = generator(f"cancelling products {classes}")
    g = rng.normal(0.0, 1e-20, (20, classes))
    g[:, :3] = 0.0, 1.0, -1.0
    z = np.zeros_like(g)
    together = sr.softmax_vjp(z, g)
    for i in range(20):
        assert bits(sr.softmax_vjp(z[i], g[i])) == bits(together[i])
    across = sr.softmax_vjp(np.ascontiguousarray(z.T), np.ascontiguousarray(g.T), axis=0)
    assert bits(across.T) == bits(together)


@pytest.mark.parametrize("classes", [5, 7000, 20_001])
def test_the_layout_of_weights_changes_nothing(classes: int) -> None:
    rng = generator(f"layout of weights {classes}")
    labels = [0, classes - 1]
    for _ in range(10):
        z, weight = rng.normal(size=(2, classes)), rng.random(classes) + 1e-3
        backwards, strided = weight[::-1].copy()[::-1], np.repeat(weight, 2)[::2]
        want = sr.cross_entropy_value_and_grad(z, labels, weight=weight, label_smoothing=0.3)
        for w in (backwards, strided, weight.astype(">f8")):
            got = sr.cross_entropy_value_and_grad(z, labels, weight=w, label_smoothing=0.3)
            assert [bits(part) for part in got] == [bits(part) for part in want]


@pytest.mark.core
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_layout_of_memory_changes_nothing(dtype: type) -> None:
    """Fortran order, transposes, strides, negative strides, read-only, big-endian, broadcast."""
    z = (generator("layout").normal(size=(37, 23)) * 9).astype(dtype)
    padded = np.zeros((74, 69), dtype)
    padded[::2, ::3] = z
    read_only = z.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"x" + z.tobytes(), dtype=np.uint8)[1:].view(dtype).reshape(z.shape)
    layouts = {
        "Fortran": np.asfortranarray(z),
        "strided": padded[::2, ::3],
        "negative strides": np.ascontiguousarray(z[::-1, ::-1])[::-1, ::-1],
        "transposed": np.ascontiguousarray(z.T).T,
        "read-only": read_only,
        "big-endian": z.astype(np.dtype(dtype).newbyteorder(">")),
        "little-endian": z.astype(np.dtype(dtype).newbyteorder("<")),
        "unaligned": unaligned,
    }
    labels = np.arange(37) % 23
    for name, function in FORWARD.items():
        want = function(z)
        assert want.dtype == dtype
        for layout, view in layouts.items():
            got = function(view)
            assert got.dtype == dtype and got.dtype.isnative, (name, layout, got.dtype)
            assert bits(got) == bits(want), (name, layout)
            along_first = function(view.T, axis=0)
            along_first = along_first.T if name != "logsumexp" else along_first
            assert bits(along_first) == bits(want), (name, layout, "axis 0")
    for reduction in ("none", "mean"):
        want_loss, want_gradient = sr.cross_entropy_value_and_grad(z, labels, reduction=reduction)
        for layout, view in layouts.items():
            loss, gradient = sr.cross_entropy_value_and_grad(view, labels, reduction=reduction)
            assert bits(loss) == bits(want_loss) and bits(gradient) == bits(want_gradient), layout
            loss, gradient = sr.cross_entropy_value_and_grad(
                view.T, labels, axis=0, reduction=reduction
            )
            assert bits(loss) == bits(want_loss) and bits(gradient.T) == bits(want_gradient), layout
    row = np.broadcast_to(z[0], (5, 23))
    assert bits(sr.softmax(row)) == bits(np.tile(sr.softmax(z[0]), (5, 1)))


def all_sums(rows: Rows) -> np.ndarray:
    """S and S - e of all rows, as pairs."""
    blocks = ((block.high, block.low, *block.pivot_rest) for block in rows.blocks())
    return np.concatenate([[np.ravel(part) for part in parts] for parts in blocks], axis=1)


@pytest.mark.parametrize("kind", [*FAMILIES, "far above 0", "far below 0", "tiny S"])
@pytest.mark.parametrize("classes", [51, 64, 100, 129, 150, 151, 300])
def test_rows_side_by_side_and_one_after_the_other(classes: int, kind: str) -> None:
    """On the first axis, rows of up to 300 classes are not turned: the same bits nevertheless."""
    rng = generator(f"side by side {classes} {kind}")
    z = rng.normal(0, 3, (WIDE // classes + 9, classes))
    z[5::7] = family(kind, len(z[5::7]), classes) if kind in FAMILIES else z[5::7]
    z[3::7] += {"far above 0": 5000.0, "far below 0": -900.0, "tiny S": -40.0}.get(kind, 0.0)
    columns = np.ascontiguousarray(z.T)
    with np.errstate(all="ignore"):
        assert next(Rows(columns, 0).blocks()).axis == 0
        assert bits(all_sums(Rows(columns, 0))) == bits(all_sums(Rows(z, 1)))
    for name, function in FORWARD.items():
        across = function(columns, axis=0)
        assert bits(across if name == "logsumexp" else across.T) == bits(function(z)), name
    labels, g = rng.integers(0, classes, len(z)), rng.normal(size=z.shape)
    assert bits(sr.softmax_vjp(columns, g.T, axis=0).T) == bits(sr.softmax_vjp(z, g))
    options: dict[str, Any]
    for options in ({}, {"label_smoothing": 0.1}, {"weight": rng.random(classes)}):
        results = sr.cross_entropy_value_and_grad(z, labels, reduction="none", **options)
        for a, b in zip(
            sr.cross_entropy_value_and_grad(columns, labels, axis=0, reduction="none", **options),
            results,
            strict=True,
        ):
            assert bits(a.T) == bits(b), options
    for a, b in zip(
        sr.soft_cross_entropy_value_and_grad(columns, abs(g.T), axis=0, reduction="none"),
        sr.soft_cross_entropy_value_and_grad(z, abs(g), reduction="none"),
        strict=True,
    ):
        assert bits(a.T) == bits(b)


#: shapes, which part of them, and where the classes are: NumPy joins these axes only by copying
SCATTERED: dict[str, tuple[tuple[int, ...], tuple[Any, ...], tuple[int, ...]]] = {
    "rows in groups": ((5, 80, 60), np.s_[:, :70], (2,)),
    "rows in groups, from the end": ((5, 80, 60), np.s_[::-1, 10:], (2,)),
    "groups on both sides": ((5, 7, 9, 10, 11), np.s_[:, :6, :, :, ::2], (2,)),
    "classes first and last": ((7, 50, 60), np.s_[:], (0, 2)),
    "classes in groups": ((80, 7, 70), np.s_[:, ::2, :65], (1, 2)),
    "all in groups": ((5, 7, 6, 9, 5, 7), np.s_[:, :6, :, :8, :, ::2], (2, 3)),
    "every second axis": ((5, 6, 7, 8, 5, 3), np.s_[:], (0, 2, 4)),
    "long rows": ((2, 300, 201), np.s_[:, :, :200], (1, 2)),
    "long columns": ((300, 201, 2), np.s_[:, :200], (0, 1)),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, ">f8", np.float16])
@pytest.mark.parametrize("name", SCATTERED)
def test_axes_that_no_view_can_join(name: str, dtype: Any) -> None:
    """The bits of the same rows one after the other, which is how NumPy would copy them."""
    shape, part, axes = SCATTERED[name]
    rng = generator(f"scattered {name}")
    z, g = rng.normal(0, 9, shape).astype(dtype)[part], rng.random(shape).astype(dtype)[part]
    rows = Rows(z, axes)
    assert isinstance(rows.cube, Scattered)
    ends = range(-len(axes), 0)
    plain, weights = (
        np.ascontiguousarray(np.moveaxis(a, axes, ends)).reshape(-1, rows.classes) for a in (z, g)
    )
    kept = np.moveaxis(z, axes, ends).shape

    def as_rows(result: np.ndarray) -> np.ndarray:
        return np.moveaxis(result, axes, ends).reshape(plain.shape) if result.ndim > 1 else result

    for function_name, function in FORWARD.items():
        got, want = function(z, axis=axes), function(plain)
        got = np.ravel(got) if function_name == "logsumexp" else as_rows(got)
        assert bits(got) == bits(want), function_name
    assert bits(as_rows(sr.softmax_vjp(z, g, axis=axes))) == bits(sr.softmax_vjp(plain, weights))
    for a, b in zip(
        sr.soft_cross_entropy_value_and_grad(z, g, axis=axes, reduction="sum"),
        sr.soft_cross_entropy_value_and_grad(plain, weights, reduction="sum"),
        strict=True,
    ):
        assert bits(as_rows(a)) == bits(b)
    if len(axes) == 1:
        labels = rng.integers(0, rows.classes, len(plain))
        for reduction in ("none", "mean"):
            loss, gradient = sr.cross_entropy_value_and_grad(
                z, labels.reshape(kept[:-1]), axis=axes[0], reduction=reduction
            )
            want = sr.cross_entropy_value_and_grad(plain, labels, reduction=reduction)
            assert bits(np.ravel(loss)) == bits(np.ravel(want[0]))
            assert bits(as_rows(gradient)) == bits(want[1])


@given(batches(5))
def test_axes_agree(z: np.ndarray) -> None:
    """The same numbers along any axis of three, as a tuple, and as None."""
    cube = np.stack([z, z[::-1]])  # (2, rows, classes)
    for name, function in FORWARD.items():
        want = function(cube)
        for axis in range(3):
            moved = np.moveaxis(cube, -1, axis)
            for spelling in (axis, axis - 3):
                got = function(moved, axis=spelling)
                got = got if name == "logsumexp" else np.moveaxis(got, axis, -1)
                assert bits(got) == bits(want), (name, spelling)
        flat = function(cube.reshape(-1))
        assert bits(function(cube, axis=None)) == bits(flat), name
        assert bits(function(cube, axis=(0, 1, 2))) == bits(flat), name
        pair = function(cube, axis=(-1, -2))
        want = function(cube.reshape(2, -1))
        assert bits(pair) == bits(want), name


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@given(z=batches(4))
def test_short_formats_are_the_rounding_of_the_long_one(dtype: type, z: np.ndarray) -> None:
    limit = float(np.finfo(dtype).max)
    short = np.where(np.isinf(z), z, np.clip(z, -limit, limit)).astype(dtype)
    with np.errstate(over="ignore"):
        for name, function in FORWARD.items():
            assert bits(function(short)) == bits(
                np.asarray(function(short.astype(np.float64))).astype(dtype)
            ), (name, short)


# --------------------------------------------------------------------------------------------------
# Nothing is written, nothing is shared.


def every_call(z: np.ndarray, labels: np.ndarray, targets: np.ndarray) -> dict[str, object]:
    """Every public function on the same batch."""
    weight = np.arange(1.0, z.shape[1] + 1)
    return {
        **{name: function(z) for name, function in FORWARD.items()},
        "softmax_jacobian": sr.softmax_jacobian(z),
        "log_softmax_jacobian": sr.log_softmax_jacobian(z),
        "softmax_vjp": sr.softmax_vjp(z, targets),
        "cross_entropy": sr.cross_entropy(z, labels),
        "cross_entropy_grad": sr.cross_entropy_grad(z, labels),
        "weighted": sr.cross_entropy_value_and_grad(z, labels, weight=weight, label_smoothing=0.1)[
            1
        ],
        "soft_cross_entropy": sr.soft_cross_entropy(z, targets),
        "soft_cross_entropy_grad": sr.soft_cross_entropy_grad(z, targets),
    }


@pytest.mark.core
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_nothing_is_written_to_the_input(dtype: type) -> None:
    rng = generator("write-back")
    z = (rng.normal(size=(50, 7)) * 100).astype(dtype)
    z[3, 2] = -np.inf
    labels = rng.integers(7, size=50)
    targets = rng.random((50, 7)).astype(dtype)
    targets[z == -np.inf] = 0
    copies = z.copy(), labels.copy(), targets.copy()
    results = every_call(z, labels, targets)
    for before, after in zip(copies, (z, labels, targets), strict=True):
        assert bits(before) == bits(after)
    for array in (z, labels, targets):
        array.flags.writeable = False
    for name, result in every_call(z, labels, targets).items():
        assert bits(result) == bits(results[name]), name
        if isinstance(result, np.ndarray):
            assert not np.shares_memory(result, z) and not np.shares_memory(result, targets), name
            assert result.flags.writeable, name


def test_results_of_two_calls_share_no_memory() -> None:
    """A scratch buffer that is kept between calls never leaks out."""
    z = generator("aliasing").normal(size=(300, 11))
    labels, targets = np.arange(300) % 11, np.full((300, 11), 1 / 11)
    first = every_call(z, labels, targets)
    kept = {name: np.array(result) for name, result in first.items()}
    second = every_call(-3 * z, labels, targets)
    for name, result in first.items():
        assert bits(result) == bits(kept[name]), name
        if isinstance(result, np.ndarray):
            assert not np.shares_memory(result, second[name]), name


def test_eight_threads_get_the_same_bits() -> None:
    rng = generator("threads")
    inputs = [rng.normal(size=(int(n), int(k))) * 50 for n, k in rng.integers(2, 120, (40, 2))]

    def work(z: np.ndarray) -> list[bytes]:
        labels = np.arange(len(z)) % z.shape[1]
        targets = np.full(z.shape, 1 / z.shape[1])
        return [bits(result) for result in every_call(z, labels, targets).values()]

    want = [work(z) for z in inputs]
    with ThreadPoolExecutor(8) as pool:
        for got in (list(pool.map(work, inputs)), list(pool.map(work, inputs[::-1]))[::-1]):
            assert got == want


# --------------------------------------------------------------------------------------------------
# Jacobians.


@given(rows(1, 6))
def test_jacobian_structure(row: list[float]) -> None:
    z = np.array(row)
    jacobian = sr.softmax_jacobian(z)
    assert jacobian.shape == (len(row), len(row))
    assert bits(jacobian) == bits(jacobian.T.copy()) or np.array_equal(jacobian, jacobian.T), row
    p, q = sr.softmax(z), sr.softmax_complement(z)
    for i in range(len(row)):
        size = total(abs(jacobian[i]))
        # every component is within 6 ULP (12 u relatively, or 6 least spacings)
        assert abs(total(jacobian[i])) <= 12 * UNIT * size + 6 * LEAST * len(row), (row, i)
        assert jacobian[i, i] >= 0
        assert np.all(np.delete(jacobian[i], i) <= 0)
        product = Fraction(float(p[i])) * Fraction(float(q[i]))
        assert ulps(jacobian[i, i], product) <= 12, (row, i)  # 6 of each side
    log_jacobian = sr.log_softmax_jacobian(z)
    for j in range(len(row)):
        assert ulps(log_jacobian[j, j], Fraction(float(q[j]))) <= 6
        off = np.delete(log_jacobian[:, j], j)
        assert np.unique(off).size <= 1 and np.all(off <= 0), "a column of -p_j"


@given(rows(2, 6), st.data())
def test_jacobian_times_vector_is_the_vector_jacobian_product(
    row: list[float], data: st.DataObject
) -> None:
    """J g = vjp(g) up to the bound of the latter plus 6 ULP of every term of the former."""
    g = np.array(data.draw(st.lists(st.floats(-100, 100), min_size=len(row), max_size=len(row))))
    z = np.array(row)
    jacobian, product = sr.softmax_jacobian(z), sr.softmax_vjp(z, g)
    p = sr.softmax(z)
    size = float(p @ abs(g))
    for i in range(len(row)):
        terms = jacobian[i] * g
        bound = 8 * UNIT * p[i] * (abs(g[i]) + size) + 14 * UNIT * total(abs(terms))
        # subnormal components: 6 least spacings times |g| for each of them
        bound = bound * (1 + 1e-9) + 700 * LEAST * (len(row) + 1)
        assert abs(total(terms) - product[i]) <= bound, (row, g.tolist(), i)


@given(rows(2, 6))
def test_jacobian_is_positive_semidefinite_of_rank_one_less(row: list[float]) -> None:
    """Eigenvalues in [0, ½] up to what the eigenvalue solver itself loses (K u of the norm)."""
    jacobian = sr.softmax_jacobian(np.array(row))
    values = np.linalg.eigvalsh(jacobian)
    slack = 32 * len(row) * UNIT * max(abs(jacobian).max(), 1e-300)
    assert values[0] >= -slack and values[-1] <= 0.5 + slack, (row, values)
    assert abs(values).min() <= slack  # J 1 = 0


@given(batches(4))
def test_batched_jacobians_are_those_of_the_rows(z: np.ndarray) -> None:
    for function in (sr.softmax_jacobian, sr.log_softmax_jacobian):
        together = function(z)
        assert together.shape == (*z.shape, z.shape[1])
        for i, row in enumerate(z):
            assert bits(together[i]) == bits(function(row))
        stacked = function(np.stack([z, z]))
        assert stacked.shape == (2, *z.shape, z.shape[1])
        assert bits(stacked[1]) == bits(together)


# --------------------------------------------------------------------------------------------------
# The losses, related to each other.


@given(batches(6), st.data())
def test_relations_between_the_losses(z: np.ndarray, data: st.DataObject) -> None:
    classes = z.shape[1]
    labels = np.array([data.draw(st.integers(0, classes - 1)) for _ in z])
    each, gradient = sr.cross_entropy_value_and_grad(z, labels, reduction="none")
    # one pass or two: the same bits
    for reduction in ("none", "sum", "mean"):
        loss, g = sr.cross_entropy_value_and_grad(z, labels, reduction=reduction)
        assert bits(loss) == bits(sr.cross_entropy(z, labels, reduction=reduction))
        assert bits(g) == bits(sr.cross_entropy_grad(z, labels, reduction=reduction))
    # sum = N · mean, and both are the sum of the rows (6 ULP: 3 of each side)
    summed, mean = (sr.cross_entropy(z, labels, reduction=r) for r in ("sum", "mean"))
    if math.isfinite(summed):
        for value, want in ((mean * len(z), summed), (summed, total(each))):
            assert apart(value, want) <= 6 + len(z) / 2
    # the gradient of the sum is that of the rows
    assert bits(sr.cross_entropy_grad(z, labels, reduction="sum")) == bits(gradient)
    # smoothing 0 and equal weights change nothing (equal weights up to the extra roundings)
    assert bits(sr.cross_entropy(z, labels, label_smoothing=0.0)) == bits(mean)
    if abs(mean) < 1e307:  # twice the sum is finite
        weighted = sr.cross_entropy(z, labels, weight=np.full(classes, 2.0))
        assert apart(weighted, mean) <= 6


@given(batches(5), st.data())
def test_one_hot_targets_are_labels(z: np.ndarray, data: st.DataObject) -> None:
    labels = np.array([data.draw(st.integers(0, z.shape[1] - 1)) for _ in z])
    one_hot = np.eye(z.shape[1])[labels]
    for reduction in ("none", "sum", "mean"):
        hard = sr.cross_entropy(z, labels, reduction=reduction)
        soft = sr.soft_cross_entropy(z, one_hot, reduction=reduction)
        for a, b in zip(np.atleast_1d(soft), np.atleast_1d(hard), strict=True):
            assert apart(a, b) <= 6, (reduction, z.tolist(), labels)
        hard = sr.cross_entropy_grad(z, labels, reduction=reduction)
        soft = sr.soft_cross_entropy_grad(z, one_hot, reduction=reduction)
        divisor = len(z) if reduction == "mean" else 1
        assert np.all(abs(hard - soft) <= (8 * UNIT + 6 * UNIT) / divisor + 4 * LEAST)


@given(batches(5, masks=False))
def test_smoothing_one_is_the_uniform_target(z: np.ndarray) -> None:
    classes = z.shape[1]
    labels = np.zeros(len(z), int)
    smooth = sr.cross_entropy(z, labels, label_smoothing=1.0, reduction="none")
    uniform = sr.soft_cross_entropy(z, np.full(z.shape, 1 / classes), reduction="none")
    for a, b in zip(smooth, uniform, strict=True):
        # 1/K is rounded once: 8 u and that one
        assert apart(a, b) <= 12, (z.tolist(), a, b)


@given(batches(6), st.data())
def test_ignoring_a_row_is_deleting_it(z: np.ndarray, data: st.DataObject) -> None:
    labels = np.array([data.draw(st.integers(0, z.shape[1] - 1)) for _ in z])
    ignored = np.array([data.draw(st.booleans()) for _ in z])
    marked = np.where(ignored, -100, labels)
    poisoned = z.copy()
    poisoned[ignored] = np.nan  # not even a NaN of an ignored row is seen
    for reduction in ("none", "sum", "mean"):
        if reduction == "mean" and ignored.all():
            continue
        loss, gradient = sr.cross_entropy_value_and_grad(
            poisoned, marked, ignore_index=-100, reduction=reduction
        )
        want_loss, want_gradient = sr.cross_entropy_value_and_grad(
            z[~ignored], labels[~ignored], reduction=reduction
        )
        assert np.all(gradient[ignored] == 0)
        assert bits(gradient[~ignored]) == bits(want_gradient)
        if reduction == "none":
            assert np.all(loss[ignored] == 0)
            assert bits(loss[~ignored]) == bits(want_loss)
        else:
            # the order of a sum may differ
            assert apart(loss, want_loss) <= 3
