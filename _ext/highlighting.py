"""Code coloured sparsely: a span only where a reader needs one.

Pygments wraps every token of a program, brackets and blanks included, which makes the HTML of a
cell six times as long as its text. Here keywords, texts, numbers, comments and the names that a
program defines keep their colour; all else is plain.
"""

from __future__ import annotations

from collections.abc import Iterator

from pygments.formatters import HtmlFormatter
from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String, Token
from sphinx.application import Sphinx
from sphinx.highlighting import PygmentsBridge

COLOURED = (Comment, Generic, Keyword, Name.Builtin, Name.Class, Name.Decorator, Name.Exception,
            Name.Function, Name.Tag, Name.Attribute, Number, Operator.Word, String)
BROAD = (Comment, Keyword, Number, String)  # of these, the kinds look alike


class SparseFormatter(HtmlFormatter):
    """`HtmlFormatter` with neighbouring tokens of one colour in one span, plain ones in none."""

    def format_unencoded(self, tokens, outfile) -> None:
        super().format_unencoded(_merged(tokens), outfile)


def _colour(kind):
    for broad in BROAD:
        if kind in broad:
            return broad
    return kind if any(kind in coloured for coloured in COLOURED) else Token.Text


def _merged(tokens) -> Iterator:
    """The tokens, joined to runs of the same colour; blanks take the colour before them."""
    run, colour = "", Token.Text
    for kind, text in tokens:
        new = colour if text.isspace() else _colour(kind)
        if new is not colour and run:
            yield colour, run
            run = ""
        colour, run = new, run + text
    if run:
        yield colour, run


def setup(app: Sphinx) -> dict[str, bool]:
    """Make Sphinx use it for all code."""
    PygmentsBridge.html_formatter = SparseFormatter
    return {"parallel_read_safe": True, "parallel_write_safe": True}
