"""What an edit costs, in votes, tokens and minutes: counted against the vote store, not judged."""

import argparse
import asyncio
from contextlib import AsyncExitStack

from judges.constitutions.constitution import Constitution
from judges.constitutions.diff import Diff
from judges.cost import JudgeEstimate, Survey
from judges.items import load_items
from judges.judge_files import open_judges
from judges.ranking_verbs import prices_of, speed_wanted
from judges.relabelling.estimate import estimate_plan
from judges.relabelling.plan import plan_relabel
from judges.store.vote_store import VoteStore

Told = tuple[list[JudgeEstimate], int]
"""What an edit costs each judge, and votes that are lacking besides."""


def estimate_edit(after: Constitution, diff: Diff, options: argparse.Namespace) -> Told:
    """What the edit costs, and how many votes are lacking on what did not change. No model call."""
    rate, prices = speed_wanted(options), prices_of(options.judge)
    only = diff.wanted_digests

    async def run() -> Told:
        async with AsyncExitStack() as stack:
            judges = await open_judges(options.judge, stack)
            if options.rankings:
                plan = plan_relabel(options.rankings, after, store)
                rest = plan.votes - plan.only(only).votes
                told = estimate_plan(
                    plan.only(only), after, judges, store, rate=rate, prices=prices
                )
            else:
                survey = Survey(load_items(options.input), after, judges, store)
                rest = survey.votes() - survey.votes(only)
                told = survey.estimates(only=only, rate=rate, prices=prices)
            return told, rest

    with VoteStore.open(options.store) as store:
        return asyncio.run(run())
