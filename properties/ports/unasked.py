"""What cannot be asked of a program over pipes, and why."""

from __future__ import annotations

_SIGNATURE = "how a call is spelt is Python's business, and the program does not see it"
_KINDS = "only strided tensors of the CPU cross; what else is given is refused before"
_COPIES = "the program gets copies, row by row, and what it answers is a copy too"
_MODES = "it is a matter of the process that calls, in which the program does not run"
_UNSEEN = "what a program computes before it refuses cannot be seen from outside"
_GRAPH = "the graph, and what it keeps, are those of the adapter"
UNASKED = {
    "C1-equal-strings": _SIGNATURE,
    "C1-keyword-only": _SIGNATURE,
    "C1-keywords": _SIGNATURE,
    "C1-required-arguments": _SIGNATURE,
    "C1-some-keywords": _SIGNATURE,
    "C1-unknown-keyword": _SIGNATURE,
    "C2-subclass-mask": _KINDS,
    "C2-subclasses": _KINDS,
    "C3-before-arithmetic": _UNSEEN,
    "C3-devices": _KINDS,
    "C3-layouts": _KINDS,
    "C3-non-tensors": _KINDS,
    "C3-nothing-left": _MODES,
    "C3-optimised": _MODES,
    "C3-situations": _MODES,
    "C4-process-group": _MODES,
    "C5-inference-inputs": _KINDS,
    "C13-changed-inputs": _GRAPH,
    "C13-dropped-inputs": _GRAPH,
    "C13-into-grad": _GRAPH,
    "C13-own-memory": _GRAPH,
    "C13-second-branch": _GRAPH,
    "C14-any-size": _COPIES,
    "C14-inputs-untouched": _COPIES,
    "C14-nothing-kept": _COPIES,
    "C15-layouts": _COPIES,
    "C15-sizes": _COPIES,
    "C16-anomaly-mode": _MODES,
    "C16-autocast": _MODES,
    "C16-autocast-float16": _MODES,
    "C16-backward-elsewhere": _MODES,
    "C16-default-bfloat16": _MODES,
    "C16-default-device": _MODES,
    "C16-default-dtype": _MODES,
    "C16-default-float16": _MODES,
    "C16-deterministic": _MODES,
    "C16-globals": _MODES,
    "C16-inference-mode": _MODES,
    "C16-low-precision": _MODES,
    "C16-midway": _MODES,
    "C16-no-grad": _MODES,
    "C16-one-thread": _MODES,
    "C16-other-thread": _MODES,
    "C16-own-process": _MODES,
    "C16-saved-hooks": _MODES,
    "C16-seven-threads": _MODES,
    "C16-silent": _MODES,
    "C16-threads": _MODES,
}
