"""Every guard notices what it is there for: a spoiled copy of a chapter brings the complaint."""

import json
import re

import pytest

from softmax_ref.verify import claims
from tests.book import guards, notebooks
from tests.book.notebooks import ROOT, code_cells


def cell_with(notebook, pattern, kind="code"):
    """The first cell whose source holds a pattern."""
    return next(cell for cell in notebook.cells
                if cell.cell_type == kind and re.search(pattern, cell.source))


def figure_metadata(notebook):
    return next(cell for cell in code_cells(notebook) if "mystnb" in cell.metadata).metadata.mystnb


def say(text):
    """Add a sentence to the first text of a notebook."""
    def change(notebook):
        notebook.cells[0].source += f"\n\n{text}"
    return change


def code(line):
    """Add a line to the last code cell of a notebook."""
    def change(notebook):
        code_cells(notebook)[-1].source += f"\n{line}"
    return change


def output(text, name="stdout"):
    """Add text to what the first code cell printed."""
    def change(notebook):
        code_cells(notebook)[0].outputs.append(
            notebooks.nbformat.v4.new_output("stream", name=name, text=text)
        )
    return change


def null_count(notebook):
    code_cells(notebook)[1].execution_count = None


def without_alt(notebook):
    del figure_metadata(notebook)["image"]


def without_caption(notebook):
    figure_metadata(notebook)["figure"]["caption"] = " "


def without_name(notebook):
    figure_metadata(notebook)["figure"]["name"] = "plot"


def wrong_caption(notebook):
    figure_metadata(notebook)["figure"]["caption"] += " At most 0.123987."


def wrong_digit(notebook):
    """Change the last digit of a decimal number in the prose."""
    for cell in notebook.cells:
        found = re.search(r"(?<=\$)\d+\.\d{3,}(?=\$)", cell.source)
        if cell.cell_type == "markdown" and found:
            digit = str((int(found[0][-1]) + 1) % 10)
            cell.source = cell.source.replace(found[0], found[0][:-1] + digit)
            return
    notebook.cells[0].source += " $0.123987$"  # a chapter whose prose shows no such number


def settle_call(notebook):
    cell = cell_with(notebook, r'\bsettle\(\s*"')
    return cell, re.search(r'settle\(\s*"([^"]+)"', cell.source)


def without_settle(notebook):
    cell, found = settle_call(notebook)
    cell.source = cell.source.replace(found[0], f'print("{found[1]}"')


def renamed_settle(notebook):
    cell, found = settle_call(notebook)
    cell.source = cell.source.replace(found[0], 'settle("S4-99"')


def computed_id(notebook):
    cell, found = settle_call(notebook)
    cell.source = cell.source.replace(found[0], f'settle("{found[1]}" + ""')


def without_equation(notebook):
    cell = cell_with(notebook, r'\b(equation|Derivation)\(\s*"eq-')
    cell.source = re.sub(r'\b(?:equation|Derivation)\(\s*"eq-', 'print("eq-', cell.source)


def second_label(notebook):
    label = re.search(r'"(eq-[\w-]+)"', cell_with(notebook, r'"eq-').source)[1]
    say(f"$$ 1 = 1 $$ ({label})")(notebook)


SPOILED = [
    (guards.executed, null_count, "execution count None"),
    (guards.plain_python, code("%timeit 1"), "is not Python"),
    (guards.plain_python, code("!ls"), "is not Python"),
    (guards.plain_python, code("print(1);"), "semicolon"),
    (guards.plain_python, code("# NBVAL_IGNORE_OUTPUT"), "NBVAL_"),
    (guards.plain_python, code('get_ipython().system("ls")'), "get_ipython"),
    (guards.plain_python,
     lambda notebook: code_cells(notebook)[0].metadata.update(tags=["raises-exception"]),
     "raises-exception"),
    (guards.reproducible_outputs, output("<object object at 0x7f12a0>"), "0x7f12a0"),
    (guards.reproducible_outputs, output("in /home/me/x.py"), "/home/me"),
    (guards.reproducible_outputs, output("RuntimeWarning", name="stderr"), "stderr"),
    (guards.described_figures, without_alt, "no description"),
    (guards.described_figures, without_caption, "no caption"),
    (guards.described_figures, without_name, "no name"),
    (guards.unique_labels, second_label, "is taken by"),
    (guards.resolved_references, say("See {eq}`eq-nowhere`."), "eq-nowhere"),
    (guards.resolved_references, say("See {prf:ref}`thm-nowhere`."), "thm-nowhere"),
    (guards.resolved_references, say("See {numref}`Figure %s <fig-nowhere>`."), "fig-nowhere"),
    (guards.resolved_references, say("See {cite}`nobody1900`."), "nobody1900"),
    (guards.resolved_references, say("See [there](nowhere.ipynb)."), "'nowhere'"),
    (guards.resolved_references, say("See [there](#fig-nowhere)."), "fig-nowhere"),
    (guards.tied_equations, say("$$ 1 = 1 $$ (eq-new)"), "eq-new is not checked"),
    (guards.tied_equations, say("```{math}\n:label: eq-new\n1 = 1\n```"), "eq-new is not checked"),
    (guards.tied_equations, without_equation, "is not checked"),
    (guards.computed_numbers, wrong_digit, "is neither in"),
    (guards.computed_numbers, wrong_caption, "0.123987"),
    (guards.computed_numbers, say(r"It is $1.2398\times10^{-7}$."), "1.2398"),
    (guards.computed_numbers, say("It is −1.2398e-7."), "1.2398e-7"),
    (guards.computed_numbers, say("It is 7 × 10⁻²³."), "7 × 10⁻²³"),
    (guards.computed_numbers, say("Write `x = 0.123987`."), "0.123987"),
    (guards.computed_numbers, say("```{note}\nIt is 0.123987.\n```"), "0.123987"),
    (guards.computed_numbers, say("It is 0.9182…"), "0.9182"),
    (guards.settled_claims, code('equation("eq-new", True, "…")'), "holds=True computes nothing"),
    (guards.settled_claims, without_settle, "settled 0 times"),
    (guards.settled_claims, renamed_settle, "S4-99 is not in claims.toml"),
    (guards.settled_claims, computed_id, "write the id as a literal"),
    (guards.settled_claims, say("See **S4-99**."), "S4-99 is not in claims.toml"),
]


@pytest.mark.parametrize(
    "guard, spoil, complaint", SPOILED,
    ids=[f"{guard.__name__}-{text}" for guard, _, text in SPOILED],
)
def test_guard_notices(copy, guard, spoil, complaint):
    before = set(guard(copy.root))
    copy.rewrite(spoil)
    new = set(guard(copy.root)) - before
    assert any(complaint in line for line in new), new
    assert all(copy.path.name in line for line in new), "the complaint names the file"


def test_numbers_that_need_no_computing(copy):
    before = set(guards.computed_numbers(copy.root))
    copy.rewrite(say("Python 3.11, NumPy 2.4, version 1.0.4, §3.5, arXiv:1501.0469, `S4-11`.\n"
                     "https://example.org/1.2345 {cite}`a1.2345` [x](y-1.2345.html)\n"
                     "```python\nx = 0.123987\n```"))
    assert set(guards.computed_numbers(copy.root)) == before


def test_number_of_the_ledger_that_no_cell_shows(copy, chapter):
    ledger = copy.root / "claims.toml"
    text = ledger.read_text(encoding="utf-8")
    claim = next(c for c in claims.load(ROOT / "claims.toml")[1].values()
                 if c.chapter == chapter and c.truth)
    ledger.write_text(text.replace(claim.truth, claim.truth + " It is 0.123987."), encoding="utf-8")
    assert any(claim.id in line and "0.123987" in line
               for line in guards.computed_ledger(copy.root))


@pytest.mark.parametrize("condition", ["True", "1 == 1", "always", "not False"])
@pytest.mark.parametrize("name", ["holds", "counterexample", "printed", "corrected"])
def test_condition_that_computes_nothing(copy, name, condition):
    copy.rewrite(code(f'always = True\nsettle("S0-01", {name}={condition}, evidence="…")'))
    assert any(f"{name}={condition} computes nothing" in line
               for line in guards.settled_claims(copy.root))


def test_claim_settled_twice_or_elsewhere(copy, chapter):
    ledger = claims.load(ROOT / "claims.toml")[1].values()
    own = next(c.id for c in ledger if c.chapter == chapter and c.settled_by == "check")
    other = next(c.id for c in ledger if c.chapter != chapter)
    copy.rewrite(code(f'settle("{own}", holds=f(1)); settle("{other}", holds=f(1))'))
    complaints = "\n".join(guards.settled_claims(copy.root))
    assert f"{own} is settled 2 times" in complaints
    assert f"{other} belongs to chapter" in complaints


def test_claim_no_longer_discussed(copy, chapter):
    ledger = claims.load(ROOT / "claims.toml")[1].values()
    ids = [c.id for c in ledger if c.chapter == chapter and c.settled_by == "discussion"]

    def forget(notebook):
        for cell in notebook.cells:
            for name in ids:
                cell.source = cell.source.replace(f"**{name}**", name)

    copy.rewrite(forget)
    complaints = "\n".join(guards.settled_claims(copy.root))
    assert all(f"{name} is not discussed" in complaints for name in ids)


@pytest.mark.parametrize("key, value", [
    ("kernelspec", {"display_name": "mine", "language": "python", "name": "mine"}),
    ("language_info", {"name": "python", "version": "3.11.7"}),
])
def test_notebook_out_of_normal_form(copy, key, value):
    content = json.loads(copy.path.read_text(encoding="utf-8"))
    content["metadata"][key] = value
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    copy.path.write_text(text, encoding="utf-8")
    assert any("normal form" in line for line in guards.in_normal_form(copy.root))


def test_page_that_does_not_exist(copy):
    (copy.root / "_toc.yml").write_text("root: chapters/nowhere\n", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="chapters/nowhere"):
        list(guards.executed(copy.root))


@pytest.mark.parametrize("old, new, complaint", [
    ('verdict = "right"', 'verdict = "rigth"', r"S\d-\d\d: verdict = 'rigth'"),
    ('kind = "definition"', 'kind = "dogma"', r"S\d-\d\d: kind = 'dogma'"),
    ('verdict = "right"', "", r"S\d-\d\d: missing: verdict"),
    ('verdict = "right"', 'verdict = "right"\nremark = "x"', r"S\d-\d\d: unknown key: remark"),
    ('verdict = "right"', 'verdict = "wrong"', r"S\d-\d\d: truth is missing"),
    ('verdict = "imprecise"', 'verdict = "right"', r"S\d-\d\d: truth is given for a right claim"),
    ('verdict = "right"', "verdict = right", r"line \d+"),
    ("[claims.S0-01]", "[claims.Q0-01]", "Q0-01: source = 'Q0'"),
])
def test_broken_ledger_entry(tmp_path, old, new, complaint):
    text = (ROOT / "claims.toml").read_text(encoding="utf-8")
    assert old in text
    head, mark, entries = text.partition("[claims.")
    path = tmp_path / "claims.toml"
    path.write_text(head + (mark + entries).replace(old, new, 1), encoding="utf-8")
    with pytest.raises(claims.LedgerError, match=r"^claims\.toml.*" + complaint):
        claims.load(path)
