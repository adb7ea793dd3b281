"""Every decision about what is not an ordinary float array: dtypes, masks, infinities, emptiness.

One parametrised test for each row of the table of decisions; an error must name the argument, what
it got and what it expects.
"""

from __future__ import annotations

import inspect
import math
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from generators import generator
from oracles import assert_ulps, oracle

import softmax_ref as sr

NAN, INF = math.nan, math.inf

FORWARD: dict[str, Callable[..., Any]] = {
    "softmax": sr.softmax,
    "softmax_complement": sr.softmax_complement,
    "log_softmax": sr.log_softmax,
    "logsumexp": sr.logsumexp,
}
UNARY = FORWARD | {
    "softmax_jacobian": sr.softmax_jacobian,
    "log_softmax_jacobian": sr.log_softmax_jacobian,
}


def _labels_for(z: Any) -> np.ndarray:
    return np.zeros(np.shape(z)[:-1], int)


def _is_float(z: Any) -> bool:
    return isinstance(z, np.ndarray) and z.dtype.kind == "f"


#: every public function as a function of the logits alone
OF_LOGITS: dict[str, Callable[[Any], Any]] = UNARY | {
    "softmax_vjp": lambda z: sr.softmax_vjp(
        z, np.ones_like(z) if _is_float(z) else np.ones(np.shape(z))
    ),
    "cross_entropy": lambda z: sr.cross_entropy(z, _labels_for(z)),
    "cross_entropy_grad": lambda z: sr.cross_entropy_grad(z, _labels_for(z)),
    "cross_entropy_value_and_grad": lambda z: sr.cross_entropy_value_and_grad(z, _labels_for(z))[1],
    "soft_cross_entropy": lambda z: sr.soft_cross_entropy(z, np.ones(np.shape(z))),
    "soft_cross_entropy_grad": lambda z: sr.soft_cross_entropy_grad(z, np.ones(np.shape(z))),
    "soft_cross_entropy_value_and_grad": lambda z: sr.soft_cross_entropy_value_and_grad(
        z, np.ones(np.shape(z))
    )[1],
}
HARD = {
    "cross_entropy": sr.cross_entropy,
    "cross_entropy_grad": sr.cross_entropy_grad,
    "cross_entropy_value_and_grad": sr.cross_entropy_value_and_grad,
}
SOFT = {
    "soft_cross_entropy": sr.soft_cross_entropy,
    "soft_cross_entropy_grad": sr.soft_cross_entropy_grad,
    "soft_cross_entropy_value_and_grad": sr.soft_cross_entropy_value_and_grad,
}


def complaint(error: type[Exception], call: Callable[[], Any], *contents: str) -> str:
    """The message of the error that ``call`` must raise; it must match every pattern."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for pattern in contents:
        assert re.search(pattern, message), f"{pattern!r} is not in {message!r}"
    assert type(caught.value).__module__ in ("builtins", "numpy.exceptions")
    return message


# --------------------------------------------------------------------------------------------------
# The names and signatures.


@pytest.mark.core
def test_public_names() -> None:
    expected = {
        "softmax",
        "log_softmax",
        "logsumexp",
        "softmax_complement",
        "softmax_jacobian",
        "log_softmax_jacobian",
        "softmax_vjp",
        "cross_entropy",
        "cross_entropy_grad",
        "cross_entropy_value_and_grad",
        "soft_cross_entropy",
        "soft_cross_entropy_grad",
        "soft_cross_entropy_value_and_grad",
        "exact",
        "textbook",
        "limits",
        "__version__",
    }
    assert set(sr.__all__) == expected
    for name in expected:
        assert hasattr(sr, name)
    assert set(sr.exact.__all__) == {
        "softmax",
        "log_softmax",
        "logsumexp",
        "cross_entropy",
        "cross_entropy_grad",
    }


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("softmax", "(z, axis=-1)"),
        ("log_softmax", "(z, axis=-1)"),
        ("logsumexp", "(z, axis=-1, keepdims=False)"),
        ("softmax_complement", "(z, axis=-1)"),
        ("softmax_jacobian", "(z)"),
        ("log_softmax_jacobian", "(z)"),
        ("softmax_vjp", "(z, g, axis=-1)"),
        *[
            (
                name,
                "(z, labels, *, axis=-1, reduction='mean', weight=None, ignore_index=None, "
                "label_smoothing=0.0)",
            )
            for name in HARD
        ],
        *[(name, "(z, targets, *, axis=-1, reduction='mean')") for name in SOFT],
    ],
)
def test_signatures(name: str, signature: str) -> None:
    found = inspect.signature(getattr(sr, name))
    assert all(p.annotation is not p.empty for p in found.parameters.values()), "not annotated"
    assert found.return_annotation is not inspect.Signature.empty
    bare = found.replace(
        parameters=[p.replace(annotation=p.empty) for p in found.parameters.values()],
        return_annotation=inspect.Signature.empty,
    )
    assert str(bare) == signature


@pytest.mark.parametrize("name", [n for n in sr.__all__ if callable(getattr(sr, n))])
def test_docstrings_state_the_contract(name: str) -> None:
    text = inspect.getdoc(getattr(sr, name)) or ""
    for part in ("Parameters", "Returns", "Examples", "Raises", "ULP|units in the last place"):
        assert re.search(part, text), f"the docstring of {name} has no {part}"


# --------------------------------------------------------------------------------------------------
# dtypes.


@pytest.mark.core
@pytest.mark.parametrize(
    "dtype",
    [
        bool,
        np.int8,
        np.int16,
        np.int32,
        np.int64,
        np.uint8,
        np.uint16,
        np.uint32,
        np.uint64,
    ],
)
@pytest.mark.parametrize("name", OF_LOGITS)
def test_integers_and_bools_become_float64_before_any_arithmetic(name: str, dtype: type) -> None:
    """Extremes of the type included: nothing wraps around."""
    if dtype is bool:
        z = np.array([[True, False, True]])
    else:
        info = np.iinfo(dtype)
        z = np.array([[info.max, info.min, 3], [0, info.max, info.max]], dtype)
    got, want = OF_LOGITS[name](z), OF_LOGITS[name](z.astype(np.float64))
    assert np.asarray(got).dtype == np.float64
    assert np.array_equal(got, want)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", OF_LOGITS)
def test_floats_keep_their_dtype(name: str, dtype: type) -> None:
    z = np.array([[1.0, 2.0, -3.0]], dtype)
    assert np.asarray(OF_LOGITS[name](z)).dtype == dtype
    assert np.asarray(OF_LOGITS[name](z.astype(z.dtype.newbyteorder()))).dtype == dtype


@pytest.mark.parametrize("name", OF_LOGITS)
def test_lists_and_scalars_of_python_are_float64(name: str) -> None:
    for z in ([[1, 2, 3]], [[1.0, 2, 3]], ((1.0, 2.0, 3.0),)):
        got = OF_LOGITS[name](z)
        assert np.asarray(got).dtype == np.float64
        assert np.array_equal(got, OF_LOGITS[name](np.array(z, float)))


WRONG_TYPES: dict[str, Any] = {
    "complex128": np.array([[1 + 2j, 0]]),
    "complex64": np.array([[1, 0]], np.complex64),
    "object": np.array([[1.0, 2]], object),
    "string": np.array([["1", "2"]]),
    "bytes": np.array([[b"1", b"2"]]),
    "datetime": np.array([["2020-01-01", "2020-01-02"]], "datetime64[D]"),
    "timedelta": np.array([[1, 2]], "timedelta64[s]"),
    "structured": np.zeros((1, 2), [("a", float)]),
    "None": [[None, None]],
}
if np.dtype(np.longdouble).itemsize > 8:
    WRONG_TYPES["longdouble"] = np.array([[1, 2]], np.longdouble)


@pytest.mark.core
@pytest.mark.parametrize("kind", WRONG_TYPES)
@pytest.mark.parametrize("name", OF_LOGITS)
def test_other_dtypes_are_refused(name: str, kind: str) -> None:
    value = WRONG_TYPES[kind]
    got = np.asarray(value).dtype
    complaint(
        TypeError, lambda: OF_LOGITS[name](value), r"\bz\b", re.escape(str(got)), "float|real"
    )


@pytest.mark.core
@pytest.mark.parametrize("name", OF_LOGITS)
def test_masked_arrays_are_refused(name: str) -> None:
    """A mask would be dropped without a word."""
    z = np.ma.array([[1.0, 2.0, 3.0]], mask=[[True, False, False]])
    complaint(TypeError, lambda: OF_LOGITS[name](z), r"\bz\b", "masked", "-inf")
    no_mask = np.ma.array([[1.0, 2.0]])
    complaint(TypeError, lambda: OF_LOGITS[name](no_mask), r"\bz\b", "masked")


def test_masked_arrays_are_looked_for_while_numpy_ma_is_loading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another thread may have begun to import it: a module without its class yet."""
    monkeypatch.setitem(sys.modules, "numpy.ma", types.ModuleType("numpy.ma"))
    assert sr.softmax([[0.0, 0.0]]).tolist() == [[0.5, 0.5]]
    assert sr.cross_entropy([[0.0, 0.0]], [1]) == math.log(2.0)


def test_nobody_loads_numpy_ma_for_plain_arrays() -> None:
    program = """
        import sys, softmax_ref as sr
        sr.softmax([[0.0, 1.0]]); sr.cross_entropy_value_and_grad([[0.0, 1.0]], [1], weight=[1, 2])
        assert "numpy.ma" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


@pytest.mark.parametrize(
    "bad", [np.array([[1j, 0j]]), np.ma.array([[1.0, 1.0]]), np.array([["a", "b"]])]
)
def test_other_array_arguments_are_refused_by_name(bad: Any) -> None:
    z = np.zeros((1, 2))
    complaint(TypeError, lambda: sr.softmax_vjp(z, bad), r"\bg\b")
    for function in SOFT.values():
        complaint(TypeError, lambda f=function: f(z, bad), "targets")
    for function in HARD.values():
        complaint(TypeError, lambda f=function: f(z, [0], weight=bad[0]), "weight")


def test_ragged_lists_are_refused_by_name() -> None:
    z, ragged = np.zeros((2, 2)), [[1, 2], [3]]
    for function in UNARY.values():
        complaint(ValueError, lambda f=function: f(ragged), "^z must", "shape")
    for function in [sr.softmax_vjp, *SOFT.values(), *HARD.values()]:
        complaint(ValueError, lambda f=function: f(ragged, z), "^z must", "shape")
    complaint(ValueError, lambda: sr.softmax_vjp(z, ragged), "^g must", "shape")
    for function in SOFT.values():
        complaint(ValueError, lambda f=function: f(z, ragged), "^targets must", "shape")
    for function in HARD.values():
        complaint(ValueError, lambda f=function: f(z, ragged), "^labels must", "shape")
        complaint(ValueError, lambda f=function: f(z, [0, 1], weight=ragged), "^weight must")


@pytest.mark.parametrize("name", sorted({*OF_LOGITS} - {"softmax_vjp"}))
def test_bfloat16_is_computed_in_float64_and_rounded_once(name: str) -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    z = (3.0 * np.random.default_rng(0).normal(size=(60, 70))).astype(bfloat16)
    z[0, 1], z[1, 2] = -np.inf, np.nan
    for rows in (z, z[:, :5], z[..., np.newaxis, :3]):
        got, want = OF_LOGITS[name](rows), OF_LOGITS[name](rows.astype(np.float64))
        assert np.asarray(got).dtype == bfloat16
        rounded = np.asarray(want).astype(bfloat16).astype(np.float64)
        np.testing.assert_array_equal(np.asarray(got).astype(np.float64), rounded)


def test_bfloat16_of_other_arguments() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    z, ones = np.array([[0.0, 1.0]]), np.ones((1, 2), bfloat16)
    assert sr.softmax_vjp(z, ones).dtype == np.float64
    assert sr.softmax_vjp(z.astype(bfloat16), ones).dtype == bfloat16
    assert sr.soft_cross_entropy(z, ones) == sr.soft_cross_entropy(z, [[1.0, 1.0]])
    assert sr.cross_entropy(z, [0], weight=ones[0]) == sr.cross_entropy(z, [0])
    assert sr.cross_entropy(z.astype(bfloat16), [0]).dtype == bfloat16


def test_subclasses_come_back_as_plain_arrays() -> None:
    """np.matrix would change the meaning of products."""
    with pytest.warns(PendingDeprecationWarning, match="matrix"):
        z = np.matrix([[1.0, 2.0]])
    got = sr.softmax(z)
    assert type(got) is np.ndarray and np.array_equal(got, sr.softmax(np.asarray(z)))


# --------------------------------------------------------------------------------------------------
# 0-d results and arguments.


@pytest.mark.core
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_zero_dimensional_results_are_numpy_scalars(dtype: type) -> None:
    z = np.array([1.0, 2.0], dtype)
    for value in (
        sr.logsumexp(z),
        sr.logsumexp(z[None], axis=None),
        sr.logsumexp(z[None], axis=(0, 1)),
        sr.cross_entropy(z, 1),
        sr.cross_entropy(z, 1, reduction="none"),
        sr.cross_entropy(z[None], [1]),
        sr.cross_entropy_value_and_grad(z[None], [1])[0],
        sr.soft_cross_entropy(z, [0.5, 0.5]),
        sr.soft_cross_entropy(z[None], [[0.5, 0.5]]),
    ):
        assert type(value) is dtype, type(value)


def test_a_scalar_is_a_row_of_one_class_along_no_axis_or_the_last() -> None:
    for axis in (None, -1):
        assert sr.softmax(3.0, axis=axis) == 1.0
        assert sr.log_softmax(3.0, axis=axis) == 0.0
        assert sr.softmax_complement(3.0, axis=axis) == 0.0
        assert sr.logsumexp(3.0, axis=axis) == 3.0
        assert type(sr.softmax(np.float32(3), axis=axis)) is np.float32
        assert type(sr.logsumexp(np.float16(3), axis=axis)) is np.float16


def test_one_row_needs_no_batch() -> None:
    z = np.array([0.5, -1.0, 2.0])
    assert sr.cross_entropy(z, 2) == sr.cross_entropy(z[None], [2])
    assert np.array_equal(sr.cross_entropy_grad(z, 2), sr.cross_entropy_grad(z[None], [2])[0])
    t = np.array([0.2, 0.3, 0.5])
    assert sr.soft_cross_entropy(z, t) == sr.soft_cross_entropy(z[None], t[None])


# --------------------------------------------------------------------------------------------------
# Axes.


def test_default_axis_is_the_last() -> None:
    z = generator("axis").normal(size=(2, 3, 4))
    for function in FORWARD.values():
        assert np.array_equal(function(z), function(z, axis=2))
    assert sr.logsumexp(z).shape == (2, 3)


@pytest.mark.parametrize(
    "axis", [0, 1, 2, -1, -2, -3, (0,), (0, 1), (1, 0), (0, -1), (0, 1, 2), None]
)
def test_shapes_along_every_axis(axis: Any) -> None:
    z = generator("shapes").normal(size=(2, 3, 4))
    numpy_axis = axis
    for name in ("softmax", "softmax_complement", "log_softmax"):
        assert FORWARD[name](z, axis=axis).shape == z.shape
    want = np.log(np.exp(z).sum(axis=numpy_axis))
    kept = np.log(np.exp(z).sum(axis=numpy_axis, keepdims=True))
    assert sr.logsumexp(z, axis=axis).shape == want.shape
    assert sr.logsumexp(z, axis=axis, keepdims=True).shape == kept.shape
    np.testing.assert_allclose(sr.logsumexp(z, axis=axis, keepdims=True), kept, rtol=1e-13)
    np.testing.assert_allclose(sr.softmax(z, axis=axis), np.exp(z - kept), rtol=1e-13)
    np.testing.assert_allclose(sr.softmax(z, axis=axis).sum(axis=numpy_axis), 1, rtol=1e-15)
    g = generator("cotangent").normal(size=z.shape)
    p = np.exp(z - kept)
    naive = p * (g - (p * g).sum(axis=numpy_axis, keepdims=True))
    np.testing.assert_allclose(sr.softmax_vjp(z, g, axis=axis), naive, rtol=1e-10)


def test_permuting_the_names_in_a_tuple_changes_nothing() -> None:
    z = generator("tuple").normal(size=(2, 3, 4))
    assert np.array_equal(sr.softmax(z, axis=(0, 2)), sr.softmax(z, axis=(2, 0)))
    assert np.array_equal(sr.softmax(z, axis=(0, 2)), sr.softmax(z, axis=(-3, -1)))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_losses_along_every_axis(axis: int) -> None:
    rng = generator("loss axis")
    z = rng.normal(size=(2, 3, 4))
    moved = np.moveaxis(z, axis, -1)
    labels = rng.integers(moved.shape[-1], size=moved.shape[:-1])
    for reduction in ("none", "mean", "sum"):
        loss, gradient = sr.cross_entropy_value_and_grad(z, labels, axis=axis, reduction=reduction)
        want_loss, want = sr.cross_entropy_value_and_grad(moved, labels, reduction=reduction)
        assert np.array_equal(loss, want_loss)
        assert gradient.shape == z.shape
        assert np.array_equal(np.moveaxis(gradient, axis, -1), want)
        targets = rng.random(z.shape)
        loss, gradient = sr.soft_cross_entropy_value_and_grad(
            z, targets, axis=axis, reduction=reduction
        )
        want_loss, want = sr.soft_cross_entropy_value_and_grad(
            moved, np.moveaxis(targets, axis, -1), reduction=reduction
        )
        assert np.array_equal(loss, want_loss)
        assert np.array_equal(np.moveaxis(gradient, axis, -1), want)


@pytest.mark.core
@pytest.mark.parametrize("axis", [2, -3, 99, (0, 2)])
def test_axis_out_of_range(axis: Any) -> None:
    z = np.zeros((2, 3))
    for function in FORWARD.values():
        complaint(
            ValueError, lambda f=function: f(z, axis=axis), "axis", re.escape(str(axis)), "2|-2"
        )
    complaint(ValueError, lambda: sr.softmax_vjp(z, z, axis=axis), "axis")
    if isinstance(axis, int):
        for function in HARD.values():
            complaint(ValueError, lambda f=function: f(z, [0, 0], axis=axis), "axis", str(axis))
        for function in SOFT.values():
            complaint(ValueError, lambda f=function: f(z, z, axis=axis), "axis", str(axis))


@pytest.mark.parametrize("axis", [(0, 0), (1, -1)])
def test_axis_named_twice(axis: Any) -> None:
    for function in FORWARD.values():
        complaint(ValueError, lambda f=function: f(np.zeros((2, 3)), axis=axis), "axis")


@pytest.mark.parametrize("axis", [1.0, "1", True, (0.0,), [0]])
def test_axis_that_is_no_integer(axis: Any) -> None:
    for function in FORWARD.values():
        complaint(TypeError, lambda f=function: f(np.zeros((2, 3)), axis=axis), "axis")
    for function in HARD.values():
        complaint(TypeError, lambda f=function: f(np.zeros((2, 3)), [0, 0], axis=axis), "axis")


@pytest.mark.parametrize("axis", [None, (0, 1)])
def test_hard_labels_want_one_class_axis(axis: Any) -> None:
    """A label is one index: with two class axes it would need two."""
    for function in HARD.values():
        complaint(TypeError, lambda f=function: f(np.zeros((2, 3)), [0, 0], axis=axis), "axis")


def test_numpy_integers_are_axes() -> None:
    z = np.zeros((2, 3))
    for kind in (np.int64, np.int8, np.intp):
        assert sr.logsumexp(z, axis=kind(0)).shape == (3,)
        assert sr.cross_entropy(z, [0, 0, 0], axis=kind(0)) == sr.cross_entropy(z.T, [0, 0, 0])


# --------------------------------------------------------------------------------------------------
# -inf, +inf, NaN.


@pytest.mark.core
def test_minus_infinity_is_a_mask() -> None:
    """p = 0, log p = -inf, derivative 0; the others as if it were not there, bit for bit."""
    row = np.array([-INF, 0.3, -1.2, -INF, 5.0])
    seen = row > -INF
    p, log_p, q = sr.softmax(row), sr.log_softmax(row), sr.softmax_complement(row)
    assert np.all(p[~seen] == 0) and np.all(log_p[~seen] == -INF) and np.all(q[~seen] == 1)
    truth = oracle(row[seen])
    assert_ulps(p[seen], truth.probabilities(), 3, "softmax")
    assert_ulps(log_p[seen], truth.log_probabilities(), 3, "log_softmax")
    assert_ulps([sr.logsumexp(row)], [truth.logsumexp()], 3, "logsumexp")
    jacobian = sr.softmax_jacobian(row)
    assert np.all(jacobian[~seen] == 0) and np.all(jacobian[:, ~seen] == 0)
    assert np.all(sr.log_softmax_jacobian(row)[:, ~seen] == np.eye(5)[:, ~seen])
    vjp = sr.softmax_vjp(row, np.arange(5.0))
    assert np.all(vjp[~seen] == 0) and np.all(np.isfinite(vjp))
    loss, gradient = sr.cross_entropy_value_and_grad(row[None], [4])
    assert math.isfinite(loss) and np.all(gradient[0, ~seen] == 0)


@pytest.mark.core
def test_a_masked_label_costs_infinity_and_pulls_with_full_force() -> None:
    """-log 0 = inf; its gradient is p - onehot = (-1, p): finite, and expm1(-inf) = -1."""
    z = np.array([[-INF, 0.0, 0.0]])
    loss, gradient = sr.cross_entropy_value_and_grad(z, [0])
    assert loss == INF and np.array_equal(gradient, [[-1.0, 0.5, 0.5]])
    soft, gradient = sr.soft_cross_entropy_value_and_grad(z, [[1.0, 0.0, 0.0]])
    assert soft == INF and np.array_equal(gradient, [[-1.0, 0.5, 0.5]])


@pytest.mark.core
def test_zero_target_on_a_masked_class_counts_zero() -> None:
    """0 · log 0 = 0, in the loss and in the gradient."""
    loss, gradient = sr.soft_cross_entropy_value_and_grad([[-INF, 0.0, 0.0]], [[0.0, 0.5, 0.5]])
    assert loss == pytest.approx(math.log(2), rel=4e-16, abs=0)
    assert np.array_equal(gradient, [[0.0, 0.0, 0.0]])


@pytest.mark.core
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_rows_of_nothing_but_minus_infinity(dtype: type) -> None:
    """logsumexp is -inf (a sum of zeros), everything else is undefined: NaN, without a warning."""
    z = np.full((2, 3), -INF, dtype)
    assert np.array_equal(sr.logsumexp(z), [-INF, -INF])
    for name, function in OF_LOGITS.items():
        if name != "logsumexp":
            assert np.all(np.isnan(function(z))), name
    assert np.array_equal(sr.logsumexp(np.array([-INF], dtype)), -INF)


@pytest.mark.core
@pytest.mark.parametrize("row", [[INF, 0.0], [INF, INF], [INF, -INF], [0.0, INF], [INF, 1e308]])
def test_plus_infinity_is_undefined_but_for_logsumexp(row: list[float]) -> None:
    z = np.array([row])
    assert np.array_equal(sr.logsumexp(z), [INF])
    for name, function in OF_LOGITS.items():
        if name != "logsumexp":
            assert np.all(np.isnan(function(z))), (name, row, function(z))


def test_a_single_plus_infinity_is_undefined_too() -> None:
    for name, function in OF_LOGITS.items():
        assert np.all(
            np.isnan(function([[INF]])) if name != "logsumexp" else function([[INF]]) == INF
        )


@pytest.mark.core
@pytest.mark.parametrize(
    "row",
    [
        [NAN, 0.0],
        [0.0, NAN],
        [NAN, -INF],
        [NAN, INF],
        [INF, NAN],
        [NAN, NAN],
        [1.0, 2.0, NAN, 1000.0, -INF],
    ],
)
def test_nan_spreads_over_its_row(row: list[float]) -> None:
    for name, function in OF_LOGITS.items():
        assert np.all(np.isnan(function([row]))), (name, row)


@pytest.mark.core
@pytest.mark.parametrize("poison", [[NAN, 0.0, 1.0], [INF, 0.0, 1.0], [-INF, -INF, -INF]])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_an_undefined_row_leaves_the_others_alone(poison: list[float], dtype: type) -> None:
    """Bit for bit; only the reduced loss sees it."""
    clean = (generator("containment").normal(size=(40, 3)) * 20).astype(dtype)
    labels = np.arange(40) % 3
    z = clean.copy()
    z[[0, 17, 39]] = poison
    others = np.setdiff1d(np.arange(40), [0, 17, 39])
    for name, function in UNARY.items():
        assert np.array_equal(function(z)[others], function(clean)[others]), name
    for reduction in ("none", "sum", "mean"):
        gradient = sr.cross_entropy_grad(z, labels, reduction=reduction)
        want = sr.cross_entropy_grad(clean, labels, reduction=reduction)
        assert np.array_equal(gradient[others], want[others])
        assert np.all(np.isnan(gradient[[0, 17, 39]]))
        targets = np.full((40, 3), 0.25, dtype)
        gradient = sr.soft_cross_entropy_grad(z, targets, reduction=reduction)
        want = sr.soft_cross_entropy_grad(clean, targets, reduction=reduction)
        assert np.array_equal(gradient[others], want[others])
        assert np.all(np.isnan(gradient[[0, 17, 39]]))
    assert np.isnan(sr.cross_entropy(z, labels)) and np.isnan(
        sr.cross_entropy(z, labels, reduction="sum")
    )
    each = sr.cross_entropy(z, labels, reduction="none")
    assert np.array_equal(each[others], sr.cross_entropy(clean, labels, reduction="none")[others])
    vjp = sr.softmax_vjp(z, np.ones_like(z))
    assert np.array_equal(vjp[others], np.zeros((37, 3))) and np.all(np.isnan(vjp[0]))


def test_undefined_rows_stay_undefined_whatever_the_targets() -> None:
    """No target of 0 hides a NaN row: 0 · log 0 = 0 is about masks, not about undefined rows."""
    for row in ([NAN, 0.0], [INF, 0.0], [-INF, -INF]):
        for targets in ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0]):
            loss, gradient = sr.soft_cross_entropy_value_and_grad([row], [targets])
            assert math.isnan(loss) and np.all(np.isnan(gradient)), (row, targets)


def test_non_finite_cotangents() -> None:
    """A cotangent that is NaN spreads over its row alone."""
    z = np.zeros((3, 2))
    g = np.ones((3, 2))
    g[1, 0] = NAN
    got = sr.softmax_vjp(z, g)
    assert np.all(np.isnan(got[1])) and np.all(got[[0, 2]] == 0)


# --------------------------------------------------------------------------------------------------
# Emptiness.


@pytest.mark.core
@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 0), (3, 2, 0)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64])
def test_empty_class_axis(shape: tuple[int, ...], dtype: type) -> None:
    """softmax and log_softmax of no class are empty; logsumexp is -inf, the sum of nothing."""
    z = np.empty(shape, dtype)
    result = np.float64 if dtype is np.int64 else dtype
    for name in ("softmax", "softmax_complement", "log_softmax"):
        got = FORWARD[name](z)
        assert got.shape == shape and got.dtype == result, name
    lse = np.asarray(sr.logsumexp(z))
    assert lse.shape == shape[:-1] and np.all(lse == -INF) and lse.dtype == result
    for function in (sr.softmax_jacobian, sr.log_softmax_jacobian):
        assert function(z).shape == (*shape, 0)
    assert sr.softmax_vjp(z, z).shape == shape
    for function in HARD.values():
        complaint(ValueError, lambda f=function: f(z, np.zeros(shape[:-1], int)), r"\bz\b", "class")
    for function in SOFT.values():
        complaint(ValueError, lambda f=function: f(z, z), r"\bz\b", "class")


@pytest.mark.core
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_empty_batch(dtype: type) -> None:
    z = np.empty((0, 3), dtype)
    labels = np.empty(0, int)
    for name in ("softmax", "softmax_complement", "log_softmax"):
        assert FORWARD[name](z).shape == (0, 3) and FORWARD[name](z).dtype == dtype
        assert FORWARD[name](z, axis=0).shape == (0, 3)
    assert sr.logsumexp(z).shape == (0,)
    assert np.array_equal(sr.logsumexp(z, axis=0), [-INF] * 3)
    assert sr.logsumexp(z, axis=None) == -INF
    assert sr.softmax_jacobian(z).shape == (0, 3, 3)
    for call in (
        lambda r: sr.cross_entropy_value_and_grad(z, labels, reduction=r),
        lambda r: sr.soft_cross_entropy_value_and_grad(z, z, reduction=r),
    ):
        loss, gradient = call("none")
        assert loss.shape == (0,) and gradient.shape == (0, 3) and loss.dtype == dtype
        loss, gradient = call("sum")
        assert loss == 0 and type(loss) is dtype and gradient.shape == (0, 3)
        complaint(ValueError, lambda c=call: c("mean"), "mean", "average|row")


@pytest.mark.core
def test_nothing_to_average() -> None:
    """No row, all rows ignored, or only labels of weight 0: the mean is refused, the sum is 0."""
    z = np.zeros((2, 3))
    cases: list[tuple[Any, Any, dict[str, Any]]] = [
        (np.empty((0, 3)), np.empty(0, int), {}),
        (z, [-100, -100], {"ignore_index": -100}),
        (z, [2, 2], {"ignore_index": 2}),
        (z, [0, 0], {"weight": [0.0, 1.0, 1.0]}),
        (z, [0, -1], {"weight": [0.0, 1.0, 1.0], "ignore_index": -1}),
        (z, [0, 1], {"weight": [0.0, 0.0, 0.0]}),
    ]
    for logits, labels, options in cases:
        for function in HARD.values():
            complaint(
                ValueError,
                lambda f=function, a=logits, b=labels, o=options: f(a, b, **o),
                "mean",
                "average|weight|row|ignore",
            )
        loss, gradient = sr.cross_entropy_value_and_grad(logits, labels, reduction="sum", **options)
        assert loss == 0 and np.all(gradient == 0)


# --------------------------------------------------------------------------------------------------
# Labels.


@pytest.mark.core
@pytest.mark.parametrize(
    "dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
)
def test_labels_of_every_integer_dtype(dtype: type) -> None:
    z = generator("label dtypes").normal(size=(3, 300))
    labels = np.array([0, 5, 127], dtype)
    want = sr.cross_entropy(z, [0, 5, 127])
    assert sr.cross_entropy(z, labels) == want
    assert sr.cross_entropy(z, labels.astype(labels.dtype.newbyteorder())) == want
    # an ignore_index that the dtype cannot hold ignores nothing
    assert sr.cross_entropy(z, labels, ignore_index=-100) == want
    assert sr.cross_entropy(z, labels, ignore_index=10**6) == want


def test_labels_as_lists_tuples_and_scalars() -> None:
    z = generator("label forms").normal(size=(2, 4))
    want = sr.cross_entropy(z, np.array([3, 1]))
    assert sr.cross_entropy(z, [3, 1]) == sr.cross_entropy(z, (3, 1)) == want
    assert sr.cross_entropy(z[0], np.int8(3)) == sr.cross_entropy(z[0], 3)


@pytest.mark.core
@pytest.mark.parametrize(
    "labels",
    [
        np.array([0.0, 1.0]),
        np.array([True, False]),
        np.array(["0", "1"]),
        np.array([0, 1], object),
        np.array([0, 1j]),
        [0.0, 1.0],
        [None, 1],
        np.ma.array([0, 1]),
    ],
)
@pytest.mark.parametrize("name", HARD)
def test_labels_that_are_no_integers(name: str, labels: Any) -> None:
    complaint(TypeError, lambda: HARD[name](np.zeros((2, 3)), labels), "labels", "integer|masked")


@pytest.mark.core
@pytest.mark.parametrize(
    ("label", "dtype"),
    [
        (-1, int),
        (3, int),
        (-3, int),
        (-100, int),
        (2**31, int),
        (2**62, int),
        (-(2**63), int),
        (255, np.uint8),
        (2**64 - 1, np.uint64),
        (-1, np.int8),
        (-128, np.int8),
    ],
)
@pytest.mark.parametrize("name", HARD)
def test_labels_out_of_range_are_never_wrapped(name: str, label: int, dtype: type) -> None:
    labels = np.array([1, label], dtype)
    complaint(
        ValueError,
        lambda: HARD[name](np.zeros((2, 3)), labels),
        "labels",
        re.escape(str(label)),
        r"\b[23]\b",
    )
    # and an ignore_index does not hide another bad label
    complaint(
        ValueError,
        lambda: HARD[name](np.zeros((2, 3)), labels, ignore_index=-77),
        "labels",
        re.escape(str(label)),
    )


@pytest.mark.parametrize("name", HARD)
def test_no_label_is_ignored_by_default(name: str) -> None:
    for label in (-100, -1):
        complaint(
            ValueError, lambda v=label: HARD[name](np.zeros((1, 3)), [v]), "labels", str(label)
        )


@pytest.mark.core
@pytest.mark.parametrize(
    "labels", [[0], [0, 1, 2], [[0, 1]], [[0], [1]], 0, [], np.zeros((2, 3), int)]
)
@pytest.mark.parametrize("name", HARD)
def test_labels_of_the_wrong_shape(name: str, labels: Any) -> None:
    """Never broadcast: a shape is wrong or right."""
    labels = np.array(labels, int)
    complaint(
        ValueError,
        lambda: HARD[name](np.zeros((2, 3)), labels),
        "labels",
        re.escape(str(labels.shape)),
        re.escape("(2,)"),
    )


@pytest.mark.parametrize("value", [1.5, "1", True])
def test_ignore_index_that_is_no_integer(value: Any) -> None:
    for function in HARD.values():
        complaint(
            TypeError,
            lambda f=function: f(np.zeros((1, 3)), [1], ignore_index=value),
            "ignore_index",
        )


def test_ignore_index_may_be_a_class_or_not() -> None:
    z = generator("ignore").normal(size=(4, 3))
    for index in (0, 2, -1, 3, -100, 10**30, np.int64(-100), np.uint8(2)):
        with_room = [1, int(index), 1, 1]
        if abs(int(index)) < 2**62:
            want = sr.cross_entropy(z[[0, 2, 3]], [1, 1, 1])
            assert sr.cross_entropy(z, with_room, ignore_index=index) == pytest.approx(
                want, rel=1e-15
            )
        else:
            assert sr.cross_entropy(z, [1, 1, 1, 1], ignore_index=index) == sr.cross_entropy(
                z, [1] * 4
            )


# --------------------------------------------------------------------------------------------------
# Options.


@pytest.mark.core
@pytest.mark.parametrize("reduction", ["Mean", "average", "", None, True, 0, "batchmean"])
def test_unknown_reductions(reduction: Any) -> None:
    for function in HARD.values():
        complaint(
            ValueError,
            lambda f=function: f(np.zeros((1, 3)), [1], reduction=reduction),
            "reduction",
            re.escape(repr(reduction)),
            "mean.*sum.*none",
        )
    for function in SOFT.values():
        complaint(
            ValueError,
            lambda f=function: f(np.zeros((1, 3)), np.ones((1, 3)), reduction=reduction),
            "reduction",
            re.escape(repr(reduction)),
            "mean.*sum.*none",
        )


@pytest.mark.core
@pytest.mark.parametrize(
    "weight",
    [
        [1.0, 1.0],
        [1.0] * 4,
        1.0,
        [[1.0, 1.0, 1.0]],
        [1.0, -1.0, 1.0],
        [1.0, NAN, 1.0],
        [1.0, INF, 1.0],
        [-INF, 1.0, 1.0],
    ],
)
@pytest.mark.parametrize("name", HARD)
def test_weights_that_are_wrong(name: str, weight: Any) -> None:
    bad = np.array(weight)
    pattern = (
        re.escape(str(bad.shape)) + "|" + re.escape(repr(weight))
        if bad.shape != (3,)
        else "-1|nan|inf"
    )
    complaint(
        ValueError,
        lambda: HARD[name](np.zeros((2, 3)), [0, 1], weight=weight),
        "weight",
        pattern,
        r"\(3,\)|finite|0",
    )


def test_weights_of_other_dtypes() -> None:
    z = generator("weight dtypes").normal(size=(3, 3))
    want = sr.cross_entropy(z, [0, 1, 2], weight=np.array([1.0, 2.0, 3.0]))
    for dtype in (int, np.float32, np.float16, np.uint8, ">f8"):
        assert sr.cross_entropy(z, [0, 1, 2], weight=np.array([1, 2, 3], dtype)) == want
    assert sr.cross_entropy(z, [0, 1, 2], weight=[1, 2, 3]) == want
    assert sr.cross_entropy(z.astype(np.float32), [0, 1, 2], weight=[1, 2, 3]).dtype == np.float32


@pytest.mark.core
@pytest.mark.parametrize("value", [-0.1, 1.1, NAN, INF, -INF, -5e-324, math.nextafter(1, 2)])
def test_smoothing_out_of_range(value: float) -> None:
    for function in HARD.values():
        complaint(
            ValueError,
            lambda f=function: f(np.zeros((1, 3)), [1], label_smoothing=value),
            "label_smoothing",
            re.escape(repr(value)),
            "0.*1",
        )


@pytest.mark.parametrize("value", ["0.1", None, 1j, [0.1]])
def test_smoothing_that_is_no_number(value: Any) -> None:
    for function in HARD.values():
        complaint(
            TypeError,
            lambda f=function: f(np.zeros((1, 3)), [1], label_smoothing=value),
            "label_smoothing",
        )


@pytest.mark.core
@pytest.mark.parametrize(
    "targets",
    [
        [[1.0, 0.0]],
        [[1.0], [0.0]],
        [1.0, 0.0, 0.0],
        [[[1.0, 0.0, 0.0]]],
        1.0,
        [[1.0, -0.1, 0.0]],
        [[NAN, 0.0, 0.0]],
        [[INF, 0.0, 0.0]],
    ],
)
@pytest.mark.parametrize("name", SOFT)
def test_targets_that_are_wrong(name: str, targets: Any) -> None:
    bad = np.array(targets)
    pattern = re.escape(str(bad.shape)) if bad.shape != (1, 3) else "-0.1|nan|inf"
    complaint(
        ValueError,
        lambda: SOFT[name](np.zeros((1, 3)), targets),
        "targets",
        pattern,
        r"\(1, 3\)|finite|0",
    )


def test_targets_need_not_sum_to_one() -> None:
    """The gradient is T·p - t, and 0 where there is no target at all."""
    z = np.array([[1.0, 2.0]])
    gradient = sr.soft_cross_entropy_grad(z, [[2.0, 2.0]])
    assert gradient[0] == pytest.approx(
        [4 * 0.2689414213699951 - 2, 4 * 0.7310585786300049 - 2], rel=1e-14, abs=0
    )
    loss, gradient = sr.soft_cross_entropy_value_and_grad(z, [[0.0, 0.0]])
    assert loss == 0 and np.array_equal(gradient, [[0.0, 0.0]])


def test_integer_targets() -> None:
    z = np.array([[1.0, 2.0]], np.float32)
    assert sr.soft_cross_entropy(z, [[0, 1]]) == sr.soft_cross_entropy(z, [[0.0, 1.0]])
    assert sr.soft_cross_entropy(z, np.array([[False, True]])).dtype == np.float32


@pytest.mark.parametrize("shape", [(2,), (3, 1), (2, 3, 1), ()])
def test_cotangents_of_the_wrong_shape(shape: tuple[int, ...]) -> None:
    complaint(
        ValueError,
        lambda: sr.softmax_vjp(np.zeros((2, 3)), np.zeros(shape)),
        r"\bg\b",
        re.escape(str(shape)),
        re.escape("(2, 3)"),
    )


# --------------------------------------------------------------------------------------------------
# One class.


@pytest.mark.core
@pytest.mark.parametrize("value", [0.0, 3.5, -1e15, 1.7e308, 5e-324])
def test_one_class(value: float) -> None:
    z = np.array([[value]])
    assert sr.softmax(z) == 1 and sr.log_softmax(z) == 0 and sr.softmax_complement(z) == 0
    assert sr.logsumexp(z) == value
    assert sr.softmax_jacobian(z) == 0 and sr.log_softmax_jacobian(z) == 0
    loss, gradient = sr.cross_entropy_value_and_grad(z, [0])
    assert loss == 0 and gradient == 0 and not math.copysign(1, loss) < 0
    assert sr.softmax_vjp(z, z) == 0


# --------------------------------------------------------------------------------------------------
# No warnings, whatever the caller's error state; errors of floating point are not raised either.


@pytest.mark.core
def test_the_error_state_of_the_caller_does_not_matter() -> None:
    """With every floating-point error an exception, valid input still passes, masks included."""
    z = np.array(
        [
            [0.0, 1000.0, -INF],
            [-1.7e308, 1.7e308, 0.0],
            [NAN, 1.0, 2.0],
            [INF, 0.0, 0.0],
            [-INF, -INF, -INF],
            [5e-324, -5e-324, 0.0],
            [-745.0, 0.0, -1e300],
        ]
    )
    quiet = {name: function(z) for name, function in OF_LOGITS.items()}
    with np.errstate(all="raise"):
        before = np.geterr()
        for name, function in OF_LOGITS.items():
            for dtype in (np.float64, np.float32, np.float16):
                with np.errstate(all="ignore"):
                    short = z.astype(dtype)
                function(short)
            assert np.array_equal(function(z), quiet[name], equal_nan=True), name
        assert np.geterr() == before
