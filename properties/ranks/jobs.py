"""What ranks are asked and what they answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from ..inputs.bad import Bad
from ..inputs.cases import Case

START = 30.0  # seconds until all ranks have met; nothing of the subject's has run by then
# Seconds that a rank waits for the others in a call: more where more time is spent anyway, since a
# call may have to compile first.
PATIENCE = {"quick": 10.0, "default": 30.0, "deep": 120.0}
GRACE = 1.0  # seconds that the others have to answer once a rank has failed
OLDEST = (2, 9)  # of torch: 2.6 divides by the number that an earlier call divided by
Placed = tuple[str, ...]  # "Shard(0)", "Shard(1)" or "Replicate()" for each dimension of the mesh


@dataclass(frozen=True)
class Job:
    """One call of all ranks: a case, the mesh's shape, how x_recon, x and mask are placed on it.

    With `inner` the tensors lie on the last dimension of that mesh alone, so that every rank along
    the others has the whole batch, as each group of replicas has its own. With `bad` one argument
    is spoilt, and to be refused.
    """

    case: Case
    mesh: tuple[int, ...]
    placed: tuple[Placed, Placed, Placed]
    inner: bool = False
    bad: Bad | None = None


@dataclass(frozen=True)
class Answer:
    """What one rank has to say: value and gradients as whole tensors, or how it went wrong.

    `value` is a string where the result is no tensor; a gradient is None where none arrived, and
    `gradients` itself where the loss is not connected. `refused` says that a bad call was.
    """

    value: Tensor | str = ""
    gradients: dict[str, Tensor | None] | None = field(default_factory=dict)
    fault: Literal["", "raised", "no answer", "ended"] = ""
    words: str = ""
    seconds: float = 0.0
    refused: bool = False
    waited: bool = False  # it went wrong no sooner than its patience with the others was over

    def __str__(self) -> str:
        if self.waited:
            return f"waited {self.seconds:.0f} s for the others: {self.words}"
        words = {"raised": "raises", "no answer": "gives no answer", "ended": "ends its process"}
        return f"{words[self.fault]}: {self.words}" if self.fault else "answers"
