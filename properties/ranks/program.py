"""The program that shows a finding of C20: it starts its own ranks and asserts what is wanted."""

from __future__ import annotations

import math
from fractions import Fraction

from ..inputs.cases import Case, Inputs
from ..judge import oracle
from ..judge.bad_calls import bad_call, errors
from ..subject import Subject
from .jobs import PATIENCE, Job
from .processes import start_method
from .serving import loopback

_PROGRAM = """{call}

import faulthandler
import os
import tempfile
from datetime import timedelta

import torch.multiprocessing
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor


def on_rank(rank, file):
    faulthandler.dump_traceback_later({limit:g}, exit=True)  # of a rank that hangs
{interface}    distributed.init_process_group(
        "gloo",
        init_method=f"file://{{file}}",
        rank=rank,
        world_size={ranks},
        timeout=timedelta(seconds={patience:g}),
    )
    mesh = init_device_mesh("cpu", {mesh}{names}
    d_recon = distribute_tensor(x_recon, mesh, [{placed[0]}]){grads[0]}
    d_x = distribute_tensor(x, mesh, [{placed[1]}]){grads[1]}
    d_mask = distribute_tensor(mask, mesh, [{placed[2]}])
{asserted}    distributed.destroy_process_group()
    os._exit(0)  # Python's own end may meet a thread of gloo's: pytorch/pytorch#179291


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        several = torch.multiprocessing
        try:
            arguments = (f"{{folder}}/store",)
            several.start_processes(on_rank, arguments, {ranks}, start_method="{method}")
        except (several.ProcessRaisedException, several.ProcessExitedException) as error:
            raise AssertionError(str(error)) from error
"""

_VALUE = """    with torch.set_grad_enabled({recorded}):
        loss = {function}(d_recon, d_x, d_mask{reduction})
    value = loss.full_tensor() if hasattr(loss, "full_tensor") else loss
    print(f"rank {{rank}}: {{value}}", flush=True)
    wanted = torch.tensor({wanted}, dtype=torch.float64)
    torch.testing.assert_close(value.double(), wanted, rtol=0, atol={bound!r}, equal_nan=True)
"""

_REFUSAL = """    try:
        got = {called}
    except ({errors}):
        got = "refused"
    print(f"rank {{rank}}: {{got}}", flush=True)
    assert got == "refused", f"rank {{rank}} takes what is to be refused: {{got}}"
"""

_BACKWARD = """    (loss * {upstream!r}).backward()
    difference = torch.where(mask, x_recon.double() - x.double(), 0)
"""

_GRADIENT = """    gradient = d_{short}.grad.full_tensor()
    print(f"rank {{rank}}: {name}.grad {{gradient}}", flush=True)
    assert gradient.dtype == {name}.dtype
    wanted = {sign}2 * difference * {scale}
    torch.testing.assert_close(
        gradient.double(), wanted, rtol={rtol!r}, atol={atol!r}, equal_nan=True
    )
"""


def program(subject: Subject, job: Job, whole: Inputs) -> str:
    """A file for `python`; tolerances are those of C6 and C11."""
    case, ranks, interface = job.case, math.prod(job.mesh), loopback()
    spoilt: list[str] = []
    if job.bad is None:
        asserted = _value(subject, case, whole)
    else:
        spoilt, called = bad_call(job.bad, case)
        called = called.replace("x_recon, x, mask", "d_recon, d_x, d_mask")
        kinds = ", ".join(error.__name__ for error in errors(job.bad))
        asserted = _REFUSAL.format(called=called, errors=kinds)
    return _PROGRAM.format(
        call="\n".join([case.but(grads=()).script(subject.imports, call=False), *spoilt]),
        limit=3 * PATIENCE["quick"],
        patience=PATIENCE["quick"],
        interface=f'    os.environ["GLOO_SOCKET_IFNAME"] = "{interface}"\n' if interface else "",
        ranks=ranks,
        mesh=job.mesh,
        names=', mesh_dim_names=("outer", "inner"))["inner"]' if job.inner else ")",
        method=start_method(),
        placed=[", ".join(placed) for placed in job.placed],
        grads=[".requires_grad_()" if n in case.grads else "" for n in ("x_recon", "x")],
        asserted=asserted,
    )


def _value(subject: Subject, case: Case, whole: Inputs) -> str:
    """The call, and what is asserted of its value and gradients."""
    answer = oracle.exact(whole)
    wanted = answer.reduced(case.effective_reduction)
    dtype = subject.result_dtype(whole.x_recon.dtype, whole.x.dtype)
    bound, number = 0.0, f'float("{wanted}")'
    if isinstance(wanted, Fraction):
        roundoffs = oracle.sum_roundoffs(answer.selected, dtype, most=subject.claims.roundoffs)
        allowed = oracle.value_bound(answer, case.effective_reduction, dtype, roundoffs)
        bound, number = float(allowed), repr(float(wanted))
    asserted = _VALUE.format(
        recorded=bool(case.grads),
        function=case.function,
        reduction=f", reduction={case.reduction!r}" if case.reduction else "",
        wanted=number,
        bound=bound,
    )
    divisor = answer.divisor(case.effective_reduction)
    asserted += _BACKWARD.format(upstream=case.upstream) if case.grads else ""
    for name in case.grads:
        fmt = oracle.format_of(getattr(whole, name).dtype)
        asserted += _GRADIENT.format(
            name=name,
            short=name.removeprefix("x_") if name == "x_recon" else name,
            sign="" if name == "x_recon" else "-",
            scale=f"{case.upstream!r} / {divisor}",
            rtol=float(oracle.GRADIENT_ROUNDOFFS * fmt.roundoff),
            atol=float(fmt.smallest),
        )
    return asserted
