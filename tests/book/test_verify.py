"""The tools that the chapters check with do refuse what is wrong."""

import mpmath
import numpy as np
import pytest

from softmax_ref import verify
from softmax_ref.verify import claims

LEDGER = """
[sources.Q]
title = "A text"
reference = "text2026"
""" + "".join(f"""
[claims.Q-0{number}]
place = "here"
chapter = "demo"
kind = "identity"
verdict = "{verdict}"
settled_by = "{settled_by}"
statement = "One and one is two."
{'truth = "It depends."' if verdict != "right" else ""}
""" for number, verdict, settled_by in [
    (1, "right", "check"), (2, "imprecise", "check"), (3, "wrong", "check"),
    (4, "right", "discussion"),
])


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """A ledger with a claim of each verdict and one to be discussed, none of them settled."""
    path = tmp_path / "claims.toml"
    path.write_text(LEDGER, encoding="utf-8")
    monkeypatch.setattr(claims, "ledger_path", lambda: path)
    monkeypatch.setattr(claims, "_settled", {})
    claims.load.cache_clear()
    yield
    claims.load.cache_clear()


# -- derivations ----------------------------------------------------------------------------------


def test_derivation_shows_what_it_proved(capsys):
    derivation = verify.Derivation(
        "eq-diagonal", "D(p_j, z_j)",
        ("(exp(z_j)*Σ - exp(z_j)*exp(z_j)) / Σ**2", "quotient rule"), ("p_j*(1 - p_j)", "$p_j$"),
    )
    derivation.show()
    assert "✔ eq-diagonal: 2 steps proved" in capsys.readouterr().out
    assert derivation.tex().count("&=") == 2
    assert r"p_{j} \left(1 - p_{j}\right)" in derivation.tex()


@pytest.mark.parametrize("number, wrong", [
    (1, "(exp(z_j)*Σ + exp(z_j)*exp(z_j)) / Σ**2"),
    (2, "p_j*(1 - 2*p_j)"),
    (3, "p_j - p_j**3"),
])
def test_derivation_names_the_wrong_step(number, wrong):
    steps = ["(exp(z_j)*Σ - exp(z_j)*exp(z_j)) / Σ**2", "p_j*(1 - p_j)", "p_j - p_j**2"]
    before = ["D(p_j, z_j)", *steps][number - 1]
    steps[number - 1] = wrong
    with pytest.raises(verify.DerivationError) as caught:
        verify.Derivation("eq-demo", "D(p_j, z_j)", *((step, "reason") for step in steps))
    message = str(caught.value)
    assert f"eq-demo, step {number} (reason)" in message
    assert before in message and wrong in message
    assert "they differ at {" in message and " against " in message


@pytest.mark.parametrize("left, right, equal", [
    ("Sum(p_c, c)", "1", True),
    ("D(log(p_j), z_j)", "1 - p_j", True),
    ("D(log(Σ), z_j)", "p_j", True),
    ("D(p_i, z_j)", "p_i*(δ(i, j) - p_j)", True),
    ("Sum(z_c, c != j)", "Sum(z_c, c) - z_j", True),
    ("D(p_i, z_j)", "p_i*p_j", False),
    ("Sum(p_c**2, c)", "1", False),
    ("Sum(p_c, c)*Sum(z_c, c)", "Sum(p_c*z_c, c)", False),
    ("sqrt(z_j**2)", "z_j", False),
    ("log(z_j**2)", "2*log(z_j) + 1/1000000", False),
    ("exp(z_j + z_k)", "exp(z_j) + exp(z_k)", False),
    ("σ(z_j)", "1 - σ(z_j)", False),
    ("p_j", "p_k", False),
])
def test_same(left, right, equal):
    assert verify.same(left, right) is equal


@pytest.mark.parametrize("formula", ["p_j*(1 -", "q_j + f(z_j)", "Sum(p_j)", "D(p_j, p_j)"])
def test_formula_that_cannot_be_read(formula):
    with pytest.raises(verify.FormulaError):
        verify.Derivation("eq-demo", formula, (formula, "the same"))


# -- claims ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, conditions", [
    ("Q-01", {"holds": True}),
    ("Q-02", {"holds": True, "counterexample": False}),
    ("Q-03", {"printed": np.False_, "corrected": np.True_}),
])
def test_settle_prints_one_line(ledger, capsys, name, conditions):
    verify.settle(name, evidence="1 + 1 = 2", **conditions)
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and name in out and "1 + 1 = 2" in out


@pytest.mark.parametrize("name, conditions, error", [
    ("Q-01", {"holds": False}, verify.ClaimError),
    ("Q-02", {"holds": False, "counterexample": False}, verify.ClaimError),
    ("Q-02", {"holds": True, "counterexample": True}, verify.ClaimError),
    ("Q-03", {"printed": True, "corrected": True}, verify.ClaimError),
    ("Q-03", {"printed": False, "corrected": False}, verify.ClaimError),
    ("Q-01", {}, TypeError),
    ("Q-02", {"holds": True}, TypeError),
    ("Q-03", {"holds": True}, TypeError),
    ("Q-01", {"holds": True, "counterexample": False}, TypeError),
    ("Q-01", {"holds": 1}, TypeError),
    ("Q-01", {"holds": np.array([True, True])}, TypeError),
    ("Q-04", {"holds": True}, verify.LedgerError),
    ("Q-09", {"holds": True}, verify.LedgerError),
])
def test_settle_refuses(ledger, name, conditions, error):
    with pytest.raises(error, match=name):
        verify.settle(name, evidence="none", **conditions)
    with pytest.raises(verify.ClaimError, match="Q-01"):
        verify.claims_table("demo")


def test_table_of_claims(ledger, capsys):
    verify.settle("Q-01", holds=True, evidence="-")
    verify.settle("Q-02", holds=True, counterexample=False, evidence="-")
    with pytest.raises(verify.ClaimError, match=r"not settled in this run: Q-03$"):
        verify.claims_table("demo")
    verify.settle("Q-03", printed=False, corrected=True, evidence="-")
    verify.claims_table("demo")
    assert "4 claims settled: 2 right, 1 imprecise, 1 wrong" in capsys.readouterr().out
    with pytest.raises(verify.LedgerError, match="'elsewhere'"):
        verify.claims_table("elsewhere")


def test_equation_must_hold(capsys):
    verify.equation("eq-demo", holds=np.bool_(True), evidence="computed")
    assert capsys.readouterr().out == "✔ eq-demo: computed\n"
    with pytest.raises(AssertionError, match="eq-demo does not hold: computed"):
        verify.equation("eq-demo", holds=False, evidence="computed")
    with pytest.raises(TypeError, match="expected True or False"):
        verify.equation("eq-demo", holds=np.ones(2), evidence="computed")


# -- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("exact", [1.0, 0.75, 2.0**-20, 0.0])
def test_ulps_counts_floats(dtype, exact):
    computed = dtype(exact)
    for steps in range(4):
        assert verify.ulps(computed, mpmath.mpf(exact)) == steps
        computed = np.nextafter(computed, dtype(2))


def test_ulps_at_the_ends():
    assert verify.ulps(np.array([np.inf, np.nan]), [mpmath.inf, mpmath.nan]).tolist() == [0, 0]
    assert verify.ulps(np.array([np.inf, np.nan]), [1, 1]).tolist() == [np.inf, np.inf]
    assert verify.ulps(np.float64(5e-324), mpmath.mpf(2) ** -1075) == 0.5
    with pytest.raises(ValueError, match="expected 2 numbers, got 1"):
        verify.ulps(np.ones(2), [1])


def test_differences():
    def function(x):
        return np.array([x[0] * x[1], np.exp(x[0])])

    exact = np.array([[-0.5, 0.3], [np.exp(0.3), 0]])
    # Central differences: h²/6 of the third derivative, and rounding of values below 2 by 2h.
    error = np.abs(verify.central_difference(function, [0.3, -0.5], h=1e-5) - exact)
    assert error.max() < 1e-10 * np.exp(0.3) / 6 + 4 * 2**-53 / 1e-5
    error = np.abs(verify.complex_step(function, [0.3, -0.5]) - exact)
    assert error.max() <= 2 * np.spacing(np.exp(0.3))


def test_oracle_has_digits_to_spare():
    with mpmath.workdps(60):
        tiny = mpmath.exp(-2000)
        _, p = verify.oracle.softmax([2000.0, 0.0])
        assert abs(p / (tiny / (1 + tiny)) - 1) < mpmath.mpf(10) ** -45
        assert abs(verify.oracle.logsumexp([1e3, 1e3]) - 1000 - mpmath.log(2)) < 1e-45
        loss = verify.oracle.cross_entropy([2000.0, 0.0], 0)
        assert abs(loss / mpmath.log1p(tiny) - 1) < mpmath.mpf(10) ** -45
        gradient = verify.oracle.cross_entropy_grad([1.0, 2.0, 4.0], 2)
        assert abs(sum(gradient)) < 1e-45 and gradient[2] < 0 < gradient[0]
        assert abs(sum(sum(row) for row in verify.oracle.jacobian([1.0, 2.0, 4.0]))) < 1e-45


@pytest.mark.parametrize("answer, verdict, judged", [
    (lambda x: None, False, "not solved yet"),
    (lambda x: np.append(x, 0.0), False, "shape (3,), expected (2,)"),
    (lambda x: x + 1e-9, False, "expected [2. 4.]"),
    (lambda x: 2 * x if x[0] < 3 else x, False, "([3. 4.])"),
    (lambda x: x + x, True, "agrees on 2 inputs"),
])
def test_judge(capsys, answer, verdict, judged):
    inputs = [(np.array([1.0, 2.0]),), (np.array([3.0, 4.0]),)]
    assert verify.judge(answer, lambda x: 2 * x, inputs) is verdict
    assert judged in capsys.readouterr().out
