"""Strict run of the notebooks: every stored output must come out again, figures included.

A pytest plugin on top of nbval, which runs the cells.  Load it with

    python -m pytest -p tests.book.strict --strict-notebooks chapters/softmax.ipynb

What nbval by itself lets pass fails here: cells that were never executed, figures that changed,
outputs in another order, and the markers by which a cell may ask not to be compared.
The kernel is the Python that runs pytest; it starts in the notebook's own folder, without the
user's settings of IPython and Matplotlib.
"""

import base64
import io
import re

import nbformat
import nbval.plugin as nbval
import numpy as np
import pytest
from PIL import Image

from tests.book.notebooks import joined_streams, leave_user_settings_out, title

# The same Matplotlib (it is locked, and brings its own FreeType) draws the same pixels from the
# same numbers.  What can differ on another CPU is the last bit of a coordinate.  The renderer keeps
# coordinates in 1/256 of a pixel, so such a bit moves an edge by at most 1/256 and the grey of the
# pixel it crosses by one level of 255; a pixel that two edges cross, by two.  Only the edges of
# bars and axes are rounded to whole pixels and may jump: round what a fit has made before drawing.
# (`make portable` switches off the vector units.  Of 25 figures 24 stayed within the bound; the
# other was such an edge.)
GREY_LEVELS = 2

# nbval merges all text of a cell into one stream, which hides whether a line stood before or
# after a figure.
nbval.coalesce_streams = joined_streams


def pytest_addoption(parser):
    parser.getgroup("nbval").addoption(
        "--strict-notebooks", action="store_true",
        help="run notebooks, comparing every output with the stored one",
    )


def pytest_configure(config):
    config.option.nbval_current_env = True
    leave_user_settings_out(config.rootpath)


def pytest_collect_file(file_path, parent):
    if parent.config.option.strict_notebooks and file_path.suffix == ".ipynb":
        return StrictNotebook.from_parent(parent, path=file_path)


class StrictNotebook(nbval.IPyNbFile):
    broken = None  # the code cell that raised; what follows it cannot be judged

    def setup(self):
        for more in (2, 1, 0):
            try:
                return super().setup()
            except RuntimeError as error:  # kernels that start together may draw the same port
                if not more or "Kernel died" not in str(error):
                    raise
                print(f"{self.path.name}: no kernel came up; once more")

    def collect(self):
        self.nb = nbformat.read(self.path, as_version=4)
        options = {"check": True, "check_exception": False, "skip": False}
        cells = [cell for cell in self.nb.cells if cell.cell_type == "code"]
        for number, cell in enumerate(cells, start=1):
            yield StrictCell.from_parent(
                self, name=f"cell {number}", cell_num=number, cell=cell, options=options
            )


class StrictCell(nbval.IPyNbCell):
    def runtest(self):
        if self.parent.broken:
            pytest.skip(f"code cell {self.parent.broken} before it raised")
        stored_count, self.cell.execution_count = self.cell.execution_count, self.cell_num
        try:
            super().runtest()
        except nbval.NbCellError as error:
            if str(error) != "Cell outputs differ":
                self.parent.broken = self.cell_num
            raise
        if stored_count is None:  # nbval would not compare such a cell
            self.raise_cell_error("was never executed")

    def compare_outputs(self, test, ref, skip_compare=None):
        difference = first_difference(ref, test)
        self.comparison_traceback = [difference] if difference else []
        return difference is None

    def reportinfo(self):
        return self.path, 0, f"{self.path.name}, code cell {self.cell_num}"

    def repr_failure(self, excinfo):
        error = excinfo.value
        if not isinstance(error, nbval.NbCellError):
            return super().repr_failure(excinfo)
        name = self.path.stem
        details = re.sub(r"\x1b\[[\d;]*m", "", error.inner_traceback or "").strip().splitlines()
        if details and self.parent.broken == self.cell_num:
            details = [details[-1], "", *details]  # the exception itself, then how it came about
        return "\n".join([
            f"{self.path.name}, code cell {self.cell_num}:  {title(self.cell)}",
            f"  {error}",
            *("  " + line for line in details),
            f"  check this notebook again:  make verify NOTEBOOKS={name}",
            f"  take over what it shows now: make run NOTEBOOKS={name}",
        ])


def first_difference(stored, now):
    """Where two lists of outputs first differ, in a few readable lines; None when they agree."""
    for number, (old, new) in enumerate(zip(stored, now, strict=False), start=1):
        if old.output_type != new.output_type:
            return f"output {number} was {old.output_type}, now {new.output_type}"
        old, new = _parts(old), _parts(new)
        if old.keys() != new.keys():
            return f"output {number} held {', '.join(old)}, now {', '.join(new)}"
        for kind in old:
            difference = _difference(kind, old[kind], new[kind])
            if difference:
                return f"output {number}, {kind}{difference}"
    if len(stored) != len(now):
        longer, verb = (stored, "missing") if len(stored) > len(now) else (now, "not stored")
        extra = longer[min(len(stored), len(now))]
        return (
            f"{len(stored)} outputs stored, {len(now)} now; {verb}: "
            + "; ".join(f"{kind} {str(value)[:70]!r}" for kind, value in _parts(extra).items())
        )
    return None


def _parts(output):
    """The content of one output by its kind: stream name or mime type."""
    if output.output_type == "stream":
        return {output.name: output.text}
    return dict(output.get("data", {"error": output.get("evalue", "")}))


def _difference(kind, old, new):
    if kind == "image/png":
        return _picture_difference(old, new)
    if old == new:
        return None
    if not (isinstance(old, str) and isinstance(new, str)):
        return f"\n  stored: {old!r}\n  now:    {new!r}"
    olds, news = old.split("\n"), new.split("\n")
    line = next(
        (i for i, (a, b) in enumerate(zip(olds, news, strict=False)) if a != b),
        min(len(olds), len(news)),
    )
    shown = [repr(lines[line]) if line < len(lines) else "(ends)" for lines in (olds, news)]
    return f", line {line + 1}\n  stored: {shown[0]}\n  now:    {shown[1]}"


def _picture_difference(old, new):
    """Compare two PNG pictures pixel by pixel within `GREY_LEVELS`."""
    old, new = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"), dtype=int)
        for png in (old, new)
    )
    if old.shape != new.shape:
        (h, w), (high, wide) = old.shape[:2], new.shape[:2]
        return f": the figure was {w}×{h} pixels, now {wide}×{high}"
    distance = np.abs(old - new).max(axis=-1)
    far = distance > GREY_LEVELS
    if not far.any():
        return None
    row, column = np.argwhere(far)[0]
    stored, now = (tuple(picture[row, column].tolist()) for picture in (old, new))
    return (
        f": {far.sum()} pixels of the figure changed, by up to {distance.max()} of 255; "
        f"the first at x = {column}, y = {row}\n"
        f"  stored: {stored}\n  now:    {now}"
    )
