"""A report as one page of HTML: it fetches nothing, and reads without JavaScript too."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import catalogue, explaining
from .escapes import printable
from .grouped import MEANING, by_clause, told
from .picture import HEIGHT, MARGIN, WIDTH, picture
from .remedies import REMEDIES

if TYPE_CHECKING:
    from markupsafe import Markup

_WEB = Path(__file__).parent / "web"


def html(report: dict[str, Any], compared: dict[str, Any] | None = None) -> str:
    """The page of a report that `Table.as_json` made; `compared` is `Comparison.as_json`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_WEB, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, program = ((_WEB / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    report = printable(report)
    return environment.get_template("page.html").render(
        report=report,
        compared=printable(compared),
        rows=_rows(report["subjects"]),
        told=[list(told(subject)) for subject in report["subjects"]],
        meaning=MEANING,
        clauses=catalogue.clauses(),
        contract={clause: _prose(explaining.clause_text(clause)) for clause in catalogue.clauses()},
        remedies=REMEDIES,
        style=style,
        program=program,
        # Nothing is fetched, and no script runs but the page's own, whatever a subject says.
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(program)}; "
        "base-uri 'none'; form-action 'none'",
        picture=picture,
        sizes={"width": WIDTH, "height": HEIGHT, "margin": MARGIN},
    )


def _prose(markdown: str) -> Markup:
    """Words of the contract, their code and emphasis as HTML."""
    from markupsafe import Markup, escape

    parts = str(escape(markdown)).split("`")
    for number, part in enumerate(parts):
        code = number % 2
        emphasised = re.sub(r"(?<!\w)\*([^*]+)\*(?!\w)", r"<em>\1</em>", part)
        parts[number] = f"<code>{part}</code>" if code else emphasised
    return Markup("".join(parts))


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest())
    return f"'sha256-{digest.decode('ascii')}'"


def _rows(subjects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each property: what it asks, and its state for each subject."""
    rows: dict[str, dict[str, Any]] = {}
    for number, subject in enumerate(subjects):
        for cell in subject["cells"]:
            said = {key: cell[key] for key in ("property", "clause", "statement")}
            row = rows.setdefault(cell["property"], said | {"cells": [None] * len(subjects)})
            row["cells"][number] = cell
    return [rows[identifier] for identifier in sorted(rows, key=by_clause)]
