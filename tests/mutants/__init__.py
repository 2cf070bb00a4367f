"""Wrong implementations of the masked losses, in the file of the clause that they break."""

from . import (  # noqa: F401  # registers their mutants
    c01_signature,
    c02_inputs,
    c03_refusals,
    c04_value,
    c05_result,
    c06_accuracy,
    c07_empty,
    c08_excluded,
    c09_non_finite,
    c10_algebra,
    c11_gradient,
    c12_excluded_gradient,
    c13_derivatives,
    c14_memory,
    c15_layouts,
    c16_purity,
    c17_no_data,
    c18_compiled,
    c19_transforms,
    c20_dtensor,
)
from .catalogue import MUTANTS, Mutant

__all__ = ["MUTANTS", "Mutant"]
