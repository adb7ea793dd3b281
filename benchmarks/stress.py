"""A million adversarial values for every function, each judged in units in the last place.

    python -m benchmarks.stress [--rows 2.2] [--seed 1]

The oracle shares nothing with the package: python-flint's ball arithmetic where it is installed,
else the decimal module with 50 digits and plain rounding.  Prints the worst error of each function
and the row where it happened; ends with status 1 if one is beyond its contract.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, setcontext
from typing import Any

import numpy as np

import softmax_ref as sr

try:
    import flint
except ImportError:  # the decimal module will do
    flint = None

DIGITS = 50  # of the oracle: 17 for the result, 17 for 1 against e^-39, and to spare
CONTRACT = {
    "softmax": 3.0,
    "softmax_complement": 3.0,
    "log_softmax": 3.0,
    "logsumexp": 3.0,
    "cross_entropy": 3.0,
    "cross_entropy_grad": 3.0,
    "float32": 0.5 + 2.0**-20,  # one rounding of a value accurate to 2⁻⁴⁵
    "float16": 0.5 + 2.0**-20,
}
Array = np.ndarray[Any, np.dtype[Any]]


class DecimalOracle:
    """exp, log1p and exact conversion with the decimal module."""

    name = "decimal"

    def __init__(self) -> None:
        context = Context(prec=DIGITS, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
        setcontext(context)
        self.number: Callable[[float], Any] = Decimal
        self.zero, self.one = Decimal(0), Decimal(1)
        # a difference of two float64 may need hundreds of digits
        self.difference = Context(prec=800, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[]).subtract

    def exp(self, x: Decimal) -> Decimal:
        return x.exp()

    def log1p(self, s: Decimal) -> Decimal:
        if s < Decimal("1e-17"):
            return s - s * s / 2 + s * s * s / 3
        return (1 + s).ln()

    @staticmethod
    def close(a: Decimal) -> float:
        return float(a)


class FlintOracle:
    """The same with python-flint's balls."""

    name = "python-flint"

    def __init__(self) -> None:
        flint.ctx.prec = 200
        self.number = flint.arb
        self.zero, self.one = flint.arb(0), flint.arb(1)

    def difference(self, a: Any, b: Any) -> Any:
        precision, flint.ctx.prec = flint.ctx.prec, 2200
        d = a - b
        flint.ctx.prec = precision
        return d

    def exp(self, x: Any) -> Any:
        return x.exp()

    def log1p(self, s: Any) -> Any:
        return s.log1p()

    @staticmethod
    def close(a: Any) -> float:
        return float(a.mid())


def families(random: np.random.Generator, scale: float) -> Iterator[tuple[str, Array]]:
    """Named batches (rows, K) of logits that have broken some implementation."""

    def rows(count: float, classes: int) -> tuple[int, int]:
        return max(2, round(count * scale)), classes

    normal, uniform, integers = random.normal, random.uniform, random.integers
    for classes in (2, 3, 10):
        yield "normal", normal(0, 3, rows(2500, classes))
        yield "within 50", uniform(-50, 50, rows(2500, classes))
        yield "within 350", uniform(-350, 350, rows(1500, classes))
        yield "within 1000", uniform(-1000, 1000, rows(1500, classes))
        yield "ties near 100", 100 + integers(0, 3, rows(1500, classes)) * 2.0**-40
        dominant = normal(0, 1, rows(5000, classes))
        dominant[:, 0] += uniform(5, 60, len(dominant))
        yield "dominant, gap to 60", dominant
        far = normal(0, 1, rows(3000, classes))
        far[:, -1] += uniform(60, 800, len(far))
        yield "dominant, gap to 800", far
        offset = normal(0, 3, rows(2500, classes))
        yield "offset to 1e15", offset + 10 ** uniform(3, 15, (len(offset), 1))
        yield "offset to -1e15", offset - 10 ** uniform(3, 15, (len(offset), 1))
        size = rows(2500, classes)
        yield "magnitudes", 10.0 ** uniform(-320, 3, size) * random.choice([-1, 1], size)
        yield (
            "huge",
            random.choice([-1.7e308, 1.7e308, 1.69e308, 0.0, -0.0, 1e300], rows(300, classes)),
        )
        yield "edge of the unshifted range", uniform(530, 620, size) * random.choice([-1, 1], size)
        masked = normal(0, 5, rows(2500, classes))
        masked[uniform(size=masked.shape) < 0.4] = -np.inf
        masked[:, 0] = normal(0, 300, len(masked))
        yield "masked", masked
        log_p = np.log(random.dirichlet(np.ones(classes), round(2500 * scale) + 2))
        yield "normalised log-probabilities", log_p
    yield "K = 1", normal(0, 100, rows(1000, 1))
    yield "K = 100", normal(0, 8, rows(400, 100))
    yield "K = 1000", normal(0, 5, rows(40, 1000))
    tail = uniform(-745, -735, rows(20, 1000))
    tail[:, 17] = 0.0
    yield "subnormal tail", tail
    confident = normal(0, 1, rows(30, 1000))
    confident[:, 400] += uniform(20, 60, len(confident))
    yield "confident, K = 1000", confident
    yield "K = 70000", normal(0, 3, (2, 70000))
    yield "K = 70000, far apart", uniform(-800, 0, (1, 70000))


class Worst:
    """The number of values seen and the worst of them, for each function."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.found: dict[str, tuple[int, float, str]] = {}

    def see(self, name: str, row: Array, computed: Any, exact: list[Any], oracle: Any) -> None:
        kind = np.asarray(computed).dtype
        count, worst, where = self.found.get(name, (0, 0.0, ""))
        for i, (got, want) in enumerate(zip(np.ravel(computed).tolist(), exact, strict=True)):
            error = ulps(got, want, kind, oracle)
            if not error <= worst:
                text = ", ".join(repr(float(x)) for x in row[:6]) + (", …" if len(row) > 6 else "")
                worst, where = error, f"{self.family}: [{text}], entry {i}: {got!r}"
        self.found[name] = count + len(exact), worst, where


def ulps(got: float, want: Any, kind: np.dtype[Any], oracle: Any) -> float:
    """|got - want| in spacings of the type at want."""
    if want is None or math.isinf(got) or got != got:  # None stands for -inf
        return 0.0 if want is None and got == -math.inf else _infinite(got, want, kind, oracle)
    error = abs(oracle.close(oracle.number(got) - want))
    nearest = oracle.close(want)
    if kind == np.float64:
        return error / math.ulp(nearest)
    return error / float(np.spacing(np.abs(np.asarray(nearest, kind))))


def _infinite(got: float, want: Any, kind: np.dtype[Any], oracle: Any) -> float:
    """An infinity is right where the exact value rounds to it."""
    with np.errstate(over="ignore"):
        return (
            0.0
            if want is not None and got == np.asarray(oracle.close(want)).astype(kind)
            else math.inf
        )


def judge(task: tuple[str, Array, int]) -> dict[str, tuple[int, float, str]]:
    """All functions on one family."""
    family, z, seed = task
    random = np.random.default_rng(seed)
    oracle = FlintOracle() if flint else DecimalOracle()
    worst = Worst(family)
    count, classes = z.shape
    small = classes <= 10
    p, q, log_p = sr.softmax(z), sr.softmax_complement(z), sr.log_softmax(z)
    top = z.argmax(axis=1)
    labels = np.where(random.random(count) < 0.5, top, random.integers(0, classes, count))
    gradient = sr.cross_entropy_grad(z, labels)
    if small:
        losses = sr.cross_entropy(
            z.repeat(classes, axis=0), np.tile(np.arange(classes), count), reduction="none"
        ).reshape(count, classes)
        # the first j + 1 classes of each row, the others masked: one logsumexp for every j
        heads = np.where(np.tri(classes, dtype=bool), z[:, np.newaxis, :], -np.inf)
        lse = sr.logsumexp(heads)
    else:
        losses = sr.cross_entropy(z, labels, reduction="none")[:, np.newaxis]
        lse = sr.logsumexp(z)[:, np.newaxis]
    narrow = {"float32": np.float32, "float16": np.float16} if classes <= 1000 else {}
    low = {}
    with np.errstate(over="ignore"):
        for name, kind in narrow.items():
            x = np.clip(z, -60000, 60000, where=np.isfinite(z), out=z.copy()).astype(kind)
            part = slice(0, max(1, count // 4))
            low[name] = x[part], sr.softmax(x[part]), sr.log_softmax(x[part])
    for r in range(count):
        e, d, s, m = _exponentials(z[r], oracle)
        total = oracle.one + s
        log_sum = oracle.log1p(s)
        k = int(top[r])
        worst.see("softmax", z[r], p[r], [x / total for x in e], oracle)
        others = [s if i == k else total - x for i, x in enumerate(e)]
        exact_q = [x / total for x in others]
        worst.see("softmax_complement", z[r], q[r], exact_q, oracle)
        exact_log: list[Any] = [None if x is None else x - log_sum for x in d]
        worst.see("log_softmax", z[r], log_p[r], exact_log, oracle)
        y = int(labels[r])
        exact_g = [x / (total * count) for x in e]
        exact_g[y] = -exact_q[y] / count
        worst.see("cross_entropy_grad", z[r], gradient[r], exact_g, oracle)
        chosen = range(classes) if small else [y]
        for j, i in enumerate(chosen):
            log_i = exact_log[i]
            if log_i is not None:
                worst.see("cross_entropy", z[r], losses[r, j], [-log_i], oracle)
        if small:
            for j in range(classes):
                if z[r, j] > -math.inf or j == 0:
                    head = z[r, : j + 1]
                    _, _, head_s, head_m = _exponentials(head, oracle, e, d, k)
                    exact_lse = head_m + oracle.log1p(head_s)
                    worst.see("logsumexp", head, lse[r, j], [exact_lse], oracle)
        else:
            worst.see("logsumexp", z[r], lse[r], [m + log_sum], oracle)
    for name, (x, p_low, log_low) in low.items():
        for r in range(len(x)):
            row = x[r].astype(np.float64)
            e, d, s, _ = _exponentials(row, oracle)
            worst.see(name, row, p_low[r], [t / (oracle.one + s) for t in e], oracle)
            log_sum = oracle.log1p(s)
            worst.see(
                name, row, log_low[r], [None if t is None else t - log_sum for t in d], oracle
            )
    return worst.found


def _exponentials(
    row: Array,
    oracle: Any,
    e: list[Any] | None = None,
    d: list[Any] | None = None,
    k: int | None = None,
) -> tuple[list[Any], list[Any], Any, Any]:
    """exp(z - m), z - m (None for -inf), the sum without the pivot, and m."""
    pivot = int(row.argmax())
    if e is None or d is None or k != pivot:
        m = oracle.number(float(row[pivot]))
        d = [
            oracle.difference(oracle.number(x), m) if x > -math.inf else None for x in row.tolist()
        ]
        e = [oracle.zero if x is None else oracle.exp(x) for x in d]
    s = oracle.zero
    for i in range(len(row)):
        if i != pivot:
            s += e[i]
    return e, d, s, oracle.number(float(row[pivot]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=2.2, help="multiplies the number of rows")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    start = time.perf_counter()
    random = np.random.default_rng(options.seed)
    tasks: list[tuple[str, Array, int]] = []
    for family, z in families(random, options.rows):
        for part in np.array_split(z, max(1, z.size // 20_000)):
            if len(part):
                tasks.append((family, part, len(tasks)))
    total: dict[str, tuple[int, float, str]] = {}
    with ProcessPoolExecutor(options.processes) as pool:
        for found in pool.map(judge, tasks, chunksize=1):
            for name, (count, worst, where) in found.items():
                n, w, at = total.get(name, (0, -1.0, ""))
                total[name] = n + count, max(w, worst), where if worst > w else at
    failed = False
    oracle = FlintOracle.name if flint else DecimalOracle.name
    print(f"seed {options.seed}, oracle: {oracle}, NumPy {np.__version__}")
    print(f"{'function':20} {'values':>10} {'worst ULP':>10}  contract")
    for name, (count, worst, where) in total.items():
        failed |= not worst <= CONTRACT[name]
        print(f"{name:20} {count:10,} {worst:10.6f}  {CONTRACT[name]:.6f}\n    {where}")
    print(f"{time.perf_counter() - start:.0f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
