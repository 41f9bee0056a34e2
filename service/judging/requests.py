"""What judging requests hold: one item, or a list, and how it is judged."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, WithJsonSchema

from judges.records import CompletionText, Message, Record

Reference = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Deadline = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SINGLE = ("id", "prompt", "completions", "chosen", "rejected", "answer", "metadata")
"""The keys of a request for one item, as a line of a completions file has them."""

_ITEM_SCHEMA = {
    "type": "object",
    "description": "A line of a completions file, or a preference row with chosen and rejected.",
    "properties": {
        "id": {"type": ["string", "integer"]},
        "prompt": {"type": ["string", "array"], "items": {"type": "object"}},
        "completions": {"type": "array", "items": {"type": ["string", "object"]}},
        "answer": {"type": ["string", "null"]},
        "metadata": {"type": "object"},
    },
}


def _shown(*how: dict[str, Any]) -> ConfigDict:
    """Examples: one item, then several, each with what else the verb takes."""
    one = {
        "constitution": "helpful-harmless@1",
        "prompt": "How do I remove a tick?",
        "completions": ["Grip it close to the skin with tweezers and pull.", "Just leave it."],
    }
    many = {
        "constitution": "plain-speech",
        "items": [{"id": "a", "prompt": "What is tea?", "completions": ["A drink.", "Leaves."]}],
        "deadline_s": 60,
    }
    examples: list[Any] = [*(one | part for part in how), many]
    return ConfigDict(json_schema_extra={"examples": examples})


class JudgingRequest(Record):
    """One item (`prompt` and `completions`), or many (`items`), under one constitution."""

    constitution: Reference
    """`name@1.0.0`, `name@1`, `name`, or `sha256:…`."""
    judge: Name | tuple[Name, ...] | None = None
    """A judge that is served here, or several for a panel; without one, the usual."""
    id: str | int | None = None
    """Names the item in the answer; without one, made of its content."""
    prompt: str | list[Message] | None = None
    """What the completions answer: a text, or messages."""
    completions: list[str | CompletionText] | None = None
    """What is judged."""
    chosen: str | list[Message] | None = None
    """With `rejected`, in place of completions: a preference row, chosen first."""
    rejected: str | list[Message] | None = None
    """See `chosen`."""
    answer: str | None = None
    """The right answer, for rules that compare with one."""
    metadata: dict[str, Any] | None = None
    """Copied to the answer, never judged."""
    items: list[Annotated[Any, WithJsonSchema(_ITEM_SCHEMA)]] | None = None
    """Many items: the answer is NDJSON, a line for each, as each is done."""
    deadline_s: Deadline | None = None
    """Seconds from now; what is not done then is an `error` with the reason `deadline_passed`."""

    @property
    def judge_names(self) -> tuple[str, ...]:
        """The judges named, if any."""
        if self.judge is None:
            return ()
        return (self.judge,) if isinstance(self.judge, str) else self.judge

    @property
    def single(self) -> dict[str, Any]:
        """The one item as a row; empty where there is none."""
        row = self.model_dump(include=set(SINGLE), exclude_unset=True)
        return {key: value for key, value in row.items() if value is not None}


class RankRequest(JudgingRequest):
    """Completions of one prompt put in order."""

    model_config = _shown({"pairs": "all"}, {"ask": "rating"})

    ask: Literal["pairs", "yes-no", "rating", "list"] = "pairs"
    """How judges are asked: pairs in both orders, each alone, or the group at once."""
    pairs: Literal["all", "ring", "chain", "active", "random"] = "all"
    """Which pairs are judged."""
    pairs_budget: Annotated[int, Field(ge=1)] | None = None
    """Most pairs an item, with `active` and `random`."""
    pairs_goal: Literal["order", "best"] | None = None
    """When `active` may stop."""
    samples: Annotated[int, Field(ge=1, le=64)] | None = None
    """Votes a question."""
    panel: Literal["mean", "majority"] = "mean"
    """How several judges are combined."""


class CompareRequest(JudgingRequest):
    """Two completions of one prompt: which is better, how surely, and by which principles."""

    model_config = _shown({})

    ask: Literal["pairs", "yes-no", "rating"] = "pairs"
    """How judges are asked."""
    samples: Annotated[int, Field(ge=1, le=64)] | None = None
    """Votes a question."""
    panel: Literal["mean", "majority"] = "mean"
    """How several judges are combined."""


class ScoreRequest(JudgingRequest):
    """Completions scored one by one, without an opponent."""

    model_config = _shown({"ask": "yes-no"})

    ask: Literal["both", "yes-no", "rating"] = "both"
    """P(yes) that each principle is followed, ratings from 1 to 10, or both."""


class CritiqueRequest(JudgingRequest):
    """What is wrong with completions, principle by principle, in quoted words."""

    model_config = _shown({"principles": ["truthful"]})

    principles: tuple[Name, ...] | None = None
    """Only these; else all that have a critique request."""
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = 512
    """Longest answer of the model."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    """0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus mass."""
    seed: int | None = 0
    """The same seed, the same answer on the same engine."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Tries for an answer that can be used."""


class ReviseRequest(CritiqueRequest):
    """Completions critiqued and rewritten, round after round."""

    model_config = _shown({"rounds": 2})

    rounds: Annotated[int, Field(ge=1, le=16)] = 4
    """Rounds for each completion."""
    in_turn: bool = False
    """Each principle once, in order, in place of drawn ones."""
    always: bool = False
    """Revise also where a critique finds nothing wrong."""
    check: bool = True
    """Have the judge compare each revision with what it revised."""
