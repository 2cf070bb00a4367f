"""No right implementation is blamed: `--seeds N` tries each under N seeds."""

from __future__ import annotations

import pytest
import torch
import torch._dynamo
from torch import Tensor
from wavemae.properties import PROPERTIES, Claims, Subject, conduct

from wavemae.models.losses import (
    Reduction,
    _check_arguments,
    _reduce_squared_error,
    masked_mse,
    masked_sse,
)

from .variants import VARIANTS

RIGHT = {"the definition": (masked_sse, masked_mse), **VARIANTS}


@pytest.mark.parametrize("name", RIGHT)
def test_variant_is_not_blamed(name: str, seed: int, request: pytest.FixtureRequest) -> None:
    """Every property passes, in the quick profile.

    Without `--seeds`, each variant meets every fourth property, and each property a quarter of the
    variants, so that the tests stay short; the definition always meets all. Properties whose inputs
    are the same under every seed run under the first one.
    """
    subject = Subject(name, *RIGHT[name])
    chosen = list(PROPERTIES)
    if request.config.getoption("--seeds") == 1 and name != "the definition":
        chosen = chosen[list(RIGHT).index(name) % 4 :: 4]
    if seed > 0:
        chosen = [identifier for identifier in chosen if not PROPERTIES[identifier].fixed]
    blamed = {}
    for identifier in chosen:
        outcome = conduct(subject, identifier, "quick", seed)
        if outcome.state != "pass":
            blamed[identifier] = outcome.reason
    assert blamed == {}


def test_compiled_definition_is_not_blamed() -> None:
    """Arithmetic through torch.compile, behind checks that are not compiled.

    One property of each kind; those that ask for a second backward or for tensor subclasses meet
    limits of AOT autograd, and the rest would only compile the same graphs again, for minutes.
    """
    compiled = torch.compile(_reduce_squared_error, backend="aot_eager", dynamic=True)

    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "mean") -> Tensor:
        _check_arguments(x_recon, x, mask, reduction)
        result: Tensor = compiled(x_recon, x, mask, reduction)
        return result

    subject = Subject(
        "compiled", masked_mse=loss, claims=Claims(second_order=False, forward_mode=False)
    )
    chosen = ["C5-upcast-first", "C8-excluded-value", "C12-excluded-gradient"]
    chosen += ["C14-inputs-untouched", "C16-history"]
    blamed = {}
    with torch._dynamo.config.patch(recompile_limit=1000):
        for identifier in chosen:
            outcome = conduct(subject, identifier, "quick")
            if outcome.state != "pass":
                blamed[identifier] = outcome.reason
    torch.compiler.reset()
    assert blamed == {}
