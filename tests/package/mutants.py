"""Ways to break the package, each one a mistake that somebody has made; run as a program.

Every mutant is a sentence and a function that breaks the imported package.  The program runs the
fast selection of the suite (``-m core``) on the intact package and on every mutant, each in a fork
of its own, and prints as JSON which test noticed first.  ``test_mutations.py`` demands that one
does.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401  imported once here, for all forks
import mpmath
import numpy as np
import pytest
import sympy  # noqa: F401

import softmax_ref as sr

HERE = Path(__file__).parent
Mutant = Callable[[], None]
#: stop at the first failure; no plugins and no explained assertions, which cost more than the tests
OPTIONS = "-x -q -m core --tb=line --assert=plain -p no:cacheprovider"
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
MUTANTS: dict[str, Mutant] = {}
#: the test modules with a part in the fast selection
FILES = [str(p) for p in sorted(HERE.glob("test_*.py")) if "mark.core" in p.read_text("utf-8")]


def mutant(sentence: str) -> Callable[[Mutant], Mutant]:
    def register(apply: Mutant) -> Mutant:
        assert sentence not in MUTANTS
        MUTANTS[sentence] = apply
        return apply

    return register


class NumpyWith(types.ModuleType):
    """NumPy as the package sees it, with some functions replaced."""

    def __init__(self, **replaced: Any) -> None:
        super().__init__("numpy")
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def replace_in_numpy(**replaced: Any) -> None:
    """Let every module of the package see other functions in ``np``."""
    changed = 0
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "softmax_ref" and getattr(module, "np", None) is np:
            module.np = NumpyWith(**replaced)  # type: ignore[attr-defined]
            changed += 1
    assert changed, "no module of the package calls NumPy np"


def wrap(name: str, change: Callable[[Any, tuple, dict], Any]) -> None:
    """Replace a public function by ``change(original, args, kwargs)``."""
    original = getattr(sr, name)

    def changed(*args: Any, **kwargs: Any) -> Any:
        return change(original, args, kwargs)

    setattr(sr, name, changed)


def wrap_hard(change: Callable[[Any, tuple, dict], Any]) -> None:
    for name in ("cross_entropy", "cross_entropy_grad", "cross_entropy_value_and_grad"):
        wrap(name, change)


def textbook_softmax(z: Any, axis: int = -1) -> np.ndarray:
    z = np.asarray(z)
    with np.errstate(all="ignore"):
        e = np.exp(z - z.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)


# --- inside the kernel: the elementary functions and the state that it works in -------------------


@mutant("log1p(s) is computed as log(1 + s): the pivot's 1 absorbs the others")
def _() -> None:
    replace_in_numpy(log1p=lambda x, *a, **k: np.log(np.add(x, 1), *a, **k))


@mutant("exp(x) is wrong by 2e-15 x: a factor common to all would cancel in e / S")
def _() -> None:
    def exp(x: Any, *args: Any, **kwargs: Any) -> Any:
        factor = 1 + 2e-15 * np.clip(x, -50, 50)  # first: the result may overwrite x
        value = np.exp(x, *args, **kwargs)
        return np.multiply(value, factor, out=value if isinstance(value, np.ndarray) else None)

    replace_in_numpy(exp=exp)


@mutant("subnormal results are flushed to zero, as XLA does")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        value = f(*a, **k)
        if value.dtype.kind != "f":
            return value
        with np.errstate(all="ignore"):
            return value * (abs(value) >= np.finfo(value.dtype).smallest_normal)

    wrap("softmax", change)


@mutant("the floating-point error state of the caller is left in force")
def _() -> None:
    replace_in_numpy(errstate=lambda **_: contextlib.nullcontext())
    for name in sr.__all__:  # used as a decorator it was called at import; what it wrapped is known
        function = getattr(sr, name)
        setattr(sr, name, getattr(function, "__wrapped__", function))


@mutant("integers are shifted in their own type")
def _() -> None:
    for name in ("softmax", "log_softmax"):

        def change(f: Any, a: tuple, k: dict) -> Any:
            z = np.asarray(a[0])
            if z.dtype.kind in "iu" and z.size:
                with np.errstate(all="ignore"):
                    z = (z - z.max(axis=k.get("axis", -1), keepdims=True)).astype(float)
            return f(z, *a[1:], **k)

        wrap(name, change)


# --- formulas -------------------------------------------------------------------------------------


@mutant("softmax is the shifted textbook formula")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        value = f(*a, **k)
        z = np.asarray(a[0])
        if (
            z.dtype != np.float64
            or not z.ndim
            or not z.size
            or not isinstance(k.get("axis", -1), int)
        ):
            return value
        return textbook_softmax(z, k.get("axis", -1))

    wrap("softmax", change)


@mutant("1 - softmax is computed by subtraction")
def _() -> None:
    wrap("softmax_complement", lambda f, a, k: np.asarray(1 - sr.softmax(*a, **k))[()])


@mutant("log_softmax is the logarithm of softmax")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        with np.errstate(all="ignore"):
            return np.log(sr.softmax(*a, **k))

    wrap("log_softmax", change)


@mutant("the loss is logsumexp minus the logit")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        z = np.asarray(a[0])
        if k or z.ndim != 2 or z.dtype.kind != "f" or not z.size:
            return f(*a, **k)
        f(*a, **k)
        with np.errstate(all="ignore"):
            return (sr.logsumexp(z) - z[np.arange(len(z)), np.asarray(a[1])]).mean()

    wrap("cross_entropy", change)
    wrap(
        "cross_entropy_value_and_grad",
        lambda f, a, k: (sr.cross_entropy(*a, **k), f(*a, **k)[1]),
    )


@mutant("logsumexp does not go to the exact tier where it cancels")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        value = f(*a, **k)
        z = np.asarray(a[0])
        if z.dtype != np.float64 or z.ndim != 1 or not z.size or not np.isfinite(z).all():
            return value
        return z.max() + np.log1p(math.fsum(np.exp(np.sort(z - z.max())[:-1])))

    wrap("logsumexp", change)


@mutant("the label component of the gradient is p_y - 1")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        gradient = f(*a, **k)
        z = np.asarray(a[0])
        if k or z.ndim != 2 or not z.size:
            return gradient
        p = sr.softmax(z)
        rows = np.arange(len(z))
        gradient[rows, np.asarray(a[1])] = (p[rows, np.asarray(a[1])] - 1) / len(z)
        return gradient

    wrap("cross_entropy_grad", change)
    wrap(
        "cross_entropy_value_and_grad",
        lambda f, a, k: (f(*a, **k)[0], sr.cross_entropy_grad(*a, **k)),
    )


@mutant("the loss is floored at -log FLT_MIN")
def _() -> None:
    wrap("cross_entropy", lambda f, a, k: np.minimum(f(*a, **k), 87.33654))
    wrap(
        "cross_entropy_value_and_grad",
        lambda f, a, k: (np.minimum(f(*a, **k)[0], 87.33654), f(*a, **k)[1]),
    )


@mutant("the diagonal of the Jacobian is p (1 - p)")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        p = sr.softmax(a[0])
        return np.eye(p.shape[-1]) * p[..., None] - p[..., :, None] * p[..., None, :]

    wrap("softmax_jacobian", change)


@mutant("the Jacobian has the wrong sign off the diagonal")
def _() -> None:
    wrap("softmax_jacobian", lambda f, a, k: abs(f(*a, **k)))


@mutant("the soft-target gradient is p - t whatever the sum of the targets")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        f(*a, **k)
        return sr.softmax(a[0], axis=k.get("axis", -1)) - np.asarray(a[1])

    wrap("soft_cross_entropy_grad", change)
    wrap(
        "soft_cross_entropy_value_and_grad",
        lambda f, a, k: (f(*a, **k)[0], sr.soft_cross_entropy_grad(*a, **k)),
    )


@mutant("0 · log 0 is NaN in the soft-target loss")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        value = f(*a, **k)
        return value * np.nan if np.any(np.isneginf(np.asarray(a[0], float))) else value

    wrap("soft_cross_entropy", change)
    wrap(
        "soft_cross_entropy_value_and_grad",
        lambda f, a, k: (sr.soft_cross_entropy(*a, **k), f(*a, **k)[1]),
    )


# --- options --------------------------------------------------------------------------------------


@mutant("the weighted mean divides by the number of rows")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        if k.get("weight") is None or k.get("reduction", "mean") != "mean":
            return f(*a, **k)
        f(*a, **k)
        kept = np.asarray(a[1]) != k.get("ignore_index")
        value = f(*a, **{**k, "reduction": "sum"})
        if isinstance(value, tuple):
            return tuple(v / kept.sum() for v in value)
        return value / kept.sum()

    wrap_hard(change)


@mutant("label smoothing spreads ε over the K - 1 other classes")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        smoothing = k.get("label_smoothing", 0.0)
        classes = np.shape(a[0])[-1]
        if not isinstance(smoothing, float) or not 0 < smoothing < 0.5 or classes < 2:
            return f(*a, **k)
        return f(*a, **{**k, "label_smoothing": smoothing * classes / (classes - 1)})

    wrap_hard(change)


@mutant("-100 is ignored by default")
def _() -> None:
    wrap_hard(
        lambda f, a, k: f(
            *a,
            **{**k, "ignore_index": -100 if k.get("ignore_index") is None else k["ignore_index"]},
        )
    )


@mutant("negative labels count from the end")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        labels = np.asarray(a[1])
        if labels.dtype.kind == "i" and not {"axis", "ignore_index"} & k.keys():
            classes = np.shape(a[0])[-1]
            labels = np.where((labels < 0) & (labels >= -classes), labels + classes, labels)
            return f(a[0], labels, **k)
        return f(*a, **k)

    wrap_hard(change)


@mutant("labels are rounded to integers instead of refused")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        labels = np.asarray(a[1])
        return f(a[0], labels.astype(int) if labels.dtype.kind in "fb" else a[1], **k)

    wrap_hard(change)


@mutant("a mean over nothing is NaN")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        try:
            return f(*a, **k)
        except ValueError as error:
            if "mean" in str(error) and "reduction" in str(error):
                return np.nan
            raise

    wrap_hard(change)


@mutant("ignored rows still count in the mean")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        index = k.get("ignore_index")
        if index is None or k.get("reduction", "mean") != "mean" or k.get("weight") is not None:
            return f(*a, **k)
        labels = np.asarray(a[1])
        share = (labels != index).sum() / max(labels.size, 1)
        value = f(*a, **k)
        return tuple(v * share for v in value) if isinstance(value, tuple) else value * share

    wrap_hard(change)


# --- shapes, types and memory ---------------------------------------------------------------------


@mutant("the default axis is the first")
def _() -> None:
    for name in ("softmax", "log_softmax", "logsumexp", "softmax_complement"):
        wrap(name, lambda f, a, k: f(*a, **k) if len(a) > 1 or "axis" in k else f(*a, axis=0, **k))


@mutant("softmax works in place")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        value = f(*a, **k)
        if isinstance(a[0], np.ndarray) and a[0].flags.writeable and a[0].dtype == value.dtype:
            a[0][...] = value
        return value

    wrap("softmax", change)


@mutant("float16 is computed in float16")
def _() -> None:
    for name in ("softmax", "cross_entropy_grad"):

        def change(f: Any, a: tuple, k: dict) -> Any:
            value = f(*a, **k)
            if np.asarray(a[0]).dtype != np.float16:
                return value
            return (value * (1 - np.float16(2e-3))).astype(np.float16)

        wrap(name, change)


@mutant("float32 is computed in float32")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        z = np.asarray(a[0])
        if (
            z.dtype != np.float32
            or not z.size
            or z.ndim == 0
            or not isinstance(k.get("axis", -1), int)
        ):
            return f(*a, **k)
        return textbook_softmax(z, k.get("axis", -1))

    wrap("softmax", change)


@mutant("float32 results are returned as float64")
def _() -> None:
    for name in ("softmax", "log_softmax"):
        wrap(name, lambda f, a, k: np.asarray(f(*a, **k), dtype=np.float64))


@mutant("the mask of a masked array is dropped")
def _() -> None:
    wrap("softmax", lambda f, a, k: f(np.asarray(a[0]), *a[1:], **k))


@mutant("complex logits lose their imaginary part")
def _() -> None:
    wrap("log_softmax", lambda f, a, k: f(np.asarray(a[0]).real, *a[1:], **k))


@mutant("rows of nothing but -inf are uniform")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        value = f(*a, **k)
        z = np.asarray(a[0])
        if z.dtype.kind == "f" and z.ndim and z.size:
            value = np.where(np.all(z == -np.inf, axis=-1, keepdims=True), 1 / z.shape[-1], value)
        return value

    wrap("softmax", change)


@mutant("a NaN spreads over the whole batch")
def _() -> None:
    for name in ("softmax", "log_softmax", "logsumexp"):
        wrap(name, lambda f, a, k: f(*a, **k) * (np.nan if np.any(np.isnan(f(*a, **k))) else 1))


@mutant("+inf takes all the probability")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        value = f(*a, **k)
        z = np.asarray(a[0])
        return np.where(np.isposinf(z), 1.0, value) if z.dtype == np.float64 and z.ndim else value

    wrap("softmax", change)


@mutant("0-d results are arrays")
def _() -> None:
    wrap("logsumexp", lambda f, a, k: np.asarray(f(*a, **k)))


@mutant("errors do not name the argument")
def _() -> None:
    def change(f: Any, a: tuple, k: dict) -> Any:
        try:
            return f(*a, **k)
        except (TypeError, ValueError) as error:
            raise type(error)("invalid input") from error

    wrap("softmax", change)


# --- the exact tier -------------------------------------------------------------------------------


@mutant("the exact tier is one last bit off")
def _() -> None:
    original = sr.exact.softmax
    sr.exact.softmax = lambda row: [math.nextafter(v, 0) for v in original(row)]


@mutant("the exact tier rounds log p to 17 digits first and to a double then")
def _() -> None:
    def log_softmax(row: Any) -> list[float]:
        with mpmath.workdps(17):
            m = max(row)
            total = mpmath.fsum(mpmath.exp(mpmath.mpf(v) - m) for v in row)
            return [float(mpmath.mpf(v) - m - mpmath.log(total)) for v in row]

    sr.exact.log_softmax = log_softmax


# --------------------------------------------------------------------------------------------------


def first_failure(apply: Mutant | None) -> tuple[int, str]:
    """Exit status of the fast selection on the (broken) package, and the first test that failed."""
    with tempfile.TemporaryFile("w+") as output:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:  # never returns
            status = 70
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                if apply is not None:
                    apply()
                status = int(pytest.main([*OPTIONS.split(), *FILES]))
                sys.stdout.flush()
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        text = output.read()
    found = re.search(r"^(?:FAILED|ERROR) \S*?(test_\w+\.py::.+?)(?: - |$)", text, re.MULTILINE)
    code = os.waitstatus_to_exitcode(status)
    return code, found.group(1) if found else text[-2000:]


def main() -> None:
    chosen = {s: m for s, m in MUTANTS.items() if not sys.argv[1:] or sys.argv[1] in s}
    results = {"intact": first_failure(None)}
    results.update({sentence: first_failure(apply) for sentence, apply in chosen.items()})
    print(json.dumps(results, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
