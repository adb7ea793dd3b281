"""Copies of the book that a test may spoil."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.book.notebooks import ROOT, normal_form, notebooks, read


class Copy:
    """A copy of the book with one chapter, its ledger and, when asked for, its package."""

    def __init__(self, root, chapter, package=False):
        self.root = root
        self.path = root / "chapters" / f"{chapter}.ipynb"
        self.path.parent.mkdir(parents=True)
        shutil.copy(ROOT / "chapters" / self.path.name, self.path)
        for name in ("claims.toml", "pyproject.toml", "references.bib"):
            shutil.copy(ROOT / name, root)
        (root / "_toc.yml").write_text(f"root: chapters/{chapter}\n", encoding="utf-8")
        if package:
            shutil.copytree(ROOT / "softmax_ref", root / "softmax_ref",
                            ignore=shutil.ignore_patterns("__pycache__"))

    def rewrite(self, change):
        """Apply `change` to the notebook and store it."""
        notebook = read(self.path)
        change(notebook)
        self.path.write_text(normal_form(notebook), encoding="utf-8")

    def strict_run(self, *options):
        """Run the notebook strictly; the failing code cells with what is reported of each."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(self.root), str(ROOT)])}
        command = [sys.executable, "-m", "pytest", "-p", "tests.book.strict",
                   "-p", "no:cacheprovider", "--strict-notebooks", "-q", "--color=no", *options]
        result = subprocess.run([*command, str(self.path)], cwd=self.root, env=environment,
                                capture_output=True, text=True)
        assert result.returncode in (0, 1), result.stdout + result.stderr
        reports = re.split(r"^_{3,} .*, code cell (\d+) _{3,}$", result.stdout, flags=re.M)
        failures = dict(zip(map(int, reports[1::2]), reports[2::2], strict=True))
        assert bool(failures) == bool(result.returncode), result.stdout
        return failures


@pytest.fixture(params=[path.stem for path in notebooks()])
def chapter(request):
    """Each chapter in turn."""
    return request.param


@pytest.fixture
def copy(tmp_path, chapter) -> Copy:
    return Copy(tmp_path, chapter)


@pytest.fixture
def copy_with_package(tmp_path, chapter) -> Copy:
    return Copy(tmp_path, chapter, package=True)
