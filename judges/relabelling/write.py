"""A rankings file written anew from the store: the lines that `charter rank` would write now."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from judges.constitutions.constitution import Constitution
from judges.jsonl import replacing
from judges.ranking_files import (
    Part,
    in_processes,
    parts_of,
    read_part,
    without_collector,
    write_part,
)
from judges.relabelling.plan import Plan, ballot_under
from judges.store.vote_store import VoteStore

_Job = tuple[Part, list[dict[str, Any]]]
_NOTHING_NEW = {"votes": 0, "new_votes": 0, "prompt_tokens": 0, "cached_tokens": 0}


def write_relabelled(
    plan: Plan,
    constitution: Constitution,
    store: VoteStore,
    output: Path,
    marks: Mapping[int, dict[str, Any]],
    card: Mapping[str, Any],
) -> Counter[str]:
    """Write every line as its votes say now; returns how many have each status.

    `marks` holds what asking left on the lines that were asked about. Cost: no model call.
    """
    status: Counter[str] = Counter()
    work = partial(
        _relabel_part, source=str(plan.source), constitution=constitution, card=dict(card)
    )
    with replacing(output) as file:
        for text, counted in in_processes(_marked(plan, marks), store, work):
            file.write(text)
            status += counted
    return status


def _marked(plan: Plan, marks: Mapping[int, dict[str, Any]]) -> Iterator[_Job]:
    """The file's lines in parts, with what is said on each."""
    place, needed = 0, plan.needed_R.tolist()
    for part in parts_of(plan.source):
        said = [
            marks.get(row) or {"usage": {**_NOTHING_NEW, "votes": needed[row]}}
            for row in range(place, place + len(part))
        ]
        place += len(part)
        yield part, said


def _relabel_part(
    job: _Job, store: VoteStore, *, source: str, constitution: Constitution, card: dict[str, Any]
) -> tuple[bytes, Counter[str]]:
    part, said = job
    with without_collector():
        rows = []
        for one, marks in zip(read_part(part, source), said, strict=True):
            carried = {key: value for key, value in one.carried.items() if key != "asked"}
            asked = orjson.Fragment(one.asked or b'"all"')
            rows.append(
                (ballot_under(constitution, one), carried | marks | {"asked": asked, "card": card})
            )
        return write_part(rows, constitution, store)
