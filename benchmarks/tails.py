"""A hundred million ordinary and extreme values: how far the tails of the errors reach.

    python -m benchmarks.tails [--values 1e8] [--seed 1]

`benchmarks.stress` judges every function on a million values that are hard to get right; here each
of the main ones is judged on so many that rare coincidences of roundings show.  The oracle is
NumPy's long double with 64 bits (x86 only), right to 0.01 ULP of float64 here: all logits lie
within ±500, where no shift is needed and exp of the logits themselves is exact enough.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import softmax_ref as sr

CLASSES = (2, 3, 5, 10, 100, 1000)
NUMBERS = 400_000  # logits a batch
Array = np.ndarray[Any, np.dtype[Any]]


def families(random: np.random.Generator) -> Iterator[tuple[str, Array]]:
    """Named batches (rows, K)."""
    for classes in CLASSES:
        size = NUMBERS // classes, classes
        yield "N(0, 3²)", random.normal(0, 3, size)
        for limit in (1, 50, 500):
            yield f"within {limit}", random.uniform(-limit, limit, size)
        for low, high in ((0, 2), (2, 6), (6, 12), (12, 30), (30, 60)):
            z = random.normal(size=size)
            z[:, 0] += random.uniform(low, high, len(z))
            yield f"one leader by {low}…{high}", z


def judge(z: Array, random: np.random.Generator) -> Iterator[tuple[str, Array]]:
    """The errors of each function in ULP."""
    count, classes = z.shape
    rows = np.arange(count)
    pivot = z.argmax(axis=1)
    labels = np.where(random.random(count) < 0.6, pivot, random.integers(0, classes, count))
    e = np.exp(z.astype(np.longdouble))
    top = e[rows, pivot]
    e[rows, pivot] = 0.0
    rest = e.sum(axis=1)
    e[rows, pivot] = top
    p = e / (rest + top)[:, np.newaxis]
    q = 1 - p
    q[rows, pivot] = rest / (rest + top)
    log_sum = np.log1p(rest / top)
    log_p = (z.astype(np.longdouble) - z[rows, pivot, np.newaxis]) - log_sum[:, np.newaxis]
    gradient = p.copy()
    gradient[rows, labels] = -q[rows, labels]
    logsumexp = z[rows, pivot] + log_sum
    exact_enough = abs(logsumexp) > 1e-3  # not where the oracle cancels

    def ulps(computed: Array, exact: Array) -> Array:
        return np.abs((computed - exact) / np.spacing(np.abs(exact).astype(float))).astype(float)

    yield "softmax", ulps(sr.softmax(z), p)
    yield "softmax_complement", ulps(sr.softmax_complement(z), q)
    yield "log_softmax", ulps(sr.log_softmax(z), log_p)
    yield "logsumexp", ulps(sr.logsumexp(z)[exact_enough], logsumexp[exact_enough])
    losses = sr.cross_entropy(z, labels, reduction="none")
    yield "cross_entropy", ulps(losses, -log_p[rows, labels])
    total = sr.cross_entropy_grad(z, labels, reduction="sum")
    yield "cross_entropy_grad, sum", ulps(total, gradient)
    yield "cross_entropy_grad, mean", ulps(sr.cross_entropy_grad(z, labels), gradient / count)


def error_of_exp(z: Array) -> float:
    """The largest relative error of NumPy's exp, in units of 2⁻⁵³."""
    return float(np.max(np.abs(np.exp(z) / np.exp(z.astype(np.longdouble)) - 1))) * 2.0**53


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", type=float, default=1e8, help="of softmax")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if np.finfo(np.longdouble).nmant != 63:
        print("needs a long double of 64 bits, as on x86")
        return 2
    random = np.random.default_rng(options.seed)
    worst: dict[str, tuple[int, int, float, str]] = {}
    done, of_exp = 0, 0.0
    while done < options.values:
        for family, z in families(random):
            done += z.size
            of_exp = max(of_exp, error_of_exp(z))
            for name, errors in judge(z, random):
                count, beyond, most, where = worst.get(name, (0, 0, -1.0, ""))
                largest = float(errors.max())
                where = f"{family}, K = {z.shape[1]}" if largest > most else where
                beyond += int((errors > 2.5).sum())
                worst[name] = count + errors.size, beyond, max(most, largest), where
        print(f"\r{done:.2e} values", end="", file=sys.stderr, flush=True)
    print(f"\rseed {options.seed}, NumPy {np.__version__}")
    print(f"{'function':25} {'values':>12} {'above 2.5':>10} {'worst ULP':>10}")
    for name, (count, beyond, most, where) in worst.items():
        print(f"{name:25} {count:12,} {beyond:10,} {most:10.3f}  {where}")
    print(f"NumPy's exp: relative error at most {of_exp:.3f}·2⁻⁵³")
    return int(max(most for _, _, most, _ in worst.values()) > 3.0)


if __name__ == "__main__":
    sys.exit(main())
