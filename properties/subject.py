"""A subject: the implementation under test, what it claims, what is known to be wrong with it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from . import sources, targets
from .inputs.cases import DEFAULT_REDUCTION, DTYPES, FUNCTIONS, REDUCTIONS
from .judge import oracle
from .judge.violation import Violation


class TargetError(Exception):
    """The target cannot be used as a subject: it names nothing, does not import, or is no loss.

    `found` is what it names, where that is no loss.
    """

    def __init__(self, message: str, found: Any = None) -> None:
        super().__init__(message)
        self.found = found


@dataclass(frozen=True)
class Claims:
    """What a subject promises. Properties that need something not claimed are not run.

    Attributes:
        dtypes: of `x_recon` and `x`, by name, in any pairing.
        devices: device types it takes.
        reductions: it offers. Where a case asks for another one, it is called with the first of
            these.
        gradients: C11–C12, and all other gradient properties.
        second_order: reverse over reverse (C13).
        forward_mode: `torch.func.jvp` and dual numbers (C13, C19).
        transforms: `torch.func.vmap` and its nestings (C19).
        compile: `torch.compile(fullgraph=True)` and `torch.export` (C18).
        data_independent: meta and fake tensors, nothing read back to the host (C17).
        distributed: DTensor inputs (C20). Where ranks cannot be had, with a torch before 2.9 or
            without gloo, the claim stands and its properties are skipped, with that reason.
        strict_inputs: refuses bad input as C3 says.
        half_result: dtype of the result when both inputs are half: "float32" as C5 says, or "half".
        roundoffs: the most of C6, which allows min(n + 8, roundoffs) unit roundoffs: 256 in the
            contract. A smaller one is a tighter claim, to which the subject is held; a larger one
            a weaker claim, which then holds for every n.
    """

    dtypes: tuple[str, ...] = DTYPES
    devices: tuple[str, ...] = ("cpu", "cuda")
    reductions: tuple[str, ...] = REDUCTIONS
    gradients: bool = True
    second_order: bool = True
    forward_mode: bool = True
    transforms: bool = True
    compile: bool = True
    data_independent: bool = True
    distributed: bool = True
    strict_inputs: bool = True
    half_result: Literal["float32", "half"] = "float32"
    roundoffs: float = 256

    def __post_init__(self) -> None:
        unknown = set(self.dtypes) - set(DTYPES)
        if unknown or not self.dtypes:
            raise ValueError(
                f"dtypes must be one or more of {DTYPES}, got {self.dtypes!r}; give them by name"
            )
        if set(self.reductions) - set(REDUCTIONS) or not self.reductions:
            raise ValueError(
                f"reductions must be one or more of {REDUCTIONS}, got {self.reductions!r}; leave "
                "out those that it does not offer"
            )

    def missing(self, needs: tuple[str, ...]) -> str | None:
        """The first of `needs` that is not claimed, or None."""
        if not self.gradients:
            needs = tuple(
                "gradients" if n in ("second_order", "forward_mode") else n for n in needs
            )
        return next((need for need in needs if not getattr(self, need)), None)


@dataclass(frozen=True)
class Subject:
    """One implementation: a name, one or both functions, claims, expected failures.

    Attributes:
        name: as the table shows it.
        masked_sse, masked_mse: the callables; one of them is enough.
        claims: what it promises; everything, unless told otherwise.
        expected_failures: property id to reason. Each is still run; one that passes is an error,
            and so is an unknown id or an empty reason.
        imports: the line that brings the functions into a reproducer's scope.
        target: by which `load_subject` finds it in another process too; it is filled in there.
        file: where it came from, as `load_subject` notes it.

    Raises:
        ValueError: no function, or an expected failure without a reason.
    """

    name: str
    masked_sse: Callable[..., Any] | None = None
    masked_mse: Callable[..., Any] | None = None
    claims: Claims = Claims()
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    imports: str = ""
    target: str = field(default="", compare=False)
    file: str | None = None

    def __post_init__(self) -> None:
        if self.masked_sse is None and self.masked_mse is None:
            raise ValueError(
                f"subject {self.name!r} has neither masked_sse nor masked_mse; give at least one"
            )
        for function in FUNCTIONS:
            given = getattr(self, function)
            if given is not None and not callable(given):
                raise ValueError(f"{function} must be callable, got {type(given).__name__}")
        for identifier, reason in self.expected_failures.items():
            if not isinstance(reason, str) or not reason.strip():
                raise ValueError(
                    f"expected failure {identifier!r} has no reason; give one in words"
                )

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the functions that it has."""
        return tuple(name for name in FUNCTIONS if getattr(self, name) is not None)

    def sources(self) -> list[str]:
        """Its file, then those that its functions come from, as far as they are known."""
        own = [self.file] if self.file and Path(self.file).is_file() else []
        found = sources.files(getattr(self, name) for name in self.functions)
        return list(dict.fromkeys([*own, *found]))

    def unasked(self, identifier: str) -> str | None:
        """Why the property cannot be asked of such a subject at all, or None."""
        return None

    def restart(self) -> None:
        """Begin a property: where a process answers for the subject and has ended, anew."""

    def ended(self) -> Violation | None:
        """How what answers for the subject ended since `restart`, if it did."""
        return None

    def missing(self, needs: tuple[str, ...]) -> str | None:
        """What of `needs` it does not claim, in words, or None.

        A need is the name of a claim, a dtype, a reduction, or "default": that of some function
        it has.
        """
        claims = self.claims
        if "default" in needs and not any(
            DEFAULT_REDUCTION[name] in claims.reductions for name in self.functions
        ):
            return "the default reduction"
        for need in needs:
            if need in REDUCTIONS and need not in claims.reductions:
                return f"the reduction {need!r}"
            if need in DTYPES and need not in claims.dtypes:
                return f"the dtype {need!r}"
        others = (*REDUCTIONS, *DTYPES, "default")
        return claims.missing(tuple(n for n in needs if n not in others))

    def result_dtype(self, x_recon: torch.dtype, x: torch.dtype) -> torch.dtype:
        """C5: promote(x_recon, x, float32), or without float32 where half results are claimed."""
        if self.claims.half_result == "half":
            return torch.promote_types(x_recon, x)
        return oracle.result_dtype(x_recon, x)


def load_subject(target: str) -> Subject:
    """The subject that a TARGET names: `pkg.losses`, `path/losses.py`, either with `:ATTR`.

    A module needs `masked_sse` or `masked_mse`; ATTR may be a `Subject` or anything with those
    attributes, and may claim less, or more, than the contract in a mapping `WAVEMAE_CLAIMS`.
    Whatever the import raises comes out as it is. `command:./port` names a program that answers
    over pipes (docs/ports.md).

    Raises:
        TargetError: there is no such module, file or attribute, or it holds no loss.
    """
    if target.startswith(targets.COMMAND):
        from .ports import first_line  # which makes subjects of its own

        return first_line.subject_of(target.removeprefix(targets.COMMAND))
    place, _, attribute = targets.split(target)
    module = _import(place)
    found: Any = module
    for part in attribute.split(".") if attribute else []:
        if not hasattr(found, part):
            raise TargetError(f"{place} has no attribute {part!r} (asked for by {target!r})")
        found = getattr(found, part)
    file = getattr(module, "__file__", None)
    if isinstance(found, Subject):
        names = [name for name in FUNCTIONS if getattr(found, name) is not None]
        lines = found.imports or _import_line(place, attribute, names)
        return replace(found, target=target, file=file, imports=_on_the_path(place) + lines)
    if type(found).__name__ == "Subject" and hasattr(found, "expected_failures"):
        raise TargetError(
            f"{target} is a Subject of another import of this suite; import it from "
            "wavemae.properties"
        )
    losses = {name: getattr(found, name, None) for name in FUNCTIONS}
    if not any(callable(loss) for loss in losses.values()):
        raise TargetError(
            f"{target} has neither masked_sse nor masked_mse; name a module or a Subject that has",
            found,
        )
    names = [name for name, loss in losses.items() if callable(loss)]
    return Subject(
        target,
        losses["masked_sse"],
        losses["masked_mse"],
        claims=_stated_claims(target, found),
        imports=_on_the_path(place) + _import_line(place, attribute, names),
        target=target,
        file=file,
    )


def _stated_claims(target: str, module: Any) -> Claims:
    """What a module says of itself in `WAVEMAE_CLAIMS`, a mapping of fields of Claims."""
    stated = getattr(module, "WAVEMAE_CLAIMS", {})
    try:
        return Claims(**stated)
    except (TypeError, ValueError) as error:
        raise TargetError(f"WAVEMAE_CLAIMS of {target} is not understood: {error}") from None


def _import(place: str) -> Any:
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name and (place == error.name or place.startswith(error.name + ".")):
                raise TargetError(
                    f"there is no module {place!r}; for a file give its path, ending in .py"
                ) from None
            raise
    path = Path(place).resolve()
    if not path.is_file():
        raise TargetError(f"there is no file {place!r}")
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if known is not None or not name.isidentifier():
        name = f"_wavemae_target_{abs(hash(str(path)))}"
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{place!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _on_the_path(place: str) -> str:
    """The lines that let a program import a target, whichever folder it is run in, if any."""
    if place.endswith(".py"):
        folder = Path(place).resolve().parent
    else:
        top = sys.modules.get(place.split(".")[0])
        found = getattr(top, "__file__", None) or next(iter(getattr(top, "__path__", [])), "")
        package = "." in place or hasattr(top, "__path__")
        folder = Path(found).resolve().parent
        folder = folder.parent if package and Path(found).name == "__init__.py" else folder
        if folder != Path.cwd():
            return ""  # it is installed, or on a path that the program is given too
    return f"import sys\nsys.path.insert(0, {str(folder)!r})\n"


def _import_line(place: str, attribute: str, names: list[str]) -> str:
    source = Path(place).stem if place.endswith(".py") else place
    head = attribute.split(".")[0] if attribute else ", ".join(names)
    line = f"from {source} import {head}"
    if not all(part.isidentifier() for part in source.split(".")):
        line = f"from importlib import import_module\n{head} = import_module({source!r}).{head}"
        if not attribute:
            module = f"import_module({source!r})"
            line = "from importlib import import_module\n"
            line += "\n".join(f"{name} = {module}.{name}" for name in names)
    return "\n".join([line, *(f"{name} = {attribute}.{name}" for name in names if attribute)])
