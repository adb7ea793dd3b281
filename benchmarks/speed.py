"""Speed and accuracy side by side: softmax_ref against SciPy, PyTorch and JAX, in one process.

    python -m benchmarks.speed [--plot benchmarks/speed.svg] [--seconds 0.3]

For every shape and type softmax_ref and one peer run in turns of 5 ms or more, and the best time of
each counts: a slow moment of the machine hits both alike.  Only two at a time, because what one
leaves behind (threads, a heap in pieces) weighs on the next.  The logits are N(0, 3²).  Beside
every ratio stands the worst error in ULP on the same logits with one confident row (its label 40
above the rest), judged by `softmax_ref.exact` on up to 40 rows; in the other tables on the logits
themselves.
Peers run on one thread; PyTorch's and JAX's loss is forward and backward.  Also printed: classes on
axis 0, more than 50000 classes (judged by 80-bit arithmetic where there is one), every fourth row
confident, float64 exp alone beside the peers' float32, how time grows with N and K (slopes of log
time, 1 is linear), the peak of memory beyond the output, and what normalised log-probabilities cost
logsumexp.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # before the peers are imported
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_ENABLE_X64"] = "1"

import numpy as np  # noqa: E402

import softmax_ref as sr  # noqa: E402

SHAPES = [
    (1, 10), (64, 10), (1000, 10), (100_000, 10),
    (10_000, 100), (1000, 1000), (128, 32_000), (256, 50_000),
]  # fmt: skip
DTYPES = ["float64", "float32"]
LONG = 50_000  # classes of a row up to which the exact tier takes seconds
FUNCTIONS = ["softmax", "log_softmax", "logsumexp", "loss and gradient"]
Array = np.ndarray[Any, np.dtype[Any]]
Candidates = dict[str, Callable[[], Any]]


def candidates(function: str, z: Array, y: Array, axis: int) -> Candidates:
    """softmax_ref first, then every peer that is installed."""
    if function == "loss and gradient":
        found: Candidates = {
            "softmax_ref": lambda: sr.cross_entropy_value_and_grad(z, y, axis=axis)
        }
    else:
        ours = getattr(sr, function)
        found = {"softmax_ref": lambda: ours(z, axis=axis)}
    for peer in (_scipy, _torch, _jax):
        try:
            call = peer(function, z, y, axis)
        except ImportError:
            continue
        if call is not None:
            found[peer.__name__[1:]] = call
    return found


def _scipy(function: str, z: Array, y: Array, axis: int) -> Callable[[], Any] | None:
    from scipy import special

    if function == "loss and gradient":
        return None
    peer = getattr(special, function)
    return lambda: peer(z, axis=axis)


def _torch(function: str, z: Array, y: Array, axis: int) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(1)
    x = torch.from_numpy(z)
    if function != "loss and gradient":
        peer = getattr(torch, function)

        def forward() -> Any:
            with torch.no_grad():
                return peer(x, dim=axis).numpy()

        return forward
    x.requires_grad_(True)
    target = torch.from_numpy(y)

    def both() -> Any:
        x.grad = None
        logits = x if axis in (-1, 1) else x.T
        loss = torch.nn.functional.cross_entropy(logits, target)
        loss.backward()
        return loss.detach().numpy(), x.grad.numpy()

    return both


def _jax(function: str, z: Array, y: Array, axis: int) -> Callable[[], Any]:
    import jax

    x, target = jax.numpy.asarray(z), jax.numpy.asarray(y)
    if function != "loss and gradient":
        where = jax.scipy.special if function == "logsumexp" else jax.nn
        peer = jax.jit(lambda a: getattr(where, function)(a, axis=axis))
        return lambda: peer(x).block_until_ready()

    def loss(a: Any, target: Any) -> Any:
        rows = a if axis in (-1, 1) else a.T
        picked = jax.numpy.take_along_axis(jax.nn.log_softmax(rows), target[:, None], 1)
        return -picked.mean()

    value_and_grad = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(value_and_grad(x, target))


def best_times(calls: list[Callable[[], Any]], seconds: float) -> list[float]:
    """The best time of each, taking turns for so many seconds (and five turns at least)."""
    repeat = []
    for call in calls:
        call()
        start = time.perf_counter()
        call()
        repeat.append(max(1, int(5e-3 / (time.perf_counter() - start))))
    best = [math.inf] * len(calls)
    gc.collect()
    gc.disable()  # as `timeit` does
    end, turns = time.perf_counter() + seconds, 0
    while turns < 5 or time.perf_counter() < end:
        for i, call in enumerate(calls):
            start = time.perf_counter()
            for _ in range(repeat[i]):
                call()
            best[i] = min(best[i], (time.perf_counter() - start) / repeat[i])
        turns += 1
    gc.enable()
    return best


def against_peers(calls: Candidates, seconds: float) -> tuple[float, dict[str, float]]:
    """The best time of softmax_ref, and its time / the peer's time for each peer."""
    ours, *peers = calls
    if not peers:
        return best_times([calls[ours]], seconds)[0], {}
    pairs = {peer: best_times([calls[ours], calls[peer]], seconds) for peer in peers}
    return min(a for a, _ in pairs.values()), {peer: a / b for peer, (a, b) in pairs.items()}


def print_ratios(
    what: str, function: str, z: Array, y: Array, axis: int, seconds: float
) -> None:
    """Time / each peer's time, with the errors of both."""
    calls = candidates(function, z, y, axis)
    _, ratios = against_peers(calls, seconds)
    truth = Truth(function, z, y, axis)
    ours, *theirs = (_ulp(truth.worst_ulp(call())) for call in calls.values())
    peers = zip(ratios.items(), theirs, strict=True)
    print(what, ours, *(f"| {ratio:.2f} × {peer} {error}" for (peer, ratio), error in peers))


class Truth:
    """The results of some rows (classes last) by the exact tier, of long rows with 80 bits."""

    def __init__(self, function: str, z: Array, y: Array, axis: int = -1) -> None:
        z = z.T if axis == 0 else z
        self.axis, self.dtype, (count, classes) = axis, z.dtype, z.shape
        some = max(1, min(40, 4000 // classes))
        self.rows = np.unique(np.linspace(0, count - 1, some, dtype=int))
        logits, labels = z[self.rows].astype(np.float64), y[self.rows].tolist()
        of_row = _by_exact if classes <= LONG else _by_long_double
        self.values = [of_row(function, row, k) for row, k in zip(logits, labels, strict=True)]
        self.loss = None  # the mean, if these are all rows
        if function == "loss and gradient":
            self.values = [value / count for value in self.values]
            if len(self.rows) == count and classes <= LONG:
                rows = zip(logits.tolist(), labels, strict=True)
                self.loss = math.fsum(sr.exact.cross_entropy(*row) for row in rows) / count

    def worst_ulp(self, result: Any) -> float:
        """The worst error of a result, in units in the last place of its type."""
        loss, result = result if isinstance(result, tuple) else (None, result)
        values = np.asarray(result)
        values = values.T if self.axis == 0 else values
        errors = map(self._error, values[self.rows], self.values)
        return max(*errors, 0.0 if self.loss is None else self._error(loss, self.loss))

    def _error(self, value: Any, exact: Any) -> float:
        spacing = np.spacing(np.abs(np.asarray(exact).astype(self.dtype))).astype(np.float64)
        return float(np.max(np.abs(np.asarray(value, dtype=np.float64) - exact) / spacing))


def _by_exact(function: str, row: Array, label: int) -> Any:
    if function == "loss and gradient":
        return np.array(sr.exact.cross_entropy_grad(row.tolist(), label))
    return np.array(getattr(sr.exact, function)(row.tolist()))


def _by_long_double(function: str, row: Array, label: int) -> Any:
    """Where no p is near 1."""
    z = row.astype(np.longdouble) - row.max()
    e = np.exp(z)
    total = e.sum()
    if function == "logsumexp":
        return np.log(total) + row.max()
    if function == "log_softmax":
        return z - np.log(total)
    p = e / total
    p[label] -= function == "loss and gradient"
    return p


def logits(
    shape: tuple[int, int], dtype: str, confident: slice | None = None
) -> tuple[Array, Array]:
    """N(0, 3²), in confident rows the label's logit 40 above the rest."""
    random = np.random.default_rng(sum(shape))
    z = 3.0 * random.normal(size=shape)
    y = random.integers(0, shape[1], shape[0])
    if confident is not None:
        rows = np.arange(shape[0])[confident]
        z[rows, y[rows]] = z[rows].max(axis=1) + 40.0
    return z.astype(dtype), y


def table(seconds: float, dtypes: list[str]) -> list[dict[str, Any]]:
    """One record a function, type and shape: time, ratios to the peers' times, errors."""
    records = []
    for dtype in dtypes:
        for function in FUNCTIONS:
            for shape in SHAPES:
                z, y = logits(shape, dtype)
                calls = candidates(function, z, y, -1)
                ours, ratios = against_peers(calls, seconds)
                z, y = logits(shape, dtype, slice(0, 1))
                hard = candidates(function, z, y, -1)
                truth = Truth(function, z, y)
                errors = [truth.worst_ulp(call()) for call in hard.values()]
                record = {
                    "dtype": dtype, "function": function, "shape": shape,
                    "time": ours, "ratio": ratios,
                    "ulp": dict(zip(calls, errors, strict=True)),
                }  # fmt: skip
                records.append(record)
                print(_line(record), flush=True)
    return records


def _line(record: dict[str, Any]) -> str:
    ours, ulp = record["time"], record["ulp"]
    size = math.prod(record["shape"])
    shape = "{} × {}".format(*record["shape"])
    text = (
        f"{record['dtype']} {record['function']:18}{shape:>14}{ours / size * 1e9:9.2f} ns a logit"
    )
    text += f"  {_ulp(ulp['softmax_ref'])}"
    for peer, ratio in record["ratio"].items():
        text += f" | {ratio:5.2f} × {peer} {_ulp(ulp[peer])}"
    return text


def _ulp(error: float) -> str:
    return f"({error:.2f} ULP)" if error < 1000 else f"({error:.0e} ULP)"


def summary(records: list[dict[str, Any]]) -> None:
    """Geometric means and worst ratios over the shapes."""
    print("\ngeometric mean of time / peer's time over the shapes (worst shape)")
    for dtype in dict.fromkeys(r["dtype"] for r in records):
        for function in FUNCTIONS:
            chosen = [r for r in records if (r["dtype"], r["function"]) == (dtype, function)]
            text = f"{dtype} {function:18}"
            for peer in chosen[0]["ratio"]:
                ratios = [r["ratio"][peer] for r in chosen]
                mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
                text += f"  {peer} {mean:.2f} ({max(ratios):.2f})"
            worst = max(r["ulp"]["softmax_ref"] for r in chosen)
            print(f"{text}   worst error {worst:.2f} ULP")


def other_axis(seconds: float) -> None:
    """Classes × rows: the shapes of the table, and more of many classes."""
    print("\nclasses on axis 0: time / peer's time")
    more = [(128, 32_000), (10_000, 100), (4000, 1000), (32_000, 128), (60_000, 64)]
    for dtype in DTYPES:
        for shape in sorted({shape[::-1] for shape in SHAPES} | {*more}):
            z, y = logits(shape[::-1], dtype)
            z = np.ascontiguousarray(z.T)
            for function in FUNCTIONS:
                name = f"{dtype} {shape[0]:>5} × {shape[1]:<7}{function:18}"
                print_ratios(name, function, z, y, 0, seconds / 2)


def large_vocabularies(seconds: float) -> None:
    """More classes than a block of rows has room for."""
    print("\nmore than 50000 classes: time / peer's time")
    for dtype in DTYPES:
        for shape in ((64, 50_257), (16, 128_256), (8, 262_144), (2, 1_000_000)):
            z, y = logits(shape, dtype)
            for function in FUNCTIONS:
                name = f"{dtype} {shape[0]:>4} × {shape[1]:<8}{function:18}"
                print_ratios(name, function, z, y, -1, seconds / 2)


def confident(seconds: float) -> None:
    print("\nevery fourth row confident, float64: time / peer's time")
    for shape in ((1000, 10), (10_000, 100), (1000, 1000)):
        z, y = logits(shape, "float64", slice(None, None, 4))
        for function in FUNCTIONS:
            name = f"{shape[0]:>6} × {shape[1]:<6}{function:18}"
            print_ratios(name, function, z, y, -1, seconds / 2)


def exponentials(seconds: float) -> None:
    """What float32 pays for results that are rounded once: the exponentials take float64."""
    print("\nfloat64 exp alone, in the cache / a peer's whole call in float32")
    for shape in ((10_000, 100), (1000, 1000), (128, 32_000)):
        z, y = logits(shape, "float32")
        blocks = np.array_split(z.astype(np.float64).ravel(), z.size // 32_000)
        e = np.empty(blocks[0].size)

        def alone(blocks: list[Array] = blocks, e: Array = e) -> None:
            for block in blocks:
                np.exp(block, out=e[: block.size])

        for function in ("softmax", "log_softmax"):
            _, found = against_peers(
                candidates(function, z, y, -1) | {"softmax_ref": alone}, seconds / 2
            )
            name = f"{shape[0]:>6} × {shape[1]:<6}{function:18}"
            print(name, *(f"{ratio:.2f} × {peer}" for peer, ratio in found.items()))


def slopes(seconds: float) -> None:
    """How time grows with the number of rows and of classes."""
    print("\nslope of log time (1: linear)")
    growth = {
        "N, K = 10": [(n, 10) for n in (10_000, 100_000, 1_000_000)],
        "K, N = 10": [(10, k) for k in (10_000, 100_000, 1_000_000)],
    }
    for name, shapes in growth.items():
        for function in FUNCTIONS:
            times = []
            for shape in shapes:
                z, y = logits(shape, "float64")
                times += best_times([candidates(function, z, y, -1)["softmax_ref"]], seconds)
            sizes = [math.log(math.prod(shape)) for shape in shapes]
            slope = float(np.polyfit(sizes, np.log(times), 1)[0])
            print(f"{name}  {function:18} {slope:.2f}")


def memory() -> None:
    """Peak of memory beyond the output, scratch included."""
    print("\npeak memory beyond the output, MiB")
    for shape in ((1_000_000, 10), (1000, 10_000), (200, 50_000), (10, 1_000_000)):
        for offset in (0.0, 5000.0):
            z, y = logits(shape, "float64")
            z += offset
            print(f"{shape[0]:>9} × {shape[1]:<9} offset {offset:<7}", peaks(z, y, -1))
    z, y = logits((10_000, 1000), "float64")
    print(f"{'1000 × 10000, classes on axis 0':>36}", peaks(np.ascontiguousarray(z.T), y, 0))
    groups = slice(None), slice(4)  # rows that no view has one after the other
    z, y = z.reshape(2000, 5, 1000)[groups], y.reshape(2000, 5)[groups]
    print(f"{'2000 × 4 of 5 × 1000':>36}", peaks(z, y, -1))


def peaks(z: Array, y: Array, axis: int) -> str:
    """What each function takes for these logits."""
    found = []
    for function in FUNCTIONS:
        call = candidates(function, z, y, axis)["softmax_ref"]
        call()  # tables and the like come once
        sr._kernel.layout._scratch.__dict__.clear()
        tracemalloc.start()
        result = call()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        parts = result if isinstance(result, tuple) else (result,)
        output = sum(np.asarray(part).nbytes for part in parts)
        found.append(f"{function} {(peak - output) / 2**20:.2f}")
    return ", ".join(found)


def normalised(seconds: float) -> None:
    """logsumexp of log-probabilities, where m and log S cancel in every row."""
    print("\nlogsumexp of normalised log-probabilities, ns a logit, and × the usual time")
    for dtype in DTYPES:
        for count, classes in ((1000, 10), (1000, 100), (100, 1000)):
            z, _ = logits((count, classes), dtype)
            print_cost(f"{dtype} {count:>5} × {classes:<5}", z, sr.log_softmax(z), seconds)
    z, _ = logits((1, 1000), "float64")
    row = (sr.log_softmax(z[0]) - 0.01).tolist()
    for share in (1.0, 1.0 - 2.0**-20, 1.0):  # of what is left of 1: then by integers, by `exact`
        rest = -math.expm1(sr.exact.logsumexp(row))
        row.append(math.nextafter(math.log(rest * share), -math.inf))
        rest = -sr.exact.logsumexp(row)
        print_cost(f"1 - Σ = {rest:.0e}  1 × {len(row)}", z, np.array([row]), seconds)


def print_cost(what: str, usual: Array, hard: Array, seconds: float) -> None:
    times = best_times([partial(sr.logsumexp, usual), partial(sr.logsumexp, hard)], seconds)
    print(f"{what} {times[1] / hard.size * 1e9:8.1f} ns  × {times[1] / times[0]:.0f}")


def plot(records: list[dict[str, Any]], path: str) -> None:
    """The ratios as points, one panel a function."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "softmax_ref", "font.size": 9})
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        2, 2, figsize=(8, 5.6), sharex=True, sharey=True, layout="constrained"
    )
    colours = {"scipy": "#0072b2", "torch": "#d55e00", "jax": "#009e73"}
    for panel, function in zip(panels.flat, FUNCTIONS, strict=True):
        for dtype, marker in (("float64", "o"), ("float32", "^")):
            chosen = [r for r in records if (r["dtype"], r["function"]) == (dtype, function)]
            for peer in chosen[0]["ratio"]:
                ratios = [r["ratio"][peer] for r in chosen]
                panel.plot(
                    ratios,
                    marker + ":",
                    color=colours[peer],
                    label=f"{peer}, {dtype}",
                    fillstyle="full" if dtype == "float64" else "none",
                    linewidth=0.7,
                )
        panel.axhline(1.0, color="black", linewidth=0.8)
        panel.set_yscale("log")
        panel.set_title(function)
        names = ["{}×{}".format(*shape) for shape in SHAPES]
        panel.set_xticks(range(len(SHAPES)), names, rotation=45, ha="right")
        panel.set_yticks(ticks := [0.25, 0.5, 1, 2, 4, 8], [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    figure.supylabel("time / peer's time")
    figure.savefig(path, metadata={"Date": None})


def machine() -> str:
    versions = [f"Python {platform.python_version()}", f"NumPy {np.__version__}"]
    for name in ("scipy", "torch", "jax"):
        try:
            versions.append(f"{name} {__import__(name).__version__}")
        except ImportError:
            versions.append(f"{name} not installed")
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            names = (line.split(":")[1] for line in info if line.startswith("model name"))
            model = next(names).strip()
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} CPUs; " + ", ".join(versions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", help="write the ratios as a figure")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each line")
    options = parser.parse_args()
    print(machine())
    records = table(options.seconds, DTYPES)
    summary(records)
    other_axis(options.seconds)
    large_vocabularies(options.seconds)
    confident(options.seconds)
    exponentials(options.seconds)
    slopes(options.seconds)
    memory()
    normalised(options.seconds)
    if options.plot:
        plot(records, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
