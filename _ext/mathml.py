r"""Formulas as MathML, made while the book is built.

A page needs no script to show mathematics. When a document has been read, all of its formulas go
through one call of pandoc, and every math node keeps its MathML beside its TeX. The writer then
prints it with Sphinx's own equation number and anchor. A formula that pandoc cannot convert is a
Sphinx warning that names the page and shows the source.

Stretching brackets and roots need a font with a MATH table: the glyphs of STIX Two Math (SIL Open
Font License; it lies in the wheel of ziamath) that the book uses are written to
``_static/math.woff2`` when the build has finished.
"""

from __future__ import annotations

import json
import re
import subprocess
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring, tostring

import pypandoc
import ziamath
from docutils import nodes
from fontTools import subset
from sphinx.application import Sphinx
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)
FONT = Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"
APPLICATION = "\u2061"  # the invisible operator between a function and its argument
ENVIRONMENT = re.compile(r"\\begin\{(\w+\*?)\}(?:(?!\\begin\{).)*?\\end\{\1\}", re.DOTALL)


def pandoc(source: str, *options: str) -> str:
    """Run pandoc on `source`; its warnings are dropped, the caller looks at the result."""
    command = [pypandoc.get_pandoc_path(), "--wrap=none", *options]
    return subprocess.run(
        command, input=source, capture_output=True, check=True, encoding="utf-8"
    ).stdout


@cache
def api_version() -> list[int]:
    """Version of pandoc's document model, which its JSON reader asks for."""
    return json.loads(pandoc("", "--from=markdown", "--to=json"))["pandoc-api-version"]


def prepare(tex: str) -> str:
    r"""Wrap lines that are broken by ``\\`` outside of any environment, as Sphinx does."""
    outside = tex
    while (shorter := ENVIRONMENT.sub("", outside)) != outside:
        outside = shorter
    return rf"\begin{{aligned}}{tex}\end{{aligned}}" if r"\\" in outside else tex


def is_name(node: Element) -> bool:
    """Whether a node is the name of a function, such as log, with or without a script."""
    if node.tag in ("mrow", "msub", "msup", "munder", "msubsup"):
        return len(node) > 0 and is_name(node[0]) and (
            node.tag != "mrow" or node[-1].text == APPLICATION)
    return node.tag == "mi" and len(node.text or "") > 1


def finish(mathml: str, displayed: bool) -> str:
    """Drop what HTML does not need; set thin spaces around names of functions, as TeX does.

    A displayed formula keeps its TeX, for copying.
    """
    math = fromstring(mathml.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', ""))
    for row in [node for node in math.iter() if node.tag in ("mrow", "mtd", "msqrt", "mstyle")]:
        for left, right in reversed(list(pairwise(row))):
            inner = right
            while inner.tag == "mrow" and len(inner):
                inner = inner[0]
            closed = left.tag == "mo" and left.get("form") == "postfix"
            if (is_name(left) and inner.tag not in ("mo", "mspace")) or (
                is_name(right) and (closed or left.tag not in ("mo", "mspace"))
            ):
                row.insert(list(row).index(right), Element("mspace", width="0.167em"))
    if not displayed:
        del math.attrib["display"]
        semantics = math[0]
        math[:] = semantics[:1]
    return tostring(math, encoding="unicode")


def convert(formulas: list[tuple[str, bool]]) -> list[str | None]:
    """MathML of (TeX, displayed?) pairs, in order, by one pandoc call; None where it failed."""
    if not formulas:
        return []
    blocks = []
    for tex, displayed in formulas:
        kind = "DisplayMath" if displayed else "InlineMath"
        blocks.append({"t": "Plain", "c": [{"t": "Math", "c": [{"t": kind}, prepare(tex)]}]})
        blocks.append({"t": "RawBlock", "c": ["html", "<!--next-->"]})
    document = {"pandoc-api-version": api_version(), "meta": {}, "blocks": blocks}
    html = pandoc(json.dumps(document), "--from=json", "--to=html", "--mathml")
    parts = [part.strip() for part in html.split("<!--next-->")][:-1]
    return [finish(part, displayed) if part.startswith("<math") else None
            for part, (_, displayed) in zip(parts, formulas, strict=True)]


def is_math(node: nodes.Node) -> bool:
    return isinstance(node, nodes.math | nodes.math_block)


def convert_document(app: Sphinx, doctree: nodes.document) -> None:
    """Give every math node of a document that was just read its MathML."""
    found: list[Any] = list(doctree.findall(is_math))
    formulas = [(node.astext(), isinstance(node, nodes.math_block)) for node in found]
    distinct = list(dict.fromkeys(formulas))
    mathml = dict(zip(distinct, convert(distinct), strict=True))
    for node, formula in zip(found, formulas, strict=True):
        if mathml[formula] is None:
            logger.warning("pandoc cannot turn this formula into MathML: %s", formula[0],
                           location=node, type="mathml")
        node["mathml"] = mathml[formula]
    # Sphinx keeps, purges and merges the metadata of documents along with them.
    app.env.metadata[app.env.docname]["characters"] = "".join(sorted(
        set("".join(re.sub(r"<annotation.*?</annotation>|<[^>]*>", "", m or "", flags=re.DOTALL)
                    for m in mathml.values()))))


def markup(self: Any, node: Any) -> str:
    """MathML of a node; one that was made after the document was read is converted here."""
    if "mathml" not in node:
        node["mathml"] = convert([(node.astext(), isinstance(node, nodes.math_block))])[0]
        if node["mathml"] is None:
            logger.warning("pandoc cannot turn this formula into MathML: %s", node.astext(),
                           location=node, type="mathml")
    return node["mathml"] or f"<code>{self.encode(node.astext())}</code>"


def visit_inline(self: Any, node: nodes.math) -> None:
    self.body.append(self.starttag(node, "span", "", CLASS="math") + markup(self, node) + "</span>")
    raise nodes.SkipNode


def visit_block(self: Any, node: nodes.math_block) -> None:
    """The formula in a box of its own that scrolls, its number and its links beside it."""
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(f'<div class="formula">{markup(self, node)}</div>')
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, _("Link to this equation"))
        self.body.append("</span>")
    self.body.append(node.get("beside", "") + "</div>\n")
    raise nodes.SkipNode


def write_font(app: Sphinx, exception: Exception | None) -> None:
    """Write the glyphs that the book's formulas use as a web font."""
    if exception or app.builder.format != "html":
        return
    used = set("√").union(*(data.get("characters", "") for data in app.env.metadata.values()))
    # A browser draws a lone <mi>x</mi> with the glyph of the mathematical italic 𝑥.
    used |= {chr(c) for c in (0x210E, *range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C))
             if unicodedata.normalize("NFKC", chr(c)) in used}
    # ssty: the forms of sub- and superscripts. The font's notices, its licence among them, stay.
    options = subset.Options(flavor="woff2", layout_features=["ssty"], name_IDs=["*"])
    font = subset.load_font(str(FONT), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text="".join(used))
    subsetter.subset(font)
    subset.save_font(font, str(Path(app.outdir) / "_static" / "math.woff2"), options)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    # Before Sphinx's collectors (priority 500) copy titles out of the document.
    app.connect("doctree-read", convert_document, priority=400)
    app.connect("build-finished", write_font)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
