"""Do calls from many threads at once give what each gives alone?"""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from ..inputs.cases import Case
from ..inputs.effort import Effort
from ..inputs.grids import CALLS
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import Lattice
from .bits import same_bits
from .probe import Probe
from .violation import Violation


def right_in_threads(probe: Probe, effort: Effort) -> None:
    """Raise unless many threads, each with its own call, get what each call gives alone."""
    number = effort.seed % 71
    work = []
    for k, shape in enumerate([(64, 65)] * len(CALLS) + [(3, 4), *[(257, 257)] * 5]):
        case = Case(
            *CALLS[(number + k) % len(CALLS)],
            shape,
            Operand("float32", Lattice(number + k)),
            Operand("float32", Lattice(number + k + 50)),
            Mask("bernoulli", k),
            grads=("x_recon", "x") if k // 2 % 2 else (),
        )
        case = probe.without_gradients(probe.fit(case))
        loss, inputs = probe.loss(case)
        probe.right_value(loss, case, inputs)
        alone = [*probe.pull(case, loss, inputs).values()] if case.grads else []
        work.append((case, loss.detach().clone(), [g.clone() for g in alone]))
    wrong: list[BaseException] = []
    barrier = threading.Barrier(len(work))

    def repeat(case: Case, value: Tensor, gradients: list[Tensor]) -> None:
        try:
            inputs = case.build(probe.device)
            barrier.wait(timeout=60)
            for _ in range(10 if effort.quick else 40):
                given = {} if case.reduction is None else {"reduction": case.reduction}
                loss = probe.function(case.function)(*inputs, **given)
                if not same_bits(loss, value):
                    raise Violation(
                        "a call disturbed by other threads has another value",
                        got=loss,
                        wanted=value,
                    )
                if case.grads:
                    wrt = [getattr(inputs, name) for name in case.grads]
                    for a, b in zip(torch.autograd.grad(loss, wrt), gradients, strict=True):
                        if not same_bits(a, b):
                            raise Violation(
                                "a gradient disturbed by other threads is another one",
                                got=a,
                                wanted=b,
                            )
        except BaseException as error:
            if isinstance(error, Violation):
                error.case = case
            wrong.append(error)
            barrier.abort()

    runners = [threading.Thread(target=repeat, args=item, daemon=True) for item in work]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    for error in sorted(wrong, key=lambda e: not isinstance(e, Violation)):
        raise error
