"""Ranking completions by votes: ask what the store lacks, commit it, then aggregate.

Items go through in windows. While one window's answers are out, the next one's questions are
already waiting, so that the engine never idles. Killed at any point, a second run asks only what
had not been committed: at most the windows then in flight.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from itertools import combinations
from typing import Any, Literal

from judges.canonical import text_digest
from judges.constitutions.constitution import Constitution
from judges.errors import ModelError
from judges.judge import Judge, settings_of
from judges.records import Item
from judges.reweigh import questions, rankings
from judges.store.vote_store import VoteStore
from judges.tally import EMPTY, Ballot, Settings
from judges.votes import Asked, Matter, cast_votes, in_scope

Pairs = Literal["all", "ring", "chain"]
WINDOW_QUESTIONS = 256
"""Questions a window holds at least: enough to fill many requests."""
WINDOWS_IN_FLIGHT = 4
DEAD_AFTER = 64
"""Unanswered questions of a window; fewer can be the same few bad prompts, asked again."""
Progress = Callable[[int, int], None]


async def rank(
    items: Sequence[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    pairs: Pairs = "all",
    progress: Progress | None = None,
) -> AsyncGenerator[list[dict[str, Any]]]:
    """Ranking lines in the items' order, some at a time, each with its prompt and completions.

    Cost: for each item, principle and judge, two votes a pair (one a scope), less what the store
    holds already; `ring` judges N pairs of N completions, `chain` N - 1, not N(N - 1)/2.
    Raises: ModelError when a window of many questions gets not one answer.
    """
    settings = settings_of(judges)
    done = 0
    flying: deque[asyncio.Task[list[dict[str, Any]]]] = deque()
    windows = iter(_windows(items, constitution, len(judges), pairs))
    try:
        while True:
            while len(flying) < WINDOWS_IN_FLIGHT and (window := next(windows, None)):
                job = _rank_window(window, constitution, judges, store, settings, pairs)
                flying.append(asyncio.create_task(job))
            if not flying:
                return
            lines = await flying[0]
            flying.popleft()
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


def _windows(
    items: Sequence[Item], constitution: Constitution, judges: int, pairs: Pairs
) -> Iterable[list[Item]]:
    judged = sum(principle.rule is None for principle in constitution.principles)
    window: list[Item] = []
    held = 0
    for item in items:
        window.append(item)
        held += 2 * len(chosen_pairs(len(item.completions), pairs)) * max(judged, 1) * judges
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


async def _rank_window(
    items: Sequence[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    settings: Settings,
    pairs: Pairs,
) -> list[dict[str, Any]]:
    ballots = [ballot_of(item, settings) for item in items]
    matter = Matter.of(items, constitution, judges)
    wanted = [
        questions(ballot, constitution, judged_pairs(ballot, pairs))
        if len(ballot.completions) > 1
        else []
        for ballot in ballots
    ]
    first = [q for asked in wanted for q in asked if len(q.completions) < 2]
    told = await cast_votes(first, matter, store)
    second = [q for asked in wanted for q in asked if len(q.completions) > 1]
    told += await cast_votes(in_scope(second, told, matter), matter, store)
    _stop_when_dead(told)
    lines = list(rankings(ballots, constitution, store))
    return [
        _with_texts(line, item, told.on(asked))
        for line, item, asked in zip(lines, items, wanted, strict=True)
    ]


def _stop_when_dead(told: Asked) -> None:
    """So many questions and not one answer means the engine is gone: stop, and say so."""
    if len(told.failures) >= DEAD_AFTER and not told.new:
        detail = Counter(failure.detail for failure in told.failures.values()).most_common(1)[0][0]
        raise ModelError(
            f"the judge answered none of {len(told.failures)} questions ({detail}); see to the "
            "engine and run the same command again: all votes so far are kept"
        )


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
