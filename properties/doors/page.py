"""A report as one page of HTML: it fetches nothing, and reads without JavaScript too."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from . import catalogue
from .escapes import printable
from .picture import HEIGHT, MARGIN, WIDTH, picture

_WEB = Path(__file__).parent / "web"
STATES = ("FAIL", "XPASS", "error", "also", "xfail", "not run", "skipped", "not claimed", "pass")


def html(report: dict[str, Any]) -> str:
    """The page of a report that `Table.as_json` made."""
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
        rows=_rows(report["subjects"]),
        found=[_failures(subject) for subject in report["subjects"]],
        states=STATES,
        clauses=catalogue.clauses(),
        style=style,
        program=program,
        # Nothing is fetched, and no script runs but the page's own, whatever a subject says.
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(program)}; "
        "base-uri 'none'; form-action 'none'",
        picture=picture,
        sizes={"width": WIDTH, "height": HEIGHT, "margin": MARGIN},
    )
