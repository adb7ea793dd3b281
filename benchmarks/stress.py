"""A million adversarial values for every function, each judged against many more digits.

    python -m benchmarks.stress [--rows 2.2] [--seed 1] [--seeds 1]

The oracle shares nothing with the package: python-flint's ball arithmetic where it is installed,
else the decimal module with 50 digits and plain rounding.  Errors are measured in units in the
last place (ULP) of the exact value.  Where a function subtracts and promises no ULP, they are
measured in 2⁻⁵³ of the bound that its docstring states.  What weights, targets and cotangents are
multiplied by must be normal numbers, as the docstrings say; nothing else is left out.  Prints the
worst error of each function and the row where it happened; ends with status 1 if one is beyond its
contract.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, setcontext
from functools import cached_property
from typing import Any

import numpy as np

import softmax_ref as sr

try:
    import flint
except ImportError:  # the decimal module will do
    flint = None

DIGITS = 50  # of the oracle: 17 for the result, 17 for 1 against e^-39, and to spare
FEW = 10  # classes up to which every class is the label, and every entry of a Jacobian is judged
CONTRACT = {
    "softmax": (3.0, "ULP"),
    "softmax_complement": (3.0, "ULP"),
    "log_softmax": (3.0, "ULP"),
    "logsumexp": (3.0, "ULP"),
    "cross_entropy": (3.0, "ULP"),
    "cross_entropy, weight": (4.0, "ULP"),
    "cross_entropy, smoothing": (5.0, "ULP"),  # and weight
    "cross_entropy_grad, mean": (3.0, "ULP"),
    "cross_entropy_grad, sum": (3.0, "ULP"),
    "cross_entropy_grad, weight": (5.0, "ULP"),
    "cross_entropy_grad, smoothing": (8.0, "bound"),
    "soft_cross_entropy": (4.0, "ULP"),
    "soft_cross_entropy_grad": (8.0, "bound"),
    "softmax_jacobian": (6.0, "ULP"),
    "log_softmax_jacobian": (4.0, "ULP"),
    "softmax_vjp": (8.0, "bound"),
    "float32": (0.5 + 2.0**-20, "ULP"),  # one rounding of a value accurate to 2⁻⁴⁵
    "float16": (0.5 + 2.0**-20, "ULP"),
}
Array = np.ndarray[Any, np.dtype[Any]]
Found = dict[str, tuple[int, float, str]]  # values seen, the worst error, where
Part = tuple[str, Array, list[int]]


class DecimalOracle:
    """Numbers, their differences without rounding, and log1p, with the decimal module."""

    name = "decimal"
    number = Decimal

    def __init__(self) -> None:
        setcontext(Context(prec=DIGITS, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[]))
        # a difference of two float64 may need hundreds of digits
        self.difference = Context(prec=800, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[]).subtract

    def log1p(self, s: Decimal) -> Decimal:
        if s < Decimal("1e-17"):
            return s - s * s / 2 + s * s * s / 3
        return (1 + s).ln()


class FlintOracle:
    """The same with python-flint's balls."""

    name = "python-flint"

    def __init__(self) -> None:
        flint.ctx.prec = 200
        self.number = flint.arb

    def difference(self, a: Any, b: Any) -> Any:
        precision, flint.ctx.prec = flint.ctx.prec, 2200
        d = a - b
        flint.ctx.prec = precision
        return d

    def log1p(self, s: Any) -> Any:
        return s.log1p()


oracle: Any = FlintOracle() if flint else DecimalOracle()
ZERO = oracle.number(0)
NORMAL = oracle.number(2.0**-1022)  # below, the spacing of float64 stays 2⁻⁵²·NORMAL
LARGE = oracle.number(2.0**1000)


def numbers(values: Array) -> list[Any]:
    """float64 as numbers of the oracle, exactly."""
    return [oracle.number(x) for x in values.tolist()]


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
        others = np.exp(-uniform(3, 50, rows(2500, classes))) / classes
        log_p = np.log(others)
        log_p[:, 0] = np.log1p(-others[:, 1:].sum(1))
        yield "confident log-probabilities", log_p
    yield "K = 1", normal(0, 100, rows(1000, 1))
    yield "K = 100", normal(0, 8, rows(400, 100))
    share = np.ones(100)
    for name, share[0] in (("", 1.0), (", one near 0", 1e6)):
        log_p = np.log(random.dirichlet(share, round(100 * scale) + 2))
        yield f"normalised log-probabilities, K = 100{name}", log_p
    yield "K = 1000", normal(0, 5, rows(40, 1000))
    tail = uniform(-745, -735, rows(20, 1000))
    tail[:, 17] = 0.0
    yield "subnormal tail", tail
    confident = normal(0, 1, rows(30, 1000))
    confident[:, 400] += uniform(20, 60, len(confident))
    yield "confident, K = 1000", confident
    yield "K = 70000", normal(0, 3, (1, 70000))
    yield "K = 70000, far apart", uniform(-800, 0, (1, 70000))
    long = normal(0, 1, (1, 70000))
    long[:, 60000] = long.max() + 30
    yield "confident, K = 70000", long


class Row:
    """The exact softmax of a row, and what belongs to it."""

    def __init__(self, z: Array, whole: Row | None = None) -> None:
        self.z, self.pivot = z, int(z.argmax())
        self.d: list[Any]
        self.e: list[Any]
        m = oracle.number(z[self.pivot].item())
        if whole is not None and whole.pivot == self.pivot:  # z is the head of that row
            self.d, self.e = whole.d[: len(z)], whole.e[: len(z)]
        else:
            self.d = [oracle.difference(x, m) for x in numbers(z)]
            self.e = [x.exp() for x in self.d]
        self.rest = sum((x for i, x in enumerate(self.e) if i != self.pivot), ZERO)
        self.log_sum = oracle.log1p(self.rest)
        self.logsumexp = m + self.log_sum

    @cached_property
    def p(self) -> list[Any]:
        total = 1 + self.rest
        return [x / total for x in self.e]

    @cached_property
    def q(self) -> list[Any]:
        """1 - p, without cancellation."""
        total = 1 + self.rest
        return [(self.rest if i == self.pivot else total - x) / total for i, x in enumerate(self.e)]

    @cached_property
    def log_p(self) -> list[Any]:
        return [x - self.log_sum for x in self.d]

    @cached_property
    def scale(self) -> list[Any]:
        """What p is accurate to, times 2⁵³: p itself, or where it is subnormal NORMAL."""
        return [max(x, NORMAL) for x in self.p]


class Worst:
    """The number of values seen and the worst of them, for each function."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.found: Found = {}

    def see(
        self,
        name: str,
        row: Row,
        computed: Any,
        exact: list[Any],
        bounds: list[Any] | None = None,
        factors: list[Any] | None = None,
    ) -> None:
        """Judge values by the spacing at the exact ones, or by 2⁻⁵³ of the bounds.

        Only those whose factors are normal numbers, where there are factors.
        """
        kind = np.asarray(computed).dtype
        count, worst, where = self.found.get(name, (0, -1.0, ""))
        for i, (got, want) in enumerate(zip(np.ravel(computed).tolist(), exact, strict=True)):
            if factors is not None and not NORMAL <= factors[i] <= LARGE:
                continue
            count += 1
            error = ulps(got, want, kind) if bounds is None else factor(got, want, bounds[i])
            if not error <= worst:
                text = ", ".join(map(repr, row.z[:10].tolist())) + ", …" * (len(row.z) > 10)
                worst, where = error, f"{self.family}: [{text}], entry {i}: {got!r}"
        self.found[name] = count, worst, where


def ulps(got: float, want: Any, kind: np.dtype[Any]) -> float:
    """|got - want| in spacings of the type at want; an infinity must be what want rounds to."""
    nearest = float(want)
    if kind == np.float64:
        spacing = math.ulp(nearest)
    else:
        rounded = np.asarray(nearest, kind)
        nearest, spacing = float(rounded), float(np.spacing(np.abs(rounded)))
    if not (math.isfinite(got) and math.isfinite(nearest)):
        return 0.0 if got == nearest else math.inf
    return abs(float(oracle.number(got) - want)) / spacing


def factor(got: float, want: Any, bound: Any) -> float:
    """|got - want| in 2⁻⁵³·bound, or in half a subnormal spacing where that is more."""
    error = abs(float((oracle.number(got) - want) * 2**53 / max(bound, NORMAL)))
    return error if error < math.inf else math.inf  # NaN is no better


def judge(part: Part) -> Found:
    """All functions on some rows of a family."""
    family, z, seed = part
    random = np.random.default_rng(seed)
    worst, rows = Worst(family), [Row(x) for x in z]
    judge_probabilities(worst, rows, z)
    judge_hard_labels(worst, rows, z, random)
    judge_soft_targets(worst, rows, z, random)
    judge_derivatives(worst, rows, z, random)
    judge_narrow_types(worst, z[: max(1, len(z) // 4)])
    return worst.found


def judge_probabilities(worst: Worst, rows: list[Row], z: Array) -> None:
    classes = z.shape[1]
    p, q, log_p, lse = sr.softmax(z), sr.softmax_complement(z), sr.log_softmax(z), sr.logsumexp(z)
    # the first j + 1 classes of each row, the others masked: one logsumexp for every j
    heads = range(1, classes if classes <= FEW else 1)
    lse_heads = [sr.logsumexp(np.where(np.arange(classes) < j, z, -np.inf)) for j in heads]
    for r, row in enumerate(rows):
        worst.see("softmax", row, p[r], row.p)
        worst.see("softmax_complement", row, q[r], row.q)
        worst.see("log_softmax", row, log_p[r], row.log_p)
        worst.see("logsumexp", row, lse[r], [row.logsumexp])
        for j, values in zip(heads, lse_heads, strict=True):
            head = Row(row.z[:j], row)
            worst.see("logsumexp", head, values[r], [head.logsumexp])


def judge_hard_labels(worst: Worst, rows: list[Row], z: Array, random: np.random.Generator) -> None:
    """The loss and its gradient: plain, with weights, and with weights and smoothing."""
    count, classes = z.shape
    top, any_class = z.argmax(axis=1), random.integers(0, classes, count)
    labels = np.where(random.random(count) < 0.5, top, any_class)
    every = [np.full(count, y) for y in range(classes)] if classes <= FEW else [labels]
    reduction = random.choice(["mean", "sum"]).item()
    weight = 10.0 ** random.uniform(-2, 2, classes)
    options: dict[str, dict[str, Any]] = {
        "": {},
        ", weight": {"weight": weight},
        ", smoothing": {"weight": weight, "label_smoothing": random.random()},
    }
    for option, given in options.items():
        losses = [sr.cross_entropy(z, y, reduction="none", **given) for y in every]
        gradient = sr.cross_entropy_grad(z, labels, reduction=reduction, **given)
        w = numbers(given.get("weight", np.ones(classes)))
        total = sum(w)
        divisor = sum(w[y] for y in labels) if reduction == "mean" else 1
        smoothing = oracle.number(given.get("label_smoothing", 0.0))
        keep, share = 1 - smoothing, smoothing / classes
        for r, row in enumerate(rows):
            spread = ZERO
            if share != 0:  # 0·log 0 is NaN
                spread = -share * sum(a * b for a, b in zip(w, row.log_p, strict=True))
            exact = [spread - keep * w[y[r]] * row.log_p[y[r]] for y in every]
            factors = [-row.log_p[y[r]] for y in every] if given else None
            worst.see(f"cross_entropy{option}", row, [x[r] for x in losses], exact, None, factors)
            y = labels[r]
            own = keep * w[y]
            both = own + share * total
            # p·both - share·w, and at the label share·(p·total - w) - own·(1 - p), with a bound
            # by the largest number there
            terms = [(both * p, share * b) for p, b in zip(row.p, w, strict=True)]
            exact = [(a - b) / divisor for a, b in terms]
            exact[y] = (share * (row.p[y] * total - w[y]) - own * row.q[y]) / divisor
            bounds = None
            if share != 0:
                bounds = [max(pair) / divisor for pair in terms]
                bounds[y] = max(own * row.q[y], share * max(row.p[y] * total, w[y])) / divisor
            factors = [row.q[i] if i == y else p for i, p in enumerate(row.p)] if given else None
            name = f"cross_entropy_grad{option or ', ' + reduction}"
            worst.see(name, row, gradient[r], exact, bounds, factors)


def judge_soft_targets(
    worst: Worst, rows: list[Row], z: Array, random: np.random.Generator
) -> None:
    """The loss for targets of any sum, some of them 0, and its gradient."""
    some = random.random(z.shape) < 0.7
    targets = np.where(some, random.exponential(1.0, z.shape), 0.0)
    loss = sr.soft_cross_entropy(z, targets, reduction="none")
    gradient = sr.soft_cross_entropy_grad(z, targets)
    for r, row in enumerate(rows):
        t = numbers(targets[r])
        total = sum(t)
        exact = -sum((a * b for a, b in zip(t, row.log_p, strict=True) if a != 0), ZERO)
        least = min((-b for a, b in zip(t, row.log_p, strict=True) if a != 0), default=ZERO)
        worst.see("soft_cross_entropy", row, loss[r], [exact], None, [least])
        exact = [(total * p - b) / len(rows) for p, b in zip(row.p, t, strict=True)]
        bounds = [max(total * p, b) / len(rows) for p, b in zip(row.scale, t, strict=True)]
        worst.see("soft_cross_entropy_grad", row, gradient[r], exact, bounds)


def judge_derivatives(worst: Worst, rows: list[Row], z: Array, random: np.random.Generator) -> None:
    """The product with a vector; for few classes and some rows all of both Jacobians."""
    count, classes = z.shape
    upstream = random.normal(size=z.shape) * 10.0 ** random.uniform(-3, 3, (count, 1))
    upstream += random.choice([0.0, 1.0, 1e6], (count, 1))  # a part common to all does no harm
    product = sr.softmax_vjp(z, upstream)
    for r, row in enumerate(rows):
        g = numbers(upstream[r])
        g = [x - g[row.pivot] for x in g]
        mean = sum(p * x for p, x in zip(row.p, g, strict=True))
        exact = [p * (x - mean) for p, x in zip(row.p, g, strict=True)]
        mean = sum(p * abs(x) for p, x in zip(row.scale, g, strict=True))
        bounds = [p * (abs(x) + mean) for p, x in zip(row.scale, g, strict=True)]
        worst.see("softmax_vjp", row, product[r], exact, bounds, [row.rest] * classes)
    if classes > FEW:
        return
    some = rows[: max(1, count // classes)]
    of_p, of_log_p = sr.softmax_jacobian(z[: len(some)]), sr.log_softmax_jacobian(z[: len(some)])
    for r, row in enumerate(some):
        entries = itertools.product(range(classes), repeat=2)
        exact = [row.q[j] if i == j else -row.p[j] for i, j in entries]
        worst.see("log_softmax_jacobian", row, of_log_p[r], exact)
        exact = [row.p[i // classes] * x for i, x in enumerate(exact)]
        worst.see("softmax_jacobian", row, of_p[r], exact)


@np.errstate(over="ignore", invalid="ignore")
def judge_narrow_types(worst: Worst, z: Array) -> None:
    for name, kind in {"float32": np.float32, "float16": np.float16}.items():
        x = np.clip(z, -60000, 60000, where=np.isfinite(z), out=z.copy()).astype(kind)
        p, log_p = sr.softmax(x), sr.log_softmax(x)
        for r in range(len(x)):
            row = Row(x[r].astype(np.float64))
            worst.see(name, row, p[r], row.p)
            worst.see(name, row, log_p[r], row.log_p)


def parts(seed: int, scale: float) -> Iterator[Part]:
    """The families of a seed, in parts that take about as long."""
    number = 0
    for family, z in families(np.random.default_rng(seed), scale):
        for part in np.array_split(z, min(len(z), max(1, z.size // 20_000))):
            number += 1
            yield f"seed {seed}, part {number}, {family}", part, [seed, number]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=2.2, help="multiplies the number of rows")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many, in one table")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    start = time.perf_counter()
    total = {name: (0, -1.0, "") for name in CONTRACT}
    seeds = range(options.seed, options.seed + options.seeds)
    with ProcessPoolExecutor(options.processes) as pool:
        for seed in seeds:
            for found in pool.map(judge, parts(seed, options.rows)):
                for name, (count, worst, where) in found.items():
                    n, w, at = total[name]
                    total[name] = n + count, max(w, worst), where if worst > w else at
    failed = False
    numbered = ", ".join(map(str, seeds))
    print(f"seed {numbered}, oracle: {oracle.name}, NumPy {np.__version__}")
    print(f"{'function':30} {'values':>10} {'worst':>10}  contract  unit")
    for name, (count, worst, where) in total.items():
        contract, unit = CONTRACT[name]
        failed |= not worst <= contract
        print(f"{name:30} {count:10,} {worst:10.6f}  {contract:.6f}  {unit}\n    {where}")
    print(f"{time.perf_counter() - start:.0f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
