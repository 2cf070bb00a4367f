"""Every name of torch that begins with an underscore and that the suite relies on, and why.

They may change in any version of torch; then this is the file to mend.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

# Sees every operator that a call runs.
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode

# torch negates lazily what `conj().imag` gives; this makes such a view of any real tensor.
neg_view = torch._neg_view
NEG_VIEW = "torch._neg_view"  # as a reproducer writes it
# Imported before ranks start, since DTensor uses it and its import takes seconds.
DYNAMO = "torch._dynamo"


def version(tensor: Tensor) -> int:
    """How often a tensor was written to: in-place writes leave no other trace."""
    return tensor._version


def in_memory(tensor: Tensor) -> Tensor:
    """The tensor, or where forward mode has it as zeros without memory, as zeros with some."""
    return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor._is_zerotensor() else tensor


def hooks(tensor: Tensor) -> int:
    """How many hooks stand on a tensor; there is no public way to count them."""
    return len(tensor._backward_hooks or ())


def modes() -> tuple[int, int]:
    """How many dispatch and function modes are entered; entering one is no public state."""
    from torch._C import _len_torch_dispatch_stack, _len_torch_function_stack

    return _len_torch_dispatch_stack(), _len_torch_function_stack()


def print_options() -> Any:
    """Torch's print options, which can be set in public, and not read."""
    return torch._tensor_str.get_printoptions()


def fake_mode() -> Any:
    """A mode whose `from_tensor` makes fake tensors, which compilers trace with."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)


def aot_eager() -> Any:
    """The backend "aot_eager" as a function, which a backend that counts can call."""
    from torch._dynamo.backends.debugging import aot_eager as backend

    return backend


def often_compiled() -> contextlib.AbstractContextManager[Any]:
    """As many compilations of one function as there are kinds of calls."""
    import torch._dynamo as dynamo

    patched: contextlib.AbstractContextManager[Any] = dynamo.config.patch(
        recompile_limit=4000, accumulated_recompile_limit=10000
    )
    return patched


def fake_store() -> Any:
    """The store of torch's own fake process group, whose other members do not exist."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    return FakeStore()
