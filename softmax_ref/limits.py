r"""Where floating-point exponentials overflow, underflow and are absorbed, for every format.

Each threshold is found by bisection over *all* numbers of the format, with the exponential rounded
correctly to that format (60 decimal digits, then to nearest, ties to even).  No table of
constants, no dependence on the machine's ``exp``: a processor that flushes subnormal numbers to
zero stops earlier than `exp_underflow` says.

============================  =========  =========  ==========  =========
\                             float16    bfloat16   float32     float64
============================  =========  =========  ==========  =========
`exp_overflow`                11.0859    88.5       88.7228     709.783
`exp_subnormal`               -9.70312   -87        -87.3365    -708.396
`exp_underflow`               -17.3281   -92.5      -103.972    -745.133
`reciprocal_exp_overflow`     -11.0859   -88.5      -88.7228    -709.783
`absorption_gap`              7.62109    5.53125    16.6355     36.7368
============================  =========  =========  ==========  =========

The real numbers at which these happen are logarithms of the properties of `Format`: for instance
exp overflows above log(`largest` + half a spacing) and vanishes below log(`smallest_subnormal`/2).

References
----------
.. [1] P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax
       functions", IMA J. Numer. Anal. 41(4), 2021, section 1. doi:10.1093/imanum/draa038
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt

__all__ = [
    "FORMATS",
    "Format",
    "absorption_gap",
    "exp_overflow",
    "exp_subnormal",
    "exp_underflow",
    "format_of",
    "reciprocal_exp_overflow",
]

_DIGITS = Context(prec=60)


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: ``precision`` bits, exponents up to ``max_exponent``.

    As in IEEE 754, the smallest normal exponent is 1 - max_exponent.
    """

    name: str
    precision: int
    max_exponent: int

    @property
    def unit_roundoff(self) -> float:
        """u = 2**-precision, the largest relative error of rounding to nearest."""
        return 2.0**-self.precision

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return float(self.number(self._infinity - 1))

    @property
    def smallest_normal(self) -> float:
        """The smallest positive number with all its bits."""
        return 2.0 ** (1 - self.max_exponent)

    @property
    def smallest_subnormal(self) -> float:
        """The smallest positive number."""
        return float(self.number(1))

    @property
    def _infinity(self) -> int:
        """The index at which the format's numbers end."""
        return (2 * self.max_exponent + 1) << (self.precision - 1)

    def number(self, index: int) -> Fraction:
        """The index-th non-negative number: its bit pattern read as an integer is ``index``."""
        exponent, fraction = divmod(index, 1 << (self.precision - 1))
        significand = fraction if exponent == 0 else fraction + (1 << (self.precision - 1))
        scale = max(exponent, 1) - self.max_exponent - self.precision + 1
        return significand * Fraction(2) ** scale

    def round(self, value: Fraction) -> Fraction | None:
        """The number nearest to value ≥ 0, ties to even; None where that is infinity."""
        low, high = 0, self._infinity  # number(low) ≤ value < number(high) at the end
        if value >= self.number(high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.number(middle) <= value else (low, middle)
        below, above = value - self.number(low), self.number(high) - value
        index = low if below < above or (below == above and low % 2 == 0) else high
        return None if index == self._infinity else self.number(index)

    def exp(self, x: Fraction) -> Fraction | None:
        """e**x, correctly rounded; None where that is infinity."""
        digits = _DIGITS.divide(Decimal(x.numerator), Decimal(x.denominator))
        return self.round(Fraction(_DIGITS.exp(digits)))

    def last(self, holds: Callable[[Fraction], bool]) -> float:
        """The largest x ≥ 0 of the format for which holds(x), true at 0 and at no x beyond."""
        low, high = 0, self._infinity
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if holds(self.number(middle)) else (low, middle)
        return float(self.number(low))


FORMATS = {
    f.name: f
    for f in (
        Format("float16", 11, 15),
        Format("bfloat16", 8, 127),
        Format("float32", 24, 127),
        Format("float64", 53, 1023),
    )
}


def format_of(dtype: npt.DTypeLike) -> Format:
    """The `Format` of a NumPy dtype or of its name; ``"bfloat16"`` by name needs no such dtype.

    Raises
    ------
    TypeError
        No format of that name is known.
    """
    try:
        name = dtype if isinstance(dtype, str) and dtype in FORMATS else np.dtype(dtype).name
    except TypeError:  # no dtype at all
        name = ""
    if name not in FORMATS:
        raise TypeError(f"dtype must be one of {', '.join(FORMATS)}, got {dtype!r}")
    return FORMATS[name]


# exp of anything beyond ±2000 is out of range in every format here, and decimal need not know it
_FAR = 2000


def exp_overflow(dtype: npt.DTypeLike) -> float:
    """The largest x of the format whose exp is finite.

    Examples
    --------
    >>> exp_overflow("float32"), exp_overflow("float64")
    (88.72283172607422, 709.782712893384)
    """
    f = format_of(dtype)
    return f.last(lambda x: x < _FAR and f.exp(x) is not None)


def exp_underflow(dtype: npt.DTypeLike) -> float:
    """The smallest x of the format whose exp is greater than 0, subnormal numbers included.

    Examples
    --------
    >>> exp_underflow("float64")
    -745.1332191019411
    """
    f = format_of(dtype)
    return -f.last(lambda g: g < _FAR and f.exp(-g) != 0)


def exp_subnormal(dtype: npt.DTypeLike) -> float:
    """The smallest x of the format whose exp is a normal number; below it, exp loses bits.

    Examples
    --------
    >>> exp_subnormal("float64")
    -708.3964185322641
    """
    f = format_of(dtype)
    return -f.last(lambda g: g < _FAR and (f.exp(-g) or 0) >= f.smallest_normal)


def reciprocal_exp_overflow(dtype: npt.DTypeLike) -> float:
    """The smallest x of the format for which 1/exp(x), two roundings, is finite.

    This is where the gradient in two steps, through 1/p_y, breaks: long before p_y itself is 0.

    Examples
    --------
    >>> round(reciprocal_exp_overflow("float32"), 4)
    -88.7228
    """
    f = format_of(dtype)

    def finite(g: Fraction) -> bool:
        p = f.exp(-g) if g < _FAR else None
        return bool(p) and f.round(1 / Fraction(p or 1)) is not None

    return -f.last(finite)


def absorption_gap(dtype: npt.DTypeLike) -> float:
    """The largest gap g of the format for which 1 + exp(-g), two roundings, differs from 1.

    Beyond it log(1 + exp(-g)) is exactly 0: a confident row loses its loss and its gradient.

    Examples
    --------
    >>> round(absorption_gap("float64"), 4), round(absorption_gap("float32"), 4)
    (36.7368, 16.6355)
    """
    f = format_of(dtype)
    return f.last(lambda g: g < _FAR and f.round(1 + (f.exp(-g) or Fraction(0))) != 1)
