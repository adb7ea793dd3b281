"""softmax_ref: softmax, its Jacobian, cross-entropy and their fused gradient, to the last digits.

The public functions take logits of any shape and float dtype; `softmax_ref.exact` rounds
correctly, `softmax_ref.limits` computes where exponentials end, `softmax_ref.textbook` keeps the
formulas that break.
"""

from . import exact, limits, textbook
from .fused_gradient import (
    cross_entropy_grad,
    cross_entropy_value_and_grad,
    soft_cross_entropy_grad,
    soft_cross_entropy_value_and_grad,
)
from .jacobian import log_softmax_jacobian, softmax_jacobian, softmax_vjp
from .loss import cross_entropy, soft_cross_entropy
from .probabilities import log_softmax, logsumexp, softmax, softmax_complement

__all__ = [
    "__version__",
    "cross_entropy",
    "cross_entropy_grad",
    "cross_entropy_value_and_grad",
    "exact",
    "limits",
    "log_softmax",
    "log_softmax_jacobian",
    "logsumexp",
    "soft_cross_entropy",
    "soft_cross_entropy_grad",
    "soft_cross_entropy_value_and_grad",
    "softmax",
    "softmax_complement",
    "softmax_jacobian",
    "softmax_vjp",
    "textbook",
]

__version__ = "0.1.0"
