"""Structured critiques: asked for under a JSON Schema, then parsed, validated and looked up.

What a critique quotes must stand in the completion; a critique that does not parse, or quotes what
nobody said, is asked for again with another seed, and after the last attempt is a record with its
reason, never a critique.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import orjson
from jsonschema import Draft202012Validator

from judges.canonical import digest
from judges.constitutions.constitution import Principle
from judges.critiques.layout import Finding, Shot, critique_prompt
from judges.critiques.quotes import find_quote
from judges.critiques.windows import Lines, Progress, in_windows, outcome
from judges.model import ChatModel, Completion, Failure, Sampling
from judges.records import Item, Message, Reason, Record

CRITIQUE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        # The model writes in this order: evidence before the verdict. The bounds keep a small
        # model, which may never close a string by itself, within its tokens.
        "quote": {"type": "string", "maxLength": 300},
        "comment": {"type": "string", "minLength": 1, "maxLength": 500},
        "severity": {"type": "string", "enum": ["none", "minor", "major"]},
    },
    "required": ["quote", "comment", "severity"],
    "additionalProperties": False,
}
_VALIDATOR = Draft202012Validator(CRITIQUE_SCHEMA)
REDRAWN = ("invalid_json", "quote_not_found", "truncated")
"""Where another draw may be better; of a refusal or an engine's failure it would not be."""
_SHOWN = 200


class Critique(Record):
    """What became of one request for a critique."""

    principle: str
    """Whose request was put."""
    status: Literal["scored", "unscored", "error"]
    """Only a scored critique says anything."""
    reason: Reason | None = None
    """Why there is none."""
    detail: str = ""
    """What was seen instead, for people."""
    severity: Literal["none", "minor", "major"] | None = None
    """How badly the completion falls short of the principle."""
    quote: str = ""
    """The passage as the completion has it; empty at severity none."""
    span: tuple[int, int] | None = None
    """Where it stands: offsets in characters, start and end."""
    comment: str = ""
    """What is wrong with it."""
    attempts: int = 1
    """How often the model was asked."""

    @property
    def finding(self) -> Finding:
        """What is shown to the reviser; only of a scored critique."""
        assert self.severity is not None
        return Finding(quote=self.quote, comment=self.comment, severity=self.severity)


@dataclass(frozen=True)
class Subject:
    """One completion to critique under one principle."""

    conversation: tuple[Message, ...]
    completion: str
    principle: str
    request: str


async def critique(
    subjects: Sequence[Subject],
    model: ChatModel,
    sampling: Sampling,
    *,
    attempts: int = 3,
    shots: Sequence[Shot] = (),
) -> list[Critique]:
    """The critique of each subject, in order.

    Cost: one completion for each subject that has a text, up to `attempts` where it is unusable.
    """
    found = [_blank(s) if not s.completion.strip() else None for s in subjects]
    tries = attempts if sampling.temperature > 0 else 1  # greedy, each try would be the same
    for attempt in range(tries):
        left = [i for i, got in enumerate(found) if got is None or got.reason in REDRAWN]
        if not left:
            break
        asked = [
            critique_prompt(s.conversation, s.completion, s.request, shots)
            for s in (subjects[i] for i in left)
        ]
        drawn = sampling.model_copy(
            update={"n": 1, "json_schema": CRITIQUE_SCHEMA, "seed": reseeded(sampling, attempt)}
        )
        for i, answer in zip(left, await model.complete(asked, drawn), strict=True):
            found[i] = read_critique(answer, subjects[i], attempt + 1)
    return [got for got in found if got is not None]


def reseeded(sampling: Sampling, *parts: object) -> int | None:
    """Another seed for each use of a sampling, the same one again for the same use."""
    return None if sampling.seed is None else int(digest([sampling.seed, *parts])[:8], 16)


def _blank(subject: Subject) -> Critique:
    return Critique(
        principle=subject.principle, status="unscored", reason="empty_completion", attempts=0
    )


def read_critique(
    answer: tuple[Completion, ...] | Failure, subject: Subject, attempts: int = 1
) -> Critique:
    """What an answer says about a subject, checked."""

    def failed(reason: Reason, detail: str, status: Literal["unscored", "error"]) -> Critique:
        return Critique(
            principle=subject.principle,
            status=status,
            reason=reason,
            detail=detail,
            attempts=attempts,
        )

    if isinstance(answer, Failure):
        return failed(answer.reason, answer.detail, answer.status)
    drawn = answer[0]
    if drawn.finish_reason == "length":
        return failed("truncated", _shown(drawn.text), "unscored")
    value, problem = _parsed(drawn.text)
    if problem:
        return failed("invalid_json", problem, "unscored")
    finding = Finding.model_validate(value)
    span = find_quote(finding.quote, subject.completion)
    if finding.severity == "none":
        span = None
    elif span is None:
        return failed("quote_not_found", _shown(finding.quote), "unscored")
    return Critique(
        principle=subject.principle,
        status="scored",
        severity=finding.severity,
        quote=subject.completion[slice(*span)] if span else "",
        span=span,
        comment=finding.comment,
        attempts=attempts,
    )


def _parsed(text: str) -> tuple[Any, str]:
    """The JSON value of a text, or what is wrong with it."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return None, f"not JSON ({error.msg}): {_shown(text)}"
    problem = next(iter(_VALIDATOR.iter_errors(value)), None)
    return value, "" if problem is None else f"not as asked for: {_shown(problem.message)}"


async def critique_items(
    items: Sequence[Item],
    principles: Sequence[Principle],
    model: ChatModel,
    sampling: Sampling,
    *,
    attempts: int = 3,
    shots: Sequence[Shot] = (),
    progress: Progress | None = None,
) -> AsyncGenerator[Lines]:
    """Lines in the items' order, some at a time: each completion under each principle.

    Cost: as `critique`, for each completion and principle.
    Raises: ModelError when a window of many items gets not one answer.
    """

    async def job(window: list[Item]) -> Lines:
        subjects = [
            Subject(item.prompt, completion.text, principle.id, principle.critique or "")
            for item in window
            for completion in item.completions
            for principle in principles
        ]
        made = iter(await critique(subjects, model, sampling, attempts=attempts, shots=shots))
        return [
            _line(item, [list(islice(made, len(principles))) for _ in item.completions])
            for item in window
        ]

    async for lines in in_windows(items, job, progress):
        yield lines


def _line(item: Item, made: Sequence[Sequence[Critique]]) -> dict[str, Any]:
    return {
        "id": item.id,
        **outcome((one.reason, one.detail) for critiques in made for one in critiques),
        "prompt": [message.model_dump() for message in item.prompt],
        "completions": [
            {
                "text": completion.text,
                "critiques": [one.model_dump(mode="json") for one in critiques],
            }
            for completion, critiques in zip(item.completions, made, strict=True)
        ],
        "metadata": item.metadata,
    }


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
