"""What a plan's votes cost with some judges, before one is asked."""

from collections.abc import Sequence

import numpy as np

from judges.ballots import ballot_maker
from judges.budget import Prices
from judges.constitutions.constitution import Constitution
from judges.cost import JudgeEstimate, estimates_of
from judges.judge import Judge
from judges.matter import Matter
from judges.relabelling.cast import items_at, method_of, refuse_other_judges
from judges.relabelling.plan import Plan
from judges.speed import Speed
from judges.store.vote_store import VoteStore
from judges.worded import ask_sample, some_rows


def estimate_plan(
    plan: Plan,
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    rate: Speed | None = None,
    prices: dict[str, Prices] | None = None,
) -> list[JudgeEstimate]:
    """Votes, tokens and time of what a run lacks, a judge at a time. Cost: no model call.

    Raises: ConfigError for judges other than the run's.
    """
    method = method_of(plan.settings, store)
    refuse_other_judges(plan, judges, method)
    wanted = np.zeros(len(plan.needed_R), bool)
    wanted[some_rows(plan.votes_RT[:, plan.judged_T].sum(1))] = True
    read = list(items_at(plan, wanted, judges, method))
    make = ballot_maker(judges, constitution, method)
    ballots, pairs = [make(item) for item, _ in read], [some for _, some in read]
    asked = ask_sample(ballots, pairs, constitution, plan.topics_counted)
    counts = list(
        zip(plan.votes_TJ[plan.judged_T].sum(0).tolist(), plan.stored_J.tolist(), strict=True)
    )
    matter = Matter.of([item for item, _ in read], constitution, judges, method.kind)
    return estimates_of(judges, counts, asked, matter, store, rate=rate, prices=prices)
