"""The answers of the policies compared: drawn a window at a time and, with a folder, kept.

Kept answers let a killed evaluation go on where it stood, and show what was judged. A file is
taken over as far as it was drawn by the same policy in the same way; the rest is drawn.
"""

from collections.abc import Sequence
from pathlib import Path

from judges.jsonl import Journal
from judges.model import ChatModel, Completion, Failure, ModelPrompt, Sampling
from judges.records import CompletionText, Item
from judges.sample import drawn_alike

WINDOW_PROMPTS = 256

Drawn = list[tuple[CompletionText, ...]]
"""A prompt a row: a policy's completions of it, none where it failed."""


class Answers:
    """Draws answers, and keeps them in a folder where one is given."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    async def draw(
        self, name: str, model: ChatModel, prompts: Sequence[Item], sampling: Sampling
    ) -> Drawn:
        """The completions of each prompt, kept as NAME.jsonl, in the format of `charter sample`.

        A prompt that failed is asked again by a later run.
        """
        if self.folder is None:
            found: Drawn = []
            for window in _windows(prompts):
                answers = await _ask(model, window, sampling)
                found += [_texts(answer) for answer in answers]
            return found
        drawn = {"policy": model.capabilities().fingerprint, **sampling.model_dump(mode="json")}
        with Journal(self.folder / f"{name}.jsonl", drawn_alike(prompts, drawn)) as journal:
            for window in _windows([item for item in prompts if item.id not in journal]):
                answers = await _ask(model, window, sampling)
                journal.append(
                    {
                        "id": item.id,
                        "prompt": [turn.model_dump() for turn in item.prompt],
                        "completions": [one.model_dump() for one in _texts(answer)],
                        "metadata": {**item.metadata, "sampled": drawn},
                    }
                    for item, answer in zip(window, answers, strict=True)
                    if not isinstance(answer, Failure)
                )
            rows = {str(row["id"]): row["completions"] for row in journal.rows()}
            journal.finish(item.id for item in prompts if item.id in rows)
        return [
            tuple(CompletionText.model_validate(one) for one in rows.get(item.id, ()))
            for item in prompts
        ]


def _windows(prompts: Sequence[Item]) -> list[Sequence[Item]]:
    return [
        prompts[start : start + WINDOW_PROMPTS] for start in range(0, len(prompts), WINDOW_PROMPTS)
    ]


async def _ask(
    model: ChatModel, prompts: Sequence[Item], sampling: Sampling
) -> list[tuple[Completion, ...] | Failure]:
    return await model.complete([ModelPrompt(messages=p.prompt) for p in prompts], sampling)


def _texts(answer: tuple[Completion, ...] | Failure) -> tuple[CompletionText, ...]:
    if isinstance(answer, Failure):
        return ()
    return tuple(CompletionText(text=c.text, finish_reason=c.finish_reason) for c in answer)
