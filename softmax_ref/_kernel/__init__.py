r"""The one private kernel: logits in, exponentials and their sums out, and how far each is off.

Everything that the modules above have in common is here: types, axes, blocks of rows that fit into
the cache, the shift, the sums.  An import never points up, but for that of `softmax_ref.exact`,
which needs nothing of the package:

=============================  ====================================================================
`log_sums`, `cancellation`     logsumexp, and the rows of which it is nearly 0, with 115 bits
`rows`, `long_rows`            an array and an axis as blocks of rows, and back
`short`                        blocks of float32 and float16, computed in float64
`block`                        quotients and logarithms of the exponentials
`others`                       S - e without cancellation
`exponentials`                 e and S, shifted only where that has to be
`layout`                       where a block stands in memory
`scattered`                    arrays that NumPy can show as a cube only by copying them
`pairs`, `sums`                arithmetic and sums with numbers as pairs high + low
`arguments`                    what is accepted: types and axes
=============================  ====================================================================

The accuracy of the whole package is decided here, once.

A row :math:`z_1..z_K` with maximum :math:`m` becomes :math:`e_i = e^{z_i - c}`, where the shift c
is 0 wherever that is safe and m elsewhere; ``top`` :math:`= e^{m-c}`; and the sum
:math:`S = \sum e_i` as a pair ``high + low``.  With :math:`u = 2^{-53}` and :math:`\varepsilon` for
the relative error of NumPy's exp, log and log1p (at most 1.4u, 0.7 units in the last place), to
first order and for every K, range and offset:

===============================  ===================================  ==========================
quantity                         computed as                          relative error
===============================  ===================================  ==========================
e, top                           exp(z), or exp(z - m) with TwoSum    ε; 1 exactly for exp(m - m)
S = high + low                   ExtractVector: no rounding           ε, most of it the pivot's
S - e                            (high - e) + low, a pair             ε, or summed anew: 2ε
softmax, hard-label gradient     e/D - e/D·tilt, S·N = D/(1 - tilt)   2ε + 2u
for more than 150 classes        e·r - e·tail, r - tail = 1/(S·N)     2ε + 2u
1 - p at the label, 1 - p > ½    (S - e)/(S·N), likewise              2ε + 2u
1 - p ≥ ½ elsewhere              fl(1 - p)                            ε + 3u
L = log(S/top)                   log1p((S - top)/top), ratio a pair   3ε + u
log_softmax, hard-label loss     (z - m) - L, L + (m - z)             3ε + 2u: nothing cancels
logsumexp                        log S where that is 1 or more        2ε + 2u
                                 m + L elsewhere                      3ε + 2u, or with 60 bits
===============================  ===================================  ==========================

An error of u is one half to one unit in the last place (ULP), so that the bounds come to 4 … 6 ULP
for the worst of all roundings at once.  For softmax it is less: with AVX-512 exp was never off by
more than 1.2u among 10⁸ arguments, since its worst units, 0.7, belong to large mantissas, and a
rounding is half a ULP: 3.4 in all.  Among 2·10⁸ values none was off by more than 2.9 (both:
`benchmarks/tails.py`); the worst rows that searches have found are off by 3.23, of softmax and of
log_softmax, where two exponentials err by nearly the most, in opposite directions.
float32, float16 and bfloat16 are computed in float64, right to 2⁻⁴⁴, and rounded once (`short`).

References
----------
.. [1] P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax
       functions", IMA J. Numer. Anal. 41(4), 2021. doi:10.1093/imanum/draa038
"""

from .arguments import Array, Axis, as_array, float_type, real_array
from .block import Block
from .exponentials import HUGE
from .layout import PIECE, Need, Place, lazy
from .log_sums import Later, log_of_sum
from .rows import Rows
from .scattered import as_cube
from .sums import Number, large_sum, least_of, most_of, pair_sum

__all__ = [
    "HUGE",
    "PIECE",
    "Array",
    "Axis",
    "Block",
    "Later",
    "Need",
    "Number",
    "Place",
    "Rows",
    "as_array",
    "as_cube",
    "float_type",
    "large_sum",
    "lazy",
    "least_of",
    "log_of_sum",
    "most_of",
    "pair_sum",
    "real_array",
]
