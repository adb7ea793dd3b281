"""Every combination of options of the hard-label loss, against its definition in mpmath.

Without smoothing a weighted loss and gradient are one product and one quotient away from the
contract of 3 ULP; each of those is rounded once, which is at most 1 ULP: 5.  With smoothing the
loss is a sum of non-negative terms, each with one product more: 6.  The smoothed gradient T p - t
(t the weighted and smoothed target, T its sum) may cancel: 8 u max(T p, t), as for soft targets.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from generators import FAMILIES, family, generator
from mpmath import mpf
from oracles import FORMATS, assert_ulps, assert_within, cross_entropy, flat, fraction

import softmax_ref as sr

UNIT = 2.0**-53
WEIGHTED = 5.0
SMOOTHED = 6.0

WEIGHTS = {
    "none": None,
    "ordinary": [0.3, 1.7, 2.0, 0.9, 11.0],
    "with a zero": [1.0, 0.0, 3.0, 1.0, 0.7],
    "from tiny to huge": [1e-30, 1.0, 1e30, 3.0, 1e-3],
}
SMOOTHINGS = (0.0, 0.1, 1e-12, 1.0)
KINDS = ("uniform", "dominant 30-60", "dominant 60-700", "offset 1e8", "wide 350")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_option_matrix(kind: str, weights: str) -> None:
    z = family(kind, 6, 5)
    weight = WEIGHTS[weights]
    label_sets = {
        "argmax": z.argmax(1),
        "random": generator(f"options {kind}").integers(5, size=6),
    }
    for smoothing, reduction, ignore, (kind_of_label, labels) in itertools.product(
        SMOOTHINGS, ("none", "sum", "mean"), (None, -100, 2), label_sets.items()
    ):
        labels = labels.copy()
        if ignore is not None:
            labels[[1, 4]] = ignore
        options = {
            "weight": weight,
            "ignore_index": ignore,
            "label_smoothing": smoothing,
            "reduction": reduction,
        }
        kept = [v for v in labels if v != ignore]
        if reduction == "mean" and sum((weight or [1] * 5)[v] for v in kept) == 0:
            with pytest.raises(ValueError, match="mean"):
                sr.cross_entropy(z, labels, **options)
            continue
        want = cross_entropy(z, labels, **options)
        loss, gradient = sr.cross_entropy_value_and_grad(z, labels, **options)
        about = (kind, kind_of_label, options, z.tolist(), labels.tolist())
        truth = want.rows if reduction == "none" else [want.value]
        assert_ulps(loss, truth, SMOOTHED if smoothing else WEIGHTED, about)
        gradients, scale = flat(want.gradient), flat(want.scale)
        if smoothing:
            bound = [8 * UNIT * s + 4 * mpf(2) ** -1074 for s in scale]
            assert_within(gradient, gradients, bound, about)
        else:
            # a probability that is subnormal is rounded to the grid before its weight comes
            factors = [1.0 if weight is None or v == ignore else weight[v] for v in labels]
            divisor = sum(f for f, v in zip(factors, labels, strict=True) if v != ignore)
            slack = [0.5 * f / (divisor if reduction == "mean" else 1) for f in factors]
            bound = [
                WEIGHTED * max(2 * UNIT * abs(v), mpf(2) ** -1074) + slack[i // 5] * mpf(2) ** -1074
                for i, v in enumerate(gradients)
            ]
            assert_within(gradient, gradients, bound, about)


@pytest.mark.core
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_option_matrix_core(smoothing: float) -> None:
    z = family("uniform", 5, 5)
    labels = np.array([0, 1, -7, 3, 4])
    for reduction in ("none", "sum", "mean"):
        options = {
            "weight": WEIGHTS["ordinary"],
            "ignore_index": -7,
            "label_smoothing": smoothing,
            "reduction": reduction,
        }
        want = cross_entropy(z, labels, **options)
        loss, gradient = sr.cross_entropy_value_and_grad(z, labels, **options)
        truth = want.rows if reduction == "none" else [want.value]
        assert_ulps(loss, truth, SMOOTHED, options)
        bound = [8 * UNIT * s for s in flat(want.scale)]
        assert_within(gradient, flat(want.gradient), bound, options)


@pytest.mark.parametrize("name", FAMILIES)
def test_weights_on_every_family(name: str) -> None:
    z = family(name, 3, 4)
    weight = [0.1, 3.0, 1.0, 7.7]
    labels = z.argmax(1)
    for reduction in ("none", "sum", "mean"):
        want = cross_entropy(z, labels, weight=weight, reduction=reduction)
        loss, gradient = sr.cross_entropy_value_and_grad(
            z, labels, weight=weight, reduction=reduction
        )
        truth = want.rows if reduction == "none" else [want.value]
        # each of the three losses may be a subnormal that was rounded before its weight came:
        # off by half a least spacing times the weight
        slack = 0.5 * 7.7 * 3 if max(abs(v) for v in truth) < 2.0**-1000 else 0
        assert_ulps(loss, truth, WEIGHTED + slack, (name, reduction, z.tolist()))
        bound = [
            WEIGHTED * max(2 * UNIT * abs(v), mpf(2) ** -1074) + 0.5 * 7.7 * mpf(2) ** -1074
            for v in flat(want.gradient)
        ]
        assert_within(gradient, flat(want.gradient), bound, (name, reduction, z.tolist()))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_options_in_short_formats(dtype: type) -> None:
    """Rounded once: half an ULP of the short format, and the float64 budget in its ULPs."""
    form = FORMATS[np.dtype(dtype)]
    extra = SMOOTHED * 2.0 ** (form.significand_bits - 53)
    z = family("uniform", 6, 5).astype(dtype)
    labels = np.array([0, 4, -1, 2, 3, 3])
    for smoothing, reduction in itertools.product((0.0, 0.3), ("none", "sum", "mean")):
        options = {
            "weight": WEIGHTS["ordinary"],
            "ignore_index": -1,
            "label_smoothing": smoothing,
            "reduction": reduction,
        }
        want = cross_entropy(z, labels, **options)
        loss, gradient = sr.cross_entropy_value_and_grad(z, labels, **options)
        assert loss.dtype == gradient.dtype == dtype
        truth = want.rows if reduction == "none" else [want.value]
        assert_ulps(loss, truth, 0.5 + extra, options, dtype)
        for got, exact, size in zip(
            gradient.ravel(), flat(want.gradient), flat(want.scale), strict=True
        ):
            # half a spacing of the short format, and 8 u of what cancels
            limit = float(size) * 8 * UNIT + 0.5000001 * float(form.spacing(abs(fraction(exact))))
            assert abs(float(got) - float(exact)) <= limit, (options, got, exact)


# --------------------------------------------------------------------------------------------------
# Identities between options.


def test_mean_with_weights_divides_by_the_weights_of_the_labels() -> None:
    """Not by the number of rows: z = 0, weights (1, 3), labels 0, 1 give ln 2, not 2 ln 2."""
    z = np.zeros((2, 2))
    assert sr.cross_entropy(z, [0, 1], weight=[1, 3]) == pytest.approx(
        math.log(2), rel=4e-16, abs=0
    )
    assert sr.cross_entropy(z, [0, 1], weight=[1, 3], reduction="sum") == pytest.approx(
        4 * math.log(2), rel=4e-16, abs=0
    )


def test_mean_with_smoothing_divides_by_the_weights_of_the_labels_too() -> None:
    z = np.zeros((2, 2))
    # every row: (1-ε) w_y ln 2 + (ε/2)(w_0 + w_1) ln 2 with ε = ½: (½·1 + 1, ½·3 + 1) ln 2 = 4 ln 2
    got = sr.cross_entropy(z, [0, 1], weight=[1, 3], label_smoothing=0.5)
    assert got == pytest.approx(math.log(2), rel=4e-16, abs=0)


def test_ignored_rows_are_not_smoothed() -> None:
    z = family("uniform", 3, 4)
    loss = sr.cross_entropy(z, [0, -1, 2], ignore_index=-1, label_smoothing=0.3, reduction="none")
    gradient = sr.cross_entropy_grad(z, [0, -1, 2], ignore_index=-1, label_smoothing=0.3)
    assert loss[1] == 0 and np.all(gradient[1] == 0)
    assert loss[0] > 0 and loss[2] > 0


def test_weights_times_a_power_of_two_change_no_bit_of_the_mean() -> None:
    z = family("wide 50", 7, 4)
    labels = np.arange(7) % 4
    weight = np.array([0.3, 1.0, 2.5, 0.7])
    for smoothing in (0.0, 0.2):
        want = sr.cross_entropy_value_and_grad(z, labels, weight=weight, label_smoothing=smoothing)
        got = sr.cross_entropy_value_and_grad(
            z, labels, weight=8 * weight, label_smoothing=smoothing
        )
        assert got[0] == want[0] and np.array_equal(got[1], want[1])


def test_smoothing_with_a_masked_class() -> None:
    """ε/K of the target lies on a class of probability 0: the loss is infinite, as defined."""
    z = np.array([[-math.inf, 0.0, 0.0]])
    assert sr.cross_entropy(z, [1], label_smoothing=0.1) == math.inf
    # ... unless that class weighs nothing
    assert sr.cross_entropy(z, [1], label_smoothing=0.1, weight=[0, 1, 1]) == pytest.approx(
        (0.9 + 0.2 / 3) * math.log(2), rel=1e-15, abs=0
    )


def test_rows_of_weight_zero_cost_nothing_even_when_masked() -> None:
    """0 · log 0 = 0: a label of weight 0 on a masked class."""
    z = np.array([[-math.inf, 0.0], [0.0, 0.0]])
    loss, gradient = sr.cross_entropy_value_and_grad(z, [0, 1], weight=[0.0, 1.0])
    assert loss == pytest.approx(math.log(2), rel=4e-16, abs=0)
    assert np.array_equal(gradient, [[0.0, 0.0], [0.5, -0.5]])
