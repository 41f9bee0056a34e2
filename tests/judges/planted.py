"""Small constitutions, items and judges with planted tastes, for tests of judging."""

from collections.abc import Sequence
from typing import Any

from judges.ballots import Pairs
from judges.constitutions.constitution import Constitution
from judges.jsonl import dump_line, parse_line
from judges.judge import Judge
from judges.models.fake import FakeModel, FakeSettings
from judges.rank import rank
from judges.records import CompletionText, Item, Message
from judges.store.vote_store import VoteStore

SHORTER = {"id": "shorter", "text": "Be brief."}
HONEST = {"id": "honest", "text": "Be honest.", "weight": 2.0}
KIND = {"id": "kind", "text": "Be kind.", "tier": "high"}
WORDS = {"id": "few-words", "rule": {"kind": "max_words", "value": 4}}
FULL = {"id": "full-sentence", "rule": {"kind": "complete_sentence"}, "tier": "style"}


def constitution(*principles: dict[str, Any], **settings: float) -> Constitution:
    """A constitution of these principles, each with what every principle must have."""
    return Constitution.model_validate(
        {
            "name": "planted",
            "version": "1.0.0",
            "title": "Planted",
            "licence": "CC0-1.0",
            "aggregate": settings,
            "principles": [{"family": "f", "title": "t", **p} for p in principles],
        }
    )


def item(name: str, *texts: str, prompt: str = "What is tea?") -> Item:
    """A prompt of one turn with completions."""
    return Item(
        id=name,
        prompt=(Message(role="user", content=f"{prompt} ({name})"),),
        completions=tuple(CompletionText(text=text) for text in texts),
    )


def items(count: int, completions: int = 2) -> list[Item]:
    """Items whose completions all differ."""
    return [
        item(f"i{k}", *(f"answer {c} " + "word " * ((k + c) % 5) for c in range(completions)))
        for k in range(count)
    ]


def judge(**planted: Any) -> Judge:
    """A judge on a fake model."""
    return Judge("fake", FakeModel(FakeSettings.model_validate(planted)))


def asked(*judges: Judge) -> int:
    """How many prompts the judges' models have been asked."""
    models = [one.model for one in judges]
    assert all(isinstance(model, FakeModel) for model in models)
    return sum(model.prompts for model in models if isinstance(model, FakeModel))


def as_written(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines as a file would give them back."""
    return [parse_line(dump_line(line), "a line") for line in lines]


async def rank_all(
    of: Sequence[Item],
    under: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    pairs: Pairs = "all",
) -> list[dict[str, Any]]:
    """Every ranking line, as written."""
    return as_written(
        [line async for part in rank(of, under, judges, store, pairs=pairs) for line in part]
    )


def verdicts(line: dict[str, Any]) -> dict[str, Any]:
    """A ranking line without what tells only how it came about."""
    told = ("usage", "prompt", "completions", "metadata", "asked")
    return {key: value for key, value in line.items() if key not in told}
