"""A model whose completions are a function of the prompt's last message."""

from collections.abc import Callable, Sequence

from judges.layout import read_prompt
from judges.model import (
    Capabilities,
    Choice,
    Completion,
    Failure,
    ModelPrompt,
    Sampling,
)

Answer = Completion | Failure


def said(text: str, finish_reason: str = "stop") -> Completion:
    """A completion of a text."""
    return Completion.model_validate(
        {"text": text, "finish_reason": finish_reason, "tokens": len(text.split())}
    )


class ScriptedModel:
    """A `ChatModel` that edits: from the quoted completion and the request comes its answer."""

    def __init__(self, edit: Callable[[str, str], Answer]) -> None:
        self.edit = edit
        self.prompts = 0

    def capabilities(self) -> Capabilities:
        return Capabilities(
            transport="fake", fingerprint="scripted@1", max_tokens=9999, provenance="scripted"
        )

    async def complete(
        self,
        prompts: Sequence[ModelPrompt],
        sampling: Sampling,  # noqa: ARG002 - the protocol's form
    ) -> list[tuple[Completion, ...] | Failure]:
        self.prompts += len(prompts)
        answers = [self._answer(prompt) for prompt in prompts]
        return [a if isinstance(a, Failure) else (a,) for a in answers]

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to release."""

    def _answer(self, prompt: ModelPrompt) -> Answer:
        quoted = read_prompt(prompt)
        return self.edit(quoted.completions[0], quoted.tail)
