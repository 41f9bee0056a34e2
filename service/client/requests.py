"""One request to the service, repeated with back-off where that can help, honouring Retry-After."""

import asyncio
import os
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
import orjson

from judges.errors import CharterError
from judges.records import Record

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
LOCAL = "http://127.0.0.1:8000"
LONGEST_WAIT_S = 30.0
MOST_WAIT_S = 300.0
"""The longest that a server may have us wait by Retry-After."""


class CharterApiError(CharterError, RuntimeError):
    """What the service answered instead of success, after all repetitions."""

    def __init__(self, status: int, code: str, message: str, hint: str, address: str) -> None:
        super().__init__(f"HTTP {status} {code}: {message} · {address} · {hint}")
        self.status, self.code, self.message, self.hint = status, code, message, hint


class ServiceAway(CharterError, ConnectionError):
    """A service that gave no answer, asked again or not."""


class Patience(Record):
    """How often, and how patiently, a request is repeated."""

    attempts: int = 8
    """Times a request is sent in all."""
    first_wait_s: float = 0.5
    """Wait before the second; doubled each time up to half a minute, with jitter."""
    timeout_s: float = 600.0
    """Longest a single attempt may take; a stream, from one line to the next."""
    items_at_once: int = 1000
    """Items of a stream in one request: held in memory, asked again when a connection breaks."""


class Requests:
    """Requests to one service, from any number of event loops, each with connections of its own."""

    def __init__(self, url: str | None, key: str | None, patience: Patience) -> None:
        """Without a URL and key, those of `CHARTER_URL` and `CHARTER_API_KEY`, or this machine."""
        self.url = (url or os.environ.get("CHARTER_URL") or LOCAL).rstrip("/")
        self.patience = patience
        self._key = key or os.environ.get("CHARTER_API_KEY")
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = (
            WeakKeyDictionary()
        )

    async def json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The value answered; None for an empty answer.

        Raises: CharterApiError, ServiceAway.
        """
        data = None if body is None else orjson.dumps(body)
        async with self.opened(
            method, path, data, query=query, headers=headers, whole=True
        ) as answer:
            content = await answer.read()
        return orjson.loads(content) if content else None

    @asynccontextmanager
    async def opened(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        whole: bool = False,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """A successful answer, its body still to be read unless `whole`.

        `data` may be a function that makes a fresh body for each attempt.

        Raises: CharterApiError, ServiceAway.
        """
        seen = ""
        for attempt in range(self.patience.attempts):
            wait = self._back_off(attempt)
            try:
                answer = await self._send(method, path, data, query, headers)
                if whole:
                    await answer.read()  # what breaks off is asked for again
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                seen = f"{type(error).__name__} {error}".strip()
            else:
                if answer.status < 400:
                    async with answer:
                        yield answer
                    return
                refusal, wait = await self._refusal(answer, wait)
                if answer.status not in RETRIED or attempt + 1 == self.patience.attempts:
                    raise refusal
            if attempt + 1 < self.patience.attempts:
                await asyncio.sleep(wait)
        raise ServiceAway(
            f"{self.url}{path}: {seen} · asked {self.patience.attempts} times · see whether "
            "`charter serve` runs there, and set CHARTER_URL"
        )

    async def close(self) -> None:
        """Close this event loop's connections."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    async def _send(
        self,
        method: str,
        path: str,
        data: Any,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
    ) -> aiohttp.ClientResponse:
        body = data() if callable(data) else data
        typed = {"Content-Type": "application/json"} if isinstance(body, bytes) else {}
        given = {k: v for k, v in (query or {}).items() if v is not None and v != ""}
        return await self._session().request(
            method, self.url + path, data=body, params=given, headers={**typed, **(headers or {})}
        )

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            own = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            limit = self.patience.timeout_s
            session = self._sessions[loop] = aiohttp.ClientSession(
                headers=own,
                timeout=aiohttp.ClientTimeout(total=None, sock_read=limit, sock_connect=30),
                connector=aiohttp.TCPConnector(limit=0),
            )
        return session

    async def _refusal(
        self, answer: aiohttp.ClientResponse, wait: float
    ) -> tuple[CharterApiError, float]:
        async with answer:
            content = await answer.read()
        asked = answer.headers.get("Retry-After", "")
        if asked.replace(".", "", 1).isdigit():
            wait = min(max(wait, float(asked)), MOST_WAIT_S)
        try:
            told = orjson.loads(content)["error"]
            parts = (str(told["code"]), str(told["message"]), str(told["hint"]))
        except (ValueError, KeyError, TypeError):
            parts = ("error", content[:200].decode("utf-8", "replace"), "see the service's log")
        return CharterApiError(answer.status, *parts, str(answer.url.path)), wait

    def _back_off(self, attempt: int) -> float:
        wait = min(self.patience.first_wait_s * 2.0**attempt, LONGEST_WAIT_S)
        return wait * random.uniform(0.5, 1.0)
