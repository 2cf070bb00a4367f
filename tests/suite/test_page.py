"""Reports: what they hold, that they show hostile words as words, and the page in a browser."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import wavemae.properties
from wavemae.properties import Case, Mask, Operand
from wavemae.properties.doors import baseline, catalogue, markdown, page
from wavemae.properties.doors.picture import picture
from wavemae.properties.doors.report import Cell, Table
from wavemae.properties.inputs.window import COLUMNS, ROWS, window

from .browser import PROGRAM, Browser

HOUSE = Path(wavemae.properties.__file__).parent
SCHEMA = json.loads((HOUSE / "report.schema.json").read_text(encoding="utf-8"))
STYLE = (HOUSE / "doors" / "web" / "page.css").read_text(encoding="utf-8")
HOSTILE = "</script><script>document.title = 'owned'</script><img src=x onerror='document.title=1'>"
HOSTILE += "\"'`|*_&lt;\x1b[2J\ud800\u202e{{ 7 * 7 }}"
LEAK = Case(
    x_recon=Operand(values=(0.5, float("nan"), -1.25e38, 4.0, float("inf"), 0.1)),
    x=Operand("float16", layout="transposed"),
    mask=Mask((True, False, True, True, True, False)),
)


def example(
    case: Case, words: str = "the value changes with what stands outside"
) -> dict[str, Any]:
    """A counterexample as the plugin notes it."""
    return {
        "what": words,
        "got": f"nan {words}",
        "wanted": "2.0625",
        "bound": "exact",
        "case": case.to_dict(),
        "tensors": window(case),
        "script": f"print('''\n```\n{words}''')\n# " + words,
        "again": f"python -m wavemae.properties {words}",
    }


def table(words: str = "") -> Table:
    """Two targets, all of whose properties passed but a few; `words` are in all that they say."""
    targets = ["mine.py", f"other{words}.py"]
    settings = {"torch": "2.13.0", "device": "cpu", "profile": "quick", "seed": 0}
    made = Table(targets, settings, of=len(catalogue.entries()))
    for target, entry in itertools.product(targets, catalogue.entries()):
        made.add(target, Cell(entry.id, "pass", "", 9, 3, 0.1))
    for identifier in ("C8-excluded-value", "C12-excluded-gradient"):
        found = example(LEAK, f"the value changes{words}")
        made.add("mine.py", Cell(identifier, "FAIL", found["what"], counterexample=found))
    crash = f"ValueError came out: no{words}"
    for target in targets:
        made.add(target, Cell("C7-empty", "FAIL", crash, counterexample=example(Case(), crash)))
    made.add(targets[1], Cell("C20-two-ranks", "skipped", f"torch is too old{words}"))
    made.add(targets[1], Cell("C18-compile", "not claimed", f"no compile{words}"))
    made.add(targets[1], Cell("C18-export", "xfail", f"as expected{words}"))
    made.sources[targets[1]] = {f"/somewhere/other{words}.py": "0" * 64}
    return made


class Tags(HTMLParser):
    """Every element of a page, with the names of its attributes, and every attribute's value."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.values: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.values += [(name, value or "") for name, value in attrs]


def test_the_window_shows_what_matters() -> None:
    """All of a small case; of a large one the part around the first masked NaN; exact numbers."""
    small = window(LEAK)
    assert small is not None
    assert small["x_recon"] == [
        ["0.5", "nan", "-1.2500000360947476e+38"],
        ["4.0", "inf", "0.10000000149011612"],
    ]
    assert small["mask"] == ["101", "110"]
    far, last_one = (3 * 5000 + 20, float("inf")), (40 * 5000 - 1, float("nan"))
    case = Case(shape=(40, 5000), mask=Mask("last")).but(x_recon__edits=(far, last_one))
    masked, outside = window(case), window(case.but(x_recon__edits=(far,)))
    assert masked is not None
    assert (masked["origin"], masked["x_recon"][-1][-1]) == ([40 - ROWS, 5000 - COLUMNS], "nan")
    assert outside is not None
    assert (outside["origin"], outside["x_recon"][1][1]) == ([2, 19], "inf")
    assert (len(outside["mask"]), len(outside["mask"][0])) == (ROWS, COLUMNS)
    assert window(Case(shape=(0, 3))) is None
    assert window(Case(shape=(1, 2**20 + 1))) is None


def test_reports_fit_the_schema_and_are_read_again(tmp_path: Path) -> None:
    """What was written comes back, hostile words and all; causes name each failure once."""
    made = table(HOSTILE)
    file = tmp_path / "report.json"
    made.write(str(file), str(tmp_path / "report.md"), str(tmp_path / "report.html"))
    report = baseline.read(str(file))
    jsonschema.validate(report, SCHEMA)
    assert report == made.as_json()
    for subject in report["subjects"]:
        named = [
            name
            for cause in subject["causes"]
            for name in (*cause["properties"], *cause["following"])
        ]
        failed = [cell["property"] for cell in subject["cells"] if cell["state"] == "FAIL"]
        assert sorted(named) == sorted(failed)


def test_a_report_of_the_first_version_is_read(tmp_path: Path) -> None:
    """By `wavemae compare` and as a baseline: it had no date, causes, statements or tensors."""
    report = table().as_json()
    old = copy.deepcopy(report) | {"schema_version": 1}
    del old["date"]
    for subject in old["subjects"]:
        del subject["causes"]
        for cell in subject["cells"]:
            for key in ("statement", "part", "elsewhere"):
                del cell[key]
            if cell["counterexample"]:
                del cell["counterexample"]["tensors"]
    file = tmp_path / "old.json"
    file.write_text(json.dumps(old), encoding="utf-8")
    found = baseline.compare(baseline.read(str(file)), report)
    assert [each.unchanged for each in found.targets] != [[], []]
    assert found.exit_code() == 0
    assert [each.newly or each.fixed for each in found.targets] == [[], []]


def test_the_page_holds_all_of_the_report() -> None:
    """Every property, state, reason and program; where and with what it was run."""
    report = table().as_json()
    text = page.html(report)
    for subject in report["subjects"]:
        assert subject["verdict"] in text
        for source in subject["sources"]:
            assert source["sha256"] in text
        for cell in subject["cells"]:
            assert f"<code>{cell['property']}</code>" in text
            assert cell["reason"] in text
    for key in ("date", "torch", "python", "platform", "profile"):
        assert report[key] in text
    assert "The functions are <code>masked_sse(x_recon, x, mask, *, reduction=&#34;" in text
    assert "<em>where the 256" in text.lower()
    assert "```\nthe value changes&#39;&#39;&#39;)" in text


def test_the_picture_is_the_case() -> None:
    """A square for each element, by the mask; what is not finite is marked, and said in words."""
    found = picture(example(LEAK))
    assert found is not None
    kinds = [[square.kind for square in panel.squares] for panel in found.panels]
    mask = ["masked", "outside", "masked", "masked", "masked", "outside"]
    assert kinds[1] == mask
    assert kinds[0] == [f"{k} odd" if i in (1, 4) else k for i, k in enumerate(mask)]
    assert [s.short for s in found.panels[0].squares][:3] == ["0.5", "NaN", "-1.25e+38"]
    assert [panel.name for panel in found.panels] == ["x_recon, float32", "x, float16, transposed"]
    assert found.words == (
        "masked_mse(x_recon, x, mask, reduction='mean') of shape (2, 3); 4 of 6 masked; "
        "NaN in x_recon, outside the mask: (0, 1); +Inf in x_recon, masked: (1, 1)"
    )
    squares = [(s.left, s.top) for panel in found.panels for s in panel.squares]
    assert len(set(squares)) == 12
    assert max(x for x, _ in squares) < found.width
    assert max(y for _, y in squares) < found.height


def test_the_page_fetches_nothing() -> None:
    """No attribute or style leads anywhere but into the page, and its policy allows no more."""
    text = page.html(table().as_json())
    values = Tags(text).values
    leading = [value for name, value in values if name in ("src", "href", "srcset", "action")]
    assert leading
    assert {value[0] for value in leading} == {"#"}
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    (policy,) = (value for name, value in values if value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_hostile_words_are_words() -> None:
    """The page has the same elements and attributes, whatever the subjects say."""
    tame, hostile = (page.html(table(words).as_json()) for words in ("", HOSTILE))
    assert Tags(hostile).elements == Tags(tame).elements
    assert "{{ 7 * 7 }}" in hostile
    assert "\\x1b[2J\\ud800\\u202e" in hostile
    assert not re.search("[\x00-\x08\x1b\ud800\u202e]", hostile)


def test_hostile_words_in_markdown() -> None:
    """As many cells in each row, no tag of theirs, no code that ends early."""
    tame, hostile = (markdown.summary(table(words).as_json()) for words in ("", HOSTILE))
    rows = [line for line in hostile.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}
    outside = re.sub(r"^( *)(`{3,})python\n.*?^\1\2$", "", hostile, flags=re.MULTILINE | re.DOTALL)
    outside = re.sub(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)", "", outside)
    assert set(re.findall(r"<\w+", outside)) == {"<details", "<summary"}
    assert len(hostile.splitlines()) == len(tame.splitlines())


def test_markdown_has_reasons() -> None:
    """By cause, the worst first, with a program; then the table."""
    text = markdown.summary(table().as_json())
    value, crash = (text.index(f"**{kind}**") for kind in ("wrong value or gradient", "crash"))
    assert value < text.index("- FAIL `C8-excluded-value`") < crash < text.index("| property |")
    assert "May go with it:\n\n- FAIL `C12-excluded-gradient`: the value changes" in text
    assert "- skipped `C20-two-ranks`: torch is too old" in text
    assert text.count("```python") == 3


def test_hostile_words_that_are_new() -> None:
    """What a report says of a baseline is shown as words too."""
    report = table(HOSTILE).as_json()
    old = copy.deepcopy(report)
    for subject in old["subjects"]:
        subject["cells"] = []
    differs = baseline.compare(old, report).as_json()
    assert any(HOSTILE in row["said"] for row in differs["rows"])
    section = markdown.summary(report, differs).partition("### Compared")[2].partition("###")[0]
    assert not re.search(r"<\w", re.sub(r"`[^`]*`", "", section))
    tame, hostile = Tags(page.html(report)), Tags(page.html(report, differs))
    more = set(hostile.elements) - set(tame.elements)
    assert {name for name, *_ in more} <= {"h2", "ul", "li", "strong", "code"}


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2, from 1 to 21, of two colours as #rrggbb."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    dark, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_text_has_contrast() -> None:
    """At least 4.5 to 1, WCAG's AA, in light and in dark, on everything that it stands on."""
    palettes = [dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in STYLE.split("@media")[:2]]
    assert [len(colours) for colours in palettes] == [11, 11]
    for colours in palettes:
        inks = ("ink", "soft", "link", "bad", "good", "odd")
        pairs = {*itertools.product(inks, ["paper"]), ("ink", "block"), ("ink", "masked")}
        pairs |= {("soft", "outside"), ("odd", "masked"), ("odd", "outside")}
        poor = {pair: contrast(*(colours[name] for name in pair)) for pair in pairs}
        assert {pair: ratio for pair, ratio in poor.items() if ratio < 4.5} == {}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser of this test's own."""
    if PROGRAM is None:
        pytest.skip("no Chromium is installed here (Debian: apt-get install chromium)")
    made = Browser(tmp_path / "profile")
    yield made
    made.close()


SHOWN = "[...document.querySelectorAll('{}')].filter(e => e.checkVisibility()).length"
COUNTS = f"[{SHOWN.format('.finding')}, {SHOWN.format('#properties tbody tr')}]"


def test_the_page_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    """Filters by mouse and by address, a copied program, no script of a subject's, no request."""
    made = table(HOSTILE)
    file = tmp_path / "report.html"
    made.write(None, None, str(file))
    every = len(catalogue.entries())
    browser.open(file.as_uri())
    title = browser.evaluate("document.title")
    assert title.startswith("mine.py, other</script>")
    assert browser.settles(COUNTS, [6, every])
    browser.click("input[name=text]")
    browser.type("too old")
    assert browser.settles(COUNTS, [1, 1])
    assert browser.evaluate("location.hash") == "#text=too+old"
    browser.click("button[type=reset]")
    assert browser.settles(COUNTS, [6, every])
    browser.evaluate("location.hash = '#state=FAIL&clause=C12'")
    assert browser.settles(COUNTS, [1, 1])
    assert browser.evaluate("document.getElementById('s0-C12-excluded-gradient').open") is True
    browser.open(file.as_uri() + "#s1-C20-two-ranks")
    assert browser.settles("document.getElementById('s1-C20-two-ranks').open", True)
    browser.ask(
        "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
    )
    browser.ask("Emulation.setFocusEmulationEnabled", enabled=True)
    browser.click("#s0-C8-excluded-value .program button")
    said = "document.querySelector('#s0-C8-excluded-value .program button').textContent"
    assert browser.settles(said, "Copied")
    program = (
        page.html(made.as_json()).partition('<pre tabindex="0"><code>')[2].partition("</code>")
    )
    assert browser.evaluate("navigator.clipboard.readText()") == unescape(program[0])
    assert browser.evaluate("document.title") == title
    assert browser.complaints == []
    assert {a for a in browser.asked if a != "about:blank"} == {file.as_uri()}


def test_the_page_without_javascript_and_in_the_dark(browser: Browser, tmp_path: Path) -> None:
    """Everything is shown, without filters that do nothing; the colours follow the reader's."""
    file = tmp_path / "report.html"
    table().write(None, None, str(file))
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(file.as_uri())
    assert browser.settles(COUNTS, [6, len(catalogue.entries())])
    assert browser.evaluate(SHOWN.format("form, .program button")) == 0
    assert browser.evaluate(SHOWN.format("details[open] svg")) == 3
    papers = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.ask("Emulation.setEmulatedMedia", features=[feature])
        papers.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert papers == ["rgb(255, 255, 255)", "rgb(22, 24, 28)"]
