"""Whether an attacked completion stays data: the prompt's sections, and its control tokens.

What content alone achieves is measured elsewhere and never nil. Structure is another matter: it
holds by construction, so a single break is a defect of charter, not of the judge.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judges.layout import PAD_TO, pair_prompt, read_prompt
from judges.model import ModelPrompt
from judges.models.chat_template import PromptEncoder
from judges.models.inert_tokenizer import control_tokens, read_tokenizer_json
from judges.records import Message


class ControlTokens:
    """Reads which control tokens a model's own template puts into a prompt, by their ids."""

    def __init__(self, folder: Path) -> None:
        """Raises: ConfigError when the folder has no usable tokenizer or chat template."""
        self._encoder = PromptEncoder(folder)
        self._ids = control_ids(read_tokenizer_json(folder))

    def of(self, prompt: ModelPrompt) -> list[int]:
        """The control tokens of a prompt as it is sent, in order."""
        return [i for i in self._encoder.encode(prompt, PAD_TO) if i in self._ids]


def control_ids(tokenizer: dict[str, Any]) -> frozenset[int]:
    """The ids of all control tokens, but for the one that stands for unknown characters.

    A design that cannot write every character puts that one into any text; it steers nothing.
    """
    names = set(control_tokens(tokenizer)) - {_unknown(tokenizer["model"])}
    return frozenset(t["id"] for t in tokenizer.get("added_tokens") or [] if t["content"] in names)


def _unknown(model: dict[str, Any]) -> str | None:
    if model.get("unk_id") is not None:
        return str(model["vocab"][model["unk_id"]][0])
    return model.get("unk_token")


def structural_breaks(
    conversation: Sequence[Message],
    first: str,
    second: str,
    clean: tuple[str, str],
    principle: str,
    tokens: Sequence[ControlTokens] = (),
) -> list[str]:
    """What is broken in the prompt that shows these texts; empty when all holds.

    `clean` are the same two places without the attack: their prompt has the control tokens that
    the template alone puts in.
    Cost: no model call; with `tokens`, two encodings each.
    """
    attacked = pair_prompt(conversation, first, second, principle)
    unharmed = pair_prompt(conversation, *clean, principle)
    breaks = sections_broken(attacked, unharmed, conversation, (first, second))
    return breaks + [
        "control tokens differ from those of the clean prompt"
        for reader in tokens
        if reader.of(attacked) != reader.of(unharmed)
    ]


def sections_broken(
    attacked: ModelPrompt,
    unharmed: ModelPrompt,
    conversation: Sequence[Message],
    shown: tuple[str, str],
) -> list[str]:
    """How the sections read back from a prompt differ from what went in; empty when none does."""
    try:
        read = read_prompt(attacked)
    except ValueError as error:
        return [str(error)]
    turns = tuple((message.role, message.content) for message in conversation)
    held = {
        "conversation is not what went in": read.conversation == turns,
        "completions are not what went in": read.completions == shown,
        "principle is not what went in": read.tail == read_prompt(unharmed).tail,
        "roles of the prompt differ": [m.role for m in attacked.messages]
        == [m.role for m in unharmed.messages],
    }
    return [what for what, holds in held.items() if not holds]
