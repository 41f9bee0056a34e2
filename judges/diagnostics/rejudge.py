"""Judging a sample of a run's prompts under an edited constitution, and only what the edit asks."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from judges.budget import Budget
from judges.calibration.estimates import IntArray
from judges.constitutions.constitution import Constitution
from judges.diagnostics.impact_report import SampleTold, Stratum
from judges.diagnostics.needed_votes import only
from judges.diagnostics.run_files import Run
from judges.diagnostics.sampling import Drawn
from judges.errors import DataError
from judges.golden import run_golden_tests
from judges.judge import Judge
from judges.rank import Progress
from judges.relabelling.cast import cast_lacking
from judges.relabelling.plan import Plan
from judges.store.vote_store import VoteStore

LEFT_OUT = 0.05
"""A principle that lacks votes on a larger share of a run is left out of what is told of it."""


def lacking_principles(plan: Plan) -> dict[str, int]:
    """Principles that cannot be told of yet, each with the votes or checks that it lacks."""
    lacked: dict[str, int] = {}
    share_T = (plan.votes_RT > 0).mean(0)
    for topic, share, votes in zip(plan.topics, share_T, plan.votes_TJ.sum(1), strict=True):
        if share > LEFT_OUT:
            name = topic.principle.id
            lacked[name] = lacked.get(name, 0) + int(votes)
    return lacked


@dataclass(frozen=True)
class Rejudged:
    """A sample, and what came of it."""

    drawn: Drawn
    done: IntArray
    """Its prompts that have all votes which the edit asks."""
    told: SampleTold


async def rejudge(
    run: Run,
    drawn: Drawn,
    plan: Plan,
    constitutions: tuple[Constitution, Constitution],
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> Rejudged:
    """Cast what a sample of prompts lacks of an edit; then the golden tests of what it touches.

    Prompts are asked in an order that mixes strata, so that a budget ends it with a sample too.
    Cost: the plan's votes on these prompts, two a golden test, less what is stored.
    Raises: DataError when none could be judged.
    """
    rows: dict[int, list[int]] = defaultdict(list)
    for row, unit in enumerate(run.groups.tolist()):
        rows[unit].append(row)
    chosen = [row for unit in drawn.order.tolist() for row in rows[unit]]
    lost: dict[int, str] = {}
    cast = 0
    if plan.checks:
        async for _ in cast_lacking(plan, constitutions[1], [], store, chosen=chosen):
            pass
    if plan.votes:
        async for new, left in cast_lacking(
            plan, constitutions[1], judges, store,
            chosen=chosen, budget=budget, progress=progress,
        ):  # fmt: skip
            cast += new
            lost |= {place: marks["detail"] for place, marks in left.items() if "detail" in marks}
        cast += await _golden(plan, constitutions, judges, store, budget)
    lacking = set(run.groups[sorted(lost)].tolist()) if lost else set()
    done = np.array([unit for unit in drawn.order.tolist() if unit not in lacking], np.int64)
    if not len(done):
        raise DataError(
            f"{run.path}: not one prompt of the sample was judged ({next(iter(lost.values()))}); "
            "see to the judge, or raise --budget"
        )
    return Rejudged(drawn, done, _told(drawn, done, cast, next(iter(lost.values()), None)))


async def _golden(
    plan: Plan,
    constitutions: tuple[Constitution, Constitution],
    judges: Sequence[Judge],
    store: VoteStore,
    budget: Budget | None,
) -> int:
    """Golden tests of the principles that lack votes, old words and new; the votes cast."""
    touched = list({topic.principle.id for topic in plan.topics if topic.digest in plan.asked})
    cast = 0
    for constitution in constitutions if plan.settings.kind == "pair" else ():
        if budget is None or not budget.reached():
            results = await run_golden_tests(only(constitution, touched), judges, store)
            cast += sum(result.new_votes for result in results)
    return cast


def _told(drawn: Drawn, done: IntArray, cast: int, stopped: str | None) -> SampleTold:
    size_H = np.bincount(drawn.stratum_U)
    done_H = np.bincount(drawn.stratum_U[done], minlength=len(size_H))
    return SampleTold(
        prompts=len(drawn.stratum_U),
        taken=len(drawn.order),
        judged=len(done),
        new_votes=cast,
        stopped=stopped,
        strata=tuple(
            Stratum(name=name, prompts=size, judged=judged)
            for name, size, judged in zip(
                drawn.names, size_H.tolist(), done_H.tolist(), strict=True
            )
        ),
    )
