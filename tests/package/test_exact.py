"""The exact tier is correctly rounded: the very double next to the truth, for every component."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from generators import FAMILIES, family, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import EXACT_BITS, correctly_rounded, oracle

from softmax_ref import exact


def same(got: float, want: float) -> bool:
    """The same number; the sign of a zero is not compared."""
    return isinstance(got, float) and (got == want or (math.isnan(got) and math.isnan(want)))


def assert_correctly_rounded(row: list[float]) -> None:
    truth = oracle(row, EXACT_BITS)
    expected = {
        "softmax": [correctly_rounded(v) for v in truth.probabilities()],
        "log_softmax": [correctly_rounded(v) for v in truth.log_probabilities()],
    }
    for name, want in expected.items():
        got = getattr(exact, name)(row)
        assert len(got) == len(row)
        for i, (a, b) in enumerate(zip(got, want, strict=True)):
            assert same(a, b), f"exact.{name}({row!r})[{i}] = {a!r}, correctly rounded {b!r}"
    got = exact.logsumexp(row)
    want = correctly_rounded(truth.logsumexp())
    assert same(got, want), f"exact.logsumexp({row!r}) = {got!r}, correctly rounded {want!r}"
    for label in {0, len(row) - 1, int(np.argmax(row))}:
        got = exact.cross_entropy(row, label)
        want = correctly_rounded(-truth.log_probability(label))
        assert same(got, want), f"exact.cross_entropy({row!r}, {label}) = {got!r}, not {want!r}"
        gradient = exact.cross_entropy_grad(row, label)
        p, q = truth.probabilities(), truth.complements()
        for i, value in enumerate(gradient):
            want = correctly_rounded(-q[i]) if i == label else correctly_rounded(p[i])
            assert same(value, want), (
                f"exact.cross_entropy_grad({row!r}, {label})[{i}] = {value!r}, not {want!r}"
            )


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_correctly_rounded(name: str) -> None:
    for classes in (2, 5):
        for row in family(name, 4, classes):
            assert_correctly_rounded(row.tolist())


@given(rows(1, 5))
@settings(max_examples=50)
def test_any_row_is_correctly_rounded(row: list[float]) -> None:
    assert_correctly_rounded(row)


@pytest.mark.core
@pytest.mark.parametrize(
    "row",
    [
        [0.0, 40.0],
        [0.0, -745.2],
        [-math.log(2), -math.log(2)],
        [1e15, 1e15 - 0.125, -3.0],
        [5e-324, -5e-324],
        [1.7e308, -1.7e308],
        [-math.inf, 3.0, 2.0],
    ],
)
def test_correctly_rounded_core(row: list[float]) -> None:
    assert_correctly_rounded(row)


def test_midpoints_that_only_the_logarithm_decides() -> None:
    """d = z_i - m exactly between two doubles, and log S about e^-812: 1200 bits decide.

    m = 300 + n 2^-44 with an odd n; z_i is a multiple of 2^-43, which is the spacing at d = -812.
    """
    for n in range(1, 30, 2):
        low, high = -(512 + 3 * n * 2.0**-43), 300 + n * 2.0**-44
        d = Fraction(low) - Fraction(high)
        below, above = math.nextafter(float(d), -math.inf), math.nextafter(float(d), math.inf)
        neighbours = {Fraction(float(d)), Fraction(below), Fraction(above)}
        assert sum(abs(v - d) == Fraction(1, 2**44) for v in neighbours) == 2, "not a midpoint"
        assert_correctly_rounded([low, high])
        assert_correctly_rounded([high, low])


# --------------------------------------------------------------------------------------------------
# The rational cases, where a loop that waits for a unique rounding would never end.


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 10, 100, 1000])
@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -745.0, 1e15, 1.7e308, 5e-324])
def test_equal_logits_give_the_reciprocal_of_their_number(count: int, value: float) -> None:
    masked = [value] * count + [-math.inf] * 2
    for row in ([value] * count, masked):
        p = exact.softmax(row)
        assert p[:count] == [1 / count] * count
        assert p[count:] == [0.0] * (len(row) - count)
        if count == 1:
            assert exact.log_softmax(row)[0] == 0
            assert exact.logsumexp(row) == value
            assert exact.cross_entropy(row, 0) == 0
            assert exact.cross_entropy_grad(row, 0)[0] == 0


def test_signed_zeros_are_equal_logits() -> None:
    assert exact.softmax([0.0, -0.0]) == [0.5, 0.5]


def test_permutation_equivariance_is_bitwise() -> None:
    for name in FAMILIES:
        row = family(name, 1, 5)[0].tolist()
        p, log_p = exact.softmax(row), exact.log_softmax(row)
        for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
            shuffled = [row[i] for i in order]
            assert exact.softmax(shuffled) == [p[i] for i in order]
            assert exact.log_softmax(shuffled) == [log_p[i] for i in order]
            assert exact.logsumexp(shuffled) == exact.logsumexp(row)


def test_loss_is_minus_log_probability() -> None:
    for name in FAMILIES:
        row = family(name, 1, 4)[0].tolist()
        for label in range(4):
            assert exact.cross_entropy(row, label) == -exact.log_softmax(row)[label]


# --------------------------------------------------------------------------------------------------
# What is not finite, by the same table as the arrays.


@pytest.mark.core
def test_infinities_and_nan() -> None:
    nan, inf = math.nan, math.inf
    assert exact.logsumexp([-inf, -inf]) == -inf
    assert exact.logsumexp([inf, 0.0]) == inf
    assert exact.logsumexp([inf, -inf]) == inf
    assert math.isnan(exact.logsumexp([nan, 0.0]))
    assert math.isnan(exact.logsumexp([nan, inf]))
    for row in ([-inf, -inf], [inf, 0.0], [inf, inf], [nan, 0.0], [nan, -inf], [nan, inf]):
        for function in (exact.softmax, exact.log_softmax):
            assert all(map(math.isnan, function(row))), (function.__name__, row)
        assert math.isnan(exact.cross_entropy(row, 0)), row
        assert all(map(math.isnan, exact.cross_entropy_grad(row, 0))), row


def test_masked_logits() -> None:
    row = [-math.inf, 0.0, 0.0]
    assert exact.softmax(row) == [0.0, 0.5, 0.5]
    assert exact.log_softmax(row) == [-math.inf, -math.log(2), -math.log(2)]
    assert exact.cross_entropy(row, 0) == math.inf
    assert exact.cross_entropy_grad(row, 0) == [-1.0, 0.5, 0.5]
    assert exact.cross_entropy_grad(row, 1) == [0.0, -0.5, 0.5]


def test_empty_row() -> None:
    assert list(exact.softmax([])) == []
    assert list(exact.log_softmax([])) == []
    assert exact.logsumexp([]) == -math.inf
    with pytest.raises(ValueError, match=r"(?i)label|class|empty"):
        exact.cross_entropy([], 0)


@pytest.mark.parametrize("label", [-1, 2, 10**30])
def test_label_out_of_range(label: int) -> None:
    for function in (exact.cross_entropy, exact.cross_entropy_grad):
        with pytest.raises(ValueError, match=str(label)) as caught:
            function([0.0, 1.0], label)
        assert "label" in str(caught.value)


@pytest.mark.parametrize("label", [0.0, "0", True, None])
def test_label_that_is_no_integer(label: object) -> None:
    with pytest.raises(TypeError, match="label"):
        exact.cross_entropy([0.0, 1.0], label)


def test_integers_are_exact() -> None:
    """An integer logit is that integer: nothing wraps around and nothing is rounded first."""
    assert exact.softmax([127, -128]) == exact.softmax([127.0, -128.0])
    assert exact.logsumexp([2, 3]) == exact.logsumexp([2.0, 3.0])


def test_input_is_not_changed() -> None:
    row = [3.0, 1.0, 2.0]
    for function in (exact.softmax, exact.log_softmax, exact.logsumexp):
        function(row)
    exact.cross_entropy_grad(row, 1)
    assert row == [3.0, 1.0, 2.0]


def test_decimal_context_of_the_caller_does_not_matter_and_is_kept() -> None:
    """A caller with 5 digits, other traps and another rounding gets the same doubles."""
    import decimal

    row = [0.1, -37.0, 12.5]
    want = exact.softmax(row), exact.log_softmax(row), exact.logsumexp(row)
    with decimal.localcontext() as context:
        context.prec = 5
        context.rounding = decimal.ROUND_UP
        context.Emax, context.Emin = 50, -50
        context.traps[decimal.Inexact] = True
        got = exact.softmax(row), exact.log_softmax(row), exact.logsumexp(row)
        assert context.prec == 5
        assert not context.flags[decimal.Inexact]
    assert got == want


def test_standard_library_only() -> None:
    """The source imports nothing but the standard library."""
    import ast
    import inspect

    for node in ast.walk(ast.parse(inspect.getsource(exact))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "exact imports from the package"
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] in sys.stdlib_module_names, name


def test_same_bits_whatever_the_hash_seed() -> None:
    """Nothing depends on the order of a set."""
    program = (
        "from softmax_ref import exact; r = [0.25, -3.5, 40.0, 0.25, -0.0, -700.0];"
        "print([v.hex() for v in exact.softmax(r) + exact.log_softmax(r)]);"
        "print(exact.logsumexp(r).hex())"
    )
    results = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(results) == 1


@given(st.lists(st.integers(-(2**60), 2**60), min_size=1, max_size=4))
@settings(max_examples=20)
def test_terminates_on_integers(row: list[int]) -> None:
    """e^integer never meets a rounding boundary, however close; every call ends."""
    assert math.isfinite(exact.logsumexp(row))


def test_errors_name_the_argument() -> None:
    with pytest.raises(TypeError, match=r"^row must be a sequence of real numbers, got 5"):
        exact.softmax(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^row\[1\] must be a real number, got 'a'"):
        exact.logsumexp([0.0, "a"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"^row\[0\] must be within the range of float64"):
        exact.log_softmax([10**400, 0])
