"""Which labelled pairs are trained on: fixed by their prompts, before anything is trained."""

import hashlib
from collections.abc import Sequence

from judges.cards.labelled import LabelledPair


def opening(pair: LabelledPair) -> str:
    """What pairs share that must not be parted: the first thing the user says."""
    said = [message.content for message in pair.item.prompt if message.role == "user"]
    return (said[0] if said else pair.item.conversation_text).strip().lower()


def split_by_prompt(
    pairs: Sequence[LabelledPair], at_least: int, seed: int
) -> tuple[list[LabelledPair], list[LabelledPair]]:
    """The pairs kept, and at least so many set aside, both in their order.

    Conversations that open alike stay together. The order in which they are set aside is that of
    a digest, so it does not depend on the file's order, and one more set aside moves no other.
    """
    groups: dict[str, int] = {}
    for pair in pairs:
        groups[opening(pair)] = groups.get(opening(pair), 0) + 1
    aside: set[str] = set()
    count = 0
    for text in sorted(groups, key=lambda text: _place(text, seed)):
        if count >= at_least:
            break
        aside.add(text)
        count += groups[text]
    kept = [pair for pair in pairs if opening(pair) not in aside]
    return kept, [pair for pair in pairs if opening(pair) in aside]


def _place(text: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{text}".encode("utf-8", "replace")).hexdigest()
