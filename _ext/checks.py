"""How was this checked? Links from every statement to the cell that checks it.

A code cell that calls ``settle("S3-10", …)``, ``equation("eq-sum", …)`` or
``Derivation("eq-sum", …)`` becomes the target ``#check-S3-10`` or ``#check-eq-sum``; so does the
first bold claim id in the prose, for claims that are discussed and not computed. Then

- a labelled equation that has a check on its page shows a small link to it,
- the line that a check prints is set apart from the prose, as a paragraph of class ``check``,
- a table cell that holds nothing but a claim id links to its check, on whichever page that is,
- ``{ref}`check-S3-10``` works from everywhere.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

CHECKING = {"settle", "equation", "Derivation"}
MARKS = ("✔ ", "◐ ", "✘ ", "✎ ")  # how a line begins that a check prints
CLAIM = re.compile(r"(?:S\d|O[A-Z]|G)-\d\d")


def is_cell(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


def checked_by(source: str) -> Iterator[str]:
    """Yield the claim ids and equation labels that a cell's source checks, in order."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(key)), *_]) if (
                name in CHECKING
            ):
                yield key


def cell_source(cell: Any) -> str:
    """Return the Python source of a code cell; empty where there is none."""
    blocks = (part.findall(nodes.literal_block) for part in cell.children
              if part.get("nb_element") == "cell_code_source")
    return "\n".join(block.astext() for found in blocks for block in found)


def mark_checks(app: Sphinx, doctree: nodes.document) -> None:
    """Make the cells and paragraphs that check something targets, and link equations to them."""
    docname = app.env.docname
    checks: dict[str, Any] = {}
    cells: list[Any] = list(doctree.findall(is_cell))
    for cell in cells:
        try:
            keys = list(checked_by(cell_source(cell)))
        except SyntaxError:  # a cell in another language, or one that shows a mistake
            continue
        for key in keys:
            checks.setdefault(key, cell)
        for line in cell.findall(nodes.paragraph):
            if line.astext().startswith(MARKS):
                line["classes"].append("check")
    in_cells = {id(node) for cell in cells for node in cell.findall(nodes.strong)}
    for node in doctree.findall(nodes.strong):
        if id(node) not in in_cells and CLAIM.fullmatch(node.astext()):
            checks.setdefault(node.astext(), node)

    labels = app.env.get_domain("std").labels  # type: ignore[attr-defined]
    anonymous = app.env.get_domain("std").anonlabels  # type: ignore[attr-defined]
    for key, node in checks.items():
        anchor = f"check-{key}"
        node["ids"].append(anchor)
        labels[anchor.lower()] = docname, anchor, f"the check of {key}"
        anonymous[anchor.lower()] = docname, anchor
    for block in doctree.findall(nodes.math_block):
        if block.get("label") in checks:
            block["beside"] = (
                f'<a class="checked" href="#check-{block["label"]}" '
                f'title="How was this checked?">✔ checked</a>'
            )
    app.env.metadata[docname]["checks"] = list(checks)


def link_tables(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Link the claim ids in table cells to their checks."""
    home = {key: page for page, data in app.env.metadata.items() for key in data.get("checks", ())}
    entries: list[Any] = list(doctree.findall(nodes.entry))
    for entry in entries:
        key = entry.astext()
        if CLAIM.fullmatch(key) and key in home and not list(entry.findall(nodes.reference)):
            uri = "" if home[key] == docname else app.builder.get_relative_uri(docname, home[key])
            link = nodes.reference("", key, refuri=f"{uri}#check-{key}", internal=True)
            entry.children[0].children = []
            entry.children[0] += link


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", mark_checks)
    app.connect("doctree-resolved", link_tables)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
