"""A run with planted principles: one is dead, two say the same, two contradict, some pairs are
told apart by none."""

import asyncio
from pathlib import Path
from typing import Any

from judges.constitutions.constitution import Constitution
from judges.diagnostics.run_files import Run, read_run
from judges.jsonl import write_jsonl
from judges.judge import Judge
from judges.records import Item
from judges.store.vote_store import VoteStore
from tests.judges.planted import constitution, item, judge, rank_all

DEAD = {"id": "dead", "text": "Be dull."}
TEA = {"id": "tea", "text": "Praise tea.", "weight": 3.0}
COPY = {"id": "tea-too", "text": "Honour tea.", "weight": 3.0}
MILK = {"id": "milk", "text": "Praise milk.", "weight": 2.0}
NO_MILK = {"id": "no-milk", "text": "Shun milk."}
RARE = {"id": "rare", "text": "Be rare.", "applies_when": "Is it about Mars?", "tier": "high"}
ALL: tuple[dict[str, Any], ...] = (DEAD, TEA, COPY, MILK, NO_MILK, RARE)
TASTES = {
    "dull": "indifferent",
    "Praise tea": "contains:tea",
    "Honour tea": "contains:tea",
    "Praise milk": "contains:milk",
    "Shun milk": "avoids:milk",
    "rare": "shorter",
}
KINDS = (
    ("tea", ("hot tea please", "a plain cup")),
    ("milk", ("a plain cup", "warm milk please")),
    ("both", ("hot tea please", "warm milk please")),
    ("gap", ("a plain cup", "some other cup")),
)


def planted_judge(**more: Any) -> Judge:
    """A judge with the planted tastes; nothing is about Mars."""
    return judge(preferences=TASTES, applies={"Mars": "never"}, **more)


def planted_items(each: int = 30) -> list[Item]:
    """So many pairs of each kind, the kind in their metadata; each second one swapped."""
    made = []
    for name, (first, second) in KINDS:
        for k in range(each):
            texts = (f"{first} {k}", f"{second} {k}")
            one = item(f"{name}-{k}", *texts[:: 1 if k % 2 else -1])
            made.append(one.model_copy(update={"metadata": {"subset": name}}))
    return made


def planted(*principles: dict[str, Any], **settings: float) -> Constitution:
    """The planted principles, or those given."""
    return constitution(*(principles or ALL), **settings)


def ranked_run(
    folder: Path, store: VoteStore, items: list[Item], under: Constitution, by: Judge
) -> Run:
    """The items ranked to a file, and read back."""
    path = folder / "rankings.jsonl"
    write_jsonl(path, asyncio.run(rank_all(items, under, [by], store)))
    return read_run(path)


def write_labels(path: Path, items: list[Item], word: str) -> Path:
    """People who prefer the completion with a word, and call all else a tie; sides swapped."""
    rows = []
    for one in items:
        second, first = (completion.text for completion in one.completions)
        held = [word in text for text in (first, second)]
        label = None if held[0] == held[1] else held.index(True)
        prompt = [turn.model_dump() for turn in one.prompt]
        rows.append({"prompt": prompt, "completions": [first, second], "preferred_index": label})
    write_jsonl(path, rows)
    return path
