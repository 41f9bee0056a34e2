"""Ratings from 1 to 10, read as a distribution: the score is its mean, not its mode.

Source: d-RLAIF, Lee et al. 2023, arXiv:2309.00267; mean over mode, arXiv:2503.03064. Where a
tokenizer writes 10 as 1 and 0, the two are told apart by a second question about what follows
the 1, which shares all but its last token with the first.
"""

import math
from collections.abc import Sequence
from typing import Literal

from judges.errors import ConfigError
from judges.layout import PREFILL
from judges.model import ChatModel, Choice, Failure, ModelPrompt
from judges.records import Record

RATING_OPTIONS = tuple(f" {rating}" for rating in range(1, 11))
DIGITS = tuple(str(rating) for rating in range(1, 10))


class RatingForm(Record):
    """How a model's tokenizer writes the ratings after the prefill."""

    name: Literal["whole", "spaced", "digits"]
    """Each rating one token; so after a space; or 10 as two tokens after a space."""
    prefill: str
    """What the answer begins with."""
    options: tuple[str, ...]
    """What is chosen from: ten ratings, or nine digits."""


FORMS = (
    RatingForm(name="whole", prefill=PREFILL, options=RATING_OPTIONS),
    RatingForm(name="spaced", prefill=f"{PREFILL} ", options=(*DIGITS, "10")),
    RatingForm(name="digits", prefill=f"{PREFILL} ", options=DIGITS),
)


def rating_form(model: ChatModel) -> RatingForm:
    """The first form that the model's tokenizer can write; `whole` where it is not known here."""
    encoder = getattr(model, "encoder", None)
    if encoder is None:
        return FORMS[0]
    for form in FORMS[:-1]:
        try:
            encoder.option_ids(form.prefill, form.options)
        except ConfigError:
            continue
        return form
    return FORMS[-1]


async def choose_rating(model: ChatModel, prompts: Sequence[ModelPrompt]) -> list[Choice | Failure]:
    """How each prompt's answer spreads over the ratings 1 to 10, in order.

    Cost: one token a prompt; two where 10 is two tokens.
    """
    form = rating_form(model)
    asked = [_beginning(prompt, form.prefill) for prompt in prompts]
    first = await model.choose(asked, form.options)
    if len(form.options) == len(RATING_OPTIONS):
        return first
    rows = [row for row, answer in enumerate(first) if isinstance(answer, Choice)]
    ones = [_beginning(prompts[row], f"{form.prefill}1") for row in rows]
    then = dict(zip(rows, await model.choose(ones, ("0",)), strict=True))
    return [_joined(answer, then.get(row)) for row, answer in enumerate(first)]


def rating_prompts(model: ChatModel, prompt: ModelPrompt) -> list[ModelPrompt]:
    """The prompts that one rating is asked by: one, or two where 10 is two tokens."""
    form = rating_form(model)
    if len(form.options) == len(RATING_OPTIONS):
        return [_beginning(prompt, form.prefill)]
    return [_beginning(prompt, form.prefill), _beginning(prompt, f"{form.prefill}1")]


def _beginning(prompt: ModelPrompt, prefill: str) -> ModelPrompt:
    return prompt.model_copy(update={"prefill": prefill}) if prompt.prefill else prompt


def _joined(digits: Choice | Failure, zero: Choice | Failure | None) -> Choice | Failure:
    """Nine digits and what follows the 1, as ten ratings: P(10) = P(1) · P(0 | 1)."""
    if isinstance(digits, Failure):
        return digits
    if not isinstance(zero, Choice):
        assert zero is not None
        return zero
    one, follows = digits.logprobs[0], min(zero.logprobs[0], -1e-12)
    alone = one + math.log(-math.expm1(follows))
    return digits.model_copy(
        update={
            "logprobs": (alone, *digits.logprobs[1:], one + follows),
            "prompt_tokens": digits.prompt_tokens + zero.prompt_tokens,
            "cached_tokens": digits.cached_tokens + zero.cached_tokens,
        }
    )


def mean_rating(logprobs: Sequence[float]) -> float:
    """The expected rating, from 1 up, under the probabilities renormalised over the options."""
    top = max(logprobs)
    weights = [math.exp(logprob - top) for logprob in logprobs]
    return sum(i * w for i, w in enumerate(weights, 1)) / sum(weights)
