"""OpenRLHF's remote reward: `{"query", "prompts", "labels"}` → `{"rewards", "scores", …}`.

Its client takes a failed call, after five tries, as a sample without a reward; so an unscored
sample is answered 503. It turns every extra log into a tensor, so these are numbers, and the same
keys each time. Batches of any size, also none, come from older versions and from several URLs.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from judges.errors import DataError
from service.rewards.samples import Sample
from service.rewards.turns import read_prompt_turns, split_query


class OpenRlhfRequest(BaseModel):
    """What OpenRLHF's client sends; further keys of other versions are passed over."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    query: list[str]
    """Prompt and completion, in the chat template, special tokens kept."""
    prompts: list[str] = []
    """The prompt of each query, in the chat template."""
    labels: list[Any] = []
    """The label of each query, or null."""


class OpenRlhfAnswer(BaseModel):
    """What OpenRLHF's client reads."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    rewards: list[float]
    """One for each query."""
    scores: list[float]
    """The same, for dynamic filtering: 0 to 1."""
    extra_logs: dict[str, list[float]]
    """Logged by the trainer; `charter_stop` is 1 when the run should stop."""


def read_request(
    request: OpenRlhfRequest, separator: str = "", ends: Sequence[str] = ()
) -> list[Sample]:
    """The samples of a call. Raises: DataError for lists of unlike lengths, or no split."""
    count = len(request.query)
    for name, given in (("prompts", request.prompts), ("labels", request.labels)):
        if given and len(given) != count:
            raise DataError(f"{count} queries and {len(given)} {name}; send one for each query")
    prompts = request.prompts or [""] * count
    labels = request.labels or [None] * count
    return [
        Sample(
            prompt=read_prompt_turns(prompt or _before(query, separator)),
            completion=split_query(query, prompt, separator, ends),
            answer=label if isinstance(label, str) else None,
        )
        for query, prompt, label in zip(request.query, prompts, labels, strict=True)
    ]


def _before(query: str, separator: str) -> str:
    return query.rpartition(separator)[0] if separator else ""


def write_reply(values: Sequence[float], stop: bool) -> dict[str, Any]:
    """The reply to a call, as `torch.tensor` can take it."""
    rewards = list(values)
    return {
        "rewards": rewards,
        "scores": rewards,
        "extra_logs": {"charter_stop": [float(stop)] * len(rewards)},
    }
