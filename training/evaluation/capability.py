"""Does a policy still know what it knew? How likely it finds right answers, and wrong ones.

Right answers are read, not sampled: how likely each token of one is under a policy tells of a loss
long before an answer turns wrong, and needs no judge. With choices, the one most likely a byte is
the policy's answer (`acc_norm` of lm-evaluation-harness), put as a turn of the policy's own chat
template. `questions.jsonl` beside this file is a small set of ours; bring a larger one of your
domain for anything but an alarm.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from judges.errors import ConfigError, DataError
from judges.items import parse_item, refuse_unknown_keys
from judges.jsonl import read_jsonl
from judges.model import Failure, ModelPrompt
from judges.models.chat_template import PromptEncoder
from judges.models.openai import OpenAIModel
from judges.records import Item, Record
from training.evaluation.changes import Change, paired_change

QUESTIONS = Path(__file__).with_name("questions.jsonl")
COLUMNS = ("id", "prompt", "choices", "answer", "completion", "type")
READ_AT_ONCE = 64


class Reader(Protocol):
    """What can say how likely given tokens are."""

    encoder: PromptEncoder | None

    async def prompt_logprobs(
        self, prompts: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[tuple[float, ...] | Failure]:
        """The log-probability of each token of each prompt from its start on."""
        ...


class Question(Record):
    """A prompt with its right answer, and wrong ones if any."""

    item: Item
    """The prompt, without completions."""
    choices: tuple[str, ...]
    """Possible answers; the right one alone where there is no choice."""
    answer: int
    """Which of them is right, from 0."""
    type: str
    """Its kind; empty where the file names none."""


class Capability(Record):
    """What a policy still knows, against what the earlier one knew."""

    questions: int
    """Questions asked."""
    unread: int
    """Of these, left out because one of the policies could not read an answer."""
    nats: Change | None
    """Mean negative log-likelihood of the right answers in nats a token: less is better. Tells of
    a change far earlier than accuracy."""
    accuracy: Change | None
    """Share of questions with choices whose right answer is the likeliest a byte."""
    types: dict[str, Change]
    """The nats of each kind of question alone."""


def read_questions(path: Path) -> list[Question]:
    """Lines with `prompt`, and `choices` with `answer` (from 0) or `completion`; `id`, `type`.

    Raises: DataError with file and line.
    """
    found = [_question(row, f"{path}:{number}", number) for number, row in read_jsonl(path)]
    if not found:
        raise DataError(f"{path}: no question in it; one JSON object a line")
    return found


def _question(row: Mapping[str, Any], where: str, number: int) -> Question:
    refuse_unknown_keys(row, COLUMNS, where)
    choices = [row["completion"]] if "completion" in row else row.get("choices")
    answer = 0 if "completion" in row else row.get("answer")
    if not isinstance(choices, list) or not all(isinstance(c, str) and c for c in choices):
        raise DataError(f"{where}: choices is {choices!r}; use a list of strings, none empty")
    if not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise DataError(f"{where}: answer is {answer!r}; count the {len(choices)} choices from 0")
    if "prompt" not in row:
        raise DataError(f"{where}: `prompt` is missing; a string or a list of messages")
    item = {"id": row.get("id", str(number)), "prompt": row["prompt"]}
    return Question(
        item=parse_item(item, where, need_completions=False),
        choices=tuple(choices),
        answer=answer,
        type=str(row.get("type") or ""),
    )


def as_reader(policy: object, name: str) -> Reader:
    """The policy as what reads given answers.

    Raises: ConfigError for one that cannot: a server by chats, or the fake.
    """
    if isinstance(policy, OpenAIModel) and policy.encoder is not None:
        return policy
    raise ConfigError(
        f"--capability: {name} cannot say how likely a given answer is; that needs a model folder "
        "or an adapter, which charter serves by token ids, not an address or the fake"
    )


async def compare_capability(
    before: Reader,
    after: Reader,
    questions: Sequence[Question],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Capability:
    """How likely right answers are to both policies, paired by question.

    Cost: each choice read once by each policy, one at a time.
    """
    told: list[list[list[tuple[float, ...]] | None]] = []
    for number, reader in enumerate((before, after)):

        def step(done: int, start: int = number * len(questions)) -> None:
            if progress:
                progress(start + done, 2 * len(questions))

        # One policy after the other: both may be adapters on one engine, which cannot read two.
        told.append(await _read(reader, questions, step))
    return _compare(questions, told[0], told[1], seed)


Told = Sequence[list[tuple[float, ...]] | None]
"""Of each question, the log-probabilities of each choice; None where one could not be read."""


def _compare(questions: Sequence[Question], old: Told, new: Told, seed: int) -> Capability:
    both = [
        (question, first, second)
        for question, first, second in zip(questions, old, new, strict=True)
        if first and second
    ]
    choosing = [(q, first, second) for q, first, second in both if len(q.choices) > 1]

    def nats(kind: str | None = None) -> Change | None:
        rows = [row for row in both if kind is None or row[0].type == kind]
        before, after = ([[_nats(row[0], row[side])] for row in rows] for side in (1, 2))
        return paired_change(before, after, seed)

    right = [[[_right(row[0], row[side])] for row in choosing] for side in (1, 2)]
    types = {name: nats(name) for name in dict.fromkeys(q.type for q in questions) if name}
    return Capability(
        questions=len(questions),
        unread=len(questions) - len(both),
        nats=nats(),
        accuracy=paired_change(right[0], right[1], seed, share=True),
        types={name: one for name, one in types.items() if one is not None},
    )


async def _read(
    reader: Reader, questions: Sequence[Question], step: Callable[[int], None]
) -> list[list[tuple[float, ...]] | None]:
    """The log-probabilities of each choice of each question; None where one could not be read."""
    assert reader.encoder is not None
    found: list[list[tuple[float, ...]] | None] = []
    for start in range(0, len(questions), READ_AT_ONCE):
        part = questions[start : start + READ_AT_ONCE]
        prompts, starts = [], []
        for question in part:
            asked = question.item.prompt
            before = len(reader.encoder.encode(ModelPrompt(messages=asked)))
            for choice in question.choices:
                prompts.append(reader.encoder.encode(ModelPrompt(messages=asked, prefill=choice)))
                starts.append(before)
        answers = iter(await reader.prompt_logprobs(prompts, starts))
        for question in part:
            told = [next(answers) for _ in question.choices]
            whole = [one for one in told if not isinstance(one, Failure) and one]
            found.append(whole if len(whole) == len(told) else None)
        step(len(found))
    return found


def _nats(question: Question, told: Any) -> float:
    return -float(np.mean(told[question.answer]))


def _right(question: Question, told: Any) -> float:
    by_byte = [
        sum(one) / len(choice.encode("utf-8"))
        for one, choice in zip(told, question.choices, strict=True)
    ]
    return float(int(np.argmax(by_byte)) == question.answer)
