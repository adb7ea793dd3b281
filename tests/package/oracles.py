"""What the true answers are, to as many digits as the question needs, and how far an answer is off.

The definitions themselves are evaluated here in mpmath, without any rearrangement against
cancellation.  Precision takes the place of cleverness: 400 bits, plus as many bits as the largest
finite gap of the row can cancel.  Nothing here shares an idea, or code, with ``softmax_ref``.

Equal logits are counted, not repeated, so that a row of a million logits with a few hundred
distinct values costs a few hundred exponentials.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import mpmath
import numpy as np
from mpmath import mpf

NEGATIVE_INFINITY = -math.inf

# Gaps beyond this one are cut: e^-2000 is about 2^-2885, and a quarter of the least positive double
# is 2^-1076, so what is cut cannot change a result that is rounded to any NumPy format.  The sign
# of the tiny term (the sticky bit of a rounding) is kept.
LARGEST_GAP = 2000
BITS_PER_NAT = 1.4427
BASE_BITS = 400


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: significand bits (the hidden one too) and exponent range."""

    significand_bits: int
    least_exponent: int  # of the least positive subnormal, 2**least_exponent
    largest: float

    def spacing(self, magnitude: Fraction) -> Fraction:
        """The distance of neighbouring numbers at ``magnitude`` (for subnormals: the least one)."""
        if magnitude == 0:
            return Fraction(2) ** self.least_exponent
        exponent = floor_log2(magnitude) - (self.significand_bits - 1)
        return Fraction(2) ** max(exponent, self.least_exponent)


FORMATS = {
    np.dtype(np.float64): Format(53, -1074, float(np.finfo(np.float64).max)),
    np.dtype(np.float32): Format(24, -149, float(np.finfo(np.float32).max)),
    np.dtype(np.float16): Format(11, -24, float(np.finfo(np.float16).max)),
}
FLOAT64 = FORMATS[np.dtype(np.float64)]


def floor_log2(value: Fraction) -> int:
    """The largest integer e with 2**e <= value, for a positive fraction; exact."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if value >= Fraction(2) ** exponent else exponent - 1


def fraction(value: mpf | float | Fraction | int) -> Fraction:
    """The exact rational value of a finite number."""
    if isinstance(value, mpf):
        sign, mantissa, exponent, _ = value._mpf_
        mantissa = -mantissa if sign else mantissa
        return (
            Fraction(mantissa << exponent) if exponent >= 0 else Fraction(mantissa, 1 << -exponent)
        )
    return Fraction(value)


def correctly_rounded(value: mpf | Fraction) -> float:
    """The double nearest to ``value``, ties to even, subnormals rounded once, overflow to infinity.

    Python divides integers with a single correct rounding; ``float(mpf)`` would round a subnormal
    twice.
    """
    if isinstance(value, mpf) and mpmath.isinf(value):
        return math.inf if value > 0 else -math.inf
    exact = fraction(value)
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def ulps(computed: object, exact: mpf | Fraction | float, dtype: object = np.float64) -> float:
    """|computed - exact| in units of the spacing at the exact value, in exact arithmetic.

    An infinite truth demands the same infinity.  A truth that is nearer to infinity than to the
    largest number of the format (it rounds to infinity) demands infinity or the largest number.
    """
    form = FORMATS[np.dtype(dtype)]
    got = float(computed)  # type: ignore[arg-type]
    if math.isnan(got):
        return math.inf
    if not isinstance(exact, Fraction) and mpmath.isinf(exact):
        return 0.0 if got == exact else math.inf
    truth = fraction(exact)
    largest = Fraction(form.largest)
    if abs(truth) > largest:
        if math.isinf(got):
            beyond_the_tie = abs(truth) >= largest + form.spacing(largest) / 2
            return 0.0 if (got > 0) == (truth > 0) and beyond_the_tie else math.inf
    elif math.isinf(got):
        return math.inf
    error = abs(Fraction(got) - truth)
    return 0.0 if error == 0 else float(error / form.spacing(abs(truth)))


def apart(a: object, b: object, dtype: object = np.float64) -> float:
    """The distance of two floats in spacings at ``b``; 0 for equal infinities or NaNs."""
    first, second = float(a), float(b)  # type: ignore[arg-type]
    if first == second or (math.isnan(first) and math.isnan(second)):
        return 0.0
    if not (math.isfinite(first) and math.isfinite(second)):
        return math.inf
    return ulps(first, Fraction(second), dtype)


def flat(matrix: Sequence[Sequence[mpf]]) -> list[mpf]:
    """The components of a matrix, row by row."""
    return [component for row in matrix for component in row]


class RowOracle:
    """Everything about one row of float logits (some of them -inf, not all), as mpf numbers.

    ``shift`` is the distance of each logit from the maximum; ``total`` is the sum of their
    exponentials; both at ``bits`` bits.
    """

    def __init__(self, row: Sequence[float], base_bits: int = BASE_BITS) -> None:
        self.row = [float(value) for value in row]
        counts = Counter(self.row)
        finite = {value: count for value, count in counts.items() if value != NEGATIVE_INFINITY}
        if not finite or not all(map(math.isfinite, finite)):
            raise ValueError(f"the oracle wants finite or -inf logits, one finite; got {row!r}")
        self.maximum = max(finite)
        widest = min(self.maximum - min(finite), LARGEST_GAP)  # inf beyond the range: cut too
        self.bits = base_bits + math.ceil(BITS_PER_NAT * widest)
        with mpmath.workprec(self.bits):
            self._exponential = {
                value: mpmath.exp(max(mpf(value) - mpf(self.maximum), mpf(-LARGEST_GAP)))
                for value in finite
            }
            self.total = mpmath.fsum(
                count * self._exponential[value] for value, count in finite.items()
            )
            self.log_total = mpmath.log(self.total)

    def probability(self, index: int) -> mpf:
        value = self.row[index]
        if value == NEGATIVE_INFINITY:
            return mpf(0)
        with mpmath.workprec(self.bits):
            return self._exponential[value] / self.total

    def complement(self, index: int) -> mpf:
        value = self.row[index]
        if value == NEGATIVE_INFINITY:
            return mpf(1)
        with mpmath.workprec(self.bits):
            return (self.total - self._exponential[value]) / self.total

    def log_probability(self, index: int) -> mpf:
        value = self.row[index]
        if value == NEGATIVE_INFINITY:
            return mpf(NEGATIVE_INFINITY)
        # a difference of two doubles may have 2100 bits, and a logarithm as small as e^-2000
        with mpmath.workprec(self.bits + 2200):
            return mpf(value) - mpf(self.maximum) - self.log_total

    def logsumexp(self) -> mpf:
        with mpmath.workprec(self.bits + 2200):
            return mpf(self.maximum) + self.log_total

    def probabilities(self) -> list[mpf]:
        return [self.probability(i) for i in range(len(self.row))]

    def complements(self) -> list[mpf]:
        return [self.complement(i) for i in range(len(self.row))]

    def log_probabilities(self) -> list[mpf]:
        return [self.log_probability(i) for i in range(len(self.row))]

    def jacobian(self) -> list[list[mpf]]:
        """p_i (δ_ij - p_j)."""
        p, q = self.probabilities(), self.complements()
        indices = range(len(p))
        with mpmath.workprec(self.bits):
            return [[p[i] * q[i] if i == j else -p[i] * p[j] for j in indices] for i in indices]

    def log_jacobian(self) -> list[list[mpf]]:
        """δ_ij - p_j."""
        p, q = self.probabilities(), self.complements()
        indices = range(len(p))
        return [[q[j] if i == j else -p[j] for j in indices] for i in indices]


@lru_cache(maxsize=20000)
def row_oracle(row: tuple[float, ...], base_bits: int = BASE_BITS) -> RowOracle:
    return RowOracle(row, base_bits)


def oracle(row: Sequence[float] | np.ndarray, base_bits: int = BASE_BITS) -> RowOracle:
    return row_oracle(tuple(float(value) for value in row), base_bits)


# d - log S with d an exact midpoint of two doubles is rounded as the sign of log S says, however
# small that is; so the exact tier is judged at 1800 bits, to which the bits for the gap are added.
EXACT_BITS = 1800


# --------------------------------------------------------------------------------------------------
# Cross-entropy by its definition, every option at once.


@dataclass(frozen=True)
class LossOracle:
    """The loss of every row, the reduced loss and its gradient, as mpf numbers."""

    rows: list[mpf]
    value: mpf | None
    gradient: list[list[mpf]]
    scale: list[list[mpf]]  # max(T p, t), what each gradient component T p - t subtracts


def cross_entropy(
    logits: Sequence[Sequence[float]],
    labels: Sequence[int],
    *,
    reduction: str = "mean",
    weight: Sequence[float] | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> LossOracle:
    """-Σ_k q_k w_k log p_k with q = (1-ε) e_y + ε/K, summed or averaged over what is not ignored.

    The mean divides by the sum of the weights of the labels.  0 · log 0 counts as 0.
    """
    classes = len(logits[0])
    factors = [mpf(1)] * classes if weight is None else [mpf(float(w)) for w in weight]
    losses, gradient, scale, kept = [], [], [], []
    with mpmath.workprec(6000):
        smoothing = mpf(float(label_smoothing))
        for row, label in zip(logits, labels, strict=True):
            if ignore_index is not None and label == ignore_index:
                losses.append(mpf(0))
                gradient.append([mpf(0)] * classes)
                scale.append([mpf(0)] * classes)
                continue
            kept.append(label)
            truth = oracle(row)
            log_p, p, q = truth.log_probabilities(), truth.probabilities(), truth.complements()
            target = [
                ((1 - smoothing if k == label else mpf(0)) + smoothing / classes) * factors[k]
                for k in range(classes)
            ]
            losses.append(mpmath.fsum(-t * v for t, v in zip(target, log_p, strict=True) if t != 0))
            total = mpmath.fsum(target)
            # T p - t, without cancellation: (T - t) p - t (1 - p)
            gradient.append([(total - t) * a - t * b for t, a, b in zip(target, p, q, strict=True)])
            scale.append([max(total * a, t) for t, a in zip(target, p, strict=True)])
        if reduction == "mean":
            divisor = mpmath.fsum(factors[label] for label in kept)
        else:
            divisor = mpf(1)
        value = None if reduction == "none" else mpmath.fsum(losses) / divisor
        gradient = [[g / divisor for g in row] for row in gradient]
        scale = [[g / divisor for g in row] for row in scale]
    return LossOracle(losses, value, gradient, scale)


def soft_cross_entropy(
    logits: Sequence[Sequence[float]],
    targets: Sequence[Sequence[float]],
    *,
    reduction: str = "mean",
) -> LossOracle:
    """-Σ_k t_k log p_k with gradient T p - t, T = Σ t; the mean divides by the number of rows."""
    losses, gradient, scale = [], [], []
    with mpmath.workprec(6000):
        for row, target in zip(logits, targets, strict=True):
            truth = oracle(row)
            t = [mpf(float(v)) for v in target]
            total = mpmath.fsum(t)
            p, log_p = truth.probabilities(), truth.log_probabilities()
            losses.append(mpmath.fsum(-a * b for a, b in zip(t, log_p, strict=True) if a != 0))
            gradient.append([total * a - b for a, b in zip(p, t, strict=True)])
            scale.append([max(total * a, b) for a, b in zip(p, t, strict=True)])
        divisor = mpf(len(losses)) if reduction == "mean" else mpf(1)
        value = None if reduction == "none" else mpmath.fsum(losses) / divisor
        gradient = [[g / divisor for g in row] for row in gradient]
        scale = [[g / divisor for g in row] for row in scale]
    return LossOracle(losses, value, gradient, scale)


# --------------------------------------------------------------------------------------------------
# Assertions that say what was wrong, on which row, by how much.


def worst(computed: object, exact: Sequence[mpf], dtype: object = np.float64) -> tuple[float, int]:
    """The largest error in ULP and where it is."""
    values = np.asarray(computed).ravel()
    assert values.size == len(exact), f"{values.size} components, expected {len(exact)}"
    assert values.size, "nothing to compare"
    errors = [ulps(value, truth, dtype) for value, truth in zip(values, exact, strict=True)]
    place = max(range(len(errors)), key=errors.__getitem__)
    return errors[place], place


def assert_ulps(
    computed: object, exact: Sequence[mpf], budget: float, about: object, dtype: object = np.float64
) -> float:
    """Every component within ``budget`` ULP of the truth; returns the worst error."""
    error, place = worst(computed, exact, dtype)
    assert error <= budget, (
        f"{error:.4g} ULP > {budget} at component {place}: got "
        f"{np.asarray(computed).ravel()[place]!r}, exact {mpmath.nstr(exact[place], 20)}; {about!r}"
    )
    return error


def assert_within(
    computed: object, exact: Sequence[mpf], bound: Sequence[mpf | float | Fraction], about: object
) -> None:
    """Every component within its own absolute bound of the truth."""
    values = np.asarray(computed).ravel()
    assert values.size == len(exact) == len(bound), (values.size, len(exact), len(bound))
    for place, (value, truth, limit) in enumerate(zip(values, exact, bound, strict=True)):
        error = abs(fraction(float(value)) - fraction(truth))
        assert error <= fraction(limit), (
            f"component {place}: got {value!r}, exact {mpmath.nstr(truth, 20)}, "
            f"error {float(error):.3g} > {float(fraction(limit)):.3g}; {about!r}"
        )
