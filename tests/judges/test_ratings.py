"""A rating is the mean of a distribution, also where 10 is written as two tokens."""

import math
from collections.abc import Sequence

import pytest

from judges.errors import ConfigError
from judges.layout import Case, vote_prompt
from judges.model import Choice, Failure, ModelPrompt
from judges.models.fake import FakeModel
from judges.ratings import choose_rating, mean_rating, rating_form
from judges.records import Message

PROMPT = vote_prompt(
    Case(
        kind="point",
        conversation=(Message(role="user", content="Tea?"),),
        completions=("Yes.",),
        words="Be kind.",
    )
)


class DigitEncoder:
    """A tokenizer that writes each digit as a token of its own, after a space."""

    def option_ids(self, _prefill: str, options: tuple[str, ...]) -> tuple[int, ...]:
        if any(len(option.strip()) > 1 or option.startswith(" ") for option in options):
            raise ConfigError("not one token")
        return tuple(range(len(options)))


class DigitModel(FakeModel):
    """Says 1 with probability 0.5, of which 0.4 goes on to 10; 7 with 0.3; the rest evenly."""

    encoder = DigitEncoder()

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        self.prompts += len(prompts)
        p = (
            {"0": 0.8}
            if options == ("0",)
            else dict.fromkeys(options, 0.2 / 7) | {"1": 0.5, "7": 0.3}
        )
        assert all(prompt.prefill.endswith("1") == (options == ("0",)) for prompt in prompts)
        logprobs = tuple(math.log(p[option]) for option in options)
        return [Choice(logprobs=logprobs, label_mass=1.0, prompt_tokens=3) for _ in prompts]


async def test_ten_is_told_from_one_by_what_follows() -> None:
    model = DigitModel()
    assert rating_form(model).name == "digits"
    answer = (await choose_rating(model, [PROMPT]))[0]
    assert isinstance(answer, Choice)
    p = [math.exp(logprob) for logprob in answer.logprobs]
    assert p[0] == pytest.approx(0.1) and p[9] == pytest.approx(0.4)
    assert sum(p) == pytest.approx(1.0)
    assert answer.prompt_tokens == 6 and model.prompts == 2


async def test_a_failure_of_either_question_is_a_failure() -> None:
    class Broken(DigitModel):
        async def choose(
            self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
        ) -> list[Choice | Failure]:
            if options == ("0",):
                return [Failure(status="error", reason="engine_error") for _ in prompts]
            return await super().choose(prompts, options)

    assert isinstance((await choose_rating(Broken(), [PROMPT]))[0], Failure)


def test_the_mean_is_over_the_options_alone() -> None:
    even = [math.log(0.01)] * 10
    assert mean_rating(even) == pytest.approx(5.5)
    sure = [-50.0] * 9 + [0.0]
    assert mean_rating(sure) == pytest.approx(10.0)
