"""Finds mutants and runs the programs that the suite prints of them, each in a fork of its own.

`python -m tests.suite.program_runner` reads mutants and properties from stdin, a JSON list of
pairs, and writes a line of JSON for each: how the property went, whether the program stands alone,
and how it ended on the mutant and on the definition. One process imports torch and is forked for
each, so that nothing is left of one in another, and that a program costs a tenth of a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import types
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from wavemae.properties import conduct, ending, load_subject
from wavemae.properties.run.reproducers import NOT_ALONE, asking_again

from wavemae.models import losses

from ..mutants import MUTANTS

IMPORTS = "from the_loss import masked_mse, masked_sse"
_PATIENCE = 120.0  # seconds for one program


def forked(function: Callable[..., Any], *given: Any) -> Any:
    """What the function returns in a fork of this process, or how that ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(reading)
        _quiet()
        try:
            found = function(*given)
        except BaseException as error:
            found = {"code": -1, "said": "".join(traceback.format_exception(error))[-800:]}
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(found, pipe)
        os._exit(0)
    os.close(writing)
    data, end = b"", time.monotonic() + _PATIENCE
    while select.select([reading], [], [], max(0.0, end - time.monotonic()))[0]:
        chunk = os.read(reading, 2**16)
        if not chunk:
            break
        data += chunk
    os.close(reading)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if data:
        return pickle.loads(data)
    crashed = code < 0 and code != -signal.SIGKILL
    return {"code": code, "said": ending.told(code) if crashed else "no answer"}


def _quiet() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


def find(name: str, identifier: str) -> dict[str, Any]:
    """The violation of a mutant and its program."""
    mutant = MUTANTS[name]
    subject = replace(mutant.subject, imports=IMPORTS)
    if mutant.target:
        subject = replace(load_subject(mutant.target), claims=mutant.claims)
    profile = "quick"
    outcome = conduct(subject, identifier, profile)
    if outcome.state != "FAIL":
        profile = "default"
        outcome = conduct(subject, identifier, profile)
    if outcome.violation is None:
        return {"state": outcome.state}
    found = outcome.violation
    program, again = found.program(subject.imports), (subject, identifier, profile, 0, "cpu")
    # What the command does with a program that exits with 0; forks are this module's.
    asking = asking_again(*again, "its call is right where it is the first")
    return {"state": "FAIL", "what": found.what, "program": program, "asking": asking}


def run(program: str, functions: Any) -> dict[str, Any]:
    """How a program ends with these functions as the loss."""
    module: Any = types.ModuleType("the_loss")
    module.masked_sse, module.masked_mse = functions.masked_sse, functions.masked_mse
    sys.modules["the_loss"] = module
    main: Any = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    try:
        exec(compile(program, "<program>", "exec"), vars(main))
    except AssertionError as error:
        return {"code": 1, "said": f"AssertionError: {error}"[:500]}
    except SystemExit as error:
        return {"code": error.code, "said": "SystemExit"}
    except BaseException as error:
        return {"code": 2, "said": "".join(traceback.format_exception(error))[-800:]}
    return {"code": 0, "said": ""}


def in_another_python(program: str, target: str, right: bool) -> dict[str, Any]:
    """The same in a Python that has imported nothing, for a mutant in a file of its own."""
    if right:
        stem = os.path.basename(target).removesuffix(".py")
        program = program.replace(f"from {stem} import", "from wavemae.models.losses import")
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(program)
        file.flush()
        done = subprocess.run([sys.executable, file.name], capture_output=True, text=True)
    return {"code": done.returncode, "said": done.stderr[-500:]}


def tried(name: str, identifier: str) -> dict[str, Any]:
    """Everything about one mutant and one property that must notice it."""
    mutant, row = MUTANTS[name], {"mutant": name, "property": identifier}
    found = forked(find, name, identifier)
    if "program" not in found:
        return {**row, **found}
    program, asking = found["program"], found.pop("asking")
    if mutant.target:
        ends = [in_another_python(program, mutant.target, right) for right in (False, True)]
    else:
        wrong = forked(run, program, mutant)
        if wrong["code"] == 0:
            program = asking
            wrong = forked(run, program, mutant)
        ends = [wrong, forked(run, program, losses)]
    alone = NOT_ALONE not in program
    found["program"] = program
    return {**row, **found, "alone": alone, "wrong": ends[0], "right": ends[1]}


def main() -> None:
    """Answer each pair of stdin with a line."""
    warnings.simplefilter("ignore")
    for name, identifier in json.load(sys.stdin):
        print(json.dumps(tried(name, identifier)), flush=True)


if __name__ == "__main__":
    main()
