"""What the notebooks check with: proofs, claims, differences, and digits to compare with.

Needs the extra ``verify`` (SymPy and mpmath); ``softmax_ref`` itself never imports it.
"""

from .algebra import FormulaError, same, typeset
from .claims import ClaimError, LedgerError, claims_table, settle
from .derivation import Derivation, DerivationError
from .display import check_equation as equation
from .exercise import judge
from .numeric import central_difference, complex_step, oracle, ulps

__all__ = [
    "ClaimError", "Derivation", "DerivationError", "FormulaError", "LedgerError",
    "central_difference", "claims_table", "complex_step", "equation", "judge", "oracle", "same",
    "settle", "typeset", "ulps",
]
