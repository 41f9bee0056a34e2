"""Ranking completions by votes: ask what the store lacks, commit it, then aggregate.

Items go through in windows. While one window's answers are out, the next one's questions are
already waiting, so that the engine never idles. Killed at any point, a second run asks only what
had not been committed: at most the windows then in flight.

Where few pairs are judged, a window's items are asked about in rounds (see `pair_rounds`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Container, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from judges.ballots import Pairs, PairsOf, ballot_maker, most_pairs, pairs_to_judge
from judges.budget import Budget
from judges.constitutions.constitution import Constitution
from judges.errors import ConfigError
from judges.judge import Judge, Method, arithmetic_texts
from judges.matter import Matter
from judges.pair_rounds import Contest, FewPairs, ask_on, open_contest
from judges.panel import Panel
from judges.records import Item
from judges.reweigh import questions, rankings, unscored_line
from judges.store.vote_store import VoteStore
from judges.tally import Ballot
from judges.votes import Asked, InFlight, cast_votes, in_scope

WINDOW_QUESTIONS = 256
"""Questions a window holds at least: enough to fill many requests."""
WINDOWS_IN_FLIGHT = 4
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class AskedWindow:
    """Some items whose votes have been asked for."""

    items: Sequence[Item]
    ballots: Sequence[Ballot]
    told: Sequence[Asked]
    """What became of each item's questions."""
    rounds: Sequence[int]
    """Rounds of questions on each item, where few pairs are judged; else empty."""
    left: Mapping[str, str]
    """Judges that have left the panel, and why."""
    new: int = 0
    """Votes that were cast; items may share some."""
    over: str | None = None
    """The limit that was reached before these items were asked about."""


async def ask(
    items: Iterable[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    pairs: Pairs | FewPairs | PairsOf = "all",
    method: Method | None = None,
    budget: Budget | None = None,
    only: Container[str] | None = None,
) -> AsyncGenerator[AskedWindow]:
    """Every vote that ranking the items needs, some items at a time, in their order.

    `only` holds digests of texts, scopes and rules: nothing else is asked about. `PairsOf` names
    each item's pairs. Cost and errors as `rank`.
    """
    method = method or Method()
    store.add([], arithmetic_texts(judges, method))
    panel = Panel(judges)
    ballot = ballot_maker(judges, constitution, method)
    flying: deque[asyncio.Task[AskedWindow]] = deque()
    out: InFlight = {}
    size = budget.window(WINDOW_QUESTIONS) if budget else WINDOW_QUESTIONS
    texts = sum(
        principle.rule is None and (only is None or principle.question_digest("pair") in only)
        for principle in constitution.principles
    )
    windows = iter(_windows(items, max(texts, 1) * len(judges), pairs, size))
    try:
        while True:
            over = budget.reached() if budget else None
            while not over and len(flying) < WINDOWS_IN_FLIGHT:
                if budget and flying and budget.reached(len(out)):
                    break  # what is out may spend the rest
                if not (window := next(windows, None)):
                    break
                job = _ask_window(
                    window, constitution, panel, store, ballot, method, pairs, only, out
                )
                flying.append(asyncio.create_task(job))
                await asyncio.sleep(0)  # so that it is known what is out
            if not flying:
                for window in windows:  # what the budget did not reach
                    made, none = [ballot(item) for item in window], [Asked() for _ in window]
                    yield AskedWindow(window, made, none, (), {}, over=over)
                return
            asked = await flying[0]
            flying.popleft()
            if budget:
                for told in asked.told:
                    budget.spend(told.usage())
            yield asked
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


async def rank(
    items: Sequence[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    pairs: Pairs | FewPairs = "all",
    method: Method | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> AsyncGenerator[list[dict[str, Any]]]:
    """Ranking lines in the items' order, some at a time, each with its prompt and completions.

    Cost: for each item, principle and judge, two votes a pair (one a scope), less what the store
    holds already; `ring` judges N pairs of N completions, `chain` N - 1, not N(N - 1)/2; few
    pairs are at most their budget.
    Raises: ModelError when a window of many questions gets not one answer; ConfigError for few
    pairs where no pairs are judged.
    """
    method = method or Method()
    if isinstance(pairs, FewPairs) and method.kind != "pair":
        raise ConfigError(
            f"pairs are {pairs.pairs!r}, but judges are asked by {method.kind!r}, which shows no "
            "pairs; leave one of them out"
        )
    done = 0
    windows = ask(items, constitution, judges, store, pairs=pairs, method=method, budget=budget)
    async with aclosing(windows):
        async for asked in windows:
            done += len(asked.items)
            if progress and not asked.over:
                progress(done, len(items))
            yield _lines(asked, constitution, store)


def _lines(
    asked: AskedWindow, constitution: Constitution, store: VoteStore
) -> list[dict[str, Any]]:
    """The ranking lines of a window; what a budget did not reach is an error, so asked again."""
    if asked.over:
        made: Iterable[dict[str, Any]] = (
            unscored_line(ballot, constitution, "over_budget") for ballot in asked.ballots
        )
    else:
        made = rankings(asked.ballots, constitution, store)
    return [
        line | texts_of(item) | marks_of(asked, place)
        for place, (line, item) in enumerate(zip(made, asked.items, strict=True))
    ]


def texts_of(item: Item) -> dict[str, Any]:
    """What a ranking line repeats of its item."""
    told: dict[str, Any] = {
        "prompt": [message.model_dump() for message in item.prompt],
        "completions": [completion.text for completion in item.completions],
        "metadata": item.metadata,
    }
    return told if item.answer is None else told | {"answer": item.answer}


def marks_of(asked: AskedWindow, place: int) -> dict[str, Any]:
    """What asking left on one line: usage; an engine's failure or a budget makes it an error."""
    told = asked.told[place]
    marks: dict[str, Any] = {"usage": told.usage()}
    if asked.rounds:
        marks["usage"]["rounds"] = asked.rounds[place]
    if asked.over:
        marks |= {"status": "error", "reason": "over_budget", "detail": asked.over}
    elif told.failures:
        failure = next(iter(told.failures.values()))
        marks |= {"status": "error", "reason": failure.reason, "detail": failure.detail}
    return marks | {"left": dict(asked.left)} if asked.left else marks


def _windows(
    items: Iterable[Item], votes: int, pairs: Pairs | FewPairs | PairsOf, size: int
) -> Iterable[list[Item]]:
    """Items in lists that hold so many questions, each pair being shown for so many votes twice."""
    window: list[Item] = []
    held = 0
    for item in items:
        window.append(item)
        held += 2 * most_pairs(len(item.completions), pairs) * max(votes, 1)
        if held >= size:
            yield window
            window, held = [], 0
    if window:
        yield window


async def _ask_window(
    items: Sequence[Item],
    constitution: Constitution,
    panel: Panel,
    store: VoteStore,
    ballot: Callable[[Item], Ballot],
    method: Method,
    pairs: Pairs | FewPairs | PairsOf,
    only: Container[str] | None,
    out: InFlight,
) -> AskedWindow:
    ballots = [ballot(item) for item in items]
    matter = Matter.of(items, constitution, panel.judges, method.kind)
    contests: list[Contest] = []
    if isinstance(pairs, FewPairs):
        contests = [open_contest(ballot, pairs, constitution) for ballot in ballots]
        wanted = [
            [q for q in contest.questions if only is None or q.principle in only]
            for contest in contests
        ]
    else:
        wanted = [
            questions(ballot, constitution, pairs_to_judge(ballot, pairs), only)
            if len(ballot.completions) > 1
            else []
            for ballot in ballots
        ]
    free = {s for s, (_, form) in matter.settings.items() if form.kind in ("applies", "rule")}
    first = [q for asked in wanted for q in asked if q.setting in free]
    told = await cast_votes(panel.seated(first, matter), matter, store, out)
    second = [q for asked in wanted for q in asked if q.setting not in free]
    second = panel.seated(in_scope(second, told, matter), matter)
    told += await cast_votes(second, matter, store, out)
    panel.watch(told, matter)
    if isinstance(pairs, FewPairs):
        told = await ask_on(contests, told, pairs, constitution, matter, store, out)
        wanted = [contest.questions for contest in contests]
    told.failures = panel.failures(told, matter)
    of_each = [told.on(asked) for asked in wanted]
    rounds = [contest.rounds for contest in contests]
    return AskedWindow(items, ballots, of_each, rounds, dict(panel.left), len(told.new))
