"""Rows of more than 50 000 classes, which come in chunks (`test_chunks` has the edges)."""

from __future__ import annotations

import functools
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from generators import generator

import softmax_ref as sr
from softmax_ref import _layout

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


@pytest.mark.parametrize("offset", [0.0, 5000.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_memory_beyond_the_output(name: str, offset: float) -> None:
    """2 MiB, however long the rows: scratch memory included."""
    rng = generator("memory")
    z, t = rng.normal(size=(2, LONG)) + offset, rng.random((2, LONG))
    FUNCTIONS[name](z, t)  # tables are made once
    _layout._scratch.__dict__.clear()
    tracemalloc.start()
    try:
        result = FUNCTIONS[name](z, t)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    parts = result if isinstance(result, tuple) else (result,)
    assert peak - sum(np.asarray(part).nbytes for part in parts) <= 2 * 2**20
