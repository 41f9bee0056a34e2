"""Sampling completions from a policy: prompts in, completions out, a window at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from judges.errors import ModelError
from judges.model import ChatModel, Completion, Failure, ModelPrompt, Sampling
from judges.records import Item, Message

WINDOW_PROMPTS = 32
WINDOWS_IN_FLIGHT = 2
Progress = Callable[[int, int], None]


def drawn_alike(
    prompts: Sequence[Item], drawn: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a completions line is of one of these prompts, and was drawn in this way."""
    asked = {item.id: [turn.model_dump() for turn in item.prompt] for item in prompts}

    def keep(row: Mapping[str, Any]) -> bool:
        metadata = row.get("metadata")
        same = isinstance(metadata, dict) and metadata.get("sampled") == drawn
        return same and asked.get(str(row["id"])) == row.get("prompt")

    return keep


async def sample(
    prompts: Sequence[Item],
    policy: ChatModel,
    sampling: Sampling,
    *,
    system: str | None = None,
    progress: Progress | None = None,
) -> AsyncGenerator[list[dict[str, Any]]]:
    """Completion lines in the prompts' order, some at a time.

    A prompt the policy cannot answer has no line here: its failure is raised once all others are
    done, so that a second run asks for it again.
    Cost: `sampling.n` completions a prompt. Raises: ModelError.
    """
    failures: list[tuple[str, Failure]] = []
    windows = deque(
        prompts[start : start + WINDOW_PROMPTS] for start in range(0, len(prompts), WINDOW_PROMPTS)
    )
    flying: deque[tuple[Sequence[Item], asyncio.Task[list[Any]]]] = deque()
    done = 0
    try:
        while windows or flying:
            while windows and len(flying) < WINDOWS_IN_FLIGHT:
                window = windows.popleft()
                asked = [ModelPrompt(messages=_with_system(item, system)) for item in window]
                flying.append((window, asyncio.create_task(policy.complete(asked, sampling))))
            window, task = flying[0]
            pairs = list(zip(window, await task, strict=True))
            flying.popleft()
            failures += [(item.id, answer) for item, answer in pairs if isinstance(answer, Failure)]
            done += len(window)
            if progress:
                progress(done, len(prompts))
            yield [_line(item, answer) for item, answer in pairs if not isinstance(answer, Failure)]
    finally:
        tasks = [task for _, task in flying]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        first, failure = failures[0]
        raise ModelError(
            f"{len(failures)} of {len(prompts)} prompts have no completions, {first!r} first: "
            f"{failure.reason} {failure.detail}; run the same command again to ask for these only"
        )


def _with_system(item: Item, system: str | None) -> tuple[Message, ...]:
    if system is None or item.prompt[0].role == "system":
        return item.prompt
    return (Message(role="system", content=system), *item.prompt)


def _line(item: Item, completions: tuple[Completion, ...]) -> dict[str, Any]:
    return {
        "id": item.id,
        "prompt": [message.model_dump() for message in item.prompt],
        "completions": [
            {"text": c.text, "finish_reason": c.finish_reason, "tokens": c.tokens}
            for c in completions
        ],
        "metadata": item.metadata,
    }
