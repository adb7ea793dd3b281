"""Formulas written once, as Python expressions: what proves them is what typesets them.

A formula is a string such as ``"D(p_j, z_j)"`` or ``"-Sum(y_c*log(p_c), c)"``. Its syntax tree is
read twice: by `Algebra.evaluate`, which turns it into a SymPy expression in which every sum over
the classes, however many there are, has been taken apart; and by `typeset`, which turns it into
TeX exactly as it was written. Nothing else is displayed by the derivations of the book.

============  =======================================================================
``z_j``       a symbol with a subscript; ``Σ``, ``λ`` … are Greek
``Sum(f, c)`` the sum of ``f`` over all K classes ``c``; ``Sum(f, c != j)`` leaves ``j`` out
``D(f, x)``   the derivative of ``f`` by the variable ``x``
``δ(i, j)``   1 if ``i`` and ``j`` are the same class, otherwise 0
``σ(x)``      the logistic sigmoid 1/(1 + exp(-x)); also ``exp log sqrt tanh sinh cosh``
============  =======================================================================

**Why a proof holds for every K.** Let i, j … be the classes that a formula names. A sum over all
classes is f_i + f_j + … plus the sum over *the other classes*. That rest is expanded, factors
that do not depend on the summation index are drawn out, and what remains (say Σ exp(z_c) over the
others) becomes one symbol that is free of z_i, z_j …. Only linearity of the sum is used, so the
number of the other classes, zero included, never enters.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import sympy as sp

SOFTMAX: Mapping[str, str] = {"p_c": "exp(z_c)/Σ", "Σ": "Sum(exp(z_c), c)"}
"""What ``p`` and ``Σ`` mean in a formula, unless a caller says otherwise."""

GREEK = dict(zip("αβγδεηθκλμνπρστφψωΔΣΛΩ", (
    "alpha beta gamma delta varepsilon eta theta kappa lambda mu nu pi rho sigma tau varphi psi "
    "omega Delta Sigma Lambda Omega").split(), strict=True))
FUNCTIONS = {"exp": sp.exp, "log": sp.log, "sqrt": sp.sqrt, "tanh": sp.tanh, "sinh": sp.sinh,
             "cosh": sp.cosh, "σ": lambda x: 1 / (1 + sp.exp(-x))}


def meaning(where: Mapping[str, str | None] | None) -> dict[str, str]:
    """The definitions in force: softmax's, with `where` added or taking precedence."""
    stems = {name.partition("_")[0] for name in where or {}}
    merged = {n: f for n, f in SOFTMAX.items() if n.partition("_")[0] not in stems}
    return {**merged, **{n: f for n, f in (where or {}).items() if f is not None}}


class FormulaError(ValueError):
    """A formula that cannot be read, or that uses a class or variable in an undefined way."""


def parse(formula: str) -> ast.expr:
    """The syntax tree of a formula."""
    try:
        return ast.parse(formula.strip(), mode="eval").body
    except SyntaxError as error:
        raise FormulaError(f"formula {formula!r} is not a Python expression: {error.msg}") from None


def _split(name: str) -> tuple[str, str]:
    stem, _, subscript = name.partition("_")
    return stem, subscript


def _sum_parts(node: ast.Call) -> tuple[ast.expr, str, str | None]:
    """Body, index and the class left out (or None) of ``Sum(body, c)`` or ``Sum(body, c != j)``."""
    match node.args:
        case [body, ast.Name(id=index)]:
            return body, index, None
        case [body, ast.Compare(left=ast.Name(id=index), ops=[ast.NotEq()],
                                comparators=[ast.Name(id=other) | ast.Constant(value=other)])]:
            return body, index, str(other)
    raise FormulaError(f"{ast.unparse(node)}: expected Sum(body, c) or Sum(body, c != j)")


def _named_classes(node: ast.AST) -> set[str]:
    """The one-character subscripts (and arguments of δ) in a formula that no ``Sum`` binds."""
    match node:
        case ast.Call(func=ast.Name(id="Sum")):
            body, index, without = _sum_parts(node)
            return (_named_classes(body) | ({without} if without else set())) - {index}
        case ast.Call(func=ast.Name(id="δ"), args=arguments):
            return {_subscript(argument) for argument in arguments}
        case ast.Name(id=name):
            subscript = _split(name)[1]
            return {subscript} if len(subscript) == 1 else set()
    return set().union(*(_named_classes(child) for child in ast.iter_child_nodes(node)))


class _Rest(NamedTuple):
    """A sum over the classes that no formula names: its summand, with its index written ``•``."""

    summand: sp.Expr


class Algebra:
    """Evaluates formulas to SymPy expressions.

    Parameters
    ----------
    where : the meaning of names, as formulas. A letter as subscript stands for any class:
        ``"p_c"`` defines every ``p``; ``"z_1"`` defines that one alone.
    classes : the classes that are named, as a string of subscripts such as ``"i j"``; they are
        distinct. By default every one-letter or one-digit subscript that no ``Sum`` binds.
    others : whether there may be further classes; False if `classes` are all there are.
    formulas : the formulas from which the default of `classes` is gathered.
    positive : names of symbols that are positive, besides what SymPy can tell.
    """

    def __init__(self, where: Mapping[str, str], classes: str | None = None, *,
                 others: bool = True, formulas: Iterable[str] = (), positive: str = "") -> None:
        self.definitions = {name: parse(formula) for name, formula in where.items()}
        self.generic = {_split(n)[0]: n for n in where if re.fullmatch("[a-z]", _split(n)[1])}
        self.others, self.positive = others, set(positive.split())
        self.rests: dict[sp.Symbol, _Rest] = {}
        if classes is None:
            found = set().union(*(_named_classes(parse(formula)) for formula in formulas))
            for name, tree in self.definitions.items():
                found |= _named_classes(tree) - {_split(name)[1]}
            self.classes = sorted(found)
        else:
            self.classes = classes.split()

    # -- evaluation ---------------------------------------------------------------------------

    def __call__(self, formula: str) -> sp.Expr:
        """The SymPy expression of a formula, definitions put in and sums taken apart."""
        return self.evaluate(parse(formula), {})

    def evaluate(self, node: ast.expr, renamed: Mapping[str, str]) -> sp.Expr:
        """Evaluate a tree; `renamed` says which class a bound index stands for."""
        match node:
            case ast.Constant(value=int() as number):
                return sp.Integer(number)
            case ast.Constant(value=float() as number):
                return sp.Rational(str(number))
            case ast.Name(id=name):
                return self._name(name, renamed)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.evaluate(operand, renamed)
            case ast.BinOp(left=left, op=operator, right=right):
                a, b = self.evaluate(left, renamed), self.evaluate(right, renamed)
                match operator:
                    case ast.Add():
                        return a + b
                    case ast.Sub():
                        return a - b
                    case ast.Mult():
                        return a * b
                    case ast.Div():
                        return a / b
                    case ast.Pow():
                        return a ** b
            case ast.Call(func=ast.Name(id="Sum")):
                return self._sum(*_sum_parts(node), renamed)
            case ast.Call(func=ast.Name(id="D"), args=[function, ast.Name(id=variable)]):
                return self._derivative(self.evaluate(function, renamed), variable, renamed)
            case ast.Call(func=ast.Name(id="δ"), args=[first, second]):
                i, j = (renamed.get(s, s) for s in (_subscript(first), _subscript(second)))
                if i != j and i.startswith("•") and j.startswith("•"):
                    raise FormulaError(f"{ast.unparse(node)}: both classes are summed over")
                for one in {i, j} - set(self.classes):
                    if not one.startswith("•"):
                        raise FormulaError(f"{ast.unparse(node)}: {one} is not a named class")
                return sp.Integer(i == j)
            case ast.Call(func=ast.Name(id=name), args=[argument]) if name in FUNCTIONS:
                return FUNCTIONS[name](self.evaluate(argument, renamed))
        raise FormulaError(f"cannot read {ast.unparse(node)!r} in a formula")

    def _name(self, name: str, renamed: Mapping[str, str]) -> sp.Expr:
        stem, subscript = _split(name)
        actual = "".join(renamed.get(letter, letter) for letter in subscript)
        full = f"{stem}_{actual}" if actual else stem
        if full in self.definitions:
            return self.evaluate(self.definitions[full], {})
        if stem in self.generic and len(subscript) == 1:
            template = self.generic[stem]
            return self.evaluate(self.definitions[template], {_split(template)[1]: actual})
        if {name, stem, full} & self.positive or name == "K":
            return sp.Symbol(full, positive=True)
        return sp.Symbol(full, real=True)

    def _sum(self, body: ast.expr, index: str, without: str | None,
             renamed: Mapping[str, str]) -> sp.Expr:
        total = sp.Add(*(self.evaluate(body, {**renamed, index: one}) for one in self.classes))
        if self.others:
            mark = "•" * (1 + max((len(v) for v in renamed.values() if v.startswith("•")),
                                  default=0))
            total += self._rest(self.evaluate(body, {**renamed, index: mark}), mark)
        if without is not None:
            total -= self.evaluate(body, {**renamed, index: renamed.get(without, without)})
        return total

    def _rest(self, summand: sp.Expr, mark: str) -> sp.Expr:
        """The sum of `summand` over the other classes, by linearity."""
        def depends(symbol: sp.Symbol) -> object:
            subscript = _split(symbol.name)[1]
            return symbol not in self.rests and re.search(f"(?<!•){mark}(?!•)", subscript)

        dummies = [s for s in summand.free_symbols if depends(s)]
        total = sp.Integer(0)
        for term in sp.Add.make_args(sp.expand(sp.expand_log(sp.expand(summand)))):
            factor, dependent = term.as_independent(*dummies, as_Add=False)
            if dependent == 1:
                total += factor * (sp.Symbol("K", positive=True) - len(self.classes))
                continue
            summed = dependent.subs({s: type(s)(s.name.replace(mark, "•"), **s.assumptions0)
                                     for s in dummies})
            rest = sp.Symbol(f"rest[{summed}]", real=True,
                             **({"positive": True} if summed.is_positive else {}))
            self.rests[rest] = _Rest(summed)
            total += factor * rest
        return total

    def _derivative(self, function: sp.Expr, variable: str,
                    renamed: Mapping[str, str]) -> sp.Expr:
        x = self._name(variable, renamed)
        if not isinstance(x, sp.Symbol):
            raise FormulaError(f"D(…, {variable}): {variable} is defined as {x}, not a variable")
        if "•" in x.name:
            raise FormulaError(f"D(…, {variable}): the class of {variable} is summed over; name it")
        derivative = sp.diff(function, x)
        for symbol in function.free_symbols & set(self.rests):
            inner = self.rests[symbol].summand
            if x in inner.free_symbols:
                derivative += sp.diff(function, symbol) * self._rest(sp.diff(inner, x), "•")
        return derivative


def _subscript(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=int() as number):
            return str(number)
    raise FormulaError(f"δ(i, j) takes two classes, not {ast.unparse(node)!r}")


# -- equality -----------------------------------------------------------------------------------


def is_zero(expression: sp.Expr) -> bool:
    """True if SymPy proves that `expression` is 0 for all values of its symbols.

    First as a rational function: with exp(x) replaced by a positive symbol X (exp(n x) by X**n)
    and every logarithm split over the factors of its argument, log X being x, a rational function
    is 0 if and only if its expanded numerator is. What this leaves open goes to `simplify`.
    """
    if expression == 0:
        return True
    bases: dict[sp.Expr, sp.Symbol] = {}

    def power(exponent: sp.Expr) -> sp.Expr:
        product = sp.Integer(1)
        for term in sp.Add.make_args(sp.expand(exponent)):
            factor, x = term.as_coeff_Mul()
            product *= bases.setdefault(x, sp.Dummy(positive=True)) ** factor
        return product

    def log_of_factors(argument: sp.Expr) -> sp.Expr:
        numerator, denominator = sp.fraction(sp.together(argument))
        return (sp.expand_log(sp.log(sp.factor(numerator)))
                - sp.expand_log(sp.log(sp.factor(denominator))))

    flat = expression.rewrite(sp.exp).replace(sp.exp, power).replace(sp.log, log_of_factors)
    flat = flat.subs({sp.log(symbol): x for x, symbol in bases.items()})
    numerator, _ = sp.fraction(sp.together(flat))
    if sp.expand(numerator) == 0:
        return True
    return sp.simplify(expression) == 0


def differing_point(left: sp.Expr, right: sp.Expr) -> tuple[dict[str, float], float, float] | None:
    """A point at which two expressions differ, with their values there; None if none was found.

    Twenty points from a generator with a fixed seed, compared at 30 digits.
    """
    symbols = sorted(left.free_symbols | right.free_symbols, key=lambda s: s.name)
    generator = random.Random(20)
    for _ in range(20):
        point = {s: sp.Rational(generator.randint(1 if s.is_positive else -24, 24), 8)
                 for s in symbols}
        a, b = (e.subs(point).evalf(30) for e in (left, right))
        if a.is_number and b.is_number and a.is_finite and b.is_finite:
            if abs(a - b) > sp.Float("1e-20") * (1 + abs(a)):
                values = {s.name: float(v) for s, v in point.items()}
                return values, complex(a).real, complex(b).real
    return None


def same(left: str, right: str, *, where: Mapping[str, str | None] | None = None,
         classes: str | None = None, others: bool = True, positive: str = "") -> bool:
    """Whether two formulas are equal for all values: True if proved, False if refuted.

    Raises
    ------
    FormulaError
        if a formula cannot be read, or if SymPy neither proves the equality nor finds a point at
        which it fails. There is no third answer.
    """
    algebra = Algebra(meaning(where), classes, others=others, formulas=(left, right),
                      positive=positive)
    a, b = algebra(left), algebra(right)
    if is_zero(a - b):
        return True
    if differing_point(a, b) is None:
        raise FormulaError(f"neither proved nor refuted: {left} = {right}")
    return False


# -- typesetting --------------------------------------------------------------------------------

_SUM, _PRODUCT, _POWER, _ATOM = range(4)


def typeset(formula: str) -> str:
    """The formula as TeX, in the form in which it was written."""
    return _tex(parse(formula))[0]


def symbol_tex(name: str) -> str:
    """A name such as ``z_j`` or ``Σ`` as TeX."""
    stem, subscript = _split(name)
    tex = "".join(f"\\{GREEK[letter]}" if letter in GREEK else letter for letter in stem)
    if len(stem) > 1 and stem.isascii():
        tex = rf"\mathrm{{{stem}}}"
    return f"{tex}_{{{subscript}}}" if subscript else tex


def _brackets(tex: str) -> str:
    return rf"\left({tex}\right)"


def _tex(node: ast.expr) -> tuple[str, int]:
    """TeX and binding strength of a tree."""
    def part(child: ast.expr, at_least: int) -> str:
        tex, strength = _tex(child)
        return tex if strength >= at_least else _brackets(tex)

    match node:
        case ast.Constant(value=value):
            return str(value), _ATOM
        case ast.Name(id=name):
            return symbol_tex(name), _ATOM
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return "-" + part(operand, _PRODUCT), _SUM
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{part(left, _SUM)} + {_after_sign(right)}", _SUM
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return f"{part(left, _SUM)} - {part(right, _PRODUCT)}", _SUM
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            a, b = part(left, _PRODUCT), part(right, _PRODUCT)
            if isinstance(left, ast.UnaryOp):  # Python reads -a*b as (-a)*b; so do we, unbracketed
                a = "-" + part(left.operand, _PRODUCT)
            if _is_open(left):
                a = _brackets(a)
            dot = b[0].isdigit() or (b.startswith(r"\frac") and a.endswith("}"))
            between = r" \cdot " if dot else r" \, " if _is_open(right) else " "
            return a + between + b, _SUM if a.startswith("-") else _PRODUCT
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return rf"\frac{{{_tex(left)[0]}}}{{{_tex(right)[0]}}}", _POWER
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return f"{part(left, _ATOM)}^{{{_tex(right)[0]}}}", _POWER
        case ast.Call(func=ast.Name(id="Sum")):
            body, index, without = _sum_parts(node)
            under = index if without is None else rf"{index} \ne {without}"
            return rf"\sum_{{{under}}} {part(body, _PRODUCT)}", _PRODUCT
        case ast.Call(func=ast.Name(id="D"), args=[function, variable]):
            x = _tex(variable)[0]
            if isinstance(function, ast.Name):
                return rf"\frac{{\partial {_tex(function)[0]}}}{{\partial {x}}}", _POWER
            return rf"\frac{{\partial}}{{\partial {x}}} {part(function, _POWER)}", _PRODUCT
        case ast.Call(func=ast.Name(id="δ"), args=[first, second]):
            return rf"\delta_{{{_subscript(first)}{_subscript(second)}}}", _ATOM
        case ast.Call(func=ast.Name(id="exp"), args=[argument]):
            return f"e^{{{_tex(argument)[0]}}}", _POWER
        case ast.Call(func=ast.Name(id="sqrt"), args=[argument]):
            return rf"\sqrt{{{_tex(argument)[0]}}}", _ATOM
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in FUNCTIONS:
            head = rf"\{GREEK[name]}" if name in GREEK else rf"\{name}"
            tex, strength = _tex(argument)
            bare = strength >= _POWER and name not in GREEK
            return f"{head} {tex if bare else _brackets(tex)}", _PRODUCT
    raise FormulaError(f"cannot typeset {ast.unparse(node)!r}")


def _is_open(node: ast.expr) -> bool:
    """Whether a factor is a sum, derivative or logarithm, which would swallow what follows it."""
    match node:
        case ast.Call(func=ast.Name(id="D"), args=[function, _]):
            return not isinstance(function, ast.Name)
        case ast.Call(func=ast.Name(id=name)):
            return name in {"Sum", "log", "tanh", "sinh", "cosh"}
        case ast.UnaryOp(operand=operand) | ast.BinOp(op=ast.Mult(), right=operand):
            return _is_open(operand)
    return False


def _after_sign(node: ast.expr) -> str:
    """A summand after a plus sign: bracketed if it begins with a minus sign."""
    tex, _ = _tex(node)
    return _brackets(tex) if tex.startswith("-") else tex
