"""Faked results do not pass: whole notebooks are run with something spoiled.

`make test-faking` runs these; they take a notebook run each.  Each test prints what noticed the
fake, and demands that it was the intended check.
"""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from PIL import Image, ImageDraw

from tests.book.conftest import Copy
from tests.book.notebooks import ROOT, code_cells, notebooks, read


def report(fake, failures):
    """Print one readable line about each cell that noticed."""
    for cell, text in failures.items():
        text = re.split(r"-{60,}|check this notebook", text.replace("Cell outputs differ", ""))[0]
        chapter, _, text = text.strip().partition(f", code cell {cell}:")
        print(f"{fake} → {chapter}, code cell {cell}: {' '.join(text.split())[:240]}")


def change_digit(output):
    """Change one digit of what an output shows; False when it shows none."""
    holders = [(output, "text")] if output.output_type == "stream" else [
        (output.data, kind) for kind in ("text/plain", "text/markdown") if kind in output.data
    ]
    for holder, kind in reversed(holders):
        digits = list(re.finditer(r"\d", holder[kind]))
        if digits:
            middle = digits[len(digits) // 2]
            other = str((int(middle[0]) + 1) % 10)
            holder[kind] = holder[kind][:middle.start()] + other + holder[kind][middle.end():]
            return True
    return False


def test_changed_digit_in_every_cell(copy):
    changed = set()

    def spoil(notebook):
        for number, cell in enumerate(code_cells(notebook), start=1):
            # In turn the first and the last output of a cell.
            outputs = cell.outputs[::-1] if number % 2 else cell.outputs
            if any(change_digit(output) for output in outputs):
                changed.add(number)

    copy.rewrite(spoil)
    failures = copy.strict_run()
    report("one digit changed", failures)
    assert set(failures) == changed
    assert all("stored:" in text for text in failures.values())


def change_figure(png, change):
    """A PNG picture with something painted on it."""
    picture = Image.open(io.BytesIO(base64.b64decode(png)))
    change(ImageDraw.Draw(picture), *picture.size)
    out = io.BytesIO()
    picture.save(out, "png")
    return base64.b64encode(out.getvalue()).decode()


FIGURE_CHANGES = [
    # A bar that grew by two lines of pixels; a single pixel.
    lambda draw, w, h: draw.rectangle((w // 2, h // 2, w // 2 + 9, h // 2 + 1), "red"),
    lambda draw, w, h: draw.point((w // 3, h // 3), "gray"),
]


FAKES = {"missing": "not stored", "added": "missing: stdout '✔ checked", "null": "never executed",
         "before": "output 1 held text/latex"}


def fake_output(cell, fake):
    """Change which outputs a cell holds, or whether it was executed."""
    if fake == "missing":
        cell.outputs.pop()
    elif fake == "added":
        cell.outputs.append(nbformat.v4.new_output("stream", text="✔ checked\n"))
    elif fake == "null":
        cell.execution_count = None
    elif fake == "before":
        formula = nbformat.v4.new_output("display_data", {"text/latex": "$1$"})
        cell.outputs.insert(0, formula)


def test_changed_figures_and_outputs(copy):
    """Two figures swapped, the others changed; outputs removed, added, never made."""
    expected = {}

    def spoil(notebook):
        figures = []
        fakes = iter(FAKES.items())
        for number, cell in enumerate(code_cells(notebook), start=1):
            pictures = [output.data for output in cell.outputs
                        if "image/png" in output.get("data", {})]
            figures += [(number, data) for data in pictures]
            if cell.outputs and not pictures and cell.outputs[0].output_type == "display_data":
                fake, complaint = next(fakes, (None, None))
                fake_output(cell, fake)
                expected.update({number: complaint} if fake else {})
        assert len(figures) >= 2 and next(fakes, None) is None, "a chapter shows enough to spoil"
        (_, first), (_, second), *others = figures
        first["image/png"], second["image/png"] = second["image/png"], first["image/png"]
        for position, (_, data) in enumerate(others):
            change = FIGURE_CHANGES[position % len(FIGURE_CHANGES)]
            data["image/png"] = change_figure(data["image/png"], change)
        expected.update({number: "figure" for number, _ in figures})

    copy.rewrite(spoil)
    failures = copy.strict_run()
    report("figure swapped or changed, output removed or added", failures)
    assert set(failures) == set(expected)
    for number, complaint in expected.items():
        assert complaint in failures[number]


def first_code(notebook, pattern):
    return next((number, cell) for number, cell in enumerate(code_cells(notebook), start=1)
                if re.search(pattern, cell.source))


def spoil_code(copy, fake, pattern, replacement):
    """Change the source of the first cell that holds `pattern`; that cell must be noticed."""
    spoiled = []

    def spoil(notebook):
        number, cell = first_code(notebook, pattern)
        cell.source = re.sub(pattern, replacement, cell.source, count=1)
        spoiled.append(number)

    copy.rewrite(spoil)
    failures = copy.strict_run("-x")
    report(fake, failures)
    assert list(failures) == spoiled
    return failures[spoiled[0]]


def test_broken_derivation_step(copy):
    # The first step of a derivation: its formula plus one seventh.
    text = spoil_code(
        copy, "a wrong step",
        r'(Derivation\([^"]*"eq-[^"]+",\s*"[^"]+",\s*\(\s*r?")([^"]+)"', r'\1(\2) + 1/7"')
    assert "DerivationError" in text and "step 1" in text and "they differ at" in text


def test_reversed_check(copy):
    text = spoil_code(copy, "a check that fails",
                      r'(settle\(\s*"[^"]+",\s*(?:holds|corrected)=)', r"\1False and ")
    assert "ClaimError" in text


def test_other_verdict(copy_with_package, chapter):
    """A claim that the ledger calls right is called imprecise: its check no longer suffices."""
    path = copy_with_package.root / "claims.toml"
    text = path.read_text(encoding="utf-8")
    found = next(entry for entry in re.findall(r"\[claims\.[^\[]*", text)
                 if f'chapter = "{chapter}"' in entry and 'verdict = "right"' in entry
                 and 'settled_by = "check"' in entry)
    spoiled = found.replace('verdict = "right"', 'verdict = "imprecise"\ntruth = "Not so."')
    path.write_text(text.replace(found, spoiled), encoding="utf-8")
    failures = copy_with_package.strict_run("-x")
    report("another verdict in the ledger", failures)
    assert any("TypeError" in text and "is imprecise: expected" in text
               for text in failures.values())


# Ten ways to break the package: appended to softmax_ref/__init__.py, each replaces a function by
# one with a mistake that somebody has made before.
BROKEN = {
    "no maximum subtracted": "softmax = lambda z, axis=-1: "
        "np.exp(z) / np.exp(z).sum(axis=axis, keepdims=True)",
    "the last digits lost": "softmax = lambda z, axis=-1: good.softmax(z, axis) * (1 + 1e-12)",
    "the wrong axis": "softmax = lambda z, axis=-1: good.softmax(z, 0)",
    "log of softmax": "log_softmax = lambda z, axis=-1: np.log(good.softmax(z, axis))",
    "maximum not added back": "logsumexp = lambda z, axis=-1, keepdims=False: "
        "good.logsumexp(z - np.max(z, axis=axis, keepdims=True), axis, keepdims)",
    "cancellation in 1 - p": "softmax_complement = lambda z, axis=-1: 1 - good.softmax(z, axis)",
    "sign of the Jacobian": "softmax_jacobian = lambda z: -good.softmax_jacobian(z)",
    "the Jacobian's diagonal alone": "softmax_vjp = lambda z, g, axis=-1: "
        "np.asarray(g) * good.softmax(z, axis) * (1 - good.softmax(z, axis))",
    "sum instead of mean": "cross_entropy = lambda *a, reduction='mean', **k: "
        "good.cross_entropy(*a, reduction='sum' if reduction == 'mean' else reduction, **k)",
    "1/N forgotten": "cross_entropy_grad = lambda *a, reduction='mean', **k: "
        "good.cross_entropy_grad(*a, reduction='sum' if reduction == 'mean' else reduction, **k)",
}
BREAKING = """

from types import SimpleNamespace as _Names

import numpy as np

good = _Names(**globals())
{}
"""


@pytest.mark.parametrize("mistake", BROKEN)
def test_broken_package(tmp_path, mistake):
    """A mistake is noticed by a chapter that calls the function, or else by the package tests."""
    function = BROKEN[mistake].partition(" = ")[0]
    for path in notebooks():
        if not any(re.search(rf"\b{function}\(", cell.source) for cell in code_cells(read(path))):
            continue
        copy = Copy(tmp_path / path.stem, path.stem, package=True)
        break_package(copy.root, mistake)
        failures = copy.strict_run("-x")
        if failures:
            report(f"{function}: {mistake}", failures)
            return
    copy = Copy(tmp_path / "package", notebooks()[0].stem, package=True)
    break_package(copy.root, mistake)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", "-m", "core",
         str(ROOT / "tests" / "package")],
        cwd=copy.root, env={**os.environ, "PYTHONPATH": str(copy.root)},
        capture_output=True, text=True,
    )
    found = re.findall(r"^FAILED (.*)", result.stdout, flags=re.M)
    assert result.returncode == 1 and found, result.stdout + result.stderr
    print(f"{function}: {mistake} → {found[0].split('tests/package/')[-1]}")


def break_package(root, mistake):
    with open(root / "softmax_ref" / "__init__.py", "a", encoding="utf-8") as file:
        file.write(BREAKING.format(BROKEN[mistake]))


def test_undefined_label_stops_the_build(tmp_path):
    """The build itself fails on a reference that leads nowhere."""
    for name in ("_config.yml", "references.bib", "claims.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("_ext", "_static", "_templates", "softmax_ref"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "page.md").write_text("# A page\n\nSee {eq}`eq-nowhere`.\n", encoding="utf-8")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: page\n", encoding="utf-8")
    result = subprocess.run(
        [Path(sys.executable).with_name("jupyter-book"), "build", ".", "-n", "-W", "--keep-going"],
        cwd=tmp_path, capture_output=True, text=True,
    )
    warnings = [line for line in (result.stdout + result.stderr).splitlines() if "WARNING" in line]
    print("undefined label → " + " ".join(warnings))
    assert result.returncode != 0
    assert len(warnings) == 1 and "eq-nowhere" in warnings[0]
