"""Where a target stands: how many clauses hold, in a line, and the whole conformance table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .report import Cell, Table


def standing(cells: Iterable[Cell]) -> str:
    """How many of the clauses hold, do not, are not claimed, were not judged."""
    by_clause: dict[str, set[str]] = {}
    for cell in cells:
        owner = cell.owner if cell.state == "FAIL" else cell.clause
        by_clause.setdefault(owner, set()).add(cell.state)
    kinds = ("hold", "do not", "fail as expected", "not claimed", "not judged")
    named: dict[str, list[str]] = {kind: [] for kind in kinds}
    for clause in sorted(by_clause, key=lambda clause: int(clause[1:])):
        states = by_clause[clause]
        if states & {"FAIL", "XPASS"}:
            named["do not"].append(clause)
        elif "xfail" in states:
            named["fail as expected"].append(clause)
        elif "pass" in states and not states & {"error", "not run"}:
            named["hold"].append(clause)
        elif states == {"not claimed"}:
            named["not claimed"].append(clause)
        else:
            named["not judged"].append(clause)
    of, hold, fail = len(by_clause), len(named["hold"]), len(named["do not"])
    words = [f"{hold} of {of} clause{'s' * (of > 1)} hold{'s' * (hold == 1 or of == 1)}"]
    if fail:
        words.append(f"{fail} {'does' if fail == 1 else 'do'} not")
    for kind in kinds[2:]:
        if named[kind]:
            said = "fails as expected" if (kind[0], len(named[kind])) == ("f", 1) else kind
            words.append(f"{len(named[kind])} {said} ({', '.join(named[kind])})")
    return ", ".join(words)


def rows(table: Table) -> Iterator[str]:
    """The conformance table: a property a line, a target a column."""
    widths = {target: max(len(target), len("not claimed")) for target in table.targets}
    heads = "".join(f"  {target:<{width}}" for target, width in widths.items())
    yield f"{'property':<26}{heads}".rstrip()
    names = {name for cells in table.cells.values() for name in cells}
    for name in sorted(names, key=lambda name: (int(name.partition("-")[0][1:]), name)):
        found = (table.cells.get(target, {}).get(name) for target in widths)
        states = zip((cell.state if cell else "" for cell in found), widths.values(), strict=True)
        yield f"{name:<26}{''.join(f'  {state:<{width}}' for state, width in states)}".rstrip()
