"""Casting what a run lacks under a constitution, with the judges it was ranked with.

Votes are kept as they come, so that a second run pays for the rest only.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from judges.aggregate import Bools
from judges.ballots import ballot_of
from judges.budget import Budget
from judges.calibration.panel import Stacker
from judges.constitutions.constitution import Constitution
from judges.errors import ConfigError, DataError
from judges.items import ITEM_KEYS, parse_item
from judges.jsonl import parse_line, read_lines
from judges.judge import Judge, Method, settings_of
from judges.lacking import Pairs, scope_of
from judges.matter import group_size
from judges.rank import Progress, ask, marks_of
from judges.ranking_files import read_ranking
from judges.records import Item
from judges.relabelling.plan import Plan, pairs_of
from judges.store.vote_store import VoteStore
from judges.tally import Settings


def method_of(settings: Settings, store: VoteStore) -> Method:
    """How the judges of a run were asked and combined. Raises: DataError for lost weights."""
    asked: dict[str, Any] = {"kind": settings.kind, "samples": settings.samples}
    if settings.panel in ("mean", "majority"):
        return Method(**asked, panel=settings.panel)
    body = store.texts([settings.panel]).get(settings.panel)
    if body is None:
        raise DataError(
            f"{store.where}: lacks the panel {settings.panel}; merge the store that the rankings "
            "were made with"
        )
    return Method(**asked, stacker=Stacker.model_validate_json(body))


def refuse_other_judges(plan: Plan, judges: Sequence[Judge], method: Method) -> None:
    """Raises: ConfigError when these judges, as they are asked now, are not those of the run."""
    if plan.settings.kind == "list":  # a setting for each size: each line is compared when read
        return
    now, names = settings_of(judges, method), " ".join(f"--judge {one.name}" for one in judges)
    for what, theirs, ours in (
        ("votes on other keys than the run's judges: model or way of asking differs",
         (plan.settings.pair, plan.settings.applies, plan.settings.families),
         (now.pair, now.applies, now.families)),
        ("calibrates otherwise than when the run was ranked",
         plan.settings.adjustments, now.adjustments),
    ):  # fmt: skip
        if theirs != ours:
            raise ConfigError(
                f"{names}: {what} · {plan.source} · name the judges it was ranked with, or rank "
                "anew with `charter rank`"
            )


async def cast_lacking(
    plan: Plan,
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    chosen: Sequence[int] | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> AsyncGenerator[tuple[int, dict[int, dict[str, Any]]]]:
    """Cast what a plan's lines lack, some lines at a time: votes cast, what asking left on a line.

    Some lines, where `chosen` holds their places: in that order. Cost: the plan's votes, less
    what another line or run has cast meanwhile. Raises: ModelError when the judges are gone.
    """
    method = method_of(plan.settings, store)
    lacks_R = plan.votes_RT[:, plan.judged_T if judges else ~plan.judged_T].sum(1) > 0
    if chosen is not None:
        lacks_R &= np.isin(np.arange(len(lacks_R)), chosen)
    places = np.flatnonzero(lacks_R).tolist()
    pairs: dict[str, Sequence[tuple[int, int]]] = {}
    read = items_at(plan, lacks_R, judges, method)
    if chosen is not None:
        by_place = dict(zip(places, read, strict=True))
        places = [place for place in chosen if place in by_place]
        read = (by_place[place] for place in places)
    items = _noting(read, pairs)
    done, only = 0, _asked_about(plan)
    others_R = plan.lacking.but(only).votes_R.tolist()
    windows = ask(
        items, constitution, judges, store, pairs=pairs, method=method, budget=budget, only=only
    )
    async with aclosing(windows):
        async for window in windows:
            left = {}
            for row, place in enumerate(places[done : done + len(window.items)]):
                left[place] = marks_of(window, row)
                # What was not asked about is there.
                left[place]["usage"]["votes"] += others_R[place]
            yield window.new, left
            done += len(left)
            if progress and not window.over:
                progress(done, len(places))


def _asked_about(plan: Plan) -> frozenset[str]:
    """Topics that lack votes somewhere, the scopes of these, and what lies in scopes that do."""
    asked = set(plan.asked)
    for topic in plan.topics:
        if (scope := scope_of(topic.principle)) and {scope, topic.digest} & plan.asked:
            asked |= {scope, topic.digest}
    return frozenset(asked)


def _noting(
    read: Iterator[tuple[Item, Pairs]], pairs: dict[str, Sequence[tuple[int, int]]]
) -> Iterator[Item]:
    """The items, the pairs of each noted by its id when it is taken."""
    for item, some in read:
        pairs[item.id] = some
        yield item


def items_at(
    plan: Plan, wanted_R: Bools, judges: Sequence[Judge], method: Method
) -> Iterator[tuple[Item, Pairs]]:
    """The items of some lines, read when they are wanted, and the pairs each is judged on.

    Raises: DataError for a line whose texts or judges are not those of its votes.
    """
    settings = cache(lambda size: settings_of(judges, method, size))
    for (number, text), wanted in zip(read_lines(plan.source), wanted_R.tolist(), strict=True):
        if not wanted:
            continue
        where = f"{plan.source}:{number}"
        row, line = parse_line(text, where), read_ranking(text, where)
        item = parse_item({key: row[key] for key in ITEM_KEYS if key in row}, where)
        size = group_size(item) if method.kind == "list" else 0
        known = line.ballot.settings
        now = settings(size).model_copy(update={"rule": known.rule}) if judges else known
        if ballot_of(item, now) != line.ballot:
            raise DataError(
                f"{where}: its votes are not of these texts and judges; use the file as "
                "`charter rank` wrote it, and the judges it was ranked with"
            )
        fixed = pairs_of(line)
        yield item, _all_pairs(len(item.completions)) if fixed is None else fixed


@cache
def _all_pairs(size: int) -> Pairs:
    return tuple(combinations(range(size), 2))
