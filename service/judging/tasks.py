"""From a request to lines: which function of `judges` it is, with what arguments.

The functions are those behind the command line; nothing is judged here.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from judges.ballots import Pairs, most_pairs
from judges.commands import KINDS
from judges.constitutions.constitution import Constitution
from judges.critiques.check import Check
from judges.critiques.critique import critique_items
from judges.critiques.plan import chosen_principles
from judges.critiques.revise import Revising, revise
from judges.errors import DataError
from judges.judge import Judge, Method
from judges.model import Sampling
from judges.pair_rounds import FewPairs
from judges.rank import rank
from judges.records import Item
from judges.scoring.score import ASKS, score
from judges.store.vote_store import VoteStore
from service.judging.requests import (
    CompareRequest,
    CritiqueRequest,
    JudgingRequest,
    RankRequest,
    ReviseRequest,
    ScoreRequest,
)
from service.judging.verdict import verdict

Lines = list[dict[str, Any]]
Verb = Literal["rank", "compare", "score", "critique", "revise"]
REQUESTS: dict[Verb, type[JudgingRequest]] = {
    "rank": RankRequest,
    "compare": CompareRequest,
    "score": ScoreRequest,
    "critique": CritiqueRequest,
    "revise": ReviseRequest,
}
NOT_HOW = {"id", "prompt", "completions", "chosen", "rejected", "answer", "metadata"}
NOT_HOW |= {"items", "deadline_s", "constitution", "judge"}


@dataclass(frozen=True)
class Task:
    """One way to judge items; items of equal tasks may be judged together."""

    verb: Verb
    key: str
    """Equal for requests that ask for the same in the same way."""
    constitution: Constitution
    run: Callable[[Sequence[Item]], AsyncGenerator[Lines]]
    """Lines in the items' order, some at a time."""
    check: Callable[[Item], None]
    """Raises: DataError for an item that this task cannot take."""


def make_task(
    request: JudgingRequest,
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    max_votes: int,
) -> Task:
    """What a request asks for, ready to run. Raises: ConfigError for a principle not there."""
    verb = next(verb for verb, kind in REQUESTS.items() if type(request) is kind)
    how = request.model_dump_json(exclude=NOT_HOW)
    names = "+".join(judge.name for judge in judges)
    make = {
        "rank": _ranking,
        "compare": _comparing,
        "score": _scoring,
        "critique": _critiquing,
        "revise": _revising,
    }[verb]
    run, votes = make(request, constitution, judges, store)

    def check(item: Item) -> None:
        if verb == "compare" and len(item.completions) != 2:
            raise DataError(
                f"{len(item.completions)} completions; compare takes two, /v1/rank any number"
            )
        if (needed := votes(item)) > max_votes:
            raise DataError(
                f"{len(item.completions)} completions need {needed} votes; at most {max_votes} "
                'are cast for an item: ask with "pairs": "active", or send fewer'
            )

    return Task(verb, f"{verb} {constitution.digest} {names} {how}", constitution, run, check)


def _judged(constitution: Constitution) -> int:
    return max(1, sum(principle.rule is None for principle in constitution.principles))


def _ranking(
    request: Any, constitution: Constitution, judges: Sequence[Judge], store: VoteStore
) -> tuple[Any, Callable[[Item], int]]:
    pairs: Pairs | FewPairs = "all"
    if isinstance(request, RankRequest):
        pairs = _pairs(request)
    method = Method(kind=KINDS[request.ask], samples=request.samples, panel=request.panel)
    votes = _judged(constitution) * len(judges) * (request.samples or 1)

    def needed(item: Item) -> int:
        return 2 * votes * most_pairs(len(item.completions), pairs)

    return (
        lambda items: rank(items, constitution, judges, store, pairs=pairs, method=method),
        needed,
    )


def _pairs(request: RankRequest) -> Pairs | FewPairs:
    """Raises: DataError for a setting that would change nothing."""
    if request.pairs == "active" or request.pairs == "random":
        return FewPairs(
            pairs=request.pairs, budget=request.pairs_budget, goal=request.pairs_goal or "order"
        )
    for name in ("pairs_budget", "pairs_goal"):
        if getattr(request, name) is not None:
            raise DataError(f'{name}: goes with "pairs": "active" or "random" only; leave it out')
    return request.pairs


def _comparing(
    request: Any, constitution: Constitution, judges: Sequence[Judge], store: VoteStore
) -> tuple[Any, Callable[[Item], int]]:
    ranked, votes = _ranking(request, constitution, judges, store)

    async def run(items: Sequence[Item]) -> AsyncGenerator[Lines]:
        async for lines in ranked(items):
            yield [verdict(line, constitution.aggregate.tie_margin) for line in lines]

    return run, votes


def _scoring(
    request: Any, constitution: Constitution, judges: Sequence[Judge], store: VoteStore
) -> tuple[Any, Callable[[Item], int]]:
    ask = ASKS if request.ask == "both" else (request.ask,)
    votes = sum(1 + len(p.propositions) for p in constitution.principles) * len(judges) * len(ask)
    return (
        lambda items: score(items, constitution, judges, store, ask=ask),
        lambda item: votes * len(item.completions),
    )


def _critiquing(
    request: Any, constitution: Constitution, judges: Sequence[Judge], _store: VoteStore
) -> tuple[Any, Callable[[Item], int]]:
    principles = _principles(request, constitution, "critique")
    return (
        lambda items: critique_items(
            items, principles, judges[0].model, _sampling(request), attempts=request.attempts
        ),
        lambda item: len(principles) * len(item.completions),
    )


def _revising(
    request: Any, constitution: Constitution, judges: Sequence[Judge], store: VoteStore
) -> tuple[Any, Callable[[Item], int]]:
    principles = _principles(request, constitution, "critique", "revise")
    how = Revising(
        constitution=constitution,
        principles=principles,
        critic=judges[0].model,
        reviser=judges[0].model,
        sampling=_sampling(request),
        rounds=len(principles) if request.in_turn else request.rounds,
        seed=request.seed or 0,
        in_turn=request.in_turn,
        attempts=request.attempts,
        always=request.always,
        check=Check(judges, store) if request.check else None,
    )
    return lambda items: revise(items, how), lambda item: 4 * how.rounds * len(item.completions)


def _principles(
    request: CritiqueRequest, constitution: Constitution, *needed: Literal["critique", "revise"]
) -> Any:
    named = ",".join(request.principles) if request.principles else None
    return chosen_principles(constitution, named, needed)


def _sampling(request: CritiqueRequest) -> Sampling:
    return Sampling(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
    )
