"""Rows of logits that break implementations: named families (seeded) and hypothesis strategies."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

INFINITY = math.inf


def generator(name: str) -> np.random.Generator:
    """A generator whose seed is made from ``name``, and printed for pytest to show on failure."""
    seed = zlib.crc32(name.encode())
    print(f"numpy seed of {name!r}: {seed}")
    return np.random.default_rng(seed)


def _dominant(rng: np.random.Generator, classes: int, low: float, high: float) -> np.ndarray:
    row = rng.normal(size=classes)
    row[rng.integers(classes)] = row.max() + rng.uniform(low, high)
    return row


def _normalised(rng: np.random.Generator, classes: int) -> np.ndarray:
    """Log-probabilities: their logsumexp is nearly 0 and cancels almost completely."""
    row = rng.normal(size=classes) * rng.choice([0.3, 1.0, 5.0])
    # math.exp, unlike np.exp, is the same on every processor of a kind
    return row - row.max() - math.log(math.fsum(map(math.exp, row - row.max())))


def _confident_log_probabilities(rng: np.random.Generator, classes: int) -> np.ndarray:
    """The same with p near 1 for one class: exp(z) - 1 ≈ z there, and its last digits count."""
    row = -rng.uniform(5, 50, classes) - math.log(classes)
    pivot = rng.integers(classes)
    row[pivot] = -INFINITY
    row[pivot] = math.log1p(-math.fsum(map(math.exp, row)))
    return row


def _masked(rng: np.random.Generator, classes: int) -> np.ndarray:
    row = rng.normal(size=classes) * 10
    row[rng.random(classes) < 0.5] = -INFINITY
    row[rng.integers(classes)] = rng.normal()
    return row


def _tail(rng: np.random.Generator, classes: int) -> np.ndarray:
    """One dominant logit, all others where their exponentials are subnormal."""
    row = rng.uniform(-745, -700, size=classes)
    row[rng.integers(classes)] = 0
    return row


def _faint(rng: np.random.Generator, classes: int) -> np.ndarray:
    """exp of the others is subnormal or 0, their probabilities are normal numbers."""
    row = rng.uniform(-770, -700, size=classes)
    row[rng.integers(classes)] = -rng.uniform(80, 500)
    return row


def _magnitudes(rng: np.random.Generator, classes: int) -> np.ndarray:
    """From subnormal to the largest, all exponents alike."""
    return np.ldexp(rng.uniform(-1, 1, classes), rng.integers(-1070, 1024, classes))


def _near_threshold(rng: np.random.Generator, classes: int) -> np.ndarray:
    """Logits on both sides of where a kernel might switch: ±600, ±700, ±708, ±745."""
    return rng.choice([600.0, 700.0, 708.4, 709.78, 744.4, 745.2], classes) * rng.choice(
        [-1.0, 1.0], classes
    ) + rng.normal(size=classes)


def _edges_of_the_split(rng: np.random.Generator, classes: int) -> np.ndarray:
    """Sums near 2²⁸ and K²·2⁻¹⁸, between which one number splits the exponentials of all rows."""
    edge = rng.choice([28 * math.log(2), math.log(classes) - 18 * math.log(2)])
    return edge + rng.normal(size=classes) * rng.choice([0.01, 1.0, 5.0])


def _far_or_very_far(rng: np.random.Generator, classes: int) -> np.ndarray:
    """Others near 2⁻⁴⁰ of the largest: on one side by their exponentials, on the other by shift."""
    row = rng.normal(size=classes) * 0.5 - 40 * math.log(2)
    row[rng.integers(classes)] = 0
    return row + rng.choice([0.0, 12.0, -3.0])


#: name -> (rng, number of classes) -> row
FAMILIES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "uniform": lambda rng, k: rng.uniform(-1, 1, k),
    "wide 50": lambda rng, k: rng.uniform(-50, 50, k),
    "wide 350": lambda rng, k: rng.uniform(-350, 350, k),
    "wide 1000": lambda rng, k: rng.uniform(-1000, 1000, k),
    "near ties at 100": lambda rng, k: 100 + rng.integers(-2, 3, k) * 2.0**-46,
    "ties": lambda rng, k: rng.choice([-3.25, 0.0, 7.5], k),
    "all equal": lambda rng, k: np.full(k, rng.normal() * 10.0 ** rng.integers(-3, 16)),
    "dominant 5-30": lambda rng, k: _dominant(rng, k, 5, 30),
    "dominant 30-60": lambda rng, k: _dominant(rng, k, 30, 60),
    "dominant 60-700": lambda rng, k: _dominant(rng, k, 60, 700),
    "dominant 700-800": lambda rng, k: _dominant(rng, k, 700, 800),
    "offset 1e4": lambda rng, k: 1e4 + rng.normal(size=k),
    "offset 1e8": lambda rng, k: -1e8 + rng.normal(size=k) * 3,
    "offset 1e15": lambda rng, k: 1e15 + rng.integers(-80, 80, k) / 8,
    "subnormal logits": lambda rng, k: (
        rng.choice([-1.0, 1.0], k) * rng.integers(0, 2**40, k) * 5e-324
    ),
    "signed zeros": lambda rng, k: rng.choice([0.0, -0.0], k),
    "magnitudes": _magnitudes,
    "huge": lambda rng, k: rng.choice([1.7e308, -1.7e308, 1.6e308, 0.0, 1.0], k),
    "masked": _masked,
    "subnormal tail": _tail,
    "faint": _faint,
    "thresholds": _near_threshold,
    "log-probabilities": _normalised,
    "confident log-probabilities": _confident_log_probabilities,
    "lse near 0": lambda rng, k: rng.normal(size=k) * 1e-3 - math.log(k),
    "edges of the split": _edges_of_the_split,
    "far or very far": _far_or_very_far,
    "second near": lambda rng, k: np.concatenate([[0.0], rng.uniform(-40, -30, k - 1)])[:k],
}

LOGSUMEXP_CANCELS = ("log-probabilities", "confident log-probabilities", "lse near 0")


def family(name: str, rows: int, classes: int) -> np.ndarray:
    """``rows`` rows of a family, the same ones on every run."""
    rng = generator(f"{name} {rows}x{classes}")
    return np.stack([FAMILIES[name](rng, classes) for _ in range(rows)])


# --------------------------------------------------------------------------------------------------
# hypothesis

_CLASSES = st.integers(1, 9)


def _lists(
    elements: st.SearchStrategy[float], least: int, most: int
) -> st.SearchStrategy[list[float]]:
    return st.lists(elements, min_size=least, max_size=most)


_finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
_moderate = st.floats(-30, 30)
_spread = st.floats(-2000, 2000)
_subnormal = st.integers(-(2**52), 2**52).map(lambda n: n * 5e-324)
_zero = st.sampled_from([0.0, -0.0])
_tie = st.sampled_from([-1.0, 0.0, 0.5, 40.0, 700.0])
_huge = st.sampled_from([1.7e308, -1.7e308, 1e300, 1.0, 0.0])


@st.composite
def _with_offset(draw: st.DrawFn, least: int, most: int) -> list[float]:
    offset = draw(st.sampled_from([1e4, -1e6, 1e8, -1e12, 1e15, -1e15]))
    return [offset + value for value in draw(_lists(_moderate, least, most))]


@st.composite
def _one_dominant(draw: st.DrawFn, least: int, most: int) -> list[float]:
    row = draw(_lists(st.floats(-3, 3), least, most))
    row[draw(st.integers(0, len(row) - 1))] = max(row) + draw(st.floats(5, 800))
    return row


@st.composite
def _near_zero_logsumexp(draw: st.DrawFn, least: int, most: int) -> list[float]:
    row = draw(_lists(st.floats(-10, 10), least, most))
    largest = max(row)
    total = math.fsum(math.exp(value - largest) for value in row)
    return [value - largest - math.log(total) for value in row]


@st.composite
def _with_mask(draw: st.DrawFn, least: int, most: int) -> list[float]:
    row = draw(_lists(st.one_of(_moderate, _spread, st.just(-INFINITY)), least, most))
    row[draw(st.integers(0, len(row) - 1))] = draw(_moderate)
    return row


def rows(least: int = 1, most: int = 9, masks: bool = True) -> st.SearchStrategy[list[float]]:
    """Rows of every adversarial kind; with ``masks`` some logits may be -inf, never all."""
    kinds = [
        _lists(_moderate, least, most),
        _lists(_spread, least, most),
        _lists(_finite, least, most),
        _lists(_subnormal, least, most),
        _lists(_zero, least, most),
        _lists(_tie, least, most),
        _lists(_huge, least, most),
        _with_offset(least, most),
        _one_dominant(least, most),
        _near_zero_logsumexp(least, most),
    ]
    if masks:
        kinds.append(_with_mask(least, most))
    return st.one_of(kinds)


@st.composite
def batches(draw: st.DrawFn, most_rows: int = 6, masks: bool = True) -> np.ndarray:
    """A small batch of rows of different kinds, all with the same number of classes."""
    classes = draw(st.integers(1, 7))
    count = draw(st.integers(1, most_rows))
    return np.array([draw(rows(classes, classes, masks)) for _ in range(count)])


@st.composite
def dyadic_rows(draw: st.DrawFn) -> tuple[list[float], float]:
    """A row and a shift on the grid of 2^-20 below 2^20: adding the shift is exact."""
    grid = st.integers(-(2**36), 2**36).map(lambda n: n * 2.0**-20)
    return draw(st.lists(grid, min_size=1, max_size=8)), draw(grid)
