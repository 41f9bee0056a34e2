"""The same client without asyncio: its calls run on an event loop in a thread of their own."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from service.client.client import AsyncClient, Line, Prompt, Verb
from service.client.requests import Patience

Result = TypeVar("Result")


class Client:
    """A service. Safe to share between threads; close it, or use it in a `with`."""

    def __init__(
        self, url: str | None = None, key: str | None = None, patience: Patience | None = None
    ) -> None:
        """Without a URL and key, those of `CHARTER_URL` and `CHARTER_API_KEY`."""
        self._client = AsyncClient(url, key, patience)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        if self._loop.is_closed():
            return
        self._wait(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def rank(
        self, constitution: str, prompt: Prompt, completions: Sequence[str], **how: Any
    ) -> Line:
        """Completions put in order."""
        return self._wait(self._client.rank(constitution, prompt, completions, **how))

    def compare(
        self, constitution: str, prompt: Prompt, first: str, second: str, **how: Any
    ) -> Line:
        """Which of two completions is better, how surely, and by which principles."""
        return self._wait(self._client.compare(constitution, prompt, first, second, **how))

    def score(
        self, constitution: str, prompt: Prompt, completions: Sequence[str], **how: Any
    ) -> Line:
        """Completions scored without an opponent."""
        return self._wait(self._client.score(constitution, prompt, completions, **how))

    def judge(self, verb: Verb, constitution: str, **item: Any) -> Line:
        """One item's line: `prompt`, `completions`, and what else the verb takes."""
        return self._wait(self._client.judge(verb, constitution, **item))

    def stream(
        self, verb: Verb, constitution: str, items: Iterable[Mapping[str, Any]], **how: Any
    ) -> Iterator[Line]:
        """A line for each item, as each is done; items without an id get their number."""
        return self._each(self._client.stream(verb, constitution, items, **how))

    def rewards(
        self, samples: Sequence[Mapping[str, Any]], constitution: str, **address: Any
    ) -> Line:
        """`rewards`, `stop` and `run_mean` for samples of `prompt` and `completion`."""
        return self._wait(self._client.rewards(samples, constitution, **address))

    def run(self, name: str) -> Line:
        """How a watched training run stands."""
        return self._wait(self._client.run(name))

    def watch_run(self, name: str, **settings: Any) -> Line:
        """Say how a training run is watched."""
        return self._wait(self._client.watch_run(name, **settings))

    def upload(self, path: Path) -> str:
        """The id of a file of batch lines."""
        return self._wait(self._client.upload(path))

    def create_batch(
        self, file_id: str, endpoint: str, *, idempotency_key: str | None = None, **more: Any
    ) -> Line:
        """A batch of an uploaded file; however often it has to be sent, there is one."""
        made = self._client.create_batch(file_id, endpoint, idempotency_key=idempotency_key, **more)
        return self._wait(made)

    def batch(self, batch_id: str) -> Line:
        """A batch as it stands."""
        return self._wait(self._client.batch(batch_id))

    def cancel_batch(self, batch_id: str) -> Line:
        """Cancel a batch; what is done stays."""
        return self._wait(self._client.cancel_batch(batch_id))

    def wait(self, batch_id: str, every_s: float = 2.0) -> Line:
        """A batch once it is over."""
        return self._wait(self._client.wait(batch_id, every_s))

    def lines(self, file_id: str) -> Iterator[Line]:
        """The lines of a file, as they arrive."""
        return self._each(self._client.lines(file_id))

    def run_batch(
        self, path: Path, endpoint: str, *, every_s: float = 2.0, **more: Any
    ) -> Iterator[Line]:
        """Upload, create, wait, and then every line."""
        return self._each(self._client.run_batch(path, endpoint, every_s=every_s, **more))

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # also an interrupt: nothing must go on behind the caller's back
            future.cancel()
            raise

    def _each(self, lines: AsyncGenerator[Line]) -> Iterator[Line]:
        try:
            while True:
                try:
                    yield self._wait(_next(lines))
                except StopAsyncIteration:
                    return
        finally:
            self._wait(_close(lines))


async def _next(lines: AsyncGenerator[Line]) -> Line:
    return await anext(lines)


async def _close(lines: AsyncGenerator[Line]) -> None:
    await lines.aclose()
