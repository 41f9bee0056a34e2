"""Rankings files in bulk: only the keys that matter are read, and reweighing streams.

A ranking line is mostly matrices that reweighing replaces; parsing them would cost more than the
reweighing itself. What is carried over unchanged is copied as bytes.
"""

import gc
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import orjson

from judges.constitutions.constitution import Constitution
from judges.errors import DataError
from judges.jsonl import read_lines, write_jsonl
from judges.reweigh import CHUNK, rankings
from judges.store.vote_store import VoteStore
from judges.tally import Ballot

CARRIED = ("prompt", "completions", "metadata", "asked")
"""What a reweighed line takes over as it stands."""


class _RankingLine(msgspec.Struct):
    id: str
    votes: dict[str, Any]
    prompt: msgspec.Raw = msgspec.Raw()
    completions: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()
    asked: msgspec.Raw = msgspec.Raw()


def reweigh_file(
    source: Path, constitution: Constitution, store: VoteStore, output: Path
) -> Counter[str]:
    """Rank a rankings file again from stored votes; returns how many have each status.

    Cost: no model call; memory for a few thousand rankings at a time.
    Raises: DataError naming file and line.
    """
    status: Counter[str] = Counter()

    def lines() -> Iterator[dict[str, Any]]:
        parsed = _read(source)
        while part := list(islice(parsed, CHUNK)):
            made = rankings([ballot for ballot, _ in part], constitution, store)
            for (_, carried), line in zip(part, made, strict=True):
                status[line["status"]] += 1
                yield line | carried

    with _without_collector():
        write_jsonl(output, lines())
    return status


def ballot_in(row: Mapping[str, Any]) -> Ballot | None:
    """The ballot a ranking line was made from; None when it does not say."""
    try:
        return Ballot.model_validate({"id": str(row["id"]), **row["votes"]})
    except (KeyError, TypeError, ValueError):
        return None


def _read(source: Path) -> Iterator[tuple[Ballot, dict[str, Any]]]:
    decode = msgspec.json.Decoder(_RankingLine).decode
    for number, text in read_lines(source):
        try:
            line = decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataError(
                f"{source}:{number}: no ranking line ({error}); make it with `charter rank`"
            ) from None
        ballot = ballot_in({"id": line.id, "votes": line.votes})
        if ballot is None:
            raise DataError(
                f"{source}:{number}: `votes` does not say where the votes lie; make the file with "
                "`charter rank`"
            )
        yield (
            ballot,
            {key: orjson.Fragment(bytes(raw)) for key in CARRIED if (raw := getattr(line, key))},
        )


@contextmanager
def _without_collector() -> Iterator[None]:
    """No cyclic garbage collection: it would go over millions of small live lists, in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
