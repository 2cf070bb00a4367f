"""A call while another one stands midway, in another thread: at each of its lines in turn."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from ..inputs.source import remembered
from .acts import Call
from .situation import Wrap

_SUITE = __name__.removesuffix(".judge.midway")
_PATIENCE = 0.05  # seconds for a call that may wait for what the other one holds
_WAITS = 3  # so often; then it seems to be a lock, and nothing can happen midway


class Stop:
    """Traces the lines of a call, and does something before one of them, by its number."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self.left, self.act, self.reached = number, act, False

    def __call__(self, frame: Any, event: str, argument: Any) -> Any:
        module = frame.f_globals.get("__name__") or ""
        own = Stop.__call__.__code__.co_filename
        if module.startswith(_SUITE) or frame.f_code.co_filename == own:
            return None
        if module.partition(".")[0] in {"torch", *sys.stdlib_module_names}:
            return None
        if event == "line":
            self.left -= 1
            if self.left == -1:
                self.reached = True
                self.act()
        return self


class Other:
    """The same call in another thread, which stands before one of its lines until told to go on."""

    def __init__(self, called: Callable[[], Any], number: int) -> None:
        self.called, self.waited = called, False
        self.error: Exception | None = None
        self.standing, self.told = threading.Event(), threading.Event()
        self.stop = Stop(number, self.stand)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.standing.wait()

    def stand(self) -> None:
        self.standing.set()
        self.waited = not self.told.wait(_PATIENCE)

    def run(self) -> None:
        sys.settrace(self.stop)
        try:
            self.called()
        except Exception as error:
            self.error = error
        finally:
            sys.settrace(None)
            self.standing.set()

    def go_on(self) -> None:
        """Let it come to its end, unless that waits for this thread."""
        self.told.set()
        self.thread.join(_PATIENCE)
        self.waited = self.waited or self.thread.is_alive()


def beside(called: Callable[[], Any], number: int, both: bool) -> tuple[Any, Other]:
    """What a call gives beside another one that stands before a line, and that one, at its end.

    With `both` it stands before the same line itself until the other one has ended.
    """
    other = Other(called, number)
    traced = sys.gettrace()
    sys.settrace(Stop(number, other.go_on) if both else traced)
    try:
        found = called()
    finally:
        sys.settrace(traced)
        other.go_on()
        other.thread.join()
    if other.error is not None:
        raise other.error
    return found, other


@remembered
def midway(first: int = 0, end: int = 300) -> Wrap:
    """The call while another one, on the same tensors, stands before each of its lines in turn.

    Lines are counted as they are run, so that those of a loop count often.
    """

    def wrap(loss: Call) -> Call:
        def call(*arguments: Any, **named: Any) -> Any:
            def made() -> Any:
                return loss(*arguments, **named)

            found, waits = None, 0
            for number in range(first, end):
                pair = [beside(made, number, both) for both in (False, True)]
                waits += sum(other.waited for _, other in pair)
                found, other = pair[-1]
                if waits >= _WAITS or not other.stop.reached:
                    break
            return found

        return call

    return wrap
