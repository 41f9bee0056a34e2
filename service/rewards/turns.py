"""Text in a model's own chat template, read back into turns; and a completion split off a prompt.

Frameworks send prompt and completion as one decoded text with its special tokens. A judge should
read a conversation, not another model's markup; what no template explains is one user turn.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from judges.errors import DataError
from judges.records import Message

ENDS = (
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "</s>", "<s>",
    "<eos>", "<pad>", "[PAD]", "<end_of_turn>", "<|end|>", "<|return|>", "<|eos|>", "<|pad|>",
    "<|endofturn|>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "<|finetune_right_pad_id|>",
)  # fmt: skip
"""Tokens that end a turn or fill a batch, of the families of models in use."""
ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user",
    "assistant": "assistant", "model": "assistant", "gpt": "assistant", "bot": "assistant",
    "tool": "tool", "ipython": "tool", "observation": "tool", "environment": "tool",
}  # fmt: skip


class Template(NamedTuple):
    """How one family of models marks turns."""

    name: str
    """The family."""
    opening: re.Pattern[str]
    """What opens a turn; the group `role` names who speaks."""
    end: str
    """A pattern of what ends one."""


_DEEPSEEK = "\uff5c"
TEMPLATES = (
    Template("chatml", re.compile(r"<\|im_start\|>(?P<role>\w+)\n"), r"<\|im_end\|>"),
    Template(
        "llama-3",
        re.compile(r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>\n\n"),
        r"<\|eot_id\|>|<\|eom_id\|>",
    ),
    Template("gemma", re.compile(r"<start_of_turn>(?P<role>\w+)\n"), r"<end_of_turn>"),
    Template("phi", re.compile(r"<\|(?P<role>system|user|assistant)\|>\n"), r"<\|end\|>|</s>"),
    Template(
        "deepseek",
        re.compile(rf"<{_DEEPSEEK}(?P<role>User|Assistant){_DEEPSEEK}>"),
        rf"<{_DEEPSEEK}end\u2581of\u2581sentence{_DEEPSEEK}>",
    ),
    Template("llama-2", re.compile(r"(?P<role>\[INST\]|\[/INST\])"), r"</s>"),
    Template("plain", re.compile(r"(?:^|\n)[ \t]*(?P<role>Human|User|Assistant): ?"), r"(?!)"),
)
_INST = {"[INST]": "user", "[/INST]": "assistant"}
_BEGIN = re.compile(
    r"^(?:<\|begin_of_text\|>|<bos>|<s>|<\|endoftext\|>"
    rf"|<{_DEEPSEEK}begin\u2581of\u2581sentence{_DEEPSEEK}>)+"
)
_SYSTEM = re.compile(r"^\s*<<SYS>>\n?(.*?)\n?<</SYS>>\s*", re.DOTALL)


def split_query(query: str, prompt: str, separator: str = "", ends: Sequence[str] = ()) -> str:
    """The completion at the end of a query, without the tokens that ended it.

    The prompt is cut off where the query starts with it, apart from a leading begin token that one
    of the two may lack; else what follows the last `separator`, where one is given.
    Raises: DataError when neither splits the query.
    """
    for text, head in ((query, prompt), (_BEGIN.sub("", query), _BEGIN.sub("", prompt))):
        if head and text.startswith(head):
            return strip_ends(text[len(head) :], ends)
    if separator and separator in query:
        return strip_ends(query.rpartition(separator)[2], ends)
    raise DataError(
        f"query starts with {query[:60]!r}, not with its prompt {prompt[:60]!r}; send the prompt "
        "as it stands in the query, or add ?separator=TEXT, what stands between the two"
    )


def strip_ends(text: str, ends: Sequence[str] = ()) -> str:
    """The text without the end and padding tokens behind it, and the space around them."""
    every = tuple(end for end in (*ENDS, *ends) if end)
    kept = stop = len(text)
    while True:  # by places, not by copies: a padded batch ends in thousands of them
        while stop and text[stop - 1].isspace():
            stop -= 1
        token = next((end for end in every if text.endswith(end, 0, stop)), None)
        if token is None:
            return text[:kept] if stop else ""
        kept = stop = stop - len(token)


def read_prompt_turns(text: str) -> tuple[Message, ...]:
    """The turns of a templated prompt, an opened answer left out; one user turn if it has none."""
    turns = _turns(text)
    if turns is None:
        return (Message(role="user", content=_BEGIN.sub("", text)),)
    if turns[-1].role == "assistant" and not turns[-1].content.strip():
        turns = turns[:-1]
    return tuple(turns) or (Message(role="user", content=_BEGIN.sub("", text)),)


def split_conversation(
    text: str, separator: str = "", ends: Sequence[str] = ()
) -> tuple[tuple[Message, ...], str]:
    """Prompt and completion of one templated text: what the model said after the last user turn.

    All of it, also where it holds marks of further turns of its own: a policy that writes such
    marks must not choose which part of its answer is judged.
    Raises: DataError when the text has no turns and no `separator`.
    """
    if separator:
        head, found, tail = text.rpartition(separator)
        if found:
            return read_prompt_turns(head), strip_ends(tail, ends)
    for template in TEMPLATES:
        places = _places(template, text)
        users = [k for k, (role, _, _) in enumerate(places) if role == "user"]
        if users and users[-1] + 1 < len(places) and places[users[-1] + 1][0] == "assistant":
            _, start, body = places[users[-1] + 1]
            return read_prompt_turns(text[:start]), strip_ends(text[body:], ends)
    raise DataError(
        f"message starts with {text[:60]!r}, in no chat template known here; add "
        "?separator=TEXT, what stands between prompt and completion"
    )


def _places(template: Template, text: str) -> list[tuple[str, int, int]]:
    """Role, start and start of the content of each turn."""
    return [
        (_role(match["role"]), match.start(), match.end())
        for match in template.opening.finditer(text)
    ]


def _role(name: str) -> str:
    return _INST.get(name) or ROLES.get(name.lower(), "user")


def _turns(text: str) -> list[Message] | None:
    for template in TEMPLATES:
        places = _places(template, text)
        if not places or (template.name == "plain" and text[: places[0][1]].strip()):
            continue
        stops = [start for _, start, _ in places[1:]] + [len(text)]
        ends = re.compile(rf"(?:{template.end})\s*$")
        found = [
            Message.model_validate(
                {"role": role, "content": strip_ends(ends.sub("", text[body:stop])).strip()}
            )
            for (role, _, body), stop in zip(places, stops, strict=True)
        ]
        return _with_system(_BEGIN.sub("", text[: places[0][1]]).strip(), found)
    return None


def _with_system(lead: str, turns: list[Message]) -> list[Message]:
    """The turns after the system's words: what stands before them, or within the first."""
    first = turns[0]
    if not lead and (inner := _SYSTEM.match(first.content)):
        lead, rest = inner[1].strip(), first.content[inner.end() :]
        turns = [first.model_copy(update={"content": rest}), *turns[1:]]
    return [Message(role="system", content=lead), *turns] if lead else turns
