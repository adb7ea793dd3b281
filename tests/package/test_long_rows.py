"""Rows of more than 50 000 classes, and the memory that rows of any length take."""

from __future__ import annotations

import functools
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from generators import generator
from oracles import assert_ulps, oracle

import softmax_ref as sr
from softmax_ref._kernel import Rows
from softmax_ref._kernel.layout import ALONE, _scratch

LONG = 120_001


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("offset", [0.0, 700.0])
def test_a_confident_row(dtype: type, offset: float) -> None:
    """Loss and complement come from the others alone, whatever chunk the pivot is in."""
    y = 100_000
    z = generator("long row").normal(size=LONG)
    z[y] = z.max() + 30
    # differences of multiples of 2⁻¹² below 2¹¹ are exact, in float32 as well
    z = (np.rint(z * 2.0**12) * 2.0**-12 + offset).astype(dtype)
    e = np.array([math.exp(d) for d in (z.astype(np.float64) - float(z[y])).tolist()])
    e[y] = 0.0
    rest = math.fsum(e)  # right to 1 ULP, as math.exp is; the results to 3
    tolerance = 4 * np.finfo(dtype).eps
    close = functools.partial(np.testing.assert_allclose, rtol=tolerance)
    loss, gradient = sr.cross_entropy_value_and_grad(z[None], [y])
    close(loss, math.log1p(rest))
    close(sr.cross_entropy(z[None], [y]), math.log1p(rest))
    close(sr.log_softmax(z)[y], -math.log1p(rest))
    close(sr.softmax_complement(z)[y], rest / (1 + rest))
    exact = e / (1 + rest)
    exact[y] = -rest / (1 + rest)
    close(gradient[0], exact)


FUNCTIONS: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
    "softmax": lambda z, t: sr.softmax(z),
    "softmax_complement": lambda z, t: sr.softmax_complement(z),
    "log_softmax": lambda z, t: sr.log_softmax(z),
    "logsumexp": lambda z, t: sr.logsumexp(z),
    "cross_entropy_value_and_grad": lambda z, t: sr.cross_entropy_value_and_grad(z, [1, 100_000]),
    "smoothed": lambda z, t: sr.cross_entropy_value_and_grad(z, [1, 100_000], label_smoothing=0.1),
    "soft_cross_entropy_value_and_grad": sr.soft_cross_entropy_value_and_grad,
    "softmax_vjp": sr.softmax_vjp,
}


SHORT_ROWS: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
    "softmax": lambda z, y: sr.softmax(z),
    "log_softmax": lambda z, y: sr.log_softmax(z),
    "logsumexp": lambda z, y: sr.logsumexp(z),
    "cross_entropy": sr.cross_entropy,
    "cross_entropy_value_and_grad": sr.cross_entropy_value_and_grad,
    "soft_cross_entropy_value_and_grad": lambda z, y: sr.soft_cross_entropy_value_and_grad(
        z, np.broadcast_to(0.25, z.shape)
    ),
    "softmax_vjp": lambda z, y: sr.softmax_vjp(z, z),
}


FIRST_AXIS: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
    "softmax": lambda z, y: sr.softmax(z, 0),
    "softmax_complement": lambda z, y: sr.softmax_complement(z, 0),
    "log_softmax": lambda z, y: sr.log_softmax(z, 0),
    "logsumexp": lambda z, y: sr.logsumexp(z, 0),
    "cross_entropy_value_and_grad": lambda z, y: sr.cross_entropy_value_and_grad(z, y[0], axis=0),
    "soft_cross_entropy_value_and_grad": lambda z, y: sr.soft_cross_entropy_value_and_grad(
        z, np.broadcast_to(0.25, z.shape), axis=0
    ),
    "softmax_vjp": lambda z, y: sr.softmax_vjp(z, z, 0),
}


def memory_beyond_the_output(call: Callable[..., Any], *arguments: np.ndarray) -> float:
    """The peak in MiB, scratch memory included."""
    call(*(a[:2] for a in arguments))  # tables are made once
    _scratch.__dict__.clear()
    tracemalloc.start()
    try:
        result = call(*arguments)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return float(peak - sum(np.asarray(part).nbytes for part in parts(result))) / 2**20


def parts(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("offset", [0.0, 5000.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_memory_for_long_rows(name: str, offset: float) -> None:
    rng = generator("memory")
    z, t = rng.normal(size=(2, LONG)) + offset, rng.random((2, LONG))
    assert memory_beyond_the_output(FUNCTIONS[name], z, t) <= 2.0


@pytest.mark.parametrize("offset", [0.0, 5000.0])
@pytest.mark.parametrize(
    "shape",
    [
        *[(100_000, 1), (100_000, 2), (100_000, 3), (100_000, 5)],  # a dozen numbers a row count
        *[(30_000, 10), (10_000, 50), (10_000, 51), (500, 1000)],
    ],
)
@pytest.mark.parametrize("name", SHORT_ROWS)
def test_memory_for_many_rows(name: str, shape: tuple[int, int], offset: float) -> None:
    rng = generator("memory")
    z, y = rng.normal(size=shape) + offset, rng.integers(0, shape[1], shape[0])
    assert memory_beyond_the_output(SHORT_ROWS[name], z, y) <= 2.0


def rows_in_groups(z: np.ndarray) -> np.ndarray:
    """Rows that no view has one after the other: two of every three."""
    groups = np.zeros((-(-len(z) // 2), 3, z.shape[1]), z.dtype)
    part = groups[:, :2]
    part[...] = np.resize(z, part.shape)
    return part


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Fortran order": np.asfortranarray,  # no two numbers of a row are neighbours
    "rows apart": lambda z: np.pad(z, ((0, 0), (0, 3)))[:, :-3],
    "rows in groups": rows_in_groups,
    "big-endian": lambda z: z.astype(z.dtype.newbyteorder()),
}


@pytest.mark.parametrize("offset", [0.0, 5000.0, -900.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize(
    "shape", [(30_000, 10), (3000, 100), (500, 1000), (4, 36_000), (4, 50_000), (2, 200_000)]
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_in_other_layouts(
    layout: str, shape: tuple[int, int], dtype: type, offset: float
) -> None:
    """Up to the longest rows that are no chunks, and beyond."""
    rng = generator("memory")
    z = LAYOUTS[layout]((rng.normal(size=shape) + offset).astype(dtype))
    y = rng.integers(0, shape[1], z.shape[:-1])
    for name, function in SHORT_ROWS.items():
        assert memory_beyond_the_output(function, z, y) <= 2.0, name


@pytest.mark.parametrize("offset", [0.0, 5000.0, -900.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, ">f8", np.int64])
@pytest.mark.parametrize(
    "shape", [(10, 40_000), (51, 8000), (300, 1500), (301, 1500), (9000, 50), (9000, 270)]
)
def test_memory_on_the_first_axis(shape: tuple[int, int], dtype: Any, offset: float) -> None:
    rng = generator("memory")
    z, y = (rng.normal(size=shape) + offset).astype(dtype), rng.integers(0, 2, (1, shape[1]))
    for name, function in FIRST_AXIS.items():
        assert memory_beyond_the_output(function, z, y) <= 2.0, name


@pytest.mark.parametrize("shape", [(30, 51, 640), (40, 10, 900), (9, 300, 110), (5, 301, 200)])
def test_memory_on_an_axis_in_the_middle(shape: tuple[int, int, int]) -> None:
    """Rows side by side, and such groups one after the other."""
    rng = generator("memory")
    z, y = rng.normal(size=shape), rng.integers(0, shape[1], (shape[0], shape[2]))
    calls: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
        "softmax": lambda z, y: sr.softmax(z, 1),
        "log_softmax": lambda z, y: sr.log_softmax(z, 1),
        "logsumexp": lambda z, y: sr.logsumexp(z, 1),
        "loss": lambda z, y: sr.cross_entropy_value_and_grad(z, y, axis=1),
    }
    for name, call in calls.items():
        assert memory_beyond_the_output(call, z, y) <= 2.0, name


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ((512, 188, -1), (9216, 188, 0)),  # of the shape of a later chunk
        ((2048, 30, 0), (6000, 100, 0)),
        ((1000, 65, 1), (9000, 100, 1)),
    ],
)
def test_memory_of_calls_one_after_the_other(
    first: tuple[int, int, int], then: tuple[int, int, int]
) -> None:
    """Scratch memory that is too small is given back before there is more of it."""
    small, large = (np.zeros(shape[:2], np.float32) for shape in (first, then))
    _scratch.__dict__.clear()
    tracemalloc.start()
    try:
        sr.softmax(small, first[2])
        tracemalloc.reset_peak()
        for _ in range(3):
            result = sr.softmax(large, then[2])
            assert tracemalloc.get_traced_memory()[1] - result.nbytes <= 2.0 * 2**20
            del result
    finally:
        tracemalloc.stop()


LABELS = np.arange(500_000) % 2
TARGETS = (LABELS.size, 2)
CHECKED: dict[str, tuple[Callable[..., Any], np.ndarray]] = {
    "strided labels": (sr.cross_entropy, np.repeat(LABELS, 2)[::2]),
    "big-endian labels": (sr.cross_entropy, LABELS.astype(">i8")),
    "labels to ignore": (lambda z, y: sr.cross_entropy(z, y, ignore_index=-100), LABELS),
    "a weighted mean": (lambda z, y: sr.cross_entropy(z, y, weight=[1.0, 2.0]), LABELS),
    "labels in Fortran order": (
        lambda z, y: sr.cross_entropy(np.broadcast_to(z[0], (*y.shape, 2)), y),
        np.asfortranarray(LABELS.reshape(1000, 500)),
    ),
    "labels in groups": (
        lambda z, y: sr.cross_entropy(np.broadcast_to(z[0], (*y.shape, 2)), y),
        np.zeros((500, 1001), int)[:, :-1],
    ),
    "one target for all": (sr.soft_cross_entropy, np.broadcast_to(0.5, TARGETS)),
    "Fortran targets": (sr.soft_cross_entropy, np.ones(TARGETS, order="F")),
    "big-endian targets": (sr.soft_cross_entropy, np.ones(TARGETS, ">f8")),
    "weights of many classes": (
        lambda z, w: sr.cross_entropy(z.reshape(2, -1), [1, 1], weight=w, label_smoothing=0.1),
        np.ones(LABELS.size),
    ),
}


@pytest.mark.parametrize("name", CHECKED)
def test_memory_of_checking_arguments(name: str) -> None:
    """What is done before the first block comes a piece at a time, too."""
    call, argument = CHECKED[name]
    z = generator("arguments").normal(size=TARGETS)
    assert memory_beyond_the_output(call, z, argument) <= 2.0


@pytest.mark.parametrize("function", [sr.softmax_jacobian, sr.log_softmax_jacobian])
@pytest.mark.parametrize("shape", [(20, 300), (2, 1000)])
def test_memory_of_jacobians(function: Callable[..., Any], shape: tuple[int, int]) -> None:
    z = generator("Jacobians").normal(size=shape)
    assert memory_beyond_the_output(function, z) <= 2.0


@pytest.mark.parametrize("shape", [(100_000, 2), (30_000, 10), (1000, 1000), (1, 150_000)])
def test_memory_of_logsumexp_of_log_probabilities(shape: tuple[int, int]) -> None:
    """Exponentials as five numbers each: a piece of a row at a time."""
    log_p = sr.log_softmax(generator("log-probabilities").normal(size=shape))
    assert memory_beyond_the_output(sr.logsumexp, log_p) <= 2.0


def test_logsumexp_of_log_probabilities_in_groups() -> None:
    """A long row of which no view has all classes side by side: the same bits, in pieces, too."""
    log_p = sr.log_softmax(generator("log-probabilities in groups").normal(size=300_000))
    groups = np.zeros((300, 1001))[:, :-1]
    groups[...] = log_p.reshape(groups.shape)
    assert sr.logsumexp(groups, axis=None) == sr.logsumexp(log_p)
    assert memory_beyond_the_output(lambda z: sr.logsumexp(z, axis=None), groups) <= 2.0


@pytest.mark.parametrize("gap", [30.0, 60.0, 130.0])
def test_confident_log_probabilities(gap: float) -> None:
    """Rows that only integers decide, or multiple precision, would take seconds and 90 MiB."""
    z = generator("confident log-probabilities").normal(size=(1, 50_000))
    z[:, 0] = gap
    log_p = sr.log_softmax(z)
    assert memory_beyond_the_output(sr.logsumexp, log_p) <= 2.0
    assert_ulps(sr.logsumexp(log_p), [oracle(log_p[0]).logsumexp()], 3.0, gap)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("classes", [8001, 20_000, 33_000])
@pytest.mark.parametrize(
    "kind", ["ordinary", "confident", "far above 0", "far below 0", "confident, below", "tiny S"]
)
def test_long_rows_side_by_side(kind: str, classes: int, dtype: type) -> None:
    """They share a block, and have to give what each gives alone, in no more memory."""
    rng = generator(f"long rows, {kind} {classes}")
    z = rng.normal(size=(7, classes))
    if kind.startswith("confident"):
        z[range(7), rng.integers(0, classes, 7)] += 50.0
    offsets = {"far above 0": 5000.0, "far below 0": -900.0, "confident, below": -900.0}
    offsets["tiny S"] = -40.0
    z[1::2] += offsets.get(kind, 0.0)  # beside rows for which there is nothing to do
    z, y = z.astype(dtype), rng.integers(0, classes, 7)
    for name, function in SHORT_ROWS.items():
        assert memory_beyond_the_output(function, z, y) <= 2.0, name
    grad = functools.partial(sr.cross_entropy_value_and_grad, reduction="none")
    for function in (sr.softmax, sr.log_softmax, sr.softmax_complement, sr.logsumexp, grad):
        labels = [y] if function is grad else []
        together = function(z, *labels)
        for i in range(len(z)):
            alone = function(z[i : i + 1], *(label[i : i + 1] for label in labels))
            for all_rows, row in zip(*map(parts, (together, alone)), strict=True):
                np.testing.assert_array_equal(all_rows[i], row[0], f"{function}, row {i}")


def unusual_rows(rng: np.random.Generator, z: np.ndarray, step: int) -> None:
    """Make every so-and-so-many-th row one of those for which a chunk does not do."""
    for k, i in enumerate(range(1, len(z), step)):
        row, at = z[i], rng.integers(z.shape[1])
        match k % 9:
            case 0:
                row += 5000.0
            case 1:
                row -= 900.0
            case 2:
                row -= 12.0  # S is too small for the constant that splits
            case 3:
                row[at] = np.log(np.exp(row).sum()) + 1.5  # p = 0.8
            case 4:
                row[at] = 60.0
            case 5:
                row[at] = np.nan
            case 6:
                row[at] = np.inf
            case 7:
                row[...] = -np.inf
            case 8:
                row -= 10.0
                row[at] = 12.0  # S is ordinary, S - e is not


@pytest.mark.parametrize("dtype", ["f8", ">f8", "f4", "f2"])
@pytest.mark.parametrize(
    "shape",
    [
        (2, 8804, 70), (1, 9216, 190), (2, 50_000, 13),
        (1, 8804, 210), (1, 18_000, 210), (1, 90_000, 13),
    ],
)
@pytest.mark.parametrize("step", [0, 5, 1])
def test_long_rows_on_the_first_axis(step: int, shape: tuple[int, int, int], dtype: str) -> None:
    """In chunks of many rows: the bits of whole ones, of which some have to be done again."""
    rng = generator(f"long rows side by side, {shape}")
    rows = 2.0 * rng.normal(size=(shape[0] * shape[2], shape[1]))
    if step:
        unusual_rows(rng, rows, step)
    rows = rows.reshape(shape[0], shape[2], shape[1]).astype(dtype)
    z = np.ascontiguousarray(rows.transpose(0, 2, 1))
    with np.errstate(all="ignore"):
        chunks = [b.broad for b in Rows(z, 1).blocks("probabilities", np.empty_like(z))]
    # no room for a copy, or for whole lines of so many rows
    if dtype == ">f8" or (dtype == "f8" and shape == (1, 8804, 210)):
        assert not any(chunks)
    else:
        assert {0: all(chunks), 5: set(chunks) == {True, False}, 1: not any(chunks)}[step]
    for function in (sr.softmax, sr.log_softmax):
        np.testing.assert_array_equal(function(z, 1).transpose(0, 2, 1), function(rows))
        assert memory_beyond_the_output(lambda z, f=function: f(z, 1), z) <= 2.0


@pytest.mark.parametrize("classes", [50_000, 50_001, ALONE, ALONE + 1, 2 * ALONE, 2 * ALONE + 1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_logsumexp_of_long_rows_with_a_sum_near_one(classes: int, dtype: type) -> None:
    """Beyond each limit of blocks and chunks; S may need more digits than it has."""
    z = np.full((2, classes), -math.log(classes) + 2.0**-9).astype(dtype)
    with mpmath.workdps(30):
        exact = mpmath.mpf(z[0, 0].item()) + mpmath.log(classes)
    budget = 3.0 if dtype is np.float64 else 0.5 + 2.0**-20
    assert_ulps(sr.logsumexp(z), [exact, exact], budget, classes, dtype)
    assert memory_beyond_the_output(sr.logsumexp, z) <= 2.0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sums_of_long_rows_on_the_first_axis(dtype: type) -> None:
    """The same to the last bit, of which softmax shows only some."""
    rows = generator("sums of long rows").normal(size=(70, 8804)).astype(dtype)
    across, along = Rows(rows.T.copy(), 0), Rows(rows, 1)
    chunk = next(across.blocks("probabilities", np.empty(across.sizes, dtype)))
    assert chunk.broad
    blocks = along.blocks("probabilities", np.empty(along.sizes, dtype))
    pairs = [(np.ravel(b.high), np.zeros(b.count) + np.ravel(b.low)) for b in blocks]
    high, low = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    np.testing.assert_array_equal(chunk.high.ravel(), high)
    np.testing.assert_array_equal(np.zeros(70) + np.ravel(chunk.low), low)
