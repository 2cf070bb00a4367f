"""What is printed, warned or logged meanwhile, which for a loss is to be nothing."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Log(logging.Handler):
    """Collects the messages of warnings and errors that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class _Unseen(list[logging.Handler]):
    """Handlers that count as none: the functions of `logging` add one where there is none."""

    def __len__(self) -> int:
        return 0


# What torch itself says, whatever the loss: its batching rules, and anomaly mode of an exception
# that it then raises.
OF_TORCH = (
    "An output with one or more elements was resized",
    "There is a performance drop because we have not yet implemented the batching rule",
    "Error detected in ",
)


@contextmanager
def listening(always: bool = True) -> Iterator[dict[str, str]]:
    """Collect what is printed, warned or logged meanwhile, also on file descriptors 1 and 2.

    Every warning is heard, or if not `always`, those that the filters of the process let through.
    """
    heard: dict[str, str] = {}
    root, log = logging.getLogger(), _Log()
    handlers, root.handlers = root.handlers, _Unseen([log])
    sys.stdout.flush()
    sys.stderr.flush()
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        warnings.catch_warnings(record=True) as warned,
    ):
        if always:
            warnings.simplefilter("always")
        saved = os.dup(1), os.dup(2)
        streams = sys.stdout, sys.stderr
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        with open(os.dup(1), "w") as new_out, open(os.dup(2), "w") as new_err:
            sys.stdout, sys.stderr = new_out, new_err
            try:
                yield heard
            finally:
                sys.stdout, sys.stderr = streams
                new_out.flush()
                new_err.flush()
                os.dup2(saved[0], 1)
                os.dup2(saved[1], 2)
                os.close(saved[0])
                os.close(saved[1])
                for name, file in (("stdout", out), ("stderr", err)):
                    file.seek(0)
                    heard[name] = file.read().decode(errors="replace")
                added = [handler for handler in root.handlers if handler is not log]
                for handler in added:
                    if getattr(handler, "stream", None) in (new_out, new_err):
                        handler.stream = sys.stderr  # type: ignore[attr-defined]  # of `streams`
                handlers[:] = [*handlers, *added] if log in root.handlers else added
                root.handlers = handlers
                heard["log"] = "; ".join(log.messages)
                said = (str(w.message) for w in warned)
                heard["warnings"] = "; ".join(s for s in said if not s.startswith(OF_TORCH))
