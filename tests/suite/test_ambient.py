"""The state of the process is read, and put back, wherever the suite runs."""

from __future__ import annotations

import cProfile
import decimal
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings

import pytest
import torch
import torch._dynamo
from wavemae.properties import Subject, conduct
from wavemae.properties.inputs import internals
from wavemae.properties.judge import ambient, midway, state

from wavemae.models.losses import masked_mse, masked_sse


def test_what_is_read_can_be_put_back() -> None:
    """One change of each kind: it is seen, and it is gone afterwards."""
    before = ambient.snapshot()
    with ambient.restored():
        ambient.make_unusual()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.setswitchinterval(0.02)
        logging.disable(logging.ERROR)
        logging.captureWarnings(True)
        logging.getLogger("torch").propagate ^= True
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        torch._C._autograd._saved_tensors_hooks_disable("not now")
        torch._dynamo.config.suppress_errors = True
        seen = ambient.differences(before, ambient.snapshot())
    names = {words.partition(":")[0] for words in seen}
    assert names >= {
        "default dtype",
        "oneDNN",
        "threads of backward",
        "hooks on saved tensors",
        "switches of the compiler",
        "decimal arithmetic",
        "hooks of the interpreter",
        "signal handlers",
        "disabled logging",
        "how warnings are shown",
        "switch interval of threads",
        "loggers",
        "switches of back ends",
        "number of threads for new threads",
    }
    assert ambient.differences(before, ambient.snapshot()) == []


def test_a_logger_that_came_later_is_no_difference() -> None:
    """A loss may make one of its own; one that was there is, and is named."""
    before = ambient.snapshot()
    with ambient.restored():
        logging.getLogger("of a loss").setLevel(logging.ERROR)
        assert ambient.differences(before, ambient.snapshot()) == []
        logging.getLogger("torch").disabled = True
        assert ambient.differences(before, ambient.snapshot()) == ["loggers: torch"]
    assert not logging.getLogger("torch").disabled


_COMPILES = """
import torch
from wavemae.properties.judge import ambient, state

ambient.import_torch()
before = state.PARTS["loggers"].read()
torch.compile(torch.sin, backend="eager")(torch.ones(2))
assert state.PARTS["loggers"].read() == before
"""


def test_a_first_compilation_is_no_difference() -> None:
    """The compiler takes a handler off a logger of its own then."""
    subprocess.run([sys.executable, "-c", _COMPILES], check=True, timeout=120)


def test_a_handler_that_does_nothing_is_no_difference() -> None:
    """As libraries give one to their loggers."""
    logger, idle = logging.getLogger("torch"), logging.NullHandler()
    before = ambient.snapshot()
    with ambient.restored():
        logger.addHandler(idle)
        assert ambient.differences(before, ambient.snapshot()) == []
        logger.addFilter(logging.Filter("elsewhere"))
        assert ambient.differences(before, ambient.snapshot()) == ["loggers: torch"]
    assert idle in logger.handlers
    logger.removeHandler(idle)
    assert ambient.differences(before, ambient.snapshot()) == []


def test_one_part_that_cannot_be_put_back_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are put back, and the exception comes out."""
    precision = decimal.getcontext().prec

    def refused(enabled: bool) -> None:
        raise ValueError("not this one")

    part = state.Part(torch.is_grad_enabled, refused)
    monkeypatch.setitem(state.PARTS, "grad mode", part)

    def change() -> None:
        with ambient.restored():
            torch.set_grad_enabled(False)
            decimal.getcontext().prec = precision + 1

    with pytest.raises(ValueError, match="not this one"):
        change()
    torch.set_grad_enabled(True)
    assert decimal.getcontext().prec == precision


def test_a_part_that_cannot_be_read_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch's matrix precision is, once it was set by its newer name."""
    before = ambient.snapshot()

    def mixed() -> str:
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setitem(state.PARTS, "float32 matmul precision", state.Part(mixed))
    changed = ambient.differences(before, ambient.snapshot())
    assert [words.partition(":")[0] for words in changed] == ["float32 matmul precision"]


def test_outside_the_main_thread() -> None:
    """Where no handler can be set, none is."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with ambient.restored():
                entered.set()
                left.wait(10)
        except BaseException as error:
            failed.append(error)

    entered, left = threading.Event(), threading.Event()
    thread = threading.Thread(target=work)
    with ambient.restored():
        thread.start()
        entered.wait(10)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        left.set()
        thread.join()
    assert failed == []


def test_under_a_profiler_in_c() -> None:
    """`sys.getprofile` returns what `sys.setprofile` does not take, in Python 3.11 and before."""
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        with ambient.unusual():
            pass
    finally:
        profiler.disable()


def test_torch_before_2_8(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no way to read the hooks in force."""
    monkeypatch.delattr(torch._C._autograd, "_top_saved_tensors_default_hooks")
    assert internals.saved_tensor_hooks() == (None, None)
    with ambient.restored():
        torch._C._autograd._saved_tensors_hooks_disable("not now")
    assert internals.saved_tensor_hooks() == (None, None)


def test_hooks_that_a_loss_took_off_stand_again() -> None:
    """With the pair that was in force."""
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        before = internals.saved_tensor_hooks()
        with ambient.restored():
            torch._C._autograd._pop_saved_tensors_default_hooks()
        assert internals.saved_tensor_hooks() == before


def test_a_setting_of_the_compiler_that_was_put_back_is_no_difference() -> None:
    """What a call switches for itself is left open."""
    before = internals.compiler_switches()
    with torch._dynamo.config.patch(suppress_errors=True):
        assert internals.compiler_switches() != before
    assert internals.compiler_switches() == before


def test_warnings_that_were_logged_are_logged_again() -> None:
    """The caller's own `captureWarnings` outlives that of a loss."""
    logging.captureWarnings(True)
    try:
        captured = warnings.showwarning
        with ambient.restored():
            logging.captureWarnings(False)
        assert warnings.showwarning is captured
    finally:
        logging.captureWarnings(False)
    assert warnings.showwarning is not captured


def _wrong_under_autocast(x_recon, x, mask, *, reduction="mean"):  # type: ignore[no-untyped-def]
    found = masked_mse(x_recon, x, mask, reduction=reduction)
    return 2 * found if torch.is_autocast_enabled(x.device.type) else found


def test_what_breaks_in_the_mode_alone_is_that_modes() -> None:
    """And no clause's that plain calls keep."""
    subject = Subject("wrong under autocast", masked_sse, _wrong_under_autocast)
    outcome = conduct(subject, "C19-vmap-autocast", "quick")
    assert outcome.state == "FAIL"
    assert outcome.violation is not None
    assert (outcome.violation.part, outcome.violation.elsewhere) == ("C16", "C16-autocast")
    assert "C16, in C16-autocast too" in outcome.reason


def test_variables_of_compilers_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """They set some when they run, and those stay; others are put back, and named."""
    before = ambient.snapshot()
    with ambient.restored():
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "there")
        assert ambient.differences(before, ambient.snapshot()) == []
        monkeypatch.setenv("OMP_NESTED", "true")
        changed = ambient.differences(before, ambient.snapshot())
        assert changed == ["environment: OMP_NESTED: None → true"]
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "there"
    assert "OMP_NESTED" not in os.environ


def test_a_call_that_waits_for_the_other_one_is_waited_for() -> None:
    """Behind a lock nothing can happen midway; both calls come to their end all the same."""
    lock = threading.Lock()

    def locked() -> int:
        with lock:
            return 1

    turns = [(number, both) for number in range(4) for both in (False, True)]
    found = [midway.beside(locked, locked, *turn) for turn in turns]
    assert [value for value, _ in found] == [1] * len(found)
    assert any(other.waited for _, other in found)
    assert not any(other.thread.is_alive() for _, other in found)
