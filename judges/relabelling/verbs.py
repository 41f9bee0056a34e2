"""What `charter relabel` does: count, say it, ask for what is lacking, write, say it again."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from judges.cards.gate import check_card
from judges.constitutions.constitution import Constitution
from judges.constitutions.files import load_constitution
from judges.cost_text import estimate_lines
from judges.judge_files import open_judges
from judges.progress import progress, say
from judges.ranking_verbs import budget_wanted, prices_of, say_status, speed_wanted
from judges.relabelling.cast import cast_lacking, method_of, refuse_other_judges
from judges.relabelling.estimate import estimate_plan
from judges.relabelling.plan import Plan, plan_relabel
from judges.relabelling.write import write_relabelled
from judges.store.vote_store import VoteStore
from judges.verbs import emit

Marks = dict[int, dict[str, Any]]


def run_relabel(options: argparse.Namespace) -> int:
    """`charter relabel`"""
    constitution = load_constitution(options.constitution)
    with VoteStore.open(options.store) as store:
        plan = plan_relabel(options.rankings, constitution, store)
        for line in plan_lines(plan, options.estimate):
            (emit if options.estimate else say)(line)
        if options.estimate:
            asyncio.run(_say_estimate(plan, constitution, options, store))
            return 0
        card = check_card(
            options.judge or ["default"], plan.settings.under(constitution), constitution,
            file=options.card, require=options.require_card,
        )  # fmt: skip
        asked, marks = asyncio.run(cast(plan, constitution, options, store))
        status = write_relabelled(
            plan, constitution, store, options.output, marks, card.model_dump(mode="json")
        )
    say(f"{options.output}: {asked} votes were asked for, {plan.votes} were lacking")
    _say_losses(marks)
    return say_status(options.output, status, options.max_unscored)


def plan_lines(plan: Plan, whole: bool) -> list[str]:
    """What is lacking, topic by topic, and that all else is kept."""
    told = []
    for topic, votes in zip(plan.topics, plan.votes_TJ.sum(1).tolist(), strict=True):
        if votes:
            what = {"applies": "scope", "rule": "rule"}.get(topic.kind, "text")
            unit = "checks by code" if topic.kind == "rule" else "votes"
            told.append(f"{topic.principle.id}, {what}: {votes} {unit} lacking")
    if not told:
        told.append("no vote is lacking: all is aggregated again, no judge is asked")
    elif whole:
        told.append(f"{plan.votes} votes to ask for, {plan.stored} are stored and kept")
    return told


async def cast(
    plan: Plan, constitution: Constitution, options: argparse.Namespace, store: VoteStore
) -> tuple[int, Marks]:
    """Check by code and ask the judges for what a plan lacks: votes cast, what is left on lines."""
    asked = 0
    marks: Marks = {}
    if plan.checks:
        with progress("checking", "prompts") as report:
            async for _ in cast_lacking(plan, constitution, [], store, progress=report):
                pass
    if plan.votes:
        async with AsyncExitStack() as stack:
            judges = await open_judges(options.judge, stack)
            refuse_other_judges(plan, judges, method_of(plan.settings, store))
            with progress("relabelling", "prompts") as report:
                async for new, left in cast_lacking(
                    plan, constitution, judges, store,
                    budget=budget_wanted(options), progress=report,
                ):  # fmt: skip
                    asked += new
                    marks |= left
    return asked, marks


async def _say_estimate(
    plan: Plan, constitution: Constitution, options: argparse.Namespace, store: VoteStore
) -> None:
    if not plan.votes:
        return
    async with AsyncExitStack() as stack:
        judges = await open_judges(options.judge, stack)
        told = estimate_plan(
            plan, constitution, judges, store,
            rate=speed_wanted(options), prices=prices_of(options.judge),
        )  # fmt: skip
    for one in told:
        emit("\n".join(estimate_lines(one)))


def _say_losses(marks: Mapping[int, dict[str, Any]]) -> None:
    details = Counter(left["detail"] for left in marks.values() if "detail" in left)
    for detail, count in details.most_common(1):
        say(f"{count} items are not done: {detail}; run again to ask for these only")
    for name, why in {n: w for m in marks.values() for n, w in m.get("left", {}).items()}.items():
        say(f"judge {name} left the panel: {why}")
