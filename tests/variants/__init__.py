"""Right implementations in other styles, which no property may blame.

They differ from the definition in where the mask comes in, in the order of the sums, in how the
gradient is made, in what the callables are, in memory, threads and locks of their own, in the words
and classes of their errors, in what they claim. A check that fails one of them asks for more than
the contract does.
"""

from . import (  # noqa: F401  # registers their variants
    accumulators,
    callables,
    claims,
    distributed,
    gradients,
    messages,
    operators,
    resources,
    selections,
    sums,
)
from .catalogue import CLAIMS, VARIANTS
from .claims import SINGLES
from .compiled import COMPILED

__all__ = ["CLAIMS", "COMPILED", "SINGLES", "VARIANTS"]
