"""A program that answers over pipes: how it is started, asked, and ended.

The protocol is that of docs/ports.md. There is no torch here: a tensor is its name, dtype, shape
and bytes.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, NamedTuple, NoReturn

from .. import ending

PROTOCOL = 1
SECONDS = 10.0  # for the first line, and for an answer unless the program asks for more
BYTES_PER_SECOND = 2**24  # of a question, for which an answer may take longer
FAULTS = ("dtype", "shape", "reduction")
_WIDTHS = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}  # bytes, of what may come back
_LONGEST_LINE = 2**16


class Wired(NamedTuple):
    """A tensor as it crosses: row by row, little-endian."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def described(self) -> dict[str, Any]:
        """What the line says of it."""
        described = self._asdict()
        data = described.pop("data")
        return {**described, "shape": list(self.shape), "bytes": len(data)}


class Fault(NamedTuple):
    """A refusal: what is wrong with the call, by the words of refused.json, and in a sentence."""

    kind: str
    message: str


class NoAnswer(Exception):
    """The program hung, ended, or answered what is no answer. It has been ended.

    Attributes:
        what: which of these, in words.
        got: what came instead.
    """

    def __init__(self, what: str, got: str) -> None:
        super().__init__(f"{what}: {got}")
        self.what = what
        self.got = got


class Program:
    """A command, and the process that runs it from `start` to `end`.

    Attributes:
        command: as it was given.
        words: what is started; no shell is asked.
        seconds: how long it may take to answer.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.words = shlex.split(command)
        self.seconds = SECONDS
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes]  # its stderr
        self._ending: Any = None

    @property
    def runs(self) -> bool:
        """Whether it was started, and not ended since."""
        return self._process is not None

    def start(self) -> dict[str, Any]:
        """Start it, and return what it says of itself in its first line.

        Raises:
            NoAnswer: it does not start, or its first line is not that of a port.
        """
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed where the process is ended
        try:
            self._process = subprocess.Popen(
                self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
            )
        except OSError as error:
            self._said.close()
            raise NoAnswer("the program does not start", str(error)) from None
        self._watch = _Watch(self._process)
        self._ending = weakref.finalize(self, _end, self._process, self._watch, self._said)
        with self._limited(SECONDS):
            greeting = self._line("first line")
        if greeting.get("protocol") != PROTOCOL:
            spoken = greeting.get("protocol")
            self._nonsense(f"its first line names protocol {spoken!r}, not {PROTOCOL}", greeting)
        return greeting

    def ask(
        self, function: str, reduction: str | None, want: Sequence[str], tensors: Sequence[Wired]
    ) -> list[Wired] | Fault:
        """Its answer to one call.

        Raises:
            NoAnswer: there is none.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        self._number += 1
        line = question(self._number, function, reduction, want, tensors)
        size = sum(len(tensor.data) for tensor in tensors)
        with self._limited(self.seconds + size / BYTES_PER_SECOND):
            try:
                # Past Python's buffer, which would want to be emptied into a program that hangs.
                rest = memoryview(b"".join([line, *(tensor.data for tensor in tensors)]))
                while rest:
                    rest = rest[os.write(self._process.stdin.fileno(), rest) :]
            except OSError:
                self._gone("answer")
            answer = self._line("answer")
            found = self._checked(answer, want, size)
            return found if isinstance(found, Fault) else [self._read(*each) for each in found]

    def end(self) -> None:
        """End the process, if there is one."""
        if self._ending is not None:
            self._ending()
        self._process = None

    # Reading. Whatever is wrong ends the process, since nobody could say where the next answer
    # begins.

    def _line(self, what: str) -> dict[str, Any]:
        line = self._bytes().readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            if len(line) == _LONGEST_LINE:
                self._nonsense(f"its {what} is longer than {_LONGEST_LINE} bytes", line[:80])
            self._gone(what, f"{len(line)} bytes of a line" if line else "nothing")
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self._nonsense(f"its {what} is no JSON object", line)
        return found

    def _checked(
        self, answer: dict[str, Any], want: Sequence[str], asked: int
    ) -> list[tuple[str, str, tuple[int, ...], int]] | Fault:
        """What the line announces: a fault, or each tensor's name, dtype, shape and bytes."""
        if answer.get("id") != self._number:
            self._nonsense(f"its answer is not to question {self._number}", answer)
        if "fault" in answer:
            kind, message = answer["fault"], answer.get("message")
            if kind not in FAULTS or not isinstance(message, str):
                self._nonsense(f"a fault is one of {', '.join(FAULTS)}, with a message", answer)
            return Fault(kind, message)
        tensors = answer.get("tensors")
        if not isinstance(tensors, list) or not all(isinstance(t, dict) for t in tensors):
            self._nonsense("it holds neither tensors nor a fault", answer)
        if [tensor.get("name") for tensor in tensors] != list(want):
            self._nonsense(f"it does not hold {', '.join(want)}, in this order", answer)
        found = []
        for tensor in tensors:
            dtype, shape, count = tensor.get("dtype"), tensor.get("shape"), tensor.get("bytes")
            if not isinstance(dtype, str) or dtype not in _WIDTHS:
                self._nonsense(f"the dtype of {tensor['name']} is none of {list(_WIDTHS)}", answer)
            if not isinstance(shape, list) or not all(type(s) is int and s >= 0 for s in shape):
                self._nonsense(f"the shape of {tensor['name']} is no list of sizes", answer)
            if count != math.prod(shape) * _WIDTHS[dtype]:
                self._nonsense(f"dtype, shape and bytes of {tensor['name']} disagree", answer)
            if count > 4 * asked + 64:
                self._nonsense(f"{tensor['name']} is larger than what it is made from", answer)
            found.append((tensor["name"], dtype, tuple(shape), count))
        return found

    def _read(self, name: str, dtype: str, shape: tuple[int, ...], count: int) -> Wired:
        data = self._bytes().read(count)
        if len(data) < count:
            self._gone(name, f"{len(data)} of {count} bytes of {name}")
        return Wired(name, dtype, shape, data)

    def _bytes(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    # The three ways in which there is no answer.

    @contextmanager
    def _limited(self, seconds: float) -> Iterator[None]:
        """Within, the process is killed after so many seconds, which shows as its end."""
        self._watch.deadline = time.monotonic() + seconds
        try:
            yield
        except BaseException as error:  # an interrupt too leaves half of an answer behind
            self.end()
            if self._watch.late and isinstance(error, NoAnswer):
                what = f"the program gave no answer within {seconds:.3g} s and was ended"
                raise NoAnswer(what, error.got) from None
            raise
        finally:
            self._watch.deadline = math.inf

    def _gone(self, what: str, got: str = "nothing") -> NoReturn:
        """Its end, or its end of the pipe, came before the whole of something did."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.poll()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        how = "closed its output" if code is None else f"ended ({ending.told(code)})"
        raise NoAnswer(
            f"the program {how} before its {what} was complete",
            f"{got}; the last line on stderr: {lines[-1][:200]}" if lines else got,
        )

    def _nonsense(self, why: str, line: Any) -> NoReturn:
        shown = line.decode(errors="replace") if isinstance(line, bytes) else json.dumps(line)
        shown = shown if len(shown) <= 200 else shown[:197] + "..."
        raise NoAnswer(f"the program's answer is not understood: {why}", shown.strip())


def question(
    number: int,
    function: str,
    reduction: str | None,
    want: Sequence[str],
    tensors: Sequence[Wired],
) -> bytes:
    """The line that asks: ASCII, without spaces, its keys always in this order."""
    said = {
        "id": number,
        "function": function,
        "reduction": reduction,
        "want": list(want),
        "tensors": [tensor.described() for tensor in tensors],
    }
    return json.dumps(said, separators=(",", ":")).encode("ascii") + b"\n"


class _Watch(threading.Thread):
    """Kills a process that is late.

    It looks ten times a second, since a timer for every question would cost more than the question.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.deadline = math.inf
        self.late = False
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.over.wait(0.1):
            if time.monotonic() > self.deadline:
                self.late = True
                self.process.kill()
                return


def _end(process: subprocess.Popen[bytes], watch: _Watch, said: IO[bytes]) -> None:
    """End of input is the sign to leave; one that does not heed it at once is killed."""
    watch.over.set()
    with suppress(OSError, ValueError):
        assert process.stdin is not None
        process.stdin.close()
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(OSError):
        assert process.stdout is not None
        process.stdout.close()
    said.close()
