"""Ranking completions by votes: ask what the store lacks, commit it, then aggregate.

Items go through in windows. While one window's answers are out, the next one's questions are
already waiting, so that the engine never idles. Killed at any point, a second run asks only what
had not been committed: at most the windows then in flight.

Where few pairs are judged, a window's items are asked about in rounds (see `pair_rounds`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from functools import cache
from itertools import combinations
from typing import Any, Literal

from judges.active_pairs import budget_of
from judges.budget import Budget
from judges.canonical import text_digest
from judges.constitutions.constitution import Constitution
from judges.constitutions.rules import reads_reference
from judges.errors import ConfigError
from judges.judge import Judge, Method, arithmetic_texts, rule_setting, settings_of
from judges.pair_rounds import Contest, FewPairs, ask_on, open_contest
from judges.panel import Panel
from judges.records import Item
from judges.reweigh import questions, rankings, unscored_line
from judges.store.vote_store import VoteStore
from judges.tally import EMPTY, Ballot, Settings
from judges.votes import Asked, Matter, cast_votes, group_size, in_scope

Pairs = Literal["all", "ring", "chain"]
WINDOW_QUESTIONS = 256
"""Questions a window holds at least: enough to fill many requests."""
WINDOWS_IN_FLIGHT = 4
Progress = Callable[[int, int], None]


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
    store.add([], arithmetic_texts(judges, method))
    panel = Panel(judges)
    ballot = ballot_maker(judges, constitution, method)
    done = 0
    flying: deque[asyncio.Task[list[dict[str, Any]]]] = deque()
    windows = iter(_windows(items, constitution, len(judges), pairs))
    try:
        while True:
            over = budget.reached() if budget else None
            while not over and len(flying) < WINDOWS_IN_FLIGHT and (window := next(windows, None)):
                job = _rank_window(window, constitution, panel, store, ballot, method, pairs)
                flying.append(asyncio.create_task(job))
            if not flying:
                for window in windows:  # what the budget did not reach
                    yield [_not_asked(item, ballot(item), constitution, over) for item in window]
                return
            lines = await flying[0]
            flying.popleft()
            if budget:
                for line in lines:
                    budget.spend(line["usage"])
            done += len(lines)
            if progress:
                progress(done, len(items))
            yield lines
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


def chosen_pairs(size: int, pairs: Pairs) -> list[tuple[int, int]]:
    """The pairs to judge among so many completions, each with i < j.

    `chain`: each completion against the next, the fewest that connect all. `ring`: the last
    against the first too, the fewest that show a cycle.
    """
    if pairs == "all":
        return list(combinations(range(size), 2))
    chain = [(i, i + 1) for i in range(size - 1)]
    return chain if pairs == "chain" or size < 3 else sorted([*chain, (0, size - 1)])


def judged_pairs(ballot: Ballot, pairs: Pairs) -> list[tuple[int, int]]:
    """The pairs to judge on a ballot: a ring passes over empty completions, and stays closed."""
    filled = [index for index, text in enumerate(ballot.completions) if text != EMPTY]
    return [(filled[i], filled[j]) for i, j in chosen_pairs(len(filled), pairs)]


def most_pairs(size: int, pairs: Pairs | FewPairs) -> int:
    """How many pairs of so many completions are judged at most."""
    if isinstance(pairs, FewPairs):
        return budget_of(size, pairs.budget)
    return len(chosen_pairs(size, pairs))


def _windows(
    items: Sequence[Item], constitution: Constitution, judges: int, pairs: Pairs | FewPairs
) -> Iterable[list[Item]]:
    judged = sum(principle.rule is None for principle in constitution.principles)
    window: list[Item] = []
    held = 0
    for item in items:
        window.append(item)
        held += 2 * most_pairs(len(item.completions), pairs) * max(judged, 1) * judges
        if held >= WINDOW_QUESTIONS:
            yield window
            window, held = [], 0
    if window:
        yield window


def ballot_of(item: Item, settings: Settings) -> Ballot:
    """The ballot of an item: its digests, and whose votes count."""
    return Ballot(
        id=item.id,
        conversation=text_digest(item.conversation_text),
        completions=tuple(
            text_digest(completion.text) if completion.text.strip() else EMPTY
            for completion in item.completions
        ),
        settings=settings,
    )


def ballot_maker(
    judges: Sequence[Judge], constitution: Constitution, method: Method
) -> Callable[[Item], Ballot]:
    """What makes an item's ballot.

    A group is asked about under a setting of its size; rules that compare with an item's answer
    under one that names the answer.
    """
    settings = cache(lambda size: settings_of(judges, method, size))
    compares = any(p.rule and reads_reference(p.rule) for p in constitution.principles)

    def make(item: Item) -> Ballot:
        asked = settings(group_size(item) if method.kind == "list" else 0)
        if compares and item.answer is not None:
            asked = asked.model_copy(update={"rule": rule_setting(item.answer).digest})
        return ballot_of(item, asked)

    return make


async def _rank_window(
    items: Sequence[Item],
    constitution: Constitution,
    panel: Panel,
    store: VoteStore,
    ballot: Callable[[Item], Ballot],
    method: Method,
    pairs: Pairs | FewPairs,
) -> list[dict[str, Any]]:
    ballots = [ballot(item) for item in items]
    matter = Matter.of(items, constitution, panel.judges, method.kind)
    contests: list[Contest] = []
    if isinstance(pairs, FewPairs):
        contests = [open_contest(ballot, pairs, constitution) for ballot in ballots]
        wanted = [contest.questions for contest in contests]
    else:
        wanted = [
            questions(ballot, constitution, judged_pairs(ballot, pairs))
            if len(ballot.completions) > 1
            else []
            for ballot in ballots
        ]
    free = {s for s, (_, form) in matter.settings.items() if form.kind in ("applies", "rule")}
    first = [q for asked in wanted for q in asked if q.setting in free]
    told = await cast_votes(panel.seated(first, matter), matter, store)
    second = [q for asked in wanted for q in asked if q.setting not in free]
    told += await cast_votes(panel.seated(in_scope(second, told, matter), matter), matter, store)
    panel.watch(told, matter)
    if isinstance(pairs, FewPairs):
        told = await ask_on(contests, told, pairs, constitution, matter, store)
        wanted = [contest.questions for contest in contests]
    told.failures = panel.failures(told, matter)
    lines = [
        _with_texts(line, item, told.on(asked))
        for line, item, asked in zip(
            rankings(ballots, constitution, store), items, wanted, strict=True
        )
    ]
    if panel.left:
        lines = [{**line, "left": dict(panel.left)} for line in lines]
    for line, contest in zip(lines, contests, strict=False):  # no contests: all asked at once
        line["usage"]["rounds"] = contest.rounds
    return lines


def _not_asked(
    item: Item, ballot: Ballot, constitution: Constitution, over: str | None
) -> dict[str, Any]:
    """The line of an item that the budget did not reach: an error, so a second run asks for it."""
    line = unscored_line(ballot, constitution, "over_budget")
    line |= {"status": "error", "detail": over or ""}
    return _with_texts(line, item, Asked())


def _with_texts(line: dict[str, Any], item: Item, told: Asked) -> dict[str, Any]:
    """A ranking line with its prompt, completions and usage; an engine's failure marks it."""
    line["prompt"] = [message.model_dump() for message in item.prompt]
    line["completions"] = [completion.text for completion in item.completions]
    line["metadata"] = item.metadata
    line["usage"] = told.usage()
    if told.failures:
        failure = next(iter(told.failures.values()))
        line |= {"status": "error", "reason": failure.reason, "detail": failure.detail}
    return line
