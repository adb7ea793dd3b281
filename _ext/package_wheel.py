"""The package beside the book: what a downloaded notebook needs to run alone.

The first line of every notebook names a wheel of `softmax_ref`; it is built with the pages and
lies in their ``_static`` folder, so that the book needs no package index to be complete.
"""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from typing import Any

from hatchling.build import build_wheel
from sphinx.application import Sphinx


def write_wheel(app: Sphinx, exception: Exception | None) -> None:
    """Build the wheel into the finished book."""
    if exception is None and app.builder.format == "html":
        with chdir(Path(__file__).parents[1]):
            build_wheel(str(Path(app.outdir) / "_static"))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", write_wheel)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
