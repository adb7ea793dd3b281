"""The judges are judged first: against known digits, and against each other."""

from __future__ import annotations

import importlib.util
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from generators import FAMILIES, family
from mpmath import mpf
from oracles import correctly_rounded, cross_entropy, oracle, soft_cross_entropy, ulps

HAS_FLINT = importlib.util.find_spec("flint") is not None


def test_ulps_counts_spacings_at_the_exact_value() -> None:
    assert ulps(1.0, 1.0) == 0
    assert ulps(np.nextafter(1.0, 2), 1.0) == 1
    assert ulps(np.nextafter(1.0, 0), 1.0) == 0.5  # the spacing below 1 is half of that above
    assert ulps(np.nextafter(2.0, 0), 2.0) == 0.5
    assert ulps(1.0, Fraction(1) + Fraction(1, 2**54)) == 0.25
    assert ulps(0.0, 1.0) == 2**52
    assert ulps(-1.0, 1.0) == 2**53


def test_ulps_of_subnormals_counts_least_spacings() -> None:
    assert ulps(5e-324, 0.0) == 1
    assert ulps(0.0, Fraction(3, 2**1076)) == 0.75
    assert ulps(2**-1022 * 1.0, Fraction(1, 2**1022) - Fraction(1, 2**1074)) == 1
    assert ulps(np.float32(1e-45), 0.0, np.float32) == 1
    assert ulps(np.float16(6e-8), 0.0, np.float16) == 1


def test_ulps_of_what_is_not_finite() -> None:
    assert ulps(math.nan, 1.0) == math.inf
    assert ulps(math.inf, mpf("inf")) == 0
    assert ulps(-math.inf, mpf("inf")) == math.inf
    assert ulps(1.0, mpf("inf")) == math.inf
    assert ulps(math.inf, mpf(1)) == math.inf
    assert ulps(math.inf, mpf(2) ** 1024) == 0
    assert ulps(-math.inf, mpf(2) ** 1024) == math.inf


def test_rounding_of_the_oracle_is_correct_for_subnormals_and_overflow() -> None:
    least = Fraction(1, 2**1074)
    assert correctly_rounded(least / 2) == 0  # the tie goes to the even neighbour
    assert correctly_rounded(least / 2 + least / 10**30) == 5e-324
    assert correctly_rounded(least * 3 / 2) == 1e-323
    assert correctly_rounded(mpf(2) ** 1024) == math.inf
    assert correctly_rounded(-(mpf(2) ** 1024)) == -math.inf
    # float(mpf) would round this value twice, to 53 bits and then to 52
    twice = Fraction(2**53 + 1, 2**1075) + Fraction(1, 2**1200)
    assert Fraction(correctly_rounded(twice)) == Fraction(2**52 + 1, 2**1074)


def test_oracle_against_digits_of_the_logistic_function() -> None:
    """log1p(e^-40) to 32 digits from its series e^-40 - e^-80/2 + …, evaluated in integers."""
    truth = oracle([0.0, 40.0])
    with mpmath.workdps(60):
        series = mpmath.exp(-40) - mpmath.exp(-80) / 2 + mpmath.exp(-120) / 3
        assert abs(-truth.log_probability(1) / series - 1) < mpf(10) ** -45
        assert abs(truth.complement(1) / (1 / (1 + mpmath.exp(40))) - 1) < mpf(10) ** -45
    assert mpmath.nstr(-truth.log_probability(1), 16) == "4.248354255291589e-18"


def test_oracle_keeps_its_relative_precision_where_everything_cancels() -> None:
    """Twice the precision changes no digit that the tests look at."""
    for name in FAMILIES:
        for row in family(name, 2, 5):
            coarse, fine = oracle(row), oracle(row, 2600)
            pairs = [(coarse.logsumexp(), fine.logsumexp())]
            pairs += zip(coarse.probabilities(), fine.probabilities(), strict=True)
            pairs += zip(coarse.complements(), fine.complements(), strict=True)
            pairs += zip(coarse.log_probabilities(), fine.log_probabilities(), strict=True)
            with mpmath.workprec(6000):
                for a, b in pairs:
                    assert a == b or abs(a - b) <= abs(b) * mpf(2) ** -200, (name, row)


@pytest.mark.skipif(not HAS_FLINT, reason="python-flint is not installed (ball arithmetic, a peer)")
def test_oracle_against_ball_arithmetic() -> None:
    import flint

    before = flint.ctx.prec
    flint.ctx.prec = 6000
    try:
        for name in FAMILIES:
            for row in family(name, 2, 5):
                finite = [flint.arb(v) for v in row if v != -math.inf]
                maximum = flint.arb(float(max(row)))
                total = sum(((v - maximum).exp() for v in finite), flint.arb(0))
                truth = oracle(row)
                for value, mine in [
                    (maximum + total.log(), truth.logsumexp()),
                    ((flint.arb(float(row[0])) - maximum).exp() / total, truth.probability(0)),
                ]:
                    if row[0] == -math.inf and mine == 0:
                        continue
                    mantissa, exponent = map(int, value.mid().man_exp())
                    # e^-1e308 is a ball too, but no fraction that fits into memory
                    vanishes = exponent + mantissa.bit_length() < -2000
                    ball = Fraction(0) if vanishes else Fraction(mantissa) * Fraction(2) ** exponent
                    # what is below a quarter of the least double is cut in the oracle
                    assert ulps(correctly_rounded(ball), mine) <= 0.5, (name, row)
    finally:
        flint.ctx.prec = before


def test_loss_oracle_against_a_hand_calculation() -> None:
    """z = (0, 0): every loss is ln 2; weights 1 and 3, labels 0, 1, 1: (1·ln2 + 6·ln2) / 7."""
    value = cross_entropy([[0, 0]] * 3, [0, 1, 1], weight=[1, 3])
    with mpmath.workdps(40):
        assert abs(value.value - mpmath.log(2)) < mpf(10) ** -38
        assert abs(value.gradient[0][0] + mpf(1) / 14) < mpf(10) ** -38
        assert abs(value.gradient[1][0] - mpf(3) / 14) < mpf(10) ** -38
        smooth = cross_entropy([[0, 0]], [0], label_smoothing=0.5)
        assert abs(smooth.gradient[0][0] + mpf(1) / 4) < mpf(10) ** -38
        soft = soft_cross_entropy([[0, 0]], [[3, 1]])
        assert abs(soft.value - 4 * mpmath.log(2)) < mpf(10) ** -38
        assert soft.gradient == [[-1, 1]]
