"""Read the pages of the book, execute notebooks, and write them in their normal form.

    python -m tests.book.notebooks run [softmax ...]

executes the notebooks of the book (or those named) and stores what they show.  Nothing is written
when a cell raises.

    python -m tests.book.notebooks html

fails unless the built book holds every page of its table of contents.
"""

import copy
import json
import os
import re
import sys
import time
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).parents[2]

# The metadata that a cell may carry: `tags` fold it, `mystnb` gives a figure its caption and name.
CELL_METADATA = ("mystnb", "tags")
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def pages(root=ROOT):
    """Paths of the pages that `_toc.yml` lists, in its order; an unwritten page is an error."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    names = [toc["root"]]

    def collect(node):
        for key, value in node.items():
            if key == "file":
                names.append(value)
            elif key in ("parts", "chapters", "sections"):
                for child in value:
                    collect(child)

    collect(toc)
    paths = []
    for name in names:
        found = [p for p in (root / f"{name}.ipynb", root / f"{name}.md") if p.exists()]
        if not found:
            raise FileNotFoundError(f"_toc.yml lists {name}, but there is no {name}.ipynb or .md")
        paths += found
    return paths


def notebooks(root=ROOT):
    """Paths of the notebooks of the book."""
    return [path for path in pages(root) if path.suffix == ".ipynb"]


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell.cell_type == "code"]


def title(cell):
    """The first line of a cell that says something."""
    return next((line.strip() for line in cell.source.splitlines() if line.strip()), "(empty)")


def joined_streams(outputs):
    """Join pieces of one stream that follow each other; how the kernel cut them is chance."""
    joined = []
    for output in outputs:
        last = joined[-1] if joined else None
        if (
            last is not None
            and output.output_type == last.output_type == "stream"
            and output.name == last.name
        ):
            last.text += output.text
        else:
            joined.append(copy.deepcopy(output))
    return joined


def normal_form(notebook):
    """The text of the one file that stands for this notebook: nothing volatile, counts 1..n."""
    cells, count = [], 0
    for cell in notebook.cells:
        kept = {
            "cell_type": cell.cell_type,
            "id": cell.get("id", f"cell-{len(cells) + 1}"),
            "metadata": {key: cell.metadata[key] for key in CELL_METADATA if key in cell.metadata},
            "source": cell.source.splitlines(keepends=True),
        }
        if cell.cell_type == "code":
            count += 1
            kept["execution_count"] = count if cell.execution_count is not None else None
            kept["outputs"] = [
                _normal_output(output, count) for output in joined_streams(cell.outputs)
            ]
        cells.append(kept)
    content = {
        "cells": cells, "metadata": NOTEBOOK_METADATA, "nbformat": 4, "nbformat_minor": 5
    }
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _normal_output(output, count):
    if output.output_type == "stream":
        return {"name": output.name, "output_type": "stream",
                "text": output.text.splitlines(keepends=True)}
    if output.output_type == "error":
        return {key: output[key] for key in ("ename", "evalue", "output_type", "traceback")}
    data = {
        kind: value.replace("\n", "") if kind.startswith("image/") and kind != "image/svg+xml"
        else value.splitlines(keepends=True) if isinstance(value, str)
        else value
        for kind, value in output.data.items()
    }
    normal = {"data": data, "metadata": {}, "output_type": output.output_type}
    if output.output_type == "execute_result":
        normal["execution_count"] = count
    return normal


def execute(path):
    """Execute one notebook and store it in the normal form; RuntimeError when a cell raises."""
    from jupyter_client import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager

    notebook = read(path)
    # The kernel of the strict run: this very Python, whatever kernels the user has installed.
    manager = AsyncKernelManager(
        kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager()
    )
    client = NotebookClient(
        notebook, km=manager, timeout=600, record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute(cleanup_kc=True)
    except CellExecutionError as error:
        number, cell = next(
            (number, cell) for number, cell in enumerate(code_cells(notebook), start=1)
            if any(output.output_type == "error" for output in cell.outputs)
        )
        raise RuntimeError(
            f"{path.name}, code cell {number}:  {title(cell)}\n{error.traceback}\n"
            "The file was left as it was."
        ) from None
    path.write_text(normal_form(notebook), encoding="utf-8", newline="\n")


def run(names, root=ROOT):
    """Execute the notebooks of these names (all of the book when none is given)."""
    paths = [root / "chapters" / f"{Path(name).stem}.ipynb" for name in names] or notebooks(root)
    for path in paths:
        if not path.exists():
            sys.exit(f"There is no {path.relative_to(root)}.")
    leave_user_settings_out(root)
    for path in paths:
        start = time.perf_counter()
        print(f"running {path.name} …", end=" ", flush=True)
        try:
            execute(path)
        except RuntimeError as error:
            sys.exit(f"failed\n{error}")
        print(f"{time.perf_counter() - start:.1f} s", flush=True)


def leave_user_settings_out(root):
    """Let kernels started from here ignore the user's settings of Matplotlib and IPython."""
    folder = root / "_build" / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "matplotlibrc").touch()
    os.environ["MATPLOTLIBRC"] = os.environ["IPYTHONDIR"] = str(folder)


def prose(page):
    """The text of a page that a reader sees, in pieces (where it stands, text).

    Pages are `.md` files or notebooks; of a notebook, the captions and descriptions of its figures
    are prose too.
    """
    if page.suffix == ".md":
        return [(page.name, page.read_text(encoding="utf-8"))]
    pieces = []
    for number, cell in enumerate(read(page).cells, start=1):
        where = f"{page.name}, cell {number} ({title(cell)[:50]})"
        if cell.cell_type == "markdown":
            pieces.append((where, cell.source))
        else:
            shown = cell.metadata.get("mystnb", {})
            texts = [shown.get("image", {}).get("alt"), shown.get("figure", {}).get("caption")]
            pieces += [(where, text) for text in texts if text]
    return pieces


def output_text(notebook):
    """Everything that the cells of a notebook printed or displayed as text."""
    texts = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            texts.append(output.get("text", ""))
            texts += [
                text for kind, text in output.get("data", {}).items()
                if kind in ("text/plain", "text/markdown", "text/html")
            ]
    return "\n".join(texts)


def without_code(markdown):
    """Markdown without fenced code, addresses and what roles refer to; directives stay."""
    text = re.sub(r"^(`{3,}|~{3,})(?!\{).*?^\1[`~]*[ \t]*$", "", markdown, flags=re.M | re.S)
    text = re.sub(r"^(`{3,})\{code[^\n]*\n.*?^\1`*[ \t]*$", "", text, flags=re.M | re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"\{(?:cite|eq|ref|numref|doc|prf:ref)[^}]*\}`[^`]*`", "", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return re.sub(r"<?https?://[^\s>)]*>?", "", text)


def require_html(root=ROOT):
    """Fail unless every page of `_toc.yml` was built."""
    built = root / "_build" / "html"
    names = [path.relative_to(root).with_suffix(".html") for path in pages(root)]
    missing = [str(name) for name in names if not (built / name).is_file()]
    if missing:
        sys.exit(f"The build left out {', '.join(missing)}.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(sys.argv[2:])
    elif sys.argv[1:] == ["html"]:
        require_html()
    else:
        sys.exit(__doc__)
