"""slime's `remote_rm`: one sample a call, and the JSON answered is the reward itself.

Its client repeats a failed call ten times with back-off and then stops the run. A bare number
needs no option of slime's; with `?reply=object` it reads one key by `--reward-key score`.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from judges.errors import DataError
from judges.items import parse_item
from judges.records import Message
from service.rewards.samples import Sample
from service.rewards.turns import read_prompt_turns, strip_ends


class SlimeRequest(BaseModel):
    """What slime's client sends."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    prompt: str | list[dict[str, Any]]
    """The prompt: text in the chat template, or messages."""
    response: str
    """What the policy wrote."""
    label: Any = None
    """The right answer, if the data has one."""


class SlimeAnswer(BaseModel):
    """What slime's client reads with `?reply=object`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    score: float | None
    """The reward; null only with `?unscored=null`."""
    charter_stop: float
    """1 when the run should stop."""


def read_request(request: SlimeRequest) -> Sample:
    """The sample of a call. Raises: DataError for a prompt that is no conversation."""
    label = request.label
    return Sample(
        prompt=read_messages(request.prompt, "prompt"),
        completion=strip_ends(request.response),
        answer=label if isinstance(label, str) else None,
    )


def read_messages(prompt: str | list[dict[str, Any]], where: str) -> tuple[Message, ...]:
    """A prompt as text in a chat template, or as messages. Raises: DataError."""
    if isinstance(prompt, str):
        return read_prompt_turns(prompt)
    if not prompt:
        raise DataError(f"{where}: no message in it; send at least one")
    turns = [{key: one.get(key) for key in ("role", "content")} for one in prompt]
    return parse_item({"prompt": turns}, where, need_completions=False).prompt


def write_reply(value: float | None, stop: bool, whole: bool) -> Any:
    """The reply to a call: the number alone, or an object to read it from."""
    return {"score": value, "charter_stop": float(stop)} if whole else value
