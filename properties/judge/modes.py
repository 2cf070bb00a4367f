"""Does a call inside a context, a mode of the process, give what it gives outside?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import Tensor

from ..inputs.cases import Case, Inputs
from .bits import same_bits
from .probe import Probe
from .violation import Violation

Context = Callable[[], AbstractContextManager[Any]]


def under(
    probe: Probe, case: Case, context: Context, backward: Sequence[str] = ("inside", "outside")
) -> None:
    """The call inside a context gives what it gives outside; so does backward, where it may run.

    What differs in its bits may still be right: a context may choose another order of summation.
    Whether the call outside is right is for other properties to say.
    """
    case = probe.without_gradients(case)
    outside, inputs = probe.loss(case)
    found = probe.pull(case, outside, inputs) if case.grads else {}
    for where in backward if case.grads else ("inside",):
        again = probe.build(case)
        with context():
            inside = probe.call(case, again)
            gradients = probe.pull(case, inside, again) if case.grads and where == "inside" else {}
        same_value(probe, inside, outside, case, again)
        if case.grads and where == "outside":
            gradients = probe.pull(case, inside, again)
        changed = {n: g for n, g in gradients.items() if not same_bits(g, found[n])}
        probe.right_gradients(changed, case, again)


def same_value(probe: Probe, inside: Tensor, outside: Tensor, case: Case, inputs: Inputs) -> None:
    """Raise unless the value inside has the dtype of that outside, and its bits or a right one."""
    if inside.dtype != outside.dtype:
        raise Violation(
            "the result has another dtype there",
            got=str(inside.dtype),
            wanted=str(outside.dtype),
        )
    if not same_bits(inside, outside):
        probe.right_value(inside, case, inputs)


@contextmanager
def set_to(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Iterator[None]:
    """Another value of one of torch's settings, for a while."""
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)
