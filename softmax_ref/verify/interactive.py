"""Figures that a reader moves: no kernel, no server, and a table where no script runs.

The output of a cell holds the element, inside it a table with the same numbers, and the element's
script, so it works in JupyterLab as it is. On a page of the book the script is one shared file.
The JavaScript lies in ``static/`` beside this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from softmax_ref import cross_entropy, cross_entropy_grad, softmax, softmax_jacobian, textbook

STATIC = Path(__file__).with_name("static")


class InteractiveFigure:
    """An element of HTML with its fall-back table; Jupyter shows it."""

    def __init__(self, tag: str, caption: str, head: Sequence[str],
                 rows: Iterable[Sequence[str]], **attributes: str) -> None:
        self.tag, self.caption, self.attributes = tag, caption, attributes
        self.head, self.rows = list(head), [list(row) for row in rows]

    def _repr_html_(self) -> str:
        attributes = "".join(f' {name}="{escape(text)}"' for name, text in self.attributes.items())
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in self.head)
        body = "".join(
            f'<tr><th scope="row">{escape(first)}</th>'
            + "".join(f"<td>{escape(text)}</td>" for text in others) + "</tr>"
            for first, *others in self.rows)
        return (f"<{self.tag}{attributes}><table><caption>{escape(self.caption)}</caption>"
                f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></{self.tag}>\n"
                f'<script type="module">\n{script(self.tag)}</script>')

    def __repr__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join([self.caption] + [
            "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True))
            for line in lines])


def script(tag: str) -> str:
    """Return the script of an element, the module that all share in front of it, as one module."""
    shared = (STATIC / "interactive-figure.js").read_text(encoding="utf-8")
    own = (STATIC / f"{tag}.js").read_text(encoding="utf-8")
    own = re.sub(r"^import .*?;\n", "", own, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^export ", "", shared, flags=re.MULTILINE) + own


def show(value: float, digits: int = 4) -> str:
    """Return a number as the figures print it."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}f}".replace("-", "−")
    return text if re.search("[1-9]", text) else text.removeprefix("−")


def softmax_sliders(scores: Sequence[float] = (2.5, -1.0, 3.2, 0.5)) -> InteractiveFigure:
    """Sliders for the scores, bars for their softmax, arrows for a column of the Jacobian.

    The scores default to those of Nielsen's figure in chapter 3 of *Neural Networks and Deep
    Learning*; at most nine of them, between -5 and 5.
    """
    p, column = softmax(scores), softmax_jacobian(scores)[:, 0]
    return InteractiveFigure(
        "softmax-sliders", "Scores, probabilities, and the Jacobian's column",
        ["i", "score z", "probability p", "∂p / ∂z₁"],
        [[str(i + 1), show(z, 2), show(p[i]), show(column[i])] for i, z in enumerate(scores)],
        scores=" ".join(f"{z:g}" for z in scores))


def confident_mistake() -> InteractiveFigure:
    """Loss and gradient, in one step and in two, as a wrong class wins by more and more.

    Scores (d, 0, ½), the second class is right. One step: `softmax_ref.cross_entropy` and its
    gradient. Two steps: the logarithm and softmax, differentiated one after the other.
    """
    d = np.arange(801)
    z = np.stack([d, 0 * d, 0 * d + 0.5], axis=-1)
    y = np.ones_like(d)
    with np.errstate(all="ignore"):  # infinities and NaN are what the figure is about
        columns = [
            cross_entropy(z, y, reduction="none"),
            textbook.cross_entropy_two_step(z, y),
            cross_entropy_grad(z, y, reduction="none")[:, 1],
            textbook.two_step_gradient(z, y)[:, 1],
        ]
    kinds = [tuple("finite" if np.isfinite(c[i]) else show(c[i]) for c in columns) for i in d]
    changes = {j for i in d[1:] if kinds[i] != kinds[i - 1] for j in (int(i) - 1, int(i))}
    return InteractiveFigure(
        "confident-mistake", "Scores (d, 0, ½), second class right, float64",
        ["d", "loss, one step", "loss, two steps", "gradient, one step", "gradient, two steps"],
        [[str(i), *(show(column[i]) for column in columns)]
         for i in sorted({0, 10, 50, int(d[-1])} | changes)])
