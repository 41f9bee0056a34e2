"""Which labelled pairs are trained on: fixed by their prompts, before anything is trained."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judges.cards.labelled import LabelledPair
from judges.jsonl import dump_line, replacing
from judges.records import Message

HELD_OUT = "held-out.jsonl"
"""The file of a run folder that holds the pairs set aside."""


def opening(conversation: Sequence[Message]) -> str:
    """What conversations share that must not be parted: the first thing the user says."""
    said = [message.content for message in conversation if message.role == "user"]
    first = said[0] if said else "".join(message.content for message in conversation)
    return first.strip().lower()


def split_by_prompt(
    pairs: Sequence[LabelledPair], at_least: int, seed: int
) -> tuple[list[LabelledPair], list[LabelledPair]]:
    """The pairs kept, and at least so many set aside, both in their order.

    Conversations that open alike stay together. The order in which they are set aside is that of
    a digest, so it does not depend on the file's order, and one more set aside moves no other.
    """
    groups = Counter(opening(pair.item.prompt) for pair in pairs)
    aside: set[str] = set()
    count = 0
    for text in sorted(groups, key=lambda text: _place(text, seed)):
        if count >= at_least:
            break
        aside.add(text)
        count += groups[text]
    kept = [pair for pair in pairs if opening(pair.item.prompt) not in aside]
    return kept, [pair for pair in pairs if opening(pair.item.prompt) in aside]


def _place(text: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{text}".encode("utf-8", "replace")).hexdigest()


def write_held_out(pairs: Sequence[LabelledPair], file: Path) -> None:
    """The pairs set aside, as `charter judge-card --data` reads them; nothing where none are."""
    if not pairs:
        return
    with replacing(file) as stream:
        stream.writelines(dump_line(_labelled_line(pair)) for pair in pairs)


def _labelled_line(pair: LabelledPair) -> dict[str, Any]:
    index = {1.0: 0, 0.0: 1, 0.5: None}
    line: dict[str, Any] = {
        "id": pair.item.id,
        "prompt": [message.model_dump() for message in pair.item.prompt],
        "completions": [completion.text for completion in pair.item.completions],
        "preferred_index": index[pair.preferred],
        "weight": pair.weight,
    }
    if pair.annotations:
        line["annotators"] = [index[label] for label in pair.annotations]
    return line | ({"subset": pair.slice} if pair.slice else {})
