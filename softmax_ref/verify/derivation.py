"""Derivations of which every line is proved, and typeset from what was proved."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .algebra import Algebra, differing_point, is_zero, meaning, typeset
from .display import emit


class DerivationError(AssertionError):
    """A line of a derivation that does not follow from the line before."""


class Derivation:
    """A chain of equal formulas, each with the reason why it equals the one before.

    The links are proved when the object is made, for every number of classes (`algebra` says
    how), and an unproved link is an error. `show` typesets exactly the formulas that were proved.

    Parameters
    ----------
    label : label of the displayed equation, such as ``"eq-diagonal"``
    left : the formula that the chain starts from
    steps : pairs (formula, reason); a reason is text, with TeX between dollar signs
    where, classes, others, positive : see `algebra.Algebra`. `where` adds to (or overrides) the
        meaning of ``p`` and ``Σ``, which is softmax; ``None`` for a name makes it a free symbol.

    Raises
    ------
    DerivationError
        naming the step, with both sides and, where one was found, a point at which they differ.
    """

    def __init__(self, label: str, left: str, *steps: tuple[str, str],
                 where: Mapping[str, str | None] | None = None, classes: str | None = None,
                 others: bool = True, positive: str = "") -> None:
        self.label, self.left, self.steps = label, left, steps
        self.where = meaning(where)
        formulas = (left, *(formula for formula, _ in steps))
        algebra = Algebra(self.where, classes, others=others, formulas=formulas, positive=positive)
        before, before_text = algebra(left), left
        for number, (formula, reason) in enumerate(steps, 1):
            after = algebra(formula)
            if not is_zero(after - before):
                point = differing_point(before, after)
                raise DerivationError(
                    f"{label}, step {number} ({reason}): not proved\n"
                    f"  from  {before_text}\n  to    {formula}\n" + (
                        "  SymPy finds neither a proof nor a point where they differ"
                        if point is None else
                        f"  they differ at {point[0]}: {point[1]:.10g} against {point[2]:.10g}"))
            before, before_text = after, formula
        self.used = [name for name in self.where if _occurs(name, formulas)]

    def tex(self) -> str:
        """The chain as a TeX ``aligned`` environment, reasons beside the lines."""
        lines = [(typeset(self.left) if number == 0 else "") + f" &= {typeset(formula)} && "
                 + _reason(reason) for number, (formula, reason) in enumerate(self.steps)]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def show(self) -> None:
        """Display the chain as a numbered equation, with a line that says what was proved."""
        count = f"{len(self.steps)} step" + "s" * (len(self.steps) > 1)
        meanings = ", ".join(f"${typeset(name)} = {typeset(self.where[name])}$"
                             for name in self.used)
        markdown = (f"$$\n{self.tex()}\n$$ ({self.label})\n\n"
                    f"✔ Equation {{eq}}`{self.label}`: {count} proved"
                    + (f", with {meanings}" if meanings else "") + ".")
        chain = " = ".join([self.left, *(formula for formula, _ in self.steps)])
        emit(f"✔ {self.label}: {count} proved: {chain}", markdown)


def _occurs(name: str, formulas: tuple[str, ...]) -> bool:
    stem, _, subscript = name.partition("_")
    pattern = rf"\b{stem}_\w+\b" if subscript else rf"\b{stem}\b"
    return any(re.search(pattern, formula) for formula in formulas)


def _reason(reason: str) -> str:
    """Text with $…$ in it, as TeX for use inside a formula."""
    parts = reason.split("$")
    return " ".join(rf"\text{{{part}}}" if i % 2 == 0 else part
                    for i, part in enumerate(parts) if part)
