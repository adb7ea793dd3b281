"""The ledger of claims, and the one function that settles a claim in a notebook.

``claims.toml`` says what each source claims and how it fared: *right*, *imprecise* or *wrong*.
A check must reproduce that verdict, not just agree with the truth:

=========  =========================================  ==================================
verdict    must be true                               must be false
=========  =========================================  ==================================
right      ``holds``, the claim                       –
imprecise  ``holds``, the claim under its hypothesis  ``counterexample``, the claim there
wrong      ``corrected``, the claim put right         ``printed``, the claim as printed
=========  =========================================  ==================================
"""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from .display import emit, truth

KINDS = ("definition", "identity", "step", "number", "code", "behaviour", "interpretation")
CONDITIONS = {"right": {"holds": True}, "imprecise": {"holds": True, "counterexample": False},
              "wrong": {"printed": False, "corrected": True}}
MARKS = {"right": "✔", "imprecise": "◐", "wrong": "✘"}
SETTLED_BY = ("check", "discussion")

_settled: dict[str, str] = {}


class LedgerError(ValueError):
    """An entry of the ledger that is malformed, or an id that the ledger does not hold."""


class ClaimError(AssertionError):
    """A claim whose check does not come out as the ledger's verdict says."""


@dataclass(frozen=True)
class Claim:
    """One entry of the ledger. `truth` says what is true where the claim is not right."""

    id: str
    place: str
    chapter: str
    kind: str
    verdict: str
    settled_by: str
    statement: str
    truth: str = ""
    note: str = ""

    @property
    def source(self) -> str:
        """The source's key: what stands before the hyphen of the id."""
        return self.id.partition("-")[0]


@dataclass(frozen=True)
class Source:
    """A text whose claims are in the ledger; `reference` is its key in the bibliography.

    The gaps (``G``) have none: they are what no text says.
    """

    title: str
    reference: str = ""


def ledger_path() -> Path:
    """``claims.toml``: at the top of a checkout, beside this module in an installed package."""
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").exists():
        return checkout / "claims.toml"
    return Path(__file__).with_name("claims.toml")


@cache
def load(path: Path | None = None) -> tuple[dict[str, Source], dict[str, Claim]]:
    """Sources and claims of the ledger, by id; LedgerError names file, entry and key."""
    path = path or ledger_path()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise LedgerError(f"{path.name}: {error}") from None
    sources = {key: _entry(path, Source, key, table) for key, table in tables["sources"].items()}
    claims = {key: _entry(path, Claim, key, {"id": key, **table})
              for key, table in tables["claims"].items()}
    for claim in claims.values():
        for key, allowed in (("kind", KINDS), ("verdict", tuple(CONDITIONS)),
                             ("settled_by", SETTLED_BY), ("source", tuple(sources))):
            if getattr(claim, key) not in allowed:
                raise LedgerError(f"{path.name}, {claim.id}: {key} = {getattr(claim, key)!r}, "
                                  f"expected one of {', '.join(allowed)}")
        if (claim.verdict != "right") != bool(claim.truth):
            raise LedgerError(f"{path.name}, {claim.id}: truth is "
                              + ("missing" if not claim.truth else "given for a right claim"))
    return sources, claims


def _entry(path: Path, cls: Any, key: str, table: dict[str, str]) -> Any:
    known = {field.name for field in fields(cls)}
    required = {field.name for field in fields(cls) if field.default is MISSING}
    for name in sorted((set(table) - known) | (required - set(table))):
        problem = "missing" if name in known else "unknown key"
        raise LedgerError(f"{path.name}, {key}: {problem}: {name}")
    for name, value in table.items():
        if not isinstance(value, str) or (name in required and not value.strip()):
            raise LedgerError(f"{path.name}, {key}: {name} = {value!r}, expected a text")
    return cls(**table)


def lookup(claim_id: str) -> Claim:
    """The claim with that id; LedgerError if there is none."""
    claims = load()[1]
    if claim_id not in claims:
        raise LedgerError(f"{claim_id!r} is not a claim of {ledger_path().name}")
    return claims[claim_id]


def settle(claim_id: str, *, evidence: str, **conditions: bool) -> None:
    """Check a claim against its verdict and show one line about it.

    Parameters
    ----------
    claim_id : the claim's id in the ledger, such as ``"S4-13"``
    evidence : what was computed, in a few words or numbers; Markdown with $TeX$
    conditions : truth values, by the table at the head of this module

    Raises
    ------
    LedgerError
        for an unknown id, or for a claim that the ledger leaves to discussion.
    TypeError
        if the conditions are not those of the claim's verdict, or are not truth values.
    ClaimError
        if a condition does not come out as the verdict says.
    """
    claim = lookup(claim_id)
    if claim.settled_by != "check":
        raise LedgerError(f"{claim_id}: the ledger leaves this claim to discussion in the text")
    expected = CONDITIONS[claim.verdict]
    if set(conditions) != set(expected):
        raise TypeError(f"{claim_id} is {claim.verdict}: expected the conditions "
                        f"{', '.join(expected)}, got {', '.join(sorted(conditions)) or 'none'}")
    for name, value in conditions.items():
        if truth(f"{claim_id}, {name}", value) != expected[name]:
            raise ClaimError(f"{claim_id} is {claim.verdict} in the ledger, but {name} is {value}: "
                             f"{claim.statement} Evidence: {evidence}")
    _settled[claim_id] = claim.verdict
    mark = MARKS[claim.verdict]
    emit(f"{mark} {claim_id} {claim.verdict}: {claim.statement} Checked: {evidence}",
         f"{mark} **{claim_id}** ({claim.verdict}): {claim.statement}"
         + (f" *In truth:* {claim.truth}" if claim.truth else "") + f" *Checked:* {evidence}")


def claims_table(chapter: str) -> None:
    """Show the table of a chapter's claims; ClaimError if one to be checked has not been."""
    claims = [claim for claim in load()[1].values() if claim.chapter == chapter]
    if not claims:
        raise LedgerError(f"no claim of {ledger_path().name} belongs to chapter {chapter!r}")
    missing = [c.id for c in claims if c.settled_by == "check" and c.id not in _settled]
    if missing:
        raise ClaimError(f"not settled in this run: {', '.join(missing)}")
    count = {verdict: sum(c.verdict == verdict for c in claims) for verdict in CONDITIONS}
    summary = ", ".join(f"{number} {verdict}" for verdict, number in count.items())
    rows = "\n".join(f"| {c.id} | {MARKS[c.verdict]} {c.verdict} | {_cell(c.statement)} | "
                     f"{c.settled_by} |" for c in claims)
    emit(f"{len(claims)} claims settled: {summary}",
         f"{len(claims)} claims settled: {summary}.\n\n"
         f"| claim | verdict | what the source says | settled by |\n|---|---|---|---|\n{rows}")


def _cell(text: str) -> str:
    r"""A text for a table cell: one line, and no bar that would end the cell."""
    return " ".join(text.split()).replace(r"\|", r"\Vert ").replace("|", r"\vert ")
