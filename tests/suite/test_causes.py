"""Failures by cause: what belongs together, what comes first, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest
from wavemae.properties.doors.advice import advised
from wavemae.properties.doors.catalogue import entries
from wavemae.properties.doors.causes import SEVERITIES, causes, severity
from wavemae.properties.doors.report import Cell, Table
from wavemae.properties.doors.screen import Screen

RAISED = "TypeError came out: float64 is not supported, got torch.float64 of shape (2, 3)"


def cell(name: str, what: str, **more: Any) -> Cell:
    """A failing cell."""
    found = {"what": what, "got": "1", "wanted": "2", "again": f"again {name}"}
    return Cell(name, **{"state": "FAIL", "reason": what, "counterexample": found, **more})


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (cell("C4-oracle", "the value is wrong"), "wrong value or gradient"),
        (cell("C1-default-reduction", "the value is wrong"), "wrong value or gradient"),
        (cell("C19-vmap", "the value is wrong", part="C4"), "wrong value or gradient"),
        (cell("C20-two-ranks", "ranks differ"), "execution"),
        (cell("C3-shapes", "no exception"), "refusal"),
        (cell("C16-silent", "it prints"), "manners"),
        (cell("C14-inputs-untouched", "an input was modified", part="C14"), "manners"),
        (cell("C4-oracle", RAISED), "crash"),
        (cell("C18-compile", RAISED, part="raises", elsewhere=True), "crash"),
        (cell("C18-compile", RAISED, part="raises"), "execution"),
        (Cell("C7-empty", "FAIL", "its process died after 1.0 s"), "crash"),
        (Cell("C7-empty", "FAIL", "no answer within 15 s"), "hang"),
        (cell("C7-empty", "the program gave no answer within 1 s and was ended"), "hang"),
    ],
)
def test_severity(found: Cell, wanted: str) -> None:
    """By what the failure does to a user, not by the clause alone."""
    assert severity(found) == wanted


def test_one_exception_is_one_cause() -> None:
    """Whatever numbers and dtypes its words name; a different exception is another one."""
    cells = [
        cell("C18-compile", RAISED, part="raises"),
        cell("C4-oracle", RAISED.replace("(2, 3)", "(7,)")),
        cell("C16-autocast", RAISED.replace("torch.float64 of", "torch.float32 of"), state="also"),
        cell("C8-excluded-value", "IndexError came out: no"),
    ]
    first, second = causes(cells)
    ids = [each.identifier for each in first.cells]
    assert ids == ["C4-oracle", "C18-compile", "C16-autocast"]
    assert [each.identifier for each in second.cells] == ["C8-excluded-value"]


def test_what_breaks_in_plain_calls_is_one_cause_with_its_signs() -> None:
    """What breaks in one kind of situation alone is another; the worst comes first."""
    cells = [
        cell("C16-silent", "it prints"),
        cell("C19-vmap", "the value is wrong", part="C4"),
        cell("C19-jvp", "the value is wrong", part="C4"),
        cell("C16-no-grad", "the value is wrong", part="C4", elsewhere=True, state="also"),
        cell("C4-oracle", "the value is wrong"),
        cell("C16-autocast", "otherwise put", part="C4", elsewhere=True, state="also"),
        cell("C17-meta", "the loss", part="C9", elsewhere=True, state="also"),
        Cell("C5-result", "pass"),
    ]
    found = [[each.identifier for each in cause.cells] for cause in causes(cells)]
    assert found == [["C4-oracle", "C16-autocast", "C16-no-grad"], ["C16-silent"]]
    value = causes(cells)[0]
    assert [each.identifier for each in value.following] == ["C19-jvp", "C19-vmap", "C17-meta"]
    without = [each for each in cells if each.identifier != "C4-oracle"]
    found = [[each.identifier for each in cause.cells] for cause in causes(without)]
    assert found == [["C19-jvp", "C19-vmap"], ["C16-silent"]]


def test_what_follows_is_told_with_what_it_follows() -> None:
    """A wrong value brings wrong gradients, a leak wrong zeros; C5 and C7 are their own."""
    cells = [
        cell("C8-excluded-value", "the value changes with what stands outside the mask"),
        cell("C12-excluded-gradient", "the gradient of x outside the mask is not zero"),
        cell("C7-empty", "the value is wrong"),
        cell("C5-result", "the result is of another kind"),
    ]

    def told(cells: list[Cell]) -> list[list[str]]:
        each = [(*cause.cells, *cause.following) for cause in causes(cells)]
        return [[cell.clause for cell in cause] for cause in each]

    assert told(cells) == [["C5"], ["C7"], ["C8", "C12"]]
    assert told([*cells, cell("C4-oracle", "the value is wrong")]) == [
        ["C4", "C8", "C12"],
        ["C5"],
        ["C7"],
    ]
    assert told(cells[1:]) == [["C5"], ["C7"], ["C12"]]
    hard = cell("C4-exhaustive", "the value is wrong")
    assert hard.counterexample is not None
    hard.counterexample["got"] = "nan (float32)"
    assert told([*cells, hard]) == [["C5"], ["C7"], ["C8", "C4", "C12"]]


def table(cells: list[Cell], **more: Any) -> Table:
    """A table of one target."""
    made = Table(["a.py"], {"torch": "2", "profile": "quick", "seed": 0}, **more)
    for each in cells:
        made.add("a.py", each)
    return made


def screen(cells: list[Cell], **more: Any) -> list[str]:
    """What the terminal shows of these cells; a whole explanation has twenty lines."""
    texts = {("a.py", each.identifier): f"{each.identifier}\n" * 20 for each in cells}
    lines: list[str] = Screen(table(cells), texts, {}, **more).lines()
    return lines


def test_sixty_failures_of_one_cause_are_a_screen_and_a_half() -> None:
    """The first whole, the others by name, the verdict and the next command last; -v has all."""
    cells = [cell(f"C4-a{n}", "the value is wrong", part="C4") for n in range(60)]
    lines = screen(cells)
    assert len(lines) <= 36
    assert lines.count("C4-a0") == 20
    assert "C4-a1" not in lines
    assert lines[-4:] == [
        "         0 of 1 clause holds, 1 does not",
        "         wrong value or gradient: C4 (60)",
        "next     again C4-a0",
        "         wavemae explain C4",
    ]
    whole = screen(cells, verbose=True)
    assert all(whole.count(f"C4-a{n}") == 20 for n in range(60))
    assert "C4-a7                       FAIL" in whole


def explained(identifier: str, lines: int) -> tuple[Cell, list[str]]:
    """A failure whose program has so many lines, and its whole text as the engine writes it."""
    program = [f"line {n}" for n in range(lines)]
    found = cell(identifier, "the value is wrong")
    assert found.counterexample is not None
    found.counterexample["script"] = "\n".join([*program, ""])
    head = [f"{identifier}: it holds", "", "  got     1", "", "minimal case, pastes and runs:", ""]
    return found, [*head, *(f"    {line}" for line in program), "", f"again:  again {identifier}"]


@pytest.mark.parametrize("lines", [1, 40, 41, 200])
def test_a_program_is_shown_whole_or_not_at_all(lines: int) -> None:
    """Nothing under "pastes and runs" is cut; what is left out says how to get it."""
    made = [explained(f"C4-a{n}", lines) for n in range(60)]
    cells = [each for each, _ in made]
    texts = {("a.py", each.identifier): "\n".join(text) for each, text in made}
    shown = Screen(table(cells), texts, {}).lines()
    assert len(shown) <= 75
    whole = made[0][1]
    if lines <= 40:
        assert "\n".join(whole) in "\n".join(shown)
    else:
        way = "the command below with -v shows it, and --report-md FILE holds it"
        cut = [*whole[:3], "", f"minimal case: a program of {lines} lines; {way}", *whole[-2:]]
        assert "\n".join(cut) in "\n".join(shown)
        assert not any("pastes and runs" in line or "line 0" in line for line in shown)
    for more in (
        Screen(table(cells), texts, {}, verbose=True),
        Screen(table(cells[:1]), texts, {}),
    ):
        assert "\n".join(whole) in "\n".join(more.lines())


def test_what_is_taken_stands_before_what_is_refused_with_another_error() -> None:
    """Though its program is longer: a broadcast is worse than a TypeError for a ValueError."""
    taken, other = cell("C3-shapes", "x = good[0] is accepted"), cell("C3-alike", "not refused")
    for each, got, lines in ((taken, "1.5", 20), (other, "TypeError: len() of a 0-d tensor", 5)):
        assert each.counterexample is not None
        each.counterexample.update(got=got, script="x\n" * lines)
    (cause,) = causes([other, taken])
    assert cause.first.identifier == "C3-shapes"


def test_a_short_program_stands_for_a_cause() -> None:
    """Even where another property of the cause is that of its own clause."""
    own, other = cell("C8-excluded-value", "the value is wrong"), cell("C6-extremes", "nan")
    for own_lines, other_lines in ((41, 5), (41, 40)):
        for each, lines in ((own, own_lines), (other, other_lines)):
            assert each.counterexample is not None
            each.counterexample.update(got="nan", script="x\n" * lines)
        (cause,) = causes([own, other])
        assert [each.identifier for each in cause.cells] == ["C6-extremes", "C8-excluded-value"]
    for each, lines in ((own, 40), (other, 5)):
        assert each.counterexample is not None
        each.counterexample["script"] = "x\n" * lines
    (cause,) = causes([own, other])
    assert cause.first.identifier == "C8-excluded-value"


def test_many_causes_are_all_named() -> None:
    """Whole as long as there is room, then two lines each, and a line says where the rest is."""
    errors = [f"{letter.upper()}Error" for letter in "abcdefghijklmnopqrst"]
    cells = [cell(f"C{n}-x", f"{error} came out: no") for n, error in enumerate(errors, 1)]
    lines = screen(cells)
    assert len(lines) <= 80
    assert sum(", cause " in line for line in lines) == 20
    assert "a.py, cause 20 of 20: execution: C20-x" in lines
    assert sum(line == "C1-x" for line in lines) == 20
    assert "C2-x" not in lines
    assert lines.count("-v, or --report-md FILE, has the program of each cause") == 1
    assert not any("has the program of each cause" in line for line in screen(cells[:1]))
    assert not any("has the program of each cause" in line for line in screen(cells, verbose=True))


def test_what_came_and_what_was_wanted_is_never_cut_off() -> None:
    """A further cause has two lines of the terminal, whatever comes before."""
    first, long = cell("C4-oracle", "the value is wrong"), cell("C16-silent", "it prints " * 40)
    short = cell("C3-shapes", "an exception was wanted " * 5)
    assert long.counterexample is not None
    long.counterexample.update(got="several things " * 9, wanted="nothing at all")
    others = [cell(f"C{n}-x", f"{n * 'X'}Error came out: no") for n in (1, 2)]
    lines = screen([first, long, short, *others])
    for title, words in (
        ("manners: C16-silent", ", wanted nothing at all"),
        ("refusal: C3-shapes", "an exception was wanted: got 1, wanted 2"),
    ):
        (start,) = (n for n, line in enumerate(lines) if line.endswith(title))
        shown = lines[start + 1 : start + 3]
        assert max(map(len, shown)) <= 100
        assert " ".join(line.strip() for line in shown).endswith(words)


def test_colours_are_put_on_by_whoever_prints() -> None:
    """And nothing else of the text depends on them."""
    cells = [cell("C4-oracle", "the value is wrong")]

    def paint(text: str, **markup: bool) -> str:
        return f"<{' '.join(k for k, on in markup.items() if on)}>{text}</>"

    painted = screen(cells, paint=paint)
    assert "<bold red>a.py, cause 1 of 1: wrong value or gradient</>" in painted
    assert any(line.startswith("<bold red>verdict  a.py: 1 FAIL") for line in painted)


def test_severities_are_told_apart() -> None:
    """Each clause that does not hold stands under what its failures do."""
    cells = [
        cell("C4-oracle", "the value is wrong"),
        cell("C3-shapes", "no exception"),
        cell("C8-excluded-value", RAISED),
        cell("C16-silent", "it prints"),
        cell("C18-compile", RAISED, part="raises"),
        Cell("C12-empty-trains", "FAIL", "no answer within 15 s"),
        Cell("C5-result", "pass"),
        Cell("C20-two-ranks", "not claimed", "distributed is not claimed"),
        Cell("C19-vmap", "error", "error in the suite"),
    ]
    lines = screen(cells)
    start = next(n for n, line in enumerate(lines) if line.startswith("verdict"))
    assert lines[start + 1 : start + 8] == [
        "         1 of 9 clauses holds, 6 do not, 1 not claimed (C20), 1 not judged (C19)",
        "         wrong value or gradient: C4",
        "         crash: C8",
        "         hang: C12",
        "         refusal: C3",
        "         manners: C16",
        "         execution: C18",
    ]
    assert {line.split(":")[0].strip() for line in lines[start + 2 : start + 8]} == set(SEVERITIES)


def ending(state: str, number: int = 1, newly: Any = None, **more: Any) -> list[str]:
    """What to do next after properties in a state, of a run with these settings."""
    one = {"FAIL": cell("C4-a", "the value is wrong")}.get(state) or Cell("C4-a", state)
    made = table([one, *(Cell(f"C5-{n}", "pass") for n in range(number - 1))])
    made.narrowing = more.pop("narrowing", ["-k 'C4'"])
    made.settings |= {"profile": "default", **more}
    file = None if newly is None else "base line.json"
    screen = Screen(made, {}, {}, newly=newly, baseline=file)
    return [line[9:] for line in screen.lines() if line.startswith(("next", " " * 9 + "wavemae"))]


def test_what_is_next_after_a_selection() -> None:
    """The whole command, and never the one that was just typed."""
    whole = ["wavemae verify a.py"]
    assert ending("pass") == ending("error") == ending("not run") == whole
    assert ending("pass", narrowing=[]) == ["the same line in CI keeps it so: docs/ci.md"]
    assert ending("pass", narrowing=["PYTEST_ADDOPTS='-k C4'"]) == [f"PYTEST_ADDOPTS= {whole[0]}"]
    assert ending("pass", profile="deep", seed=3, device="cuda") == [
        "wavemae verify a.py --profile deep --seed 3 --device cuda"
    ]
    assert ending("pass", newly={}) == ["wavemae verify a.py --baseline 'base line.json'"]
    assert ending("FAIL") == ["wavemae explain C4", "wavemae verify a.py  # once it is mended"]
    assert ending("FAIL", 2) == ["again C4-a", "wavemae explain C4"]
    assert ending("not run", 2) == ["wavemae verify a.py --profile default --seed 0 -k C4-a"]


def test_one_clause_holds_and_two_hold() -> None:
    """The verb goes with the number."""
    for failing, passing, words in (
        (1, 1, "1 of 2 clauses holds, 1 does not"),
        (2, 2, "2 of 4 clauses hold, 2 do not"),
        (1, 0, "0 of 1 clause holds, 1 does not"),
        (0, 1, "1 of 1 clause holds"),
    ):
        cells = [cell(f"C{n + 4}-x", "the value is wrong") for n in range(failing)]
        cells += [Cell(f"C{n + 9}-x", "pass") for n in range(passing)]
        assert f"         {words}" in screen(cells)
    xfail = [Cell("C9-x", "pass"), Cell("C8-x", "pass"), Cell("C7-x", "xfail", "see issue 3")]
    assert "         2 of 3 clauses hold, 1 fails as expected (C7)" in screen(xfail)


def test_what_is_seen_elsewhere_says_what() -> None:
    """By the part of the contract that breaks in plain calls too."""
    cells = [
        Cell(f"C16-{name}", "also", "wrong", part=part, elsewhere=True)
        for name, part in (("a", "C4"), ("b", "C4"), ("c", "raises"))
    ]
    lines = [line for line in screen(cells) if line.startswith("also")]
    assert lines == [
        "also     a.py: the same breach of C4 is seen in C16-a, C16-b",
        "also     a.py: the same exception is seen in C16-c",
    ]


TRAITS = {"claims": {}, "refused": {"dtypes": ["float32"], "second_order": False}, "notes": []}


def kind(start: str, what: str) -> list[Cell]:
    """All properties whose ids begin so, each failing with these words."""
    return [cell(entry.id, what) for entry in entries() if entry.id.startswith(start)]


def test_a_design_is_answered_by_the_claims_that_say_it() -> None:
    """What is refused already, and what all properties of a kind fail at."""
    cells = [cell("C13-second-order", "RuntimeError came out: no"), Cell("C4-oracle", "pass")]
    words, claims = advised(TRAITS, cells)
    assert words == "raises for float64 and float16 and bfloat16, has no second order"
    assert claims == "claims=Claims(dtypes=('float32',), second_order=False)"
    _, claims = advised(TRAITS, [*cells, *kind("C18-", "Unsupported came out: no")])
    assert claims == "claims=Claims(dtypes=('float32',), second_order=False, compile=False)"
    forward = kind("C13-forward-", "NotImplementedError came out: no rule")
    _, claims = advised({**TRAITS, "refused": {"dtypes": ["float32"]}}, forward)
    assert claims == "claims=Claims(dtypes=('float32',), forward_mode=False)"
    _, claims = advised(TRAITS, [*cells, *kind("C17-meta", "NotImplementedError came out: no")])
    assert (
        claims == "claims=Claims(dtypes=('float32',), second_order=False, data_independent=False)"
    )
    *failing, last = kind("C18-", "no")
    mixed = [*cells, *failing, Cell(last.identifier, "pass")]
    assert "compile" not in advised(TRAITS, mixed)[1]


@pytest.mark.parametrize(
    ("start", "what", "claim"),
    [
        ("C13-forward-", "RuntimeError came out: no", "forward_mode"),
        ("C17-meta", "RuntimeError came out: no", "data_independent"),
        ("C18-", "RuntimeError came out: no", "compile"),
        ("C20-", "RuntimeError came out: no", "distributed"),
        ("C3-", "no exception", "strict_inputs"),
    ],
)
def test_a_selection_shows_no_design(start: str, what: str, claim: str) -> None:
    """A claim is told from all properties of a kind, or not at all."""
    nothing: dict[str, Any] = {"claims": {}, "refused": {}, "notes": []}
    cells = kind(start, what)
    assert advised(nothing, cells)[1] == f"claims=Claims({claim}=False)"
    unasked = Cell(cells[-1].identifier, "not claimed")
    assert len(cells) == 1 or advised(nothing, [*cells[:-1], unasked])
    assert advised(nothing, [*cells[:-1], cell("C4-oracle", "the value is wrong")]) == []
    unrun = Cell(cells[-1].identifier, "not run")
    assert advised(nothing, [*cells[:-1], unrun, cell("C4-oracle", "the value is wrong")]) == []


def test_no_advice_where_nothing_fails_or_looks_meant() -> None:
    """A green run asks for nothing, and a wrong loss is no design."""
    assert advised(TRAITS, [Cell("C4-oracle", "pass")]) == []
    nothing = {"claims": {"compile": False}, "refused": {}, "notes": []}
    assert advised(nothing, [cell("C4-oracle", "the value is wrong")]) == []


def test_claims_that_are_stated_stay() -> None:
    """The line can be pasted over the one that is there."""
    stated = {**TRAITS, "claims": {"compile": False, "dtypes": ["float32", "float64"]}}
    _, claims = advised(stated, [cell("C13-second-order", "no")])
    assert claims == "claims=Claims(compile=False, dtypes=('float32',), second_order=False)"
