"""C20: DTensors, on ranks that the suite starts and ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from ..inputs.bad import BASE, Bad
from ..inputs.cases import Case, Inputs
from ..inputs.effort import Effort
from ..inputs.grids import CALLS, GRADS
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import INF, NAN, Constant, Lattice
from ..judge.bad_calls import names
from ..judge.everywhere import refuses
from ..judge.probe import Probe
from ..judge.refusals import spoilt
from ..judge.violation import Violation
from ..ranks.jobs import PATIENCE, Answer, Job, Placed
from ..ranks.processes import Ranks, unavailable
from ..ranks.program import program
from .registry import prop

_PLACEMENTS = ("Shard(0)", "Shard(1)", "Replicate()")
_SETTINGS = {"cost": 12, "needs": ("distributed",), "scaled": True, "unavailable": unavailable}
# Four ranks hold 2, 2, 1 and 0 of five rows, and 2, 2, 2 and 1 of seven columns; two hold 3 and 2,
# and 4 and 3.
_UNEVEN = (5, 7)
_BAD = (
    Bad("mask", "good[:1]", ValueError, ()),
    Bad("mask", "good.to(torch.uint8)", TypeError, ()),
    Bad("x", "good[:, :1]", ValueError, ()),
    Bad("x_recon", "good.to(torch.int64)", TypeError, ()),
    Bad("x", "good[:1]", ValueError, ()),
    Bad("mask", "good.float()", TypeError, ()),
    Bad("mask", "good[:, :1]", ValueError, ()),
    Bad("reduction", "'none'", ValueError, ()),
)


def _masked(rows: range, columns: range) -> Mask:
    """A mask of shape `_UNEVEN` that selects these rows and columns and nothing else."""
    places = itertools.product(range(_UNEVEN[0]), range(_UNEVEN[1]))
    return Mask(tuple(r in rows and c in columns for r, c in places))


def _ordinary(seed: int) -> list[Case]:
    """Batches of one shape and dtype, for which DTensor plans once, simplest first."""
    everywhere, anywhere = range(_UNEVEN[0]), range(_UNEVEN[1])
    random = Mask("bernoulli", seed)
    plain = Case(
        shape=_UNEVEN, x_recon=Operand(values=Lattice(seed)), x=Operand(values=Lattice(seed + 1))
    )
    return [
        plain.but(mask=random),
        plain.but(mask=_masked(range(1), anywhere)),  # on the first rank only, cut by rows
        plain.but(mask=_masked(range(4, 5), anywhere)),  # on the last that has rows
        plain.but(mask=_masked(everywhere, range(1))),  # on the first, cut by columns
        plain.but(mask=_masked(everywhere, range(6, 7))),  # on the last
        plain.but(mask=Mask("empty")),
        plain.but(mask=random, x_recon__outside=NAN, x__outside=INF),
        plain.but(mask=Mask("last"), x_recon__edits=((34, NAN),)),  # shown, though on one rank
    ]


def _special(seed: int) -> list[tuple[str, Case]]:
    """Batches of other shapes and dtypes, each with the placement in which it is hardest."""
    random = Mask("bernoulli", seed)

    def case(shape: tuple[int, int], mask: Mask, *dtypes: str, **changes: object) -> Case:
        a, b = dtypes or ("float32", "float32")
        values = Operand(a, Lattice(seed)), Operand(b, Lattice(seed + 1))
        return Case(shape=shape, x_recon=values[0], x=values[1], mask=mask).but(**changes)

    made = [
        ("Shard(0)", case((1, 3), Mask("full"))),  # one rank holds all, the others nothing
        ("Shard(1)", case((3, 1), Mask("full"))),
        ("Shard(0)", case((0, 3), Mask("full"))),  # all ranks hold nothing
        ("Shard(1)", case(_UNEVEN, random, "float16", "float32")),
        # 35 · 300² is beyond the range of float16, and so is the sum of one rank.
        ("Shard(0)", case(_UNEVEN, random, "float16", "float16", x_recon__values=Constant(300.0))),
        ("Shard(0)", case((4, 8), Mask("full"))),  # as much on every rank
        ("Replicate()", case(_UNEVEN, random, "bfloat16", "bfloat16")),
        ("Shard(0)", case(_UNEVEN, random, "float64", "float32")),
        ("Shard(1)", case((33, 70), random)),
    ]
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 13):
        # 2.9 gathers no gradient without elements.
        made.append(("Shard(1)", case((3, 0), Mask("full"))))
    return made


def _infinite(seed: int) -> list[Case]:
    """Infinite on one rank; and, in float32, only once the ranks' shares are added."""
    values = Operand(values=Lattice(seed)), Operand(values=Lattice(seed + 1))
    sums = Case("masked_sse", "sum", _UNEVEN, *values, Mask("full"), grads=GRADS[1])
    return [sums.but(x_recon__edits=((0, INF),)), sums.but(x_recon__values=Constant(3.4e18))]


def _called(situation: Case, number: int) -> Case:
    """The situation in a call of its own, with some choice of what requires grad and upstream."""
    function, reduction = CALLS[number % len(CALLS)]
    grads = (GRADS[1], GRADS[1], GRADS[0], GRADS[2], ())[number % 5]
    upstream = (1.0, 1.0, -3.0)[number % 3]
    return situation.but(function=function, reduction=reduction, grads=grads, upstream=upstream)


def _meshes(effort: Effort, ranks: int) -> list[tuple[tuple[int, ...], Placed]]:
    """Shapes of meshes, and a placement on each. The first use of any costs half a second."""
    lines: list[tuple[tuple[int, ...], Placed]] = [((ranks,), (p,)) for p in _PLACEMENTS]
    if ranks == 2:
        return lines[:2] if effort.quick else lines
    pairs = list(itertools.product(_PLACEMENTS, repeat=2))
    squares: list[tuple[tuple[int, ...], Placed]] = [((2, ranks // 2), pair) for pair in pairs]
    if effort.profile == "deep":
        return [*lines, *squares]
    first = (1 + effort.seed) % len(squares)  # "Shard(0)×Shard(1)", with seed 0
    chosen = squares[first:] + squares[:first]
    return [lines[0], chosen[0]] if effort.quick else [*lines[:2], *chosen[::3]]


def _alike(effort: Effort, ranks: int) -> Iterator[Job]:
    """All three tensors placed alike; with another call for each situation and each placement.

    A few lie on a part of a mesh, beside another part that holds the same.
    """
    seed, deep = 1000 * effort.seed, effort.profile == "deep"
    meshes = _meshes(effort, ranks)
    for number, situation in enumerate(_ordinary(seed)):
        every = deep or (ranks == 2 and not effort.quick and number == 0)
        for turn, (mesh, placed) in enumerate(meshes):
            if effort.quick and ranks > 2 and (number + turn) % 2:
                continue
            for call in range(len(CALLS) if every else 1):
                yield Job(_called(situation, 3 * number + turn + call), mesh, (placed,) * 3)
        if deep or number < (0 if effort.quick and ranks > 2 else 3):
            placed = (_PLACEMENTS[number % 2],)
            yield Job(_called(situation, number), (2, ranks // 2), (placed,) * 3, inner=True)
    for case in _infinite(seed):
        yield Job(case, (ranks,), (("Shard(0)",),) * 3)
    if ranks == 2:
        for number, bad in enumerate(_BAD[effort.seed % 3 :: 3] if effort.quick else _BAD):
            for name in _PLACEMENTS[number % 3 :][:1] if effort.quick else _PLACEMENTS:
                yield Job(BASE, (ranks,), ((name,),) * 3, bad=bad)
    if ranks > 2 and not deep:
        return  # five rows on four ranks leave one with nothing at all
    for number, (hardest, situation) in enumerate(_special(seed)[: 5 if effort.quick else None]):
        for turn, (mesh, placed) in enumerate(meshes if deep else [((ranks,), (hardest,))]):
            yield Job(_called(situation, 3 * number + turn), mesh, (placed,) * 3)


def _unlike(effort: Effort) -> Iterator[Job]:
    """Every choice of placements that are not all the same, on two ranks."""
    situations, deep = _ordinary(1000 * effort.seed), effort.profile == "deep"
    every = [p for p in itertools.product(_PLACEMENTS, repeat=3) if len(set(p)) > 1]
    for number, (a, b, c) in enumerate(every):
        if effort.quick and (number + effort.seed) % 4:
            continue
        chosen = situations if deep else [situations[number % len(situations)]]
        for turn, situation in enumerate(chosen):
            yield Job(_called(situation, number + turn), (2,), ((a,), (b,), (c,)))


def _all_right(probe: Probe, ranks: int, effort: Effort, jobs: Iterable[Job]) -> None:
    """Ask every rank every job; raise at the first answer that is not that of the whole batch."""
    with Ranks(probe.subject, ranks, PATIENCE[effort.profile]) as asked:
        for job in jobs:
            case = probe.without_gradients(probe.fit(job.case))
            if job.bad is not None and not _refused(probe, job.bad, case):
                continue  # C3 says so
            job = replace(job, case=case)
            whole = probe.build(case)
            probe.note(whole.mask)
            if not whole.mask.any() and probe.divides_by_zero(case):
                continue  # C7 says so; the other masks are still to be seen
            probe.case = case
            probe.calls += ranks
            try:
                _right(probe, job, whole, asked.ask(job))
            except Violation as violation:
                violation.script = program(probe.subject, job, whole)
                raise


def _refused(probe: Probe, bad: Bad, case: Case) -> bool:
    """Whether a plain call is, with the right error."""
    given, keyword = spoilt(bad, case, probe.build(case))
    return refuses(bad, probe.function(case.function), given, keyword)


def _right(probe: Probe, job: Job, whole: Inputs, answers: list[Answer]) -> None:
    ranks = len(answers)
    where = f"{_placed(job)}, on {ranks} ranks"
    if job.bad is not None:
        where = f"with {job.bad.argument} = {job.bad.make}, {where}"
    faults = [r for r, answer in enumerate(answers) if answer.fault and not answer.refused]
    if faults:
        raise _fault(faults, answers, where, job.bad)
    if job.bad is not None:
        taken = [rank for rank, answer in enumerate(answers) if not answer.refused]
        if taken:
            raise Violation(
                f"{where}: rank {taken[0]} takes what plain calls refuse",
                got="; ".join(f"rank {rank} {answer}" for rank, answer in enumerate(answers)),
                wanted=names(job.bad),
                part="C3",
            )
        return
    for rank, answer in enumerate(answers):
        try:
            _right_on_rank(probe, job.case, whole, answer)
        except Violation as violation:
            violation.what = f"{where}, rank {rank}: {violation.what}"
            raise


def _right_on_rank(probe: Probe, case: Case, whole: Inputs, answer: Answer) -> None:
    value = answer.value
    if isinstance(value, str):
        raise Violation("the result is not a tensor", got=value, wanted="a 0-d tensor")
    if value.ndim:
        raise Violation(
            "the result is not 0-d", got=f"shape {tuple(value.shape)}", wanted="shape ()"
        )
    probe.right_value(value, case, whole)
    found = answer.gradients
    if found is None or None in found.values():
        if probe.excused(whole):
            return
        missing = [n for n in case.grads if found is None or found[n] is None]
        raise Violation(
            f"no gradient reaches {' and '.join(missing)}",
            got="None",
            wanted="the gradient of the whole batch, as a DTensor",
        )
    gradients = {name: gradient for name, gradient in found.items() if gradient is not None}
    probe.right_gradients(gradients, case, whole)


def _fault(
    faults: list[int], answers: list[Answer], where: str, bad: Bad | None = None
) -> Violation:
    """Of ranks without an answer the one that failed first; others may have waited for it."""

    def order(rank: int) -> tuple[int, float]:
        answer = answers[rank]
        kinds = ("ended", "raised", "no answer")
        return (3 if answer.waited else kinds.index(answer.fault)), answer.seconds

    first = min(faults, key=order)
    same = len({(answer.fault, answer.words) for answer in answers}) == 1
    return Violation(
        f"{where}: {'every rank' if same else f'rank {first}'} {answers[first]}",
        got="; ".join(f"rank {rank} {answer}" for rank, answer in enumerate(answers)),
        wanted="the value of the whole batch, from every rank" if bad is None else names(bad),
        part="" if bad is None else "C3",
    )


def _placed(job: Job) -> str:
    names = ["×".join(placed) for placed in job.placed]
    where = " on the inner dimension of a mesh" if job.inner else ""
    if len(set(names)) == 1:
        return f"x_recon, x and mask {names[0]}{where}"
    return f"x_recon {names[0]}, x {names[1]}, mask {names[2]}{where}"


@prop(
    "C20-two-ranks",
    statement="On two ranks, DTensors that are sharded on either dimension or replicated, all "
    "three alike, give value and gradients of the whole batch.",
    rationale="A sharded batch is one batch: the loss must not depend on where it was cut.",
    catches="a mean of local means; a local count or batch size; a gradient times the ranks; a NaN "
    "or a refusal where a rank holds nothing, or nothing masked; bad arguments that are taken",
    **_SETTINGS,
)
def two_ranks(probe: Probe, effort: Effort) -> None:
    _all_right(probe, 2, effort, _alike(effort, 2))


@prop(
    "C20-four-ranks",
    statement="The same on four ranks, in a line and in a 2×2 mesh.",
    rationale="Five rows on four ranks leave one with none; on a square shards have replicas.",
    catches="a sum over one dimension of the mesh only, or over replicas; what two ranks hide",
    **_SETTINGS,
)
def four_ranks(probe: Probe, effort: Effort) -> None:
    _all_right(probe, 4, effort, _alike(effort, 4))


@prop(
    "C20-unlike-placements",
    statement="The three DTensors need not be placed alike.",
    rationale="A mask drawn from a common seed is replicated, a reconstruction sharded.",
    catches="local shards combined that do not lie at the same place",
    **_SETTINGS,
)
def unlike_placements(probe: Probe, effort: Effort) -> None:
    _all_right(probe, 2, effort, _unlike(effort))
