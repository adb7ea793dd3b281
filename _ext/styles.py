"""One style sheet a page, with the rules that the book's pages can use, and the icons they show.

The theme and the extensions bring ten files, some of which import others, nine tenths of them for
things that this book does not have. When the build has finished, they are joined in their order;
a rule stays unless it needs a class that no page and no loaded script names. Of the icon font the
icons stay that a remaining rule names. What nothing loads (source maps, icon scripts, other fonts,
translations) is not left in the output.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
from fontTools import subset
from sphinx.application import Sphinx

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
SHEET = "styles/all.css"
FIRST = ["basic.css", "styles/pydata-sphinx-theme.css"]  # these the theme loads by its templates
ICONS = "vendor/fontawesome/webfonts/fa-solid-900.woff2"
UNUSED = ["**/*.map", "locales", "images", "scripts", "vendor/**/*.ttf",
          "vendor/**/fa-[br]*"]
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
NOTICE = re.compile(r"/\*!.*?\*/", re.DOTALL)
STATEMENT = re.compile(r"@(?:charset|import)[^;]*;")
TOKEN = re.compile(r'"[^"]*"|[{}]')
CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")


def purge(css: str, words: set[str]) -> str:
    """Return the rules of a style sheet that can match where only `words` occur as classes."""
    kept, depth, start, brace = [], 0, 0, 0
    for token in TOKEN.finditer(css):
        if token[0] == "{":
            brace, depth = (token.start() if depth == 0 else brace), depth + 1
        elif token[0] == "}":
            depth -= 1
            if depth:
                continue
            selector, body = css[start:brace].strip(), css[brace + 1:token.start()]
            start = token.end()
            if selector.startswith(("@media", "@supports")):
                body = purge(body, words)
            elif not selector.startswith("@") and "(" not in selector:
                selector = ",".join(one for one in selector.split(",")
                                    if words.issuperset(CLASS.findall(one)))
            if selector and body:
                kept.append(f"{selector}{{{body}}}")
    return "\n".join(kept)


def take_sheets(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any],
                doctree: Any) -> None:
    """Note the style sheets of a page, and give it the joint one."""
    for sheet in context["css_files"]:
        app.builder.sheets[sheet.filename] = None  # type: ignore[attr-defined]
    context["css_files"] = []


def write_sheet(app: Sphinx, exception: Exception | None) -> None:
    """Join the style sheets; keep what the pages can use; write the icons that are left."""
    sheets = getattr(app.builder, "sheets", {})
    if exception or not sheets:
        return
    static = Path(app.outdir) / "_static"
    for pattern in UNUSED:
        for path in list(static.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    names = FIRST + [name.removeprefix("_static/") for name in sheets]
    css = ""
    for name in dict.fromkeys(names):
        text = (static / name).read_text(encoding="utf-8")
        # Addresses are relative to styles/, where the joint sheet lies.
        css += text if "/" in name else re.sub(r"url\((?![\"']?data:)", "url(../", text)
    texts = [*Path(app.outdir).rglob("*.html"), *static.rglob("*.js")]
    words = set(re.findall(r"[\w-]+", " ".join(path.read_text("utf-8") for path in texts)))
    rules = purge(STATEMENT.sub("", COMMENT.sub("", css)), words)
    notices = "\n".join(NOTICE.findall(css))
    (static / SHEET).write_text(f'@charset "UTF-8";\n{notices}\n{rules}\n', encoding="utf-8")

    icons = {int(code, 16) for code in re.findall(r'content:"\\(f\w{3})"', rules)}
    icons |= {ord(character) for character in rules if "\ue000" <= character <= "\uf8ff"}
    options = subset.Options(flavor="woff2", name_IDs=["*"])
    font = subset.load_font(str(THEME / ICONS), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=icons)
    subsetter.subset(font)
    subset.save_font(font, str(static / ICONS), options)


def start(app: Sphinx) -> None:
    app.builder.sheets = {}  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", start)
    app.connect("html-page-context", take_sheets, priority=950)
    app.connect("build-finished", write_sheet, priority=900)  # when the others have copied theirs
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
