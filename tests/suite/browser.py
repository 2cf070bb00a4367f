"""Headless Chromium, asked over the pipe that it offers to debuggers; nothing else is needed."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60.0  # seconds
PROGRAM = next((found for found in map(shutil.which, NAMES) if found), None)


class Browser:
    """One page in one browser; `close` ends it.

    Attributes:
        complaints: exceptions, and what the console or the page's policy said.
        asked: every address that was asked for.
    """

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        flags = ["--headless", "--disable-gpu", "--remote-debugging-pipe"]
        flags += [f"--user-data-dir={profile}", "--no-first-run"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chromium refuses to make one for root
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        # Away from 3 and 4, which are the numbers that Chromium reads and writes.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (commands, answers)]
        quiet = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
        moved = [(os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(ends, 3)]
        self._pid = os.posix_spawn(
            PROGRAM, [PROGRAM, *flags], os.environ, file_actions=[*moved, quiet], setpgroup=0
        )
        for end in (commands, answers, *ends):
            os.close(end)
        self._reader = os.fdopen(self._in, "rb")
        self._number = 0
        self._session: dict[str, str] = {}
        self._rest = b""
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self._loaded = False
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self) -> None:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._in], [], [], PATIENCE)[0], "Chromium does not answer"
            read = self._reader.read1(65536)
            assert read, "Chromium ended"
            self._rest += read
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        said = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded":
                self.complaints.append(json.dumps(said))
            case "Network.requestWillBeSent":
                self.asked.append(said["request"]["url"])
            case "Page.loadEventFired":
                self._loaded = True
        return message

    def open(self, address: str) -> None:
        """Load a page anew, whatever it shows now, and wait until it is there."""
        for place in ("about:blank", address):
            self._loaded = False
            self.ask("Page.navigate", url=place)
            while not self._loaded:
                self._next()

    def evaluate(self, expression: str) -> Any:
        """What an expression of JavaScript gives, as JSON can say it."""
        found = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def settles(self, expression: str, wanted: Any) -> bool:
        """Whether the expression comes to give what is wanted, in a while."""
        end = time.monotonic() + PATIENCE
        while (found := self.evaluate(expression)) != wanted:
            assert time.monotonic() < end, f"{expression} stays {found!r}, not {wanted!r}"
            time.sleep(0.02)
        return True

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of the first such element."""
        x, y = self.evaluate(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Write into what has the focus."""
        self.ask("Input.insertText", text=text)

    def close(self) -> None:
        """End the browser and all that it started."""
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._out)
        self._reader.close()
