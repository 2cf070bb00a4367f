"""Errors that users make: each is answered by a line that says what to do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from wavemae.properties import Claims, Subject, load_subject
from wavemae.properties import targets as places
from wavemae.properties.run import mistakes, preflight
from wavemae.properties.run.traits import stated, traits

from wavemae.models import losses


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with its package in src, as the working directory."""
    for name in ("src/spectra_of_mine/__init__.py", "src/spectra_of_mine/losses.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(target: str) -> str:
    """Why the target cannot be used, found out as the command does, and within a second."""
    (answer,) = preflight._try_all([target], "cpu").values()
    return str(answer.fault)


def test_a_file_in_another_folder_is_found(folder: Path) -> None:
    """Where it is is said, if there is only one of that name."""
    assert places.fault("losses.py") == (
        "there is no file 'losses.py'; there is 'src/spectra_of_mine/losses.py'"
    )
    (folder / "losses.py").mkdir()
    (folder / "other").mkdir()
    (folder / "other" / "losses.py").touch()
    assert places.fault("no/losses.py") == "there is no file 'no/losses.py'"


def test_a_module_in_another_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the working directory, in it, and above it; each with what makes it importable."""
    name = "spectra_of_mine.losses"
    file = Path("src/spectra_of_mine/losses.py")
    assert f"it is '{file}': install its package, or set PYTHONPATH=src" in str(places.fault(name))
    monkeypatch.chdir(folder / "src")
    monkeypatch.setattr("sys.path", [])
    assert "is not on Python's path: set PYTHONPATH=." in str(places.fault(name))
    monkeypatch.chdir(folder / "src" / "spectra_of_mine")
    assert f"so run it in {str(folder / 'src')!r}" in str(places.fault(name))


def test_relative_imports_name_the_package(folder: Path) -> None:
    """The module's name, and the folder in which it has that name."""
    file = folder / "src" / "spectra_of_mine" / "deep.py"
    file.write_text("from . import losses\n")
    said = found(f"{file}:SUBJECT")
    assert "attempted relative import" in said
    assert said.endswith(f"in {folder / 'src'}, wavemae verify spectra_of_mine.deep:SUBJECT")
    lone = folder / "lone.py"
    lone.write_text("from . import losses\n")
    assert "has no package: import by full names" in found(str(lone))


def test_a_subject_in_the_file_is_named(folder: Path) -> None:
    """As it is given on the command line; with several, all of them."""
    text = "import torch\nfrom wavemae.properties import Subject\n"
    text += "def loss(x_recon, x, mask, *, reduction='mean'):\n    return x.sum()\n"
    (folder / "subj.py").write_text(text + "SUBJECT = Subject('s', masked_mse=loss)\n")
    assert found("subj.py").endswith("; it has SUBJECT: wavemae verify subj.py:SUBJECT")
    (folder / "two.py").write_text(
        text + "A = Subject('a', masked_mse=loss)\nB = Subject('b', masked_mse=loss)\n"
    )
    assert found("two.py").endswith("; it has A and B: wavemae verify two.py:A two.py:B")


def test_an_import_that_does_not_end_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line where it was, and where such things belong."""
    monkeypatch.setattr(preflight, "SECONDS", 1.5)
    (folder / "trains.py").write_text(
        "import time\ndef fit():\n    print('epoch 1', flush=True)\n    time.sleep(60)\nfit()\n"
    )
    assert found("trains.py") == (
        "gave no answer within 1.5 s of its import; it was at trains.py, line 4; "
        'what trains, downloads or plots belongs under `if __name__ == "__main__":`'
    )


def test_a_call_that_does_not_end_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the import then."""
    monkeypatch.setattr(preflight, "SECONDS", 1.5)
    (folder / "hangs.py").write_text(
        "import time\ndef masked_mse(x_recon, x, mask, *, reduction='mean'):\n    time.sleep(60)\n"
    )
    said = found("hangs.py")
    assert said.startswith("gave no answer within 1.5 s of import and smoke calls; it was at ")
    assert said.endswith("hangs.py, line 3")


def test_a_look_that_does_not_end_costs_the_advice_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss that hangs, or dies, in some other call is still judged."""
    monkeypatch.setattr(preflight, "_LOOK", 1)
    for name, does in {"hangs": "time.sleep(60)", "dies": "os._exit(3)"}.items():
        (folder / f"{name}.py").write_text(
            "import os, time\nfrom wavemae.models import losses\n"
            "def masked_mse(x_recon, x, mask, *, reduction='mean'):\n"
            f"    if x.is_meta or x.requires_grad: {does}\n"
            "    return losses.masked_mse(x_recon, x, mask, reduction=reduction)\n"
        )
        (answer,) = preflight._try_all([f"{name}.py"], "cpu").values()
        assert (answer.fault, answer.traits) == (None, {})


def test_functions_of_other_names_are_listed() -> None:
    """Those that look like losses, else any that take three arguments; with a Subject's line."""

    def masked_l2(prediction: Any, target: Any, mask: Any, weight: float = 1.0) -> None: ...

    def sse_loss(a: Any, b: Any, m: Any) -> None: ...

    def three(a: Any, b: Any, c: Any) -> None: ...

    def one(a: Any) -> None: ...

    names = ("masked_sse", "masked_mse")
    module = SimpleNamespace(
        one=one, three=three, masked_l2=masked_l2, torch=torch, Size=torch.Size
    )
    said = mistakes.of_names("pkg/own.py", module, names)
    assert "it has masked_l2(prediction" in said
    assert "three" not in said
    assert 'SUBJECT = Subject("masked_l2", masked_mse=own.masked_l2)' in said
    said = mistakes.of_names("pkg.own", SimpleNamespace(sse_loss=sse_loss), names)
    assert "masked_sse=pkg.own.sse_loss" in said
    assert "it has three(" in mistakes.of_names("a.py", SimpleNamespace(three=three), names)
    assert mistakes.of_names("a.py", SimpleNamespace(one=one), names) == ""
    assert mistakes.of_names("a.py:NONE", None, names) == ""


def seen(**functions: Any) -> Any:
    """The traits of a subject."""
    return traits(Subject("s", **functions))


def test_the_definition_has_no_traits() -> None:
    """Nothing is refused, nothing is unusual."""
    found = seen(masked_mse=losses.masked_mse, masked_sse=losses.masked_sse)
    assert (found.claims, found.refused, found.notes) == ({}, {}, [])


def float32_only(x_recon: Any, x: Any, mask: Any, *, reduction: str = "mean") -> Any:
    """Refuses other dtypes, and other reductions."""
    if x.dtype != torch.float32 or reduction != "mean":
        raise TypeError
    return losses.masked_mse(x_recon, x, mask)


class Once(torch.autograd.Function):
    """A backward that is not differentiable, and no more."""

    @staticmethod
    def forward(ctx: Any, x_recon: Any, x: Any, mask: Any) -> Any:
        """The definition's value."""
        ctx.save_for_backward(x_recon, x, mask)
        return losses.masked_mse(x_recon, x, mask, reduction="sum")

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Any) -> Any:
        """Right, once."""
        x_recon, x, mask = ctx.saved_tensors
        gradient = torch.where(mask, 2 * (x_recon - x) * upstream, 0)
        return gradient, -gradient, None


def once(x_recon: Any, x: Any, mask: Any, *, reduction: str = "mean") -> Any:
    """By `Once`, whatever the reduction."""
    return Once.apply(x_recon, x, mask)


def host(x_recon: Any, x: Any, mask: Any, *, reduction: str = "mean") -> Any:
    """Reads its data, and has no graph."""
    return torch.tensor(float(losses.masked_mse(x_recon, x, mask)))


def test_what_is_refused_is_seen() -> None:
    """As the fields of Claims that would say so."""
    assert seen(masked_mse=float32_only).refused == {"dtypes": ["float32"], "reductions": ["mean"]}
    refused = seen(masked_mse=once).refused
    assert refused == {"second_order": False, "transforms": False}
    assert seen(masked_mse=host).refused == {"gradients": False}
    half = seen(masked_mse=lambda a, b, m, *, reduction="mean": ((a - b) ** 2)[m].mean())
    assert half.refused["half_result"] == "half"


def test_what_is_not_claimed_is_not_advised() -> None:
    """And what is claimed otherwise stays in the line."""
    claims = Claims(transforms=False)
    found = traits(Subject("s", masked_mse=once, claims=claims))
    assert found.claims == {"transforms": False} == stated(claims)
    assert found.refused == {"second_order": False}


def test_a_mask_that_says_what_is_visible_is_noticed() -> None:
    """Only where the loss is right for ~mask and wrong for the mask."""
    (note,) = seen(masked_mse=lambda a, b, m, **given: losses.masked_mse(a, b, ~m, **given)).notes
    assert "masked_mse is right for ~mask" in note
    assert seen(masked_mse=lambda a, b, m, **given: ((a - b) ** 2).mean()).notes == []


def test_reductions_that_are_no_keyword_are_noticed() -> None:
    """By position, by another name, or none at all; each with the adapter."""

    def mode(x_recon: Any, x: Any, mask: Any, mode: str = "mean") -> Any:
        return losses.masked_mse(x_recon, x, mask)

    def none(x_recon: Any, x: Any, mask: Any) -> Any:
        return losses.masked_mse(x_recon, x, mask)

    def both(x_recon: Any, x: Any, mask: Any, reduction: Any = "mean") -> Any:
        return losses.masked_mse(x_recon, x, mask, reduction=reduction)

    (note,) = seen(masked_mse=mode).notes
    assert "takes no keyword `reduction` (but mode)" in note
    assert "return yours(x_recon, x, mask, reduction)" in note
    (note,) = seen(masked_mse=none).notes
    assert "return yours(x_recon, x, mask), with WAVEMAE_CLAIMS" in note
    (note,) = seen(masked_mse=both).notes
    assert "takes `reduction` by position too" in note
    assert traits(Subject("s", masked_mse=both, claims=Claims(strict_inputs=False))).notes == []


def test_a_loss_that_takes_no_reduction_ends_before_it_is_judged(folder: Path) -> None:
    """With the adapter in the same line as what it raised."""
    (folder / "mode.py").write_text("def masked_mse(x, y, m, mode='mean'):\n    return x.sum()\n")
    said = found("mode.py")
    assert said.startswith("answers none of the simplest calls; the first raised TypeError")
    assert "masked_mse takes no keyword `reduction` (but mode): wrap it" in said
    (folder / "one.py").write_text(
        "def masked_mse(x, y, m):\n    return (x - y).square()[m].mean()\n"
    )
    assert 'with WAVEMAE_CLAIMS = {"reductions": ["mean"]} beside it' in found("one.py")


def test_the_advice_of_the_guide_is_for_targets_too(folder: Path) -> None:
    """A Subject in a file is looked at like any other, and a program is not."""
    (folder / "only.py").write_text(
        "import torch\nfrom wavemae.models import losses\n"
        "def masked_mse(x_recon, x, mask, *, reduction='mean'):\n"
        "    if x.dtype == torch.float64: raise TypeError('no')\n"
        "    return losses.masked_mse(x_recon, x, mask, reduction=reduction)\n"
    )
    (answer,) = preflight._try_all(["only.py"], "cpu").values()
    assert answer.traits["refused"] == {"dtypes": ["float32", "float16", "bfloat16"]}
    assert load_subject("only.py").claims == Claims()
    assert preflight.look_at("command:./port", "cpu") == {}
