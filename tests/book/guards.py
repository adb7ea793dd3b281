"""The static guards of the book: what must hold of its pages without running anything.

Each guard takes the folder of a book and returns its complaints, one line each, naming the file,
the cell and what to do.  `ALL` lists the guards by what they demand.
"""

import ast
import re
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import chain

from softmax_ref.verify import claims
from tests.book import notebooks as nb

# The tags that fold or hide a cell.  Others change what is run or compared.
TAGS = {"hide-input", "hide-output", "hide-cell", "remove-input", "remove-output", "remove-cell"}

# A power of ten behind a number: e-5, \times 10^{-5}, ×10⁻⁵.
POWER = r"(?:[eE][-+−]?\d+|\s*(?:\\times|\\cdot|[×·])\s*10\s*(?:\^\s*\{?[-+−]?\d+\}?|[⁻⁺⁰¹²³⁴-⁹]+))"
NUMBER = re.compile(
    rf"(?<![\w.])(\d+\.\d+|\.\d+|\d+)({POWER})?(?!\d|\.\d)(\s*(?:…|\\l?dots|\.\.\.))?"
)
# Numbers that count nothing: versions, sections, papers.
EXEMPT = re.compile(
    r"(?:§+|Python|NumPy|SciPy|SymPy|PyTorch|torch|[Vv]ersions?|[Ss]ections?|arXiv:)\s*$"
)
VOLATILE = r"\bat 0x[0-9a-fA-F]+|(?:/home/|/Users/|/r[o]ot/|/tmp/|C:\\)\S*"
SUPERSCRIPTS = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹−", "-+0123456789-")
ROLE = r"\{(eq|numref|ref|prf:ref|cite[\w:]*)\}`([^`]*)`"
CLAIM_ID = r"[A-Z][A-Z0-9]?-\d{2}"


def _cells(path):
    """(where, cell) for each code cell of a notebook."""
    return [
        (f"{path.name}, code cell {number} ({nb.title(cell)[:50]})", cell)
        for number, cell in enumerate(nb.code_cells(nb.read(path)), start=1)
    ]


def _tree(cell):
    try:
        return ast.parse(cell.source)
    except SyntaxError:
        return ast.Module([], [])  # `plain_python` says so


def _calls(tree, *names):
    """Calls of these functions in a syntax tree, whichever way they were imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in names:
            yield node


def _text(node):
    """The value of a literal text, else None."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def executed(root):
    """Every code cell was executed, in order, in a fresh kernel."""
    for path in nb.notebooks(root):
        for number, (where, cell) in enumerate(_cells(path), start=1):
            if cell.execution_count != number:
                yield (f"{where}: execution count {cell.execution_count}, expected {number}; "
                       f"run `make run NOTEBOOKS={path.stem}`")


def plain_python(root):
    """Cells are plain Python: no magics, nothing that hides output or asks to be let off."""
    for path in nb.notebooks(root):
        for where, cell in _cells(path):
            try:
                ast.parse(cell.source)
            except SyntaxError as error:
                yield (f"{where}: line {error.lineno} is not Python ({error.msg}); "
                       "write magics and shell commands as Python")
            for line in cell.source.splitlines():
                if line.partition("#")[0].rstrip().endswith(";"):
                    yield f"{where}: {line.strip()!r} ends in a semicolon; remove it"
            for word in ("get_ipython", "NBVAL_", "PYTEST_VALIDATE"):
                if word in cell.source:
                    yield f"{where}: remove {word}"
            for tag in set(cell.metadata.get("tags", [])) - TAGS:
                yield f"{where}: tag {tag!r}; allowed are {', '.join(sorted(TAGS))}"


def reproducible_outputs(root):
    """Outputs hold nothing that another run would show differently."""
    for path in nb.notebooks(root):
        for where, cell in _cells(path):
            shown = nb.output_text({"cells": [cell]})
            for found in re.findall(VOLATILE, shown):
                yield f"{where}: the output holds {found!r}; print what is meant instead"
            for output in cell.outputs:
                if output.output_type == "error":
                    yield f"{where}: an exception is shown; catch it and print it"
                if output.get("name") == "stderr":
                    yield f"{where}: output on stderr; catch the warning and print it"


def in_normal_form(root):
    """Notebooks are stored in their normal form, so that differences between versions are small."""
    for path in nb.notebooks(root):
        text = path.read_text(encoding="utf-8")
        if text != nb.normal_form(nb.read(path)):
            yield (f"{path.name}: not in the normal form (metadata, kernel, counts or layout); "
                   f"run `make run NOTEBOOKS={path.stem}`")
        for number, cell in enumerate(nb.read(path).cells, start=1):
            extra = set(cell.metadata) - set(nb.CELL_METADATA) | {"attachments"} & set(cell)
            if extra:
                yield f"{path.name}, cell {number} ({nb.title(cell)[:50]}): remove {sorted(extra)}"


def described_figures(root):
    """Every figure has a description for who cannot see it, a caption and a name."""
    for path in nb.notebooks(root):
        for where, cell in _cells(path):
            figures = [output for output in cell.outputs
                       if any(kind.startswith("image/") for kind in output.get("data", {}))]
            if not figures:
                continue
            if len(figures) > 1:
                yield f"{where}: {len(figures)} figures; one a cell, since a caption belongs to one"
            if any("image/png" not in output.data for output in figures):
                yield f"{where}: only PNG figures are compared; show a PNG"
            shown = cell.metadata.get("mystnb", {})
            if not shown.get("image", {}).get("alt", "").strip():
                yield f"{where}: no description; set mystnb.image.alt in the cell's metadata"
            if not shown.get("figure", {}).get("caption", "").strip():
                yield f"{where}: no caption; set mystnb.figure.caption in the cell's metadata"
            if not shown.get("figure", {}).get("name", "").startswith("fig-"):
                yield f"{where}: no name fig-…; set mystnb.figure.name in the cell's metadata"


def _labels(path):
    """(where, label, kind) of what a page defines; kind is "equation" for those of the prose."""
    for where, text in nb.prose(path):
        for label in re.findall(r"\$\$\s*\(([\w:-]+)\)", text):
            yield where, label, "equation"
        for label in re.findall(r"\\label\{([^}]*)\}", text):
            yield where, label, "equation"
        for directive, body in re.findall(r"^[`:]{3,}\{([\w:-]+)\}(.*(?:\n:\w.*)*)", text, re.M):
            for label in re.findall(r"^:(?:label|name):[ \t]*(\S+)", body, re.M):
                yield where, label, "equation" if directive == "math" else directive
        for label in re.findall(r"^\(([\w:-]+)\)=\s*$", text, re.M):
            yield where, label, "target"
    if path.suffix == ".ipynb":
        for where, cell in _cells(path):
            for label in re.findall(r"\$\$\s*\(([\w:-]+)\)", nb.output_text({"cells": [cell]})):
                yield where, label, "shown"
            name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
            if name:
                yield where, name, "figure"


def unique_labels(root):
    """A label names one thing in the whole book."""
    first = {}
    for path in nb.pages(root):
        for where, label, _ in _labels(path):
            if label in first:
                yield f"{where}: label {label!r} is taken by {first[label]}; choose another"
            first.setdefault(label, where)


def resolved_references(root):
    """Every reference and citation leads somewhere."""
    labels = {label for path in nb.pages(root) for _, label, _ in _labels(path)}
    labels |= {f"check-{name}" for name in (*labels, *claims.load(root / "claims.toml")[1])}
    files = {path.resolve().with_suffix("") for path in nb.pages(root)}
    bibliography = root / "references.bib"
    keys = set(re.findall(r"^@\w+\{\s*([^,\s]+)", bibliography.read_text(encoding="utf-8"), re.M)
               if bibliography.exists() else ())
    for path in nb.pages(root):
        texts = nb.prose(path)
        if path.suffix == ".ipynb":
            texts += [(where, nb.output_text({"cells": [cell]})) for where, cell in _cells(path)]
        for where, text in texts:
            for role, content in re.findall(ROLE, text):
                target = re.sub(r".*<(.*)>$", r"\1", content.strip(), flags=re.S)
                for one in target.split(",") if role.startswith("cite") else [target]:
                    if one.strip() not in (keys if role.startswith("cite") else labels):
                        yield f"{where}: {{{role}}}`{content}` leads nowhere; mend or define it"
            for target in re.findall(r"\]\(#([\w:-]+)\)", text):
                if target not in labels:
                    yield f"{where}: link to #{target} leads nowhere; mend or define it"
            links = re.findall(r"\{doc\}`(?:[^<`]*<)?([^>`]*)", text)
            links += re.findall(r"\]\((?!\w+:)([^)#\s]+)(?:\.md|\.ipynb)(?:#[^)]*)?\)", text)
            for link in links:
                if (path.parent / link).resolve() not in files:
                    yield f"{where}: the link to {link!r} leads to no page of _toc.yml; mend it"


def tied_equations(root):
    """Every labelled equation of the prose is checked by a cell of the same page."""
    for path in nb.pages(root):
        checked = {
            _text(call.args[0])
            for _, cell in (_cells(path) if path.suffix == ".ipynb" else [])
            for call in _calls(_tree(cell), "equation", "Derivation") if call.args
        }
        for where, label, kind in _labels(path):
            if kind in ("equation", "shown") and label not in checked:
                yield (f"{where}: equation {label} is not checked; "
                       f'add equation("{label}", holds=…, evidence=…) or a Derivation')


def number_values(text):
    """(as written, value, cut short) of the numbers in a text; values without their sign."""
    for match in NUMBER.finditer(text.replace("{,}", "").replace("\\,", "")):
        digits, power, dots = match.groups()
        power = (power or "").translate(SUPERSCRIPTS)
        exponent = re.search(r"(?:[eE]|10\s*\^?\s*\{?)([-+]?\d+)\}?$", power)
        value = Decimal(digits).scaleb(int(exponent[1]) if exponent else 0)
        yield match, abs(value), bool(dots)


def computed_numbers(root):
    """Every decimal number of the prose was computed: a cell shows it, or the ledger quotes it."""
    ledger = claims.load(root / "claims.toml")[1]
    quoted = defaultdict(list)
    for claim in ledger.values():
        quoted[claim.chapter] += [claim.statement, claim.truth, claim.note]
    shown = {path: nb.output_text(nb.read(path)) for path in nb.notebooks(root)}
    everywhere = "\n".join([*shown.values(), *chain.from_iterable(quoted.values())])
    for path in nb.pages(root):
        source = "\n".join([shown[path], *quoted[path.stem]]) if path in shown else everywhere
        known = {value for _, value, _ in number_values(source)}
        for where, text in nb.prose(path):
            text = nb.without_code(text)
            for match, value, cut_short in number_values(text):
                exact = "." not in match[1] and not match[2]
                if exact or EXEMPT.search(text[:match.start()][-20:]) or value in known:
                    continue
                if cut_short and any(str(number).startswith(match[1]) for number in known):
                    continue
                place = "an output of this notebook" if path in shown else "an output of the book"
                yield (f"{where}: the number {match[0].strip()} is neither in {place} nor in a "
                       "claim; print it, or correct it")


def _own_words(cell):
    """A cell's source and outputs, less what its outputs only quote from the ledger."""
    yield cell.source
    for output in cell.outputs:
        for text in (output.get("text", ""), *map(str, output.get("data", {}).values())):
            if "| what the source says |" not in text:
                yield text.partition("Checked:")[2] or text


def computed_ledger(root):
    """Every decimal number by which the ledger corrects or answers came out of a cell.

    That is what is true of a claim, the notes, and the answers to open questions; what a source
    prints is its own. A number of a cell's source counts: it is what the cell is about.
    """
    ledger = claims.load(root / "claims.toml")[1]
    for path in nb.notebooks(root):
        own = "\n".join(chain.from_iterable(map(_own_words, nb.code_cells(nb.read(path)))))
        known = {value for _, value, _ in number_values(own)}
        for claim in ledger.values():
            texts = [claim.truth, claim.note, claim.statement if claim.source == "G" else ""]
            for text in texts if claim.chapter == path.stem else []:
                for match, value, _ in number_values(text):
                    exact = "." not in match[1] and not match[2]
                    if not (exact or value in known or EXEMPT.search(text[:match.start()][-20:])):
                        yield (f"claims.toml, {claim.id}: no cell of {path.name} shows "
                               f"{match[0].strip()}; print it there, or correct it")


def _computes_nothing(node, constants=frozenset()):
    """Whether an expression uses no name, or only names that stand for literals."""
    return all(name.id in constants for name in ast.walk(node) if isinstance(name, ast.Name))


def _constants(trees):
    """Names to which nothing but literals is ever assigned."""
    nodes = list(chain.from_iterable(ast.walk(tree) for tree in trees))
    stored = Counter(
        node.id for node in nodes
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    literal = Counter(
        node.targets[0].id for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        and _computes_nothing(node.value)
    )
    return {name for name, count in stored.items() if literal[name] == count}


def settled_claims(root):
    """Each claim of a finished chapter is settled in it exactly once; no cell names another."""
    ledger = claims.load(root / "claims.toml")[1]
    for path in nb.notebooks(root):
        settled = Counter()
        cells = [(where, _tree(cell)) for where, cell in _cells(path)]
        constants = _constants([tree for _, tree in cells])
        for where, tree in cells:
            for call in _calls(tree, "settle", "equation"):
                name = _text(call.args[0]) if call.args else None
                if name is None:
                    yield f"{where}: {ast.unparse(call)[:60]}: write the id as a literal text"
                    continue
                conditions = [(k.arg, k.value) for k in call.keywords if k.arg != "evidence"]
                conditions += [("holds", argument) for argument in call.args[1:2]]
                for key, value in conditions:
                    if _computes_nothing(value, constants):
                        yield (f"{where}: {name}: {key}={ast.unparse(value)} computes nothing; "
                               "write the check")
                if ast.unparse(call.func).endswith("settle"):
                    settled[name] += 1
                    if name not in ledger:
                        yield f"{where}: {name} is not in claims.toml"
                    elif ledger[name].chapter != path.stem:
                        yield f"{where}: {name} belongs to chapter {ledger[name].chapter}"
        discussed = Counter()
        for where, text in nb.prose(path):
            for name in re.findall(rf"\*\*({CLAIM_ID})\*\*", text):
                discussed[name] += 1
                if name not in ledger:
                    yield f"{where}: {name} is not in claims.toml"
        for claim in ledger.values():
            if claim.chapter != path.stem:
                continue
            if claim.settled_by == "check" and settled[claim.id] != 1:
                yield (f'{path.name}: {claim.id} is settled {settled[claim.id]} times; '
                       f'call settle("{claim.id}", …) once')
            if claim.settled_by == "discussion" and not discussed[claim.id]:
                yield f"{path.name}: {claim.id} is not discussed; write **{claim.id}** in the prose"


ALL = (executed, plain_python, reproducible_outputs, in_normal_form, described_figures,
       unique_labels, resolved_references, tied_equations, computed_numbers, computed_ledger,
       settled_claims)
