"""docs/: the index lists every page, links lead somewhere, and public names have docstrings."""

from __future__ import annotations

import doctest
import hashlib
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md")])
REFERENCE = (DOCS / "reference" / "index.rst").read_text(encoding="utf-8")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
MODULES = re.findall(r"^\.\. automodule:: (\S+)$", REFERENCE, re.MULTILINE)
SHOWN = [name for name in MODULES if f":: {name}\n   :no-members:" not in REFERENCE]


def prose(page: Path) -> str:
    """A page without its blocks of code, where `](` is no link."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in an address, as GitHub makes it."""
    found = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in found}


def test_the_index_lists_every_page() -> None:
    """docs/README.md has a line for each page of docs/, and for no other."""
    linked = [name for name, _ in LINK.findall(prose(DOCS / "README.md")) if "/" not in name]
    listed = [name for name in linked if name.endswith(".md")]
    assert sorted(listed) == sorted({page.name for page in DOCS.glob("*.md")} - {"README.md"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to a file of the repository, and to a heading in it."""
    for name, anchor in LINK.findall(prose(page)):
        aim = (page.parent / name).resolve() if name else page
        assert aim.exists(), f"{page.name} leads to {name}, which is not there"
        if anchor and aim.suffix == ".md":
            assert anchor in anchors(aim), f"{page.name} leads to {name}{anchor}"


def test_links_are_seen() -> None:
    """The pages have links, some of them to headings."""
    found = [link for page in PAGES for link in LINK.findall(prose(page))]
    assert len(found) > 60
    assert any(anchor for _, anchor in found)


def test_examples_of_the_command_run() -> None:
    """Every `>>>` in docs/verify.md; other pages have tests of their own."""
    found = doctest.testfile(str(DOCS / "verify.md"), module_relative=False, encoding="utf-8")
    assert (found.attempted > 2, found.failed) == (True, 0)


def public(module: str) -> Iterator[tuple[str, Any]]:
    """What a module of the reference offers, and the methods of its classes."""
    owner = importlib.import_module(module)
    for name in owner.__all__:
        found = getattr(owner, name)
        yield f"{module}.{name}", found
        if inspect.isclass(found):
            own = vars(found).items()
            kinds = (property, staticmethod, classmethod)
            for part, value in own:
                if not part.startswith("_") and (inspect.isfunction(value) or type(value) in kinds):
                    yield f"{module}.{name}.{part}", value


def test_public_names_have_docstrings() -> None:
    """Without one, the reference that `tox run -e docs` makes would leave them out in silence."""
    assert {"wavemae.models.losses", "wavemae.fused", "wavemae.properties"} <= set(SHOWN)
    bare, seen = [], 0
    for module in SHOWN:
        for name, value in public(module):
            kinds = (property, staticmethod, classmethod)
            if inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, kinds):
                seen += 1
                text = inspect.getdoc(value) or ""
                # A dataclass without one is given its signature.
                if not text or text.startswith(f"{name.rpartition('.')[2]}("):
                    bare.append(name)
    assert seen > 40
    assert bare == []


def test_the_picture_of_a_run_is_of_the_file_that_is_there() -> None:
    """docs/run.svg shows the command, the SHA-256 of the loss that was judged, and its mistakes."""
    picture = (DOCS / "run.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    assert "$ wavemae verify three_mistakes.py" in picture
    assert hashlib.sha256((DOCS / "three_mistakes.py").read_bytes()).hexdigest() in picture
    found = re.search(r"verdict  three_mistakes\.py: .* violates ([C\d, ]+)", picture)
    assert found is not None
    assert {"C3", "C7", "C8"} <= set(found[1].replace(",", " ").split())
    assert re.findall(r"(?:href|src|url)\W+http", picture) == []
