"""Every name of torch that begins with an underscore and that the suite relies on, and why.

They may change in any version of torch; then this is the file to mend.
"""

from __future__ import annotations

import contextlib
import sys
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
TRACE_LOG = "torch.__trace"  # the compiler takes its handler off at the first compilation


def version(tensor: Tensor) -> int:
    """How often a tensor was written to: in-place writes leave no other trace."""
    return tensor._version


def in_memory(tensor: Tensor) -> Tensor:
    """The tensor, or where forward mode has it as zeros without memory, as zeros with some."""
    return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor._is_zerotensor() else tensor


def hooks(tensor: Tensor) -> int:
    """How many hooks stand on a tensor; there is no public way to count them."""
    return len(tensor._backward_hooks or ()) + len(tensor._post_accumulate_grad_hooks or ())


def modes() -> tuple[int, int]:
    """How many dispatch and function modes are entered; entering one is no public state."""
    from torch._C import _len_torch_dispatch_stack, _len_torch_function_stack

    return _len_torch_dispatch_stack(), _len_torch_function_stack()


def threads_of_backward() -> bool:
    """Whether backward may use threads; it can be set in public, and not read."""
    return torch._C._is_multithreading_enabled()


def fills_new_memory() -> bool:
    """A public setting, which type checkers miss, as the class of its module makes it."""
    return torch._C._get_deterministic_fill_uninitialized_memory()


def saved_tensor_hooks() -> tuple[str | None, Any]:
    """Why hooks on saved tensors are forbidden, if they are, and the pair of hooks in force."""
    from torch._C import _autograd as autograd

    # Torch 2.8 and later; before, the pair is None.
    top = getattr(autograd, "_top_saved_tensors_default_hooks", lambda ignore: None)
    return autograd._saved_tensors_hooks_get_disabled_error_message(), top(True)


def set_saved_tensor_hooks(wanted: tuple[str | None, Any]) -> None:
    """Have `saved_tensor_hooks` return this: hooks that came since are taken off."""
    from torch._C import _autograd as autograd

    autograd._saved_tensors_hooks_enable()
    while saved_tensor_hooks()[1] not in (wanted[1], None):
        autograd._pop_saved_tensors_default_hooks()
    if wanted[1] is not None and saved_tensor_hooks()[1] is None:
        autograd._push_saved_tensors_default_hooks(*wanted[1])
    if wanted[0] is not None:
        autograd._saved_tensors_hooks_disable(wanted[0])


_SWITCHES = (
    "accumulated_recompile_limit",
    "assume_static_by_default",
    "automatic_dynamic_shapes",
    "capture_dynamic_output_shape_ops",
    "capture_scalar_outputs",
    "disable",
    "recompile_limit",
    "specialize_int",
    "suppress_errors",
    "verbose",
)


def compiler_switches() -> dict[str, Any]:
    """What programs set of the compiler, where it is not the default: none before its import."""
    config: Any = sys.modules.get(f"{DYNAMO}.config")
    known = getattr(config, "_config", {})  # the defaults, which nothing public tells
    set_now = {name: getattr(config, name) for name in _SWITCHES if name in known}
    return {name: value for name, value in set_now.items() if value != known[name].default}


def set_compiler_switches(wanted: dict[str, Any]) -> None:
    """Have `compiler_switches` return this."""
    config: Any = sys.modules[f"{DYNAMO}.config"]
    for name in {*compiler_switches(), *wanted}:
        setattr(config, name, wanted.get(name, config._config[name].default))


def print_options() -> Any:
    """Torch's print options, which can be set in public, and not read."""
    return torch._tensor_str.get_printoptions()


def fake_mode(real: bool = True) -> Any:
    """A mode whose `from_tensor` makes fake tensors; compilers let `real` ones meet them."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=real)


def aot_eager() -> Any:
    """The backend "aot_eager" as a function, which a backend that counts can call."""
    from torch._dynamo.backends.debugging import aot_eager as backend

    return backend


def uncompiled() -> contextlib.AbstractContextManager[Any]:
    """What is compiled runs as it is written; where there is no compiler yet, nothing is."""
    if DYNAMO not in sys.modules:
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def often_compiled() -> contextlib.AbstractContextManager[Any]:
    """As many compilations of one function as there are kinds of calls."""
    import torch._dynamo as dynamo

    limit = "recompile" if hasattr(dynamo.config, "recompile_limit") else "cache_size"  # torch 2.6
    limits: dict[str, Any] = {f"{limit}_limit": 4000, f"accumulated_{limit}_limit": 10000}
    patched: contextlib.AbstractContextManager[Any] = dynamo.config.patch(**limits)
    return patched


def fake_store() -> Any:
    """The store of torch's own fake process group, whose other members do not exist."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    return FakeStore()
