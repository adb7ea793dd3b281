"""Pages that load little: assets, images, folded boxes, descriptions.

The theme is made for every kind of site. This book keeps what its pages use, through Sphinx's own
hooks (its scripts come from the templates in ``_templates``):

- scripts are deferred; the theme's, and what sets up unused features, give way to ``book.js``;
- images say their size, so that nothing jumps while they load, and load when they come near;
- folded boxes (``:class: dropdown``) are plain ``<details>``, which work without a script, by
  keyboard, and for the browser's own search;
- every page has a description, taken from its first paragraph;
- an interactive figure's script, which a notebook carries within its output, is one shared file;
- what hides a cell's code is named by the words that it shows.

It also mends two habits of incremental builds: a change to the book's own configuration, extension
or assets rebuilds every page, and a build that had warnings is not taken for a clean one next time.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.images import get_image_size

from softmax_ref.verify import interactive

ROOT = Path(__file__).resolve().parent.parent
FIGURES = interactive.STATIC  # scripts of the interactive figures
# What sphinx-proof and sphinx-exercise give to every box of a kind, though an id is for one.
SHARED_IDS = {"proof", "proof-content", "exercise-content", "solution-content"}
INLINE_MODULE = re.compile(r'<script type="module">.*?</script>', re.DOTALL)


def without_links(title: nodes.Element) -> list[nodes.Node]:
    """Return a title's content without links: a click on it is to open the box."""
    links: list[Any] = list(title.findall(nodes.reference))
    for link in links:
        link.parent.replace(link, link.children)
    return title.children


class FoldDropdowns(SphinxPostTransform):
    """Turn admonition-like nodes of the class ``dropdown`` into ``<details>``."""

    default_priority = 900  # when sphinx-exercise has resolved its titles
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        folded: list[Any] = [
            node for node in self.document.findall(nodes.Admonition)
            if "dropdown" in node["classes"] and isinstance(node[0], nodes.title)
        ]
        for node in self.document.findall(lambda node: isinstance(node, nodes.Element)):
            node["ids"] = [name for name in node["ids"] if name not in SHARED_IDS]
        for node in folded:
            classes = " ".join(("admonition", *node["classes"]))
            anchors = "".join(f'<span id="{anchor}"></span>' for anchor in node["ids"])
            node.parent.replace(node, [
                nodes.raw("", f'<details class="{classes}"><summary class="admonition-title">'
                              f"{anchors}", format="html"),
                nodes.inline("", "", *without_links(node[0])),
                nodes.raw("", "</summary>", format="html"),
                *node.children[1:],
                nodes.raw("", "</details>", format="html"),
            ])


def share_scripts(app: Sphinx, doctree: nodes.document) -> None:
    """Drop the scripts inside outputs and note the elements whose files the page needs instead."""
    elements = set()
    for node in doctree.findall(nodes.raw):
        if "text_html" in node["classes"]:
            text = INLINE_MODULE.sub("", node.astext())
            elements |= {file.stem for file in FIGURES.glob("*.js") if f"<{file.stem}" in text}
            node.children = [nodes.Text(text)]
            node.rawsource = text
    app.env.metadata[app.env.docname]["elements"] = sorted(elements)


def keep_columns(app: Sphinx, doctree: nodes.document) -> None:
    """Mark printed tables, whose lines must not be wrapped: several lines with wide gaps inside."""
    for node in doctree.findall(nodes.literal_block):
        gaps = [line for line in node.astext().splitlines() if re.search(r"\S {2,}\S", line)]
        if "output" in node["classes"] and len(gaps) > 2:
            node["classes"].append("columns")


def visit_image(self: Any, node: nodes.image) -> None:
    """Write an image as Sphinx does, with its size and, after the first of a page, lazily."""
    path = Path(self.builder.srcdir) / node["uri"]
    size = get_image_size(str(path)) if path.suffix != ".svg" and path.is_file() else None
    type(self).visit_image(self, node)
    attributes = f' width="{size[0]}" height="{size[1]}"' if size else ""
    if getattr(self, "has_image", False):
        attributes += ' loading="lazy"'
    self.has_image = True
    tag = next(i for i in reversed(range(len(self.body))) if "<img" in self.body[i])
    self.body[tag] = self.body[tag].replace("<img", "<img" + attributes, 1)


def depart_image(self: Any, node: nodes.image) -> None:
    type(self).depart_image(self, node)


def visit_hidden_code(self: Any, node: HideCodeCellNode) -> None:
    """Write the start of a folded cell as myst-nb does, less a label that hides its words."""
    self.body.append(
        f'<details class="admonition hide {" ".join(node["classes"])}"><summary>'
        f'<span class="collapsed admonition-title">{escape(node["prompt_show"])}</span>'
        f'<span class="expanded admonition-title">{escape(node["prompt_hide"])}</span></summary>'
    )


def depart_hidden_code(self: Any, node: HideCodeCellNode) -> None:
    self.body.append("</details>\n")


def visit_citation(self: Any, node: nodes.citation) -> None:
    """Write an entry of the bibliography, without roles that browsers have given up."""
    self.body.append(self.starttag(node, "div", CLASS="citation"))


def depart_citation(self: Any, node: nodes.citation) -> None:
    self.body.append("</div>\n")


def describe(doctree: nodes.document | None, title: str) -> str:
    """Return at most 160 characters on what a page holds: its first paragraph of plain text."""
    text = ""
    for paragraph in doctree.findall(nodes.paragraph) if doctree else ():
        if isinstance(paragraph.parent, nodes.section) and not list(paragraph.findall(nodes.math)):
            text = " ".join(paragraph.astext().split())
            break
    text = f"{title}: {text}" if text else title
    return text if len(text) <= 160 else text[:159].rsplit(" ", 1)[0] + "…"


def prepare_page(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any],
                 doctree: nodes.document | None) -> None:
    """Choose the scripts of a page and describe it."""
    # The search page's own scripts expect the others before them.
    late = {} if pagename == "search" else {"defer": "defer"}
    context["script_files"] = [
        type(script)(script.filename, priority=script.priority, **script.attributes, **late)
        for script in context["script_files"]
        if script.filename and "scripts/" not in script.filename  # those are the theme's
    ]
    context["elements"] = app.env.metadata.get(pagename, {}).get("elements", ())
    if 'name="description"' not in context.get("metatags", ""):
        title = context.get("pagetitle") or context.get("title") or app.config.html_title
        description = escape(describe(doctree, title))
        context["metatags"] = (context.get("metatags") or "") + (
            f'<meta name="description" content="{description}" />'
        )


def rebuild_all(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str],
                removed: set[str]) -> set[str]:
    """Every page, when what stands beside the pages is newer than at the last build."""
    own = [Path(app.confdir) / name for name in ("_config.yml", "_toc.yml", "references.bib")]
    for folder in (*(ROOT / name for name in ("_ext", "_static", "_templates")), FIGURES):
        own += [path for path in folder.rglob("*.*")
                if path.suffix != ".pyc" and not path.name.startswith("readme-")]
    newest = max(path.stat().st_mtime for path in own)
    unchanged = newest == getattr(env, "newest_asset", None)
    env.newest_asset = newest  # type: ignore[attr-defined]
    return set() if unchanged else env.found_docs - added


def forget_failure(app: Sphinx, exception: Exception | None) -> None:
    """Forget what was read in a build that had warnings, so that the next build has them again."""
    if app._warncount:
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)


def write_figures(app: Sphinx, exception: Exception | None) -> None:
    """Write each element's script as one plain file: a browser loads no module from a disk."""
    if exception or app.builder.format != "html":
        return
    for tag in {tag for data in app.env.metadata.values() for tag in data.get("elements", ())}:
        text = "(() => {\n" + interactive.script(tag) + "})();\n"
        (Path(app.outdir) / "_static" / f"{tag}.js").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    # Jupyter Book sets it whether or not the extension that reads it is there.
    app.add_config_value("comments_config", {}, "html")
    app.add_post_transform(FoldDropdowns)
    app.add_node(HideCodeCellNode, override=True, html=(visit_hidden_code, depart_hidden_code))
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    app.add_node(nodes.image, override=True, html=(visit_image, depart_image))
    app.connect("env-get-outdated", rebuild_all)
    app.connect("doctree-read", share_scripts)
    app.connect("doctree-read", keep_columns)
    app.connect("html-page-context", prepare_page, priority=900)
    app.connect("build-finished", write_figures)
    app.connect("build-finished", forget_failure)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
