"""C16: the situations of one process: its modes, its threads, and what was called before."""

from __future__ import annotations

import sys
from functools import partial

import torch

from ..judge import answers, ways
from ..judge.answers import value_only
from ..judge.broken import broken_calls
from ..judge.contract import HIDING_PARTS, PARTS
from .c13_derivatives import FORWARD_MODE, SECOND_ORDER
from .registry import FORWARD, GRADIENTS, SECOND, STRICT
from .situations import situation


def under_a_debugger(*_: object) -> str | None:
    """Why no call can be stopped at a line: one tool at a time can trace lines."""
    return "a debugger traces this process" if "pydevd" in sys.modules else None


situation(
    "C16-two-traits",
    "A plain call changes no global and is not heard, whichever two traits meet.",
    catches="warnings of half precision, of layouts, or of gradients that are not finite",
    array="full",
    large=False,
    parts=frozenset(["C16"]),
    draws=0,
)
situation(
    "C16-any-size",
    "A plain call changes no global and is not heard; large sizes, any two traits.",
    catches="warnings of large inputs; threads or a precision that are set for those alone",
    array="large",
    large=False,
    parts=frozenset(["C16"]),
    draws=0,
)
NO_GRAD = situation(
    "C16-no-grad",
    "Under torch.no_grad, a call keeps its whole contract.",
    catches="a fast path where nothing is recorded",
    around=torch.no_grad,
    derive=value_only,
    threaded=True,
)
situation(
    "C16-inference-mode",
    "Under inference_mode, on inputs made outside, a call keeps its whole contract.",
    catches="in-place tricks that inference mode forbids",
    around=torch.inference_mode,
    derive=value_only,
    threaded=True,
)
AUTOCAST = situation(
    "C16-autocast",
    "Under autocast to bfloat16, its backward outside, a call keeps its whole contract.",
    catches="operators that autocast moves to half",
    wrap=ways.autocast(torch.bfloat16),
)
AUTOCAST_FLOAT16 = situation(
    "C16-autocast-float16",
    "Under autocast to float16, its backward outside, a call keeps its whole contract.",
    catches="operators that autocast moves to half",
    wrap=ways.autocast(torch.float16),
)
DEFAULT_DTYPE = situation(
    "C16-default-dtype",
    "With float64 as default dtype, a call keeps its whole contract.",
    catches="constants, counts and zeros made in the default dtype",
    around=ways.default_dtype(torch.float64),
)
DEFAULT_FLOAT16 = situation(
    "C16-default-float16",
    "With float16 as default dtype, a call keeps its whole contract.",
    catches="constants, counts and zeros made in the default dtype",
    around=ways.default_dtype(torch.float16),
)
situation(
    "C16-default-bfloat16",
    "With bfloat16 as default dtype during the call, a call keeps its whole contract.",
    catches="constants, counts and zeros made in the default dtype",
    wrap=ways.under(ways.default_dtype(torch.bfloat16)),
)
situation(
    "C16-default-device",
    "With another default device during the call, a call keeps its whole contract.",
    catches="zeros, counts and scratch made without `device=`",
    wrap=ways.under(partial(torch.device, "meta")),
)
DETERMINISTIC = situation(
    "C16-deterministic",
    "In deterministic mode, a call keeps its whole contract.",
    catches="memory that was never filled (deterministic mode fills it with NaN); a second path",
    around=ways.deterministic,
)
MODES = (AUTOCAST, AUTOCAST_FLOAT16, DEFAULT_DTYPE, DEFAULT_FLOAT16, DETERMINISTIC)
IN_A_MODE = (
    ways.autocast(torch.bfloat16),
    ways.autocast(torch.float16),
    ways.under(ways.default_dtype(torch.float64)),
    ways.under(ways.default_dtype(torch.float16)),
    ways.under(ways.deterministic),
)
WITHOUT_GRADIENTS = ways.under(torch.no_grad)
situation(
    "C16-second-order-in-modes",
    "Through backward twice, of a call in one of its modes, a call keeps its whole contract.",
    catches="a function of its own for mixed precision, which is once differentiable",
    needs=SECOND,
    wrap=ways.in_turn(*IN_A_MODE),
    derive=SECOND_ORDER.derive,
    made_of=(*MODES, SECOND_ORDER),
)
situation(
    "C16-forward-mode-in-modes",
    "On dual numbers, in no_grad or another of its modes, a call keeps its whole contract.",
    catches="tangents dropped where nothing is recorded, but in torch.func; a function without a "
    "jvp for mixed precision",
    needs=FORWARD,
    wrap=ways.in_turn(WITHOUT_GRADIENTS, *IN_A_MODE),
    derive=FORWARD_MODE.derive,
    only=FORWARD_MODE.only,
    because=FORWARD_MODE.because,
    made_of=(NO_GRAD, *MODES, FORWARD_MODE),
)
situation(
    "C16-anomaly-mode",
    "In anomaly mode, a call keeps its whole contract.",
    catches="a second path",
    derive=answers.in_anomaly_mode,
)
situation(
    "C16-anomaly-empty",
    "In anomaly mode, with nothing masked, a call keeps its whole contract.",
    catches="0/0 or infinity × 0 on the way to a gradient that is right",
    derive=answers.in_anomaly_mode,
    array="empty",
    large=False,
    needs=GRADIENTS,
    empty=True,
)
situation(
    "C16-low-precision",
    "With a lower precision of matrix products, a call keeps its whole contract.",
    catches="sums made as matrix products",
    around=ways.low_precision,
)
situation(
    "C16-saved-hooks",
    "With hooks on saved tensors, which call the loss too, a call keeps its whole contract.",
    catches="saved tensors told by their address; strides remembered from forward; locks",
    wrap=ways.saved_elsewhere,
)
situation(
    "C16-checkpoint",
    "Inside torch.utils.checkpoint, a call keeps its whole contract.",
    catches="saved tensors that are unpacked twice; what is not the same when it is made again",
    wrap=ways.checkpointed,
)
situation(
    "C16-one-thread",
    "With one thread for torch, a call keeps its whole contract.",
    catches="work split by the number of threads",
    around=ways.threads(1),
)
situation(
    "C16-seven-threads",
    "With seven threads for torch, a call keeps its whole contract.",
    catches="work split by the number of threads",
    around=ways.threads(7),
)
situation(
    "C16-after-thirty-calls",
    "After thirty calls on other numbers, a call keeps its whole contract.",
    catches="what is right at first only",
    wrap=ways.after(ways.thirty_calls),
    array="small",
)
situation(
    "C16-after-refusals",
    "After calls that were refused, a call keeps its whole contract.",
    catches="what a refused call leaves behind",
    needs=STRICT,
    wrap=ways.after(ways.refused_calls),
    array="small",
)
situation(
    "C16-after-broken-calls",
    "After calls that were broken off midway, a call keeps its whole contract.",
    catches="settings put back at the end, and not in a finally; what is kept before it is right",
    wrap=ways.after(broken_calls),
    array="small",
    watched=False,
)
situation(
    "C16-broken-in-modes",
    "Under no_grad and autocast, after calls broken off in there, a call keeps its whole contract.",
    catches="modes put back at the end, and not in a finally, which the end of a block hides",
    wrap=ways.after(broken_calls),
    around=ways.no_grad_and_autocast,
    derive=answers.value_only,
    array="small",
    watched=False,
)
situation(
    "C16-after-inference",
    "After one under inference_mode, at sizes never used before, a call keeps its whole contract.",
    catches="what is kept by size, and was made as an inference tensor",
    wrap=ways.after(ways.inference_call),
    array="own sizes",
    large=False,
)
situation(
    "C16-other-contents",
    "After the same tensors had other contents, a call keeps its whole contract.",
    catches="results kept by the identity or the address of a tensor",
    wrap=ways.after(ways.other_contents),
    array="small",
)
situation(
    "C16-other-thread",
    "Made in another thread, its backward here, a call keeps its whole contract.",
    catches="state of one thread",
    derive=answers.in_another_thread,
)
situation(
    "C16-backward-elsewhere",
    "With its backward in another thread, a call keeps its whole contract.",
    catches="state of one thread",
    derive=answers.backward_elsewhere,
)
situation(
    "C16-midway",
    "While a call in another thread stands midway, a call keeps its whole contract.",
    rationale="Threads change hands between any two lines, and seldom there where it shows.",
    catches="what is set and put back, or filled, while others look at it",
    derive=answers.beside_another,
    unavailable=under_a_debugger,
    array="few",
    parts=PARTS - HIDING_PARTS,
    watched=False,
    large=False,
    simplify=False,
    refuses=False,
    draws=0,
)
situation(
    "C16-midway-in-modes",
    "Under no_grad and autocast, while one without stands midway, a call keeps its whole contract.",
    catches="one autocast or no_grad object for all calls, which keeps what it has to put back",
    around=ways.no_grad_and_autocast,
    derive=answers.beside_another,
    unavailable=under_a_debugger,
    only=lambda case: not case.grads,
    because="nothing is recorded there",
    array="few",
    parts=PARTS - HIDING_PARTS,
    watched=False,
    large=False,
    simplify=False,
    refuses=False,
    draws=0,
)
