"""How far a policy has moved from another."""

from collections.abc import Sequence
from typing import NamedTuple

from judges.model import ChatModel, Completion, Failure, ModelPrompt, Sampling
from judges.models.openai import OpenAIModel
from judges.records import Item
from training.evaluation.statistics import Interval, mean_interval


class Divergence(NamedTuple):
    """A KL divergence, and what it is without."""

    interval: Interval | None
    """In nats a completion; None where nothing could be measured."""
    left_out: int
    """Completions asked for that were not drawn, or not read."""


async def kl_divergence(
    policy: ChatModel, base: ChatModel, prompts: Sequence[Item], samples: int, sampling: Sampling
) -> Divergence:
    """KL(policy || base) in nats a completion, by the log-ratio on samples at temperature 1.

    Without an interval where the base's server does not take token ids, where the two are not
    known to have one tokenizer (an id is another word in another one), or without samples.
    Cost: `samples` completions a prompt, read once by the base.
    """
    if not isinstance(base, OpenAIModel) or base.encoder is None or samples == 0:
        return Divergence(None, 0)
    encoder = policy.encoder if isinstance(policy, OpenAIModel) else None
    if encoder is None or encoder.vocabulary() != base.encoder.vocabulary():
        return Divergence(None, 0)
    asked = [ModelPrompt(messages=prompt.prompt) for prompt in prompts]
    as_it_is = sampling.model_copy(update={"n": samples, "temperature": 1.0, "logprobs": True})
    answers = await policy.complete(asked, as_it_is)
    drawn: list[tuple[str, list[int], Completion]] = [
        (str(row), base.encoder.encode(prompt), completion)
        for row, (prompt, answer) in enumerate(zip(asked, answers, strict=True))
        if not isinstance(answer, Failure)
        for completion in answer
        if completion.token_ids
    ]
    scored = await base.prompt_logprobs(
        [ids + list(completion.token_ids) for _, ids, completion in drawn],
        [len(ids) for _, ids, _ in drawn],
    )
    ratios = [
        sum(completion.logprobs) - sum(reference)
        for (_, _, completion), reference in zip(drawn, scored, strict=True)
        if not isinstance(reference, Failure)
    ]
    rows = [
        row
        for (row, _, _), reference in zip(drawn, scored, strict=True)
        if not isinstance(reference, Failure)
    ]
    interval = mean_interval(ratios, rows, seed=sampling.seed or 0) if ratios else None
    return Divergence(interval, samples * len(prompts) - len(ratios))
