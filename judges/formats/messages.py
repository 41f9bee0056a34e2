"""Conversations as every method trains on them: message lists, so that the chat template applies.

A plain string becomes a turn, a transcript of `Human:` and `Assistant:` becomes turns, and the
turns of other tools (`from`, `value`) get our names.
"""

import re
from collections.abc import Sequence
from typing import Any

from judges.errors import DataError

ROLES = ("system", "user", "assistant", "tool")
SHAREGPT = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "system": "system", "observation": "tool", "tool": "tool", "function_call": "assistant",
}  # fmt: skip
TURN = re.compile(r"\n\n(Human|Assistant): ?")
SPEAKER = {"Human": "user", "Assistant": "assistant"}
TRANSCRIPT = re.compile(r"\s*\n\nHuman:")
WAITING = "\n\nAssistant:"

Messages = tuple[dict[str, str], ...]


class UnusableRowError(DataError):
    """One row that cannot be used, in a file that can: readers count it instead of stopping."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def as_messages(value: Any, role: str, where: str) -> Messages:
    """A conversation, or text said by `role`. Raises: DataError that names place and column."""
    if value is None:
        raise UnusableRowError("null", f"{where} is null; drop this row")
    if isinstance(value, str):
        value = [{"role": role, "content": value}]
    elif isinstance(value, dict):
        value = [value]
    if not isinstance(value, list | tuple) or not value:
        raise DataError(f"{where} is {short(value)}; use text, or a list of messages")
    return tuple(_message(message, where) for message in value)


def as_turns(value: Any, where: str) -> Messages:
    """A whole conversation: messages, or a transcript. Raises: DataError."""
    if not isinstance(value, str):
        return as_messages(value, "user", where)
    turns = transcript_turns(value)
    if turns is None:
        raise DataError(
            f"{where} is {short(value)}, with no `prompt` beside it; add the prompt as a column of "
            "its own, or start the text with a blank line and `Human:`"
        )
    return as_messages(turns, "user", where)


def transcript_turns(text: str) -> list[dict[str, str]] | None:
    """The turns of a transcript of `Human:` and `Assistant:`; None for any other text."""
    lead, *parts = TURN.split(text)
    if lead.strip() or not parts:
        return None
    spoken = zip(parts[::2], parts[1::2], strict=True)
    return [{"role": SPEAKER[who], "content": said.strip()} for who, said in spoken]


def as_prompt(value: Any, where: str) -> Messages:
    """A prompt: messages, text of the user, or a transcript that waits for the assistant."""
    if isinstance(value, str) and TRANSCRIPT.match(value):
        return as_turns(value.removesuffix(WAITING), where)
    return as_messages(value, "user", where)


def split_pair(
    prompt: Messages | None, chosen: Messages, rejected: Messages, where: str
) -> tuple[Messages, Messages, Messages]:
    """Prompt and two completions, where chosen and rejected may repeat the prompt.

    Raises: DataError when there is no prompt, or no completion after it.
    """
    shared = _shared(chosen, rejected)
    if prompt is None:
        while shared and chosen[shared - 1]["role"] == "assistant":
            shared -= 1
        if not shared:
            raise DataError(
                f"{where}: no `prompt`, and `chosen` and `rejected` do not start with the same "
                "turns; add the prompt as a column of its own"
            )
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    else:
        chosen, rejected = (_after(prompt, side) for side in (chosen, rejected))
    if not chosen or not rejected:
        raise DataError(f"{where}: a completion holds the prompt only; drop this row")
    return prompt, chosen, rejected


def _after(prompt: Messages, side: Messages) -> Messages:
    """A completion less the prompt's turns, where it repeats them (or their last)."""
    for lead in (prompt, prompt[-1:]):
        if len(side) > len(lead) and side[: len(lead)] == lead:
            return side[len(lead) :]
    return side


def _shared(left: Sequence[Any], right: Sequence[Any]) -> int:
    count = 0
    for one, other in zip(left[:-1], right[:-1], strict=False):
        if one != other:
            break
        count += 1
    return count


def _message(message: Any, where: str) -> dict[str, str]:
    if not isinstance(message, dict):
        raise DataError(f"{where} holds {short(message)}; use {{role, content}} objects")
    if "from" in message and "value" in message:
        message = {"role": SHAREGPT.get(message["from"]), "content": message["value"]}
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise DataError(f"{where}: role is {role!r}; use {', '.join(ROLES)}")
    if message.get("tool_calls"):
        raise UnusableRowError(
            "tool calls", f"{where} holds `tool_calls`, which no method learns; write them as text"
        )
    if content is None or (isinstance(content, str) and not content.strip()):
        raise UnusableRowError("empty", f"{where}: content is {content!r}; drop this row")
    if not isinstance(content, str):
        raise DataError(f"{where}: content is {short(content)}; use text")
    return {"role": role, "content": content}


def short(value: Any) -> str:
    """A value as messages quote it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
