"""Right answers read under two policies: what is lost is seen, and how surely."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from judges.errors import ConfigError, DataError
from judges.model import Failure
from judges.models.chat_template import PromptEncoder
from judges.models.fake import FakeModel
from tests.judges.models.tiny_model import byte_level_bpe, write_model
from training.evaluation.capability import (
    QUESTIONS,
    Question,
    as_reader,
    compare_capability,
    read_questions,
)


class Knowing:
    """A policy whose tokens cost one nat each, or three after a word it does not like."""

    def __init__(self, encoder: PromptEncoder, forgot: str = "", fails: str = "") -> None:
        self.encoder: PromptEncoder | None = encoder
        self._forgot, self._fails = (encoder.encode_text(w) if w else None for w in (forgot, fails))

    async def prompt_logprobs(
        self, prompts: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[tuple[float, ...] | Failure]:
        return [self._read(list(ids)[start:]) for ids, start in zip(prompts, starts, strict=True)]

    def _read(self, ids: list[int]) -> tuple[float, ...] | Failure:
        if ids == self._fails:
            return Failure(status="unscored", reason="too_long")
        return tuple([-3.0 if ids == self._forgot else -1.0] * len(ids))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> PromptEncoder:
    return PromptEncoder(write_model(tmp_path_factory.mktemp("tiny"), byte_level_bpe()))


def questions(tmp_path: Path) -> list[Question]:
    path = tmp_path / "questions.jsonl"
    rows = [
        {"prompt": "What is tea?", "choices": ["rock", "drink"], "answer": 1, "type": "facts"},
        {"prompt": "What is ice?", "choices": ["water", "fire"], "answer": 0, "type": "facts"},
        {"prompt": "What is art?", "completion": "beauty"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_questions(path)


async def test_a_forgotten_answer_costs_likelihood_and_the_question(
    tmp_path: Path, encoder: PromptEncoder
) -> None:
    steps: list[tuple[int, int]] = []
    found = await compare_capability(
        Knowing(encoder),
        Knowing(encoder, forgot="water"),
        questions(tmp_path),
        0,
        lambda done, total: steps.append((done, total)),
    )
    assert found.nats is not None
    assert found.accuracy is not None
    assert found.nats.before.value == 1
    assert found.nats.after.value == pytest.approx((1 + 3 + 1) / 3)
    assert found.nats.difference.n == 3
    assert found.accuracy.before.n == 2, "a question without choices has no accuracy"
    assert found.accuracy.difference.value == -0.5
    assert found.types["facts"].after.value == 2
    assert steps == [(3, 6), (6, 6)]


async def test_a_question_that_one_policy_cannot_read_is_left_out_of_both(
    tmp_path: Path, encoder: PromptEncoder
) -> None:
    found = await compare_capability(
        Knowing(encoder, fails="fire"), Knowing(encoder), questions(tmp_path), 0
    )
    assert (found.questions, found.unread) == (3, 1)
    assert found.nats is not None
    assert found.nats.before.n == found.nats.after.n == 2


def test_a_policy_that_cannot_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="--policy cannot say how likely"):
        as_reader(FakeModel(), "--policy")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param({"prompt": "a", "choices": ["b"], "answer": 1}, "answer is 1", id="answer"),
        pytest.param({"prompt": "a", "choices": ["b", ""], "answer": 0}, "none empty", id="empty"),
        pytest.param({"choices": ["b"], "answer": 0}, "`prompt` is missing", id="no prompt"),
        pytest.param({"prompt": "a", "choice": ["b"]}, "did you mean 'choices'", id="a typo"),
    ],
)
def test_a_broken_question_is_named(tmp_path: Path, row: dict[str, object], message: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(DataError, match=rf"q.jsonl:1: .*{message}"):
        read_questions(path)


def test_our_questions_are_a_hundred_and_guessing_a_place_gets_a_quarter() -> None:
    found = read_questions(QUESTIONS)
    assert len({question.item.id for question in found}) == 100
    places = [question.answer for question in found]
    assert max(places.count(place) for place in range(4)) < 40
