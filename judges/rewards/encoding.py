"""What a reward model reads: the conversation through the model's own chat template, as token ids.

Training, export and serving share this one encoder (`layout.REWARD_ENCODING` is its version).
Contents are inert, so that a completion that holds `<|im_end|>` cannot end its own turn.
"""

from collections.abc import Sequence
from pathlib import Path

from judges.errors import ConfigError
from judges.model import ModelPrompt
from judges.models.chat_template import PromptEncoder
from judges.records import Message


class RewardEncoder:
    """Encodes prompts and completions for one model from its tokenizer files."""

    def __init__(self, folder: Path) -> None:
        """Raises: ConfigError when the folder has no usable tokenizer or chat template."""
        self.folder = folder
        self._encoder = PromptEncoder(folder, answering=False)

    def prompt(self, prompt: Sequence[Message]) -> list[int]:
        """The ids of a conversation that waits for an answer: what a scope is judged by."""
        return self._encoder.encode(ModelPrompt(messages=tuple(prompt)))

    def completion(self, prompt: Sequence[Message], completion: Sequence[Message]) -> list[int]:
        """The ids of a conversation with its answer; rewards are read at the last one."""
        return self._encoder.encode(ModelPrompt(messages=(*prompt, *completion)))

    def answer_tokens(self, completion: Sequence[Message]) -> int:
        """How long a completion is, in tokens, template left out."""
        return sum(len(self._encoder.encode_text(message.content)) for message in completion)

    def check_last(self, pad_id: int) -> None:
        """Raises: ConfigError where conversations end in the pad token: pooling would miss it."""
        ids = self.completion(
            (Message(role="user", content="a"),), (Message(role="assistant", content="b"),)
        )
        if ids[-1] == pad_id:
            raise ConfigError(
                f"the chat template ends in the pad token ({pad_id}) · {self.folder} · set "
                "pad_token in tokenizer_config.json to a token that no text holds"
            )
