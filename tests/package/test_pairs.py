"""The arithmetic with pairs, against fractions; and rows that need it."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from generators import generator
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_ulps, oracle

import softmax_ref as sr
from softmax_ref._kernel.pairs import (
    exp_minus,
    head,
    quotient,
    reciprocal,
    rest_by_shift,
    two_product,
    two_sum,
)
from softmax_ref._kernel.short import roundings
from softmax_ref._kernel.sums import (
    AT_ONCE,
    bound_of_sum,
    in_any_order,
    large_sum,
    pair_sum,
    power_from,
    split_sum,
    total,
)

#: no product of two over- or underflows
ordinary = st.floats(1e-70, 1e70) | st.floats(-1e70, -1e-70)


@given(ordinary, ordinary)
def test_two_sum_loses_nothing(a: float, b: float) -> None:
    rounded, lost = two_sum(a, b)
    assert rounded == a + b
    assert Fraction(rounded) + Fraction(lost) == Fraction(a) + Fraction(b)


@given(ordinary, ordinary)
def test_two_product_loses_nothing(a: float, b: float) -> None:
    product, lost = two_product(a, b)
    assert product == a * b
    assert Fraction(product) + Fraction(lost) == Fraction(a) * Fraction(b)


@given(ordinary, st.integers(1, 2**26))
def test_a_head_times_a_count_is_exact(a: float, count: int) -> None:
    assert Fraction(head(a) * count) == Fraction(head(a)) * count
    assert abs(Fraction(a) - Fraction(head(a))) <= abs(Fraction(a)) / 2**26


@given(ordinary, st.floats(-1, 1), ordinary)
def test_a_quotient_has_80_bits(a: float, share: float, b: float) -> None:
    """Four units of 2⁻⁵³ of a tail that is below 2⁻²⁵."""
    a_low = share * math.ulp(a) / 2
    q, tail = quotient(a, a_low, b)
    exact = (Fraction(a) + Fraction(a_low)) / Fraction(b)
    assert abs(Fraction(q) + Fraction(tail) - exact) <= abs(exact) / 2**76


@given(ordinary, st.floats(-1, 1))
def test_a_reciprocal_has_100_bits(b: float, share: float) -> None:
    tilt = share * 2.0**-53
    r, tail = reciprocal(b, tilt)
    exact = (1 - Fraction(tilt)) / Fraction(b)
    assert abs(Fraction(r) - Fraction(tail) - exact) <= abs(exact) / 2**100


@pytest.mark.parametrize(
    ("classes", "axis"),
    [
        *[(2, 0), (10, 0), (51, 0), (64, 0), (65, 0), (129, 0), (300, 0)],
        *[(10, 1), (51, 1), (129, 1), (300, 1), (301, 1), (1000, 1), (5000, 1), (36_000, 1)],
    ],
)
def test_a_sum_is_off_by_less_than_its_bound(classes: int, axis: int) -> None:
    rows = 100 if classes <= 1000 else 3
    terms = np.exp(generator(f"pair sum {classes}").normal(0, 9, (classes, rows)))
    growth = classes * min(classes, AT_ONCE)
    terms = terms if axis == 0 else terms.T.copy()
    sums = terms.sum(axis=axis, keepdims=True)
    bounds = sums, 1.7 * sums, 2.0**90
    if in_any_order(classes):
        growth = classes * power_from(classes)
        bounds = bound_of_sum(terms, axis), 2.0 ** np.ceil(np.log2(sums)), 2.0**90
    for big in bounds:
        pairs = np.broadcast_arrays(*split_sum(terms, big, axis), big)
        for row, high, low, its in zip(
            terms if axis else terms.T, *(v.ravel().tolist() for v in pairs), strict=True
        ):
            error = abs(Fraction(high) + Fraction(low) - sum(map(Fraction, row.tolist())))
            assert error <= growth * Fraction(1, 2**105) * Fraction(its)


@pytest.mark.parametrize("classes", [51, 64, 65, 100, 127, 128, 129, 255, 256, 257, 299, 300])
def test_a_sum_is_the_same_in_any_order(classes: int) -> None:
    """Row by row, across rows, and permuted; of random terms, and of one large and equal others."""
    rng = generator(f"any order {classes}")
    terms = np.exp(rng.normal(0, rng.choice([0.0, 1.0, 9.0, 90.0], (300, 1)), (300, classes)))
    terms[::3] = rng.uniform(0, 1, (100, 1)) ** 9
    terms[::3, 0] = rng.uniform(0.5, 1.0, 100)
    orders = [rng.permutation(classes) for _ in range(5)]
    signed = terms * rng.choice([-1.0, 1.0], terms.shape)
    own = bound_of_sum(terms, 1)
    for function, numbers in (
        (lambda t, axis: split_sum(t, own if axis else own.T, axis), terms),
        (lambda t, axis: split_sum(t, 2.0 ** np.ceil(np.log2(own.max())), axis), terms),
        (pair_sum, terms),
        (lambda t, axis: (large_sum(t, axis),), signed),
    ):
        first = [part.ravel().tolist() for part in function(numbers, 1)]
        for order in orders:
            across = np.ascontiguousarray(numbers[:, order].T)
            assert [part.ravel().tolist() for part in function(across, 0)] == first
            along = np.ascontiguousarray(numbers[:, order])
            assert [part.ravel().tolist() for part in function(along, 1)] == first


@pytest.mark.parametrize("classes", [1, 7, 16, 50])
def test_a_column_alone_is_added_like_columns_side_by_side(classes: int) -> None:
    columns = np.exp(generator("columns").normal(size=(classes, 200)))
    together = total(columns, 0).ravel().tolist()
    assert together == [total(column[:, np.newaxis], 0).item() for column in columns.T]
    assert together == [total(column.copy(), 0) for column in columns.T]


@pytest.mark.parametrize("classes", [51, 100, 128, 129, 1000, 1024, 1025, 10_001])
def test_a_plain_sum_is_as_good_as_the_kernel_takes_it_for(classes: int) -> None:
    rng = generator(f"plain sum {classes}")
    terms = np.exp(rng.normal(0, rng.choice([0.0, 0.1, 3.0], (200, 1)), (200, classes)))
    for row, plain in zip(terms.tolist(), total(terms, 1).ravel().tolist(), strict=True):
        exact = math.fsum(row)
        assert abs(plain - exact) <= 7 * 2.0**-53 * exact


@pytest.mark.parametrize(
    ("classes", "axis"),
    [(2, 0), (10, 0), (50, 0), *((k, 1) for k in (51, 100, 127, 1023, 1024, 1025, 2047, 50_000))],
)
def test_a_plain_sum_is_never_worse_than_the_kernel_takes_it_for(classes: int, axis: int) -> None:
    """Of one large number and many equal ones, each addition may round the same way."""
    rng = generator(f"equal terms {classes}")
    terms = np.repeat(rng.uniform(0.0, 1.0, (400, 1)) ** 3 / classes, classes, axis=1)
    terms[range(400), rng.integers(0, classes, 400)] = rng.uniform(0.5, 1.0, 400)
    sums = total(terms if axis else terms.T.copy(), axis)
    for row, plain in zip(terms.tolist(), sums.ravel().tolist(), strict=True):
        exact = math.fsum(row)
        assert abs(plain - exact) <= roundings(classes) * 2.0**-53 * exact


@pytest.mark.parametrize("classes", [51, 128, 129, 1000, 1024, 1025, 2047, 4096, 7999, 50_000])
def test_a_row_is_added_in_the_same_order_alone_and_with_others(classes: int) -> None:
    terms = np.exp(generator("orders").normal(0, 3, (9, classes)))
    assert [total(row, 0) for row in terms] == total(terms, 1).ravel().tolist()


def test_sums_of_millions_have_parts_of_parts() -> None:
    assert total(np.ones(2_200_000), 0) == 2_200_000.0


def test_exponentials_of_differences_lose_nothing_to_the_difference() -> None:
    rng = generator("exp_minus")
    z, c = rng.uniform(-700, 0, 200), 10.0 ** rng.uniform(-3, 1, 200)
    e, lost = exp_minus(z, c)
    with mpmath.workdps(40):
        for x, m, value, rest in zip(*(v.tolist() for v in (z, c, e, lost)), strict=True):
            exact = mpmath.exp(mpmath.mpf(x) - mpmath.mpf(m))
            # exp itself, of the rounded difference: 0.7 units in the last place
            assert abs(mpmath.mpf(value) + mpmath.mpf(rest) - exact) <= 1.5 * exact * 2.0**-53


@pytest.mark.parametrize("gap", [1.0, 40.0, 551.0, 553.0, 700.0, 744.0])
@pytest.mark.parametrize("offset", [0.0, -3.25, 1e4, 1e15])
def test_the_sum_without_the_pivot(gap: float, offset: float) -> None:
    """Two exponentials and no more: 2·0.7 units in the last place, and what is subnormal."""
    z = np.array([0.0, -gap, -gap - 1.5]) + offset
    others = [np.array([-np.inf, z[1]]), z[2:]]
    with np.errstate(invalid="ignore"):
        ratio, tail = rest_by_shift(others.__iter__, float(z[0]), 1.0, 0)
    exact = oracle(z.tolist())
    r = exact.complement(0) / exact.probability(0)
    assert abs(mpmath.mpf(ratio) + mpmath.mpf(tail) - r) <= 3 * r * 2.0**-53 + 2.0**-1074


@pytest.mark.parametrize(
    "row",
    [
        [27.06089831482245, -1.0963712492135929, 0.021582333048353802],
        [27.745657410593267, 0.0075124648275419585, -0.2314870057571478],
        [24.301422147590515, -0.6756535348925808],
    ],
)
def test_rows_that_need_the_tail_of_the_sum(row: list[float]) -> None:
    """With AVX-512, e divided by the rounded S is off by 3.2 ULP."""
    assert_ulps(sr.softmax(row), oracle(row).probabilities(), 3.0, row)


@pytest.mark.parametrize(
    "row",
    [
        [5.663255458755159, 0.8247005700328246, 0.7095054243464066],
        [2.9354268623859445, -1.0503871821541273, 0.7218492640821231],
        [6.318772110553968, 0.4705542679832889, -0.5619328818360718],
    ],
)
def test_rows_that_need_the_tail_of_the_ratio(row: list[float]) -> None:
    """With AVX-512, log1p of the rounded ratio is off by 3.4 ULP."""
    assert_ulps(sr.log_softmax(row), oracle(row).log_probabilities(), 3.0, row)
