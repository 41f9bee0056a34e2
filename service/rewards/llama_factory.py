"""LLaMA-Factory's reward server: `{"model", "messages": [text, …]}` → `{"scores": […]}`.

A message is prompt and completion in one text. Its client neither waits nor repeats nor looks at
the status: an error answer has no `scores`, so the run stops loudly, unless `?unscored=mean`.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from judges.canonical import digest
from service.rewards.samples import Sample
from service.rewards.turns import split_conversation


class LlamaFactoryRequest(BaseModel):
    """What LLaMA-Factory's client sends."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    model: str = "model"
    """Echoed; which judge is asked is said in the address."""
    messages: list[str]
    """Prompt and completion of each sample, decoded with special tokens."""
    max_length: int | None = None
    """Of its own reward models; not used here."""


class LlamaFactoryAnswer(BaseModel):
    """What LLaMA-Factory's client reads."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Made of the request."""
    object: str
    """Always `score.evaluation`."""
    model: str
    """As in the request."""
    scores: list[float]
    """One for each message."""


def read_request(
    request: LlamaFactoryRequest, separator: str = "", ends: Sequence[str] = ()
) -> list[Sample]:
    """The samples of a call. Raises: DataError for a text that no template splits."""
    split = [split_conversation(text, separator, ends) for text in request.messages]
    return [Sample(prompt=prompt, completion=completion) for prompt, completion in split]


def write_reply(request: LlamaFactoryRequest, values: Sequence[float]) -> dict[str, Any]:
    """The reply to a call."""
    return {
        "id": f"scoreeval-{digest([request.model, request.messages])[:32]}",
        "object": "score.evaluation",
        "model": request.model,
        "scores": list(values),
    }
