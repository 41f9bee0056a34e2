"""Whether a revision is worse than what it revised: the judge's votes, in both orders."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judges.constitutions.constitution import Constitution, Principle
from judges.judge import Judge
from judges.rank import rank
from judges.records import CompletionText, Item, Message, Reason, Record
from judges.store.vote_store import VoteStore

Pair = tuple[tuple[Message, ...], str, str, Principle]
"""A conversation, a text, its revision, and the principle they are compared under."""


@dataclass(frozen=True)
class Check:
    """Who compares, and where the votes are kept."""

    judges: Sequence[Judge]
    store: VoteStore


class Checked(Record):
    """The judge's word on one revision."""

    p: float | None
    """Probability that the revision follows the principle better; None where it is unscored."""
    order_gap: float | None
    """Logits that the judge gave for being shown first."""
    reason: Reason | None
    """Why it is unscored."""
    detail: str
    """What was seen instead, for people."""


async def check_revisions(
    pairs: Sequence[Pair], constitution: Constitution, check: Check
) -> list[Checked]:
    """The verdict on each pair, in order, under its own principle, scope aside.

    Cost: two votes a pair for each judge, less what the store holds; none for a rule.
    """
    found: dict[int, Checked] = {}

    async def under(name: str) -> None:
        places = [i for i, (*_, principle) in enumerate(pairs) if principle.id == name]
        alone = _alone(constitution, pairs[places[0]][3])
        items = [_item(i, pairs[i]) for i in places]
        async for lines in rank(items, alone, check.judges, check.store):
            found.update({int(line["id"]): _told(line, name) for line in lines})

    names = dict.fromkeys(principle.id for *_, principle in pairs)
    await asyncio.gather(*map(under, names))
    return [found[i] for i in range(len(pairs))]


def _told(line: Mapping[str, Any], principle: str) -> Checked:
    """The verdict in a ranking line of two completions, the revision second."""
    scored = line["status"] == "scored"
    return Checked(
        p=float(line["p"][1][0]) if scored else None,
        order_gap=line["principles"][principle]["order_gap"] if scored else None,
        reason=None if scored else line["reason"],
        detail=line.get("detail", ""),
    )


def _alone(constitution: Constitution, principle: Principle) -> Constitution:
    """The constitution with this principle only; its votes count for the whole one too."""
    return constitution.model_copy(
        update={"principles": (principle.model_copy(update={"applies_when": None}),)}
    )


def _item(index: int, pair: Pair) -> Item:
    conversation, before, after, _ = pair
    texts = (CompletionText(text=before), CompletionText(text=after))
    return Item(id=str(index), prompt=conversation, completions=texts)
