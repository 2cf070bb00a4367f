"""Ids that were, and the properties that ask today what they asked."""

from __future__ import annotations

RENAMED: dict[str, tuple[str, ...]] = {
    "C3-modes": ("C3-situations",),
    "C3-transforms": ("C3-situations",),
    "C11-changed-inputs": ("C13-changed-inputs",),
    "C12-excluded-second-order": ("C13-second-order", "C13-forward-mode"),
    "C12-excluded-transforms": ("C19-grad", "C19-jvp", "C19-vmap-of-grad"),
    "C12-excluded-upstream": ("C12-excluded-gradient",),
    "C13-excluded-tangents": ("C13-forward-mode",),
    "C14-gradient-memory": ("C14-inputs-untouched",),
    "C14-no-alias": ("C14-inputs-untouched",),
    "C15-any-size": ("C15-layouts", "C15-sizes"),
    "C15-negated-view": ("C15-layouts",),
    "C15-shared-memory": ("C15-layouts",),
    "C16-grad-modes": ("C16-no-grad", "C16-inference-mode"),
    "C16-nothing-kept": ("C14-nothing-kept",),
    "C16-thread-count": ("C16-one-thread", "C16-seven-threads"),
    "C16-torch-modes": (
        "C16-deterministic",
        "C16-anomaly-mode",
        "C16-low-precision",
        "C16-saved-hooks",
    ),
    "C19-vmap-empty": ("C19-vmap",),
}
