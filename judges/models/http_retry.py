"""Requests to one server, retried with back-off where that can help.

What a request can end in: an answer, `RequestRefused` (asking again would not help) or
`ServerUnavailable` (it was asked again, in vain). Both are `ModelError`s, so that neither can pass
for an answer where nobody catches it.
"""

import asyncio
import email.utils
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self, TypeVar

import aiohttp
import orjson

from judges.errors import ModelError
from judges.model import Failure
from judges.records import Record

Part = TypeVar("Part")
Result = TypeVar("Result")

_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_FOR_ALL = {
    401: "set the judge's API key",
    403: "use a key that may use this model",
    404: "correct the address, or the name of the model or adapter",
    405: "correct the address",
}
"""Statuses that say nothing about one prompt and all about the set-up."""
_TOO_LONG = ("context length", "max_model_len", "maximum model length", "too long")
_FILTERED = ("content_filter", "content management policy")


class RetryPolicy(Record):
    """How often, and how patiently, a request is repeated."""

    attempts: int = 6
    """Times a request is sent in all."""
    first_wait_s: float = 0.5
    """Wait before the second; doubled each time, with jitter."""
    longest_wait_s: float = 30.0
    """Longest wait, unless the server asks for more by Retry-After."""
    timeout_s: float = 600.0
    """Longest a single attempt, and a wait that the server asks for, may take."""


class RequestRefused(ModelError):
    """A request that the server will not take, with its status and words."""

    def __init__(self, status: int, text: str, address: str) -> None:
        remedy = _FOR_ALL.get(status, "see the server's log")
        super().__init__(f"HTTP {status}: {text} · {address} · {remedy}")
        self.text = text
        self.status = status
        self.for_all = status in _FOR_ALL
        """Whether the set-up is at fault, so that every other request would fail alike."""


class ServerUnavailable(ModelError):
    """A server that gave no usable answer, asked again or not."""


class HttpClient:
    """A connection to one server. Open it within the event loop that will use it."""

    def __init__(
        self, root: str, api_key: str | None, retry: RetryPolicy, *, reached: bool = False
    ) -> None:
        """With `reached`, the server answered before: when away, it is worth waiting for."""
        self.root = root
        self._retry = retry
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=retry.timeout_s),
            connector=aiohttp.TCPConnector(limit=0),
        )
        self._reached = reached
        self._gave_up = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Release the connections."""
        await self._session.close()

    async def text(self, method: str, path: str, body: dict[str, Any] | None = None) -> str:
        """The text of the server's answer.

        Raises: RequestRefused for what no repetition would change; ServerUnavailable when all
        attempts failed, at once when nothing ever listened there.
        """
        return (await self._attempts(method, path, body)).decode("utf-8", "replace")

    async def json(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The JSON object that the server answers. Raises: as `text`."""
        content = await self._attempts(method, path, body, whole=_whole_object)
        answer = _parsed(content)
        if not isinstance(answer, dict):
            raise ServerUnavailable(f"{self.root}{path} answered no JSON object: {content[:80]!r}")
        return answer

    async def _attempts(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        whole: Callable[[bytes], bool] = lambda _: True,
    ) -> bytes:
        # A server that outlasted one request's patience gets no more of it until it answers.
        attempts = 1 if self._gave_up else self._retry.attempts
        seen, wait = "", 0.0
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(max(wait, self._back_off(attempt)))
            try:
                status, content, wait = await self._once(method, path, body)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                seen, wait = f"{type(error).__name__} {error}".strip(), 0.0
                if not (self._reached or _hung_up(error)):
                    break
                continue
            self._reached = True
            if status < 400 and whole(content):
                self._gave_up = False
                return content
            if status < 400:
                seen = f"an answer cut off after {len(content)} bytes: {content[-80:]!r}"
                continue
            seen = f"HTTP {status}: {_message(content)}"
            if status not in _RETRIED:
                raise RequestRefused(status, _message(content), self.root + path)
        self._gave_up = True
        raise ServerUnavailable(f"{self.root}{path}: {seen}")

    async def _once(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[int, bytes, float]:
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} if data is not None else {}
        async with self._session.request(
            method, self.root + path, data=data, headers=headers
        ) as answer:
            wait = _retry_after(answer.headers.get("Retry-After", ""))
            return answer.status, await answer.read(), min(wait, self._retry.timeout_s)

    def _back_off(self, attempt: int) -> float:
        wait = self._retry.first_wait_s * 2.0 ** (attempt - 1)
        return min(wait, self._retry.longest_wait_s) * random.uniform(0.5, 1.0)


def _hung_up(error: Exception) -> bool:
    """Whether somebody did listen, and broke off."""
    cut = isinstance(
        error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | aiohttp.ClientOSError
    )
    return cut and not isinstance(error, aiohttp.ClientConnectorError)


def _parsed(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except ValueError:
        return None


def _whole_object(content: bytes) -> bool:
    """False for the start of a JSON object; what was never one is no better another time."""
    return not content.lstrip().startswith(b"{") or _parsed(content) is not None


async def in_halves(
    parts: Sequence[Part], send: Callable[[Sequence[Part]], Awaitable[list[Result | Failure]]]
) -> list[Result | Failure]:
    """What `send` returns for each part, in order; a batch that is refused is sent in halves.

    So one bad part fails alone, at the cost of a few more requests. A server that is away fails
    all of them, each as an error worth another try.
    Raises: RequestRefused where the set-up is at fault and no prompt is.
    """
    try:
        return await send(parts)
    except ServerUnavailable as error:
        return [Failure(status="error", reason="engine_error", detail=str(error))] * len(parts)
    except RequestRefused as error:
        if error.for_all:
            raise
        if len(parts) == 1:
            return [refusal(error)]
    middle = len(parts) // 2
    halves = await asyncio.gather(in_halves(parts[:middle], send), in_halves(parts[middle:], send))
    return [result for half in halves for result in half]


async def in_batches(
    parts: Sequence[Part | Failure],
    size: int,
    send: Callable[[Sequence[Part]], Awaitable[list[Result | Failure]]],
) -> list[Result | Failure]:
    """What `send` returns for each part, in order, `size` parts at a time; failures stay.

    Neighbours share a batch: what they have in common is read from the prefix cache.
    """
    results: list[Result | Failure | None] = [p if isinstance(p, Failure) else None for p in parts]
    whole = [(i, part) for i, part in enumerate(parts) if not isinstance(part, Failure)]
    batches = [whole[start : start + size] for start in range(0, len(whole), size)]
    answers = await asyncio.gather(
        *(in_halves([part for _, part in batch], send) for batch in batches)
    )
    for batch, answer in zip(batches, answers, strict=True):
        for (i, _), result in zip(batch, answer, strict=True):
            results[i] = result
    return [result for result in results if result is not None]


def refusal(error: RequestRefused) -> Failure:
    """The record of one prompt that the server refused.

    Only what would be refused again for what the prompt is counts as unscored.
    """
    text = error.text.lower()
    if any(sign in text for sign in _TOO_LONG):
        return Failure(status="unscored", reason="too_long", detail=str(error))
    if any(sign in text for sign in _FILTERED):
        return Failure(status="unscored", reason="refused", detail=str(error))
    return Failure(status="error", reason="engine_error", detail=str(error))


def _retry_after(header: str) -> float:
    """Seconds that a Retry-After header asks for, given as a number or as a date."""
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0


def _message(content: bytes) -> str:
    """The words of an error answer, in OpenAI's shape or any other, at most 300 characters."""
    parsed = _parsed(content)
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    if isinstance(error, dict):
        words = " ".join(str(error[key]) for key in ("code", "message", "detail") if error.get(key))
        return words[:300] or str(error)[:300]
    return str(error or content.decode("utf-8", "replace"))[:300]
