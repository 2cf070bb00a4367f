"""The Triton kernels compile for a GPU, where triton is installed: ``tox run -e triton``."""

from __future__ import annotations

from typing import Any

import pytest
import torch

triton = pytest.importorskip("triton", reason="needs triton; `tox run -e triton` installs it")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from wavemae.fused import cuda  # noqa: E402

HOPPER = GPUTarget("cuda", 90, 32)
VALUES = [("fp32", "fp32"), ("fp16", "bf16"), ("bf16", "fp64"), ("fp64", "fp64")]
WIDE = ["i64"] * 2  # strides of one tensor, as large as they come


def compiled(kernel: Any, types: list[str], constants: dict[str, Any]) -> str:
    """PTX of a kernel for arguments of these types, in order, and these compile-time constants."""
    names = [name for name in kernel.arg_names if name not in constants]
    signature = dict(zip(names, types, strict=True)) | dict.fromkeys(constants, "constexpr")
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=places)
    ptx: str = triton.compile(source, target=HOPPER, options=cuda._OPTIONS).asm["ptx"]
    return ptx


@pytest.mark.parametrize(("x_recon", "x"), VALUES)
@pytest.mark.parametrize("tile", [(1, 4096), (64, 64)])
def test_kernels_compile(x_recon: str, x: str, tile: tuple[int, int]) -> None:
    """For every kind of dtypes, with 64-bit strides and sizes."""
    wide = "fp64" if "fp64" in (x_recon, x) else "fp32"
    dtype = cuda._TRITON[{"fp32": torch.float32, "fp64": torch.float64}[wide]]
    shape = {"ROWS": tile[0], "COLUMNS": tile[1], "DTYPE": dtype}
    pointers = [f"*{x_recon}", f"*{x}", "*u8"]
    for counting in (False, True):
        assert compiled(
            cuda._partial_sums_kernel,
            [*pointers, *3 * WIDE, f"*{wide}", "*i64", "i64", "i64", "i64", "i32"],
            {"COUNTING": counting, **shape},
        )
        assert compiled(
            cuda._loss_kernel,
            [f"*{wide}", "*i64", f"*{wide}", "*i64", "i32", "i64"],
            {"COUNTING": counting, "PARTIALS": cuda._PARTIALS},
        )
    for wanted in ((True, True), (True, False), (False, True)):
        assert compiled(
            cuda._gradients_kernel,
            [*pointers, f"*{x_recon}", f"*{x}", *5 * WIDE, f"*{wide}", "i64", "i64", "i64"],
            {"RECON": wanted[0], "X": wanted[1], **shape},
        )
