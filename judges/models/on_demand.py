"""A model whose engine starts with the first question put to it, and not before.

What keys its votes is known without it, so that a run which needs none of its votes, or has them
all, never starts it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from judges.errors import ModelError
from judges.model import (
    Capabilities,
    ChatModel,
    Choice,
    Completion,
    Failure,
    ModelPrompt,
    Sampling,
)

Open = Callable[[AsyncExitStack], Awaitable[ChatModel]]


class OnDemandModel:
    """A `ChatModel` opened when it is first asked. Use it from one event loop."""

    def __init__(self, known: Capabilities, open_it: Open) -> None:
        """`known`: what it will be able to do; `open_it`: opens it, to be closed with a stack."""
        self._known, self._open = known, open_it
        self._inner: ChatModel | None = None
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()

    def capabilities(self) -> Capabilities:
        """What it can do; before it is opened, what was said it will."""
        return self._inner.capabilities() if self._inner else self._known

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        """As the model behind. Raises: ModelError when it cannot be opened."""
        return await (await self._opened()).choose(prompts, options) if prompts else []

    async def complete(
        self, prompts: Sequence[ModelPrompt], sampling: Sampling
    ) -> list[tuple[Completion, ...] | Failure]:
        """As the model behind. Raises: ModelError when it cannot be opened."""
        return await (await self._opened()).complete(prompts, sampling) if prompts else []

    async def close(self) -> None:
        """Release the engine, where one was started; the next question starts it again."""
        self._inner = None
        await self._stack.aclose()

    async def _opened(self) -> ChatModel:
        async with self._opening:
            if self._inner is None:
                self._inner = await self._checked()
            return self._inner

    async def _checked(self) -> ChatModel:
        found = await self._open(self._stack)
        self._stack.push_async_callback(found.close)
        able = found.capabilities()
        if _key(able) != _key(self._known):
            raise ModelError(
                f"the model answers as {_key(able)}, but was to answer as {_key(self._known)}; its "
                "files changed meanwhile: run the command again"
            )
        return found


def _key(able: Capabilities) -> dict[str, Any]:
    return able.model_dump(include={"transport", "fingerprint"})
