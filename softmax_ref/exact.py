r"""Softmax, its logarithm, logsumexp, loss and gradient of one row, correctly rounded.

Every float returned is the float64 number nearest to the exact value of the formula at the given
row (ties to even), subnormal numbers included.  Standard library only: ``decimal`` is the sole
source of digits, so nothing here shares a line with the NumPy functions that it judges.

Method
------
With pivot :math:`k` (an index of the maximum :math:`m`), :math:`d_i = z_i - m` exactly and
:math:`s = \sum_{i \ne k} e^{d_i}`, all results are

.. math::
    p_i = \frac{e^{d_i}}{1+s}, \quad \log p_i = d_i - \log(1+s), \quad
    \mathrm{lse} = m + \log(1+s), \quad 1-p_y = \frac{\sum_{i\ne y} e^{d_i}}{1+s}.

Each is enclosed in an interval with directed rounding.  When both ends round to the same float,
that float is the answer; otherwise the number of digits is doubled (Ziv's strategy [1]_).

Why it ends
-----------
By the Lindemann–Weierstrass theorem exponentials of distinct rationals are linearly independent
over the rationals.  A float, and a midpoint of two floats, is rational.  So the exact value is one
of them only in these cases, which are answered without the loop: all finite logits equal
(:math:`p_i = 1/c`), or a single finite logit (:math:`\log p = 0`, :math:`\mathrm{lse} = z`,
gradient 0).  In all others the interval shrinks to a number that is no boundary of rounding.

One trap remains.  :math:`d_i` is often exactly a midpoint while :math:`\log(1+s)` is
:math:`10^{-300}` or :math:`10^{-10^{9}}`: no affordable number of digits would separate them.
All boundaries of rounding and all :math:`d_i` are multiples of :math:`2^{-1075}`.  So any
:math:`\log(1+s)` in :math:`(0, 10^{-1200}]` rounds the sum to the same side, and it is replaced
by :math:`10^{-1200}` (the sticky bit of hardware adders).

Infinities and NaN follow the same rules as the NumPy functions: ``-inf`` is a mask (p = 0,
gradient 0), a row of nothing but ``-inf`` has logsumexp ``-inf`` and all else NaN, ``+inf`` gives
logsumexp ``+inf`` and all else NaN, NaN gives NaN.

References
----------
.. [1] A. Ziv, "Fast evaluation of elementary mathematical functions with correctly rounded last
       bit", ACM TOMS 17(3), 1991. doi:10.1145/114697.116813
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from numbers import Integral, Real
from typing import NamedTuple

__all__ = ["cross_entropy", "cross_entropy_grad", "log_softmax", "logsumexp", "softmax"]

_FIRST_DIGITS = 30  # 17 tell two float64 apart; 13 more leave one value in 10¹² to a second pass
_STICKY = Decimal("1e-1200")  # far below 2⁻¹⁰⁷⁵, see the module's docstring
_ZERO, _ONE = Decimal(0), Decimal(1)


class _Interval(NamedTuple):
    low: Decimal
    high: Decimal


class _Arithmetic:
    """Interval arithmetic on non-negative numbers with ``digits`` digits, ends rounded outwards."""

    def __init__(self, digits: int) -> None:
        def context(precision: int, rounding: str) -> Context:
            return Context(precision, rounding, MIN_EMIN, MAX_EMAX, traps=[])

        self.digits = digits
        self.down = context(digits, ROUND_FLOOR)
        self.up = context(digits, ROUND_CEILING)
        # Logits and their differences are multiples of 2⁻¹⁰⁷⁴ below 2¹⁰²⁵ (1383 digits), what is
        # added to them is at least 10⁻¹²⁰⁰ and has ``digits`` digits: so these sums are exact.
        self.exact = context(3000 + 3 * digits, ROUND_FLOOR)

    def exp(self, x: Decimal) -> _Interval:
        nearest = self.down.exp(x)  # decimal rounds exp and ln to nearest in any context
        return _Interval(max(_ZERO, self.down.next_minus(nearest)), self.up.next_plus(nearest))

    def sum(self, terms: Iterable[_Interval]) -> _Interval:
        low, high = _ZERO, _ZERO
        for term in terms:
            low, high = self.down.add(low, term.low), self.up.add(high, term.high)
        return _Interval(low, high)

    def divide(self, a: _Interval, b: _Interval) -> _Interval:
        return _Interval(self.down.divide(a.low, b.high), self.up.divide(a.high, b.low))

    def log1p(self, s: _Interval) -> _Interval:
        """log(1 + s), of a relative width of about 10^-digits however small s is."""
        if s.high < _ONE.scaleb(-self.digits):  # s - s² < log1p(s) < s
            return _Interval(self.down.subtract(s.low, self.up.multiply(s.low, s.low)), s.high)
        low = self.down.ln(self.exact.add(_ONE, s.low))
        high = self.up.ln(self.exact.add(_ONE, s.high))
        return _Interval(self.down.next_minus(low), self.up.next_plus(high))


class _Row:
    """The finite logits of one row, their shifts from the maximum, and what the formulas share."""

    def __init__(self, logits: Sequence[float]) -> None:
        finite = [i for i, z in enumerate(logits) if math.isfinite(z)]
        self.pivot = max(finite, key=logits.__getitem__)
        self.maximum = Decimal(logits[self.pivot])
        exact = _Arithmetic(_FIRST_DIGITS).exact
        self.shifts = {i: exact.subtract(Decimal(logits[i]), self.maximum) for i in finite}
        self.all_equal = not any(self.shifts.values())
        self._known: dict[int, tuple[_Arithmetic, dict[int, _Interval], _Interval]] = {}

    def exponentials(self, digits: int) -> tuple[_Arithmetic, dict[int, _Interval], _Interval]:
        """The arithmetic, e^d for every finite logit but the pivot, and their sum s."""
        if digits not in self._known:
            arithmetic = _Arithmetic(digits)
            e = {i: arithmetic.exp(d) for i, d in self.shifts.items() if i != self.pivot}
            self._known[digits] = arithmetic, e, arithmetic.sum(e.values())
        return self._known[digits]

    def probability(self, classes: Iterable[int]) -> float:
        """The sum of p over distinct finite classes (all of them but one, or one)."""
        chosen = set(classes)
        if self.all_equal or len(chosen) == len(self.shifts):
            return len(chosen) / len(self.shifts)

        def enclose(digits: int) -> _Interval:
            arithmetic, e, s = self.exponentials(digits)
            one = _Interval(_ONE, _ONE)
            numerator = arithmetic.sum(one if i == self.pivot else e[i] for i in chosen)
            return arithmetic.divide(numerator, arithmetic.sum([one, s]))

        return _nearest(enclose)

    def plus_log_sum(self, term: Decimal) -> float:
        """term + log(1 + s)."""
        if len(self.shifts) == 1:
            return float(term)

        def enclose(digits: int) -> _Interval:
            arithmetic, _, s = self.exponentials(digits)
            log_sum = (max(end, _STICKY) for end in arithmetic.log1p(s))
            return _Interval(*(arithmetic.exact.add(term, end) for end in log_sum))

        return _nearest(enclose)


def _nearest(enclose: Callable[[int], _Interval]) -> float:
    """The float to which all numbers of an enclosure round (Ziv's strategy)."""
    digits = _FIRST_DIGITS
    while True:
        low, high = map(float, enclose(digits))  # float(Decimal) rounds to nearest, ties to even
        if low == high:
            return low
        digits *= 2


def _logits(row: Iterable[float]) -> list[float]:
    try:
        values = list(row)
    except TypeError as error:
        raise TypeError(f"row must be a sequence of real numbers, got {row!r}") from error
    logits: list[float] = []
    for i, value in enumerate(values):
        if not isinstance(value, Real):
            raise TypeError(f"row[{i}] must be a real number, got {value!r}")
        try:
            logits.append(float(value))
        except OverflowError as error:
            raise ValueError(f"row[{i}] must be within the range of float64, got more") from error
    return logits


def _label(label: int, classes: int) -> int:
    if not isinstance(label, Integral) or isinstance(label, bool):
        raise TypeError(f"label must be an integer, got {label!r}")
    if not 0 <= label < classes:
        raise ValueError(f"label must be in 0..{classes - 1}, got {label}")
    return int(label)


def _undefined(logits: Sequence[float]) -> bool:
    """True for rows without a softmax: a NaN, a +inf, or nothing but -inf."""
    return any(z != z or z == math.inf for z in logits) or all(z == -math.inf for z in logits)


def softmax(row: Iterable[float]) -> list[float]:
    """exp(z_i) / Σ_j exp(z_j), correctly rounded.

    Parameters
    ----------
    row : iterable of K real numbers
        Taken as ``float(value)``; ``-inf`` masks a class.

    Returns
    -------
    list of K floats
        NaN throughout if the row has a NaN, a ``+inf``, or nothing but ``-inf``.

    Raises
    ------
    TypeError
        A value is not a real number.

    Examples
    --------
    >>> softmax([0.0, 40.0])
    [4.248354255291589e-18, 1.0]
    >>> softmax([5.0, 5.0, float("-inf"), 5.0])
    [0.3333333333333333, 0.3333333333333333, 0.0, 0.3333333333333333]
    """
    logits = _logits(row)
    if _undefined(logits):
        return [math.nan] * len(logits)
    r = _Row(logits)
    return [r.probability([i]) if i in r.shifts else 0.0 for i in range(len(logits))]


def log_softmax(row: Iterable[float]) -> list[float]:
    """z_i - log Σ_j exp(z_j), correctly rounded.  Parameters and rules as for `softmax`.

    Examples
    --------
    >>> log_softmax([0.0, 40.0])
    [-40.0, -4.248354255291589e-18]
    """
    logits = _logits(row)
    if _undefined(logits):
        return [math.nan] * len(logits)
    r = _Row(logits)
    return [
        -r.plus_log_sum(r.shifts[i].copy_negate()) if i in r.shifts else -math.inf
        for i in range(len(logits))
    ]


def logsumexp(row: Iterable[float]) -> float:
    """log Σ_j exp(z_j), correctly rounded, however close to 0 it comes.

    An empty row, or nothing but ``-inf``, gives ``-inf``; ``+inf`` gives ``inf``; NaN gives NaN.

    Examples
    --------
    >>> logsumexp([0.0, -40.0])
    4.248354255291589e-18
    """
    logits = _logits(row)
    if _undefined(logits):
        return math.nan if any(z != z for z in logits) else max(logits, default=-math.inf)
    r = _Row(logits)
    return r.plus_log_sum(r.maximum)


def cross_entropy(row: Iterable[float], label: int) -> float:
    """log Σ_j exp(z_j) - z_label, correctly rounded: the loss of one row with one hard label.

    Parameters
    ----------
    row : iterable of K real numbers
    label : int
        0 ≤ label < K; no negative index, no bool.

    Returns
    -------
    float
        ``inf`` if the label's class is masked by ``-inf``.

    Raises
    ------
    TypeError, ValueError
        The label is no integer, or out of range.

    Examples
    --------
    >>> cross_entropy([0.0, 40.0], 1)
    4.248354255291589e-18
    """
    logits = _logits(row)
    y = _label(label, len(logits))
    if _undefined(logits):
        return math.nan
    r = _Row(logits)
    return r.plus_log_sum(r.shifts[y].copy_negate()) if y in r.shifts else math.inf


def cross_entropy_grad(row: Iterable[float], label: int) -> list[float]:
    """softmax(z)_i - [i = label], correctly rounded; the label's entry is -Σ_(i≠label) p_i.

    Parameters, errors and rules as for `cross_entropy`.

    Examples
    --------
    >>> cross_entropy_grad([0.0, 40.0], 1)
    [4.248354255291589e-18, -4.248354255291589e-18]
    """
    logits = _logits(row)
    y = _label(label, len(logits))
    if _undefined(logits):
        return [math.nan] * len(logits)
    r = _Row(logits)
    gradient = [r.probability([i]) if i in r.shifts else 0.0 for i in range(len(logits))]
    gradient[y] = -r.probability(i for i in r.shifts if i != y)
    return gradient
