"""Who asks, and whether they may: keys to `Access`, rates and concurrency, keyless use at home.

The edge finds out who asks before any body is read; a route says what it needs:
`access: Annotated[Access, needs("label")]`. Without keys only requests by a name of this machine
and from no other site's page are taken.
"""

import asyncio
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from judges.records import Record
from judges.store.schema import writing
from service.errors import ApiError
from service.keys import SCOPES, ApiKey, Scope, count_uses, find_key, write_audit
from service.settings import Settings

LOCAL_TENANT = "local"
REMEMBERED_S = 1.0
"""How long a key that was looked up is taken without another look: revoking takes so long."""
FLUSH_S = 10.0
bearer = HTTPBearer(auto_error=False, description="An API key, made by `charter keys create`")
Shown = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
"""For the OpenAPI document only: the edge has read the key before."""


class Access(Record):
    """Who makes a request, and what they may do."""

    key_id: str | None
    """The key's id; none for keyless use on this machine."""
    tenant: str
    """Whose files, batches, jobs and constitutions are meant."""
    scopes: tuple[Scope, ...]
    """What they may do."""


@dataclass
class _Use:
    """One key's use in this process."""

    tokens: float
    at: float
    running: int = 0
    served: int = 0
    refused: int = 0


@dataclass
class Gate:
    """Lets requests in: by key, within each key's limits. Limits hold for each process."""

    engine: Engine
    settings: Settings
    _remembered: dict[str, tuple[float, ApiKey | None]] = field(default_factory=dict)
    _uses: dict[str, _Use] = field(default_factory=dict)

    async def who(self, request: HTTPConnection) -> tuple[Access, ApiKey | None]:
        """Who makes a request. Raises: ApiError 401 without a key that is taken."""
        token = _token(request.headers)
        if token is None:
            if self.settings.keys_required:
                raise _no_key("no API key")
            _refuse_strangers(request.headers)
            return Access(key_id=None, tenant=LOCAL_TENANT, scopes=SCOPES), None
        key = await self._look_up(token)
        if key is None:
            raise _no_key("the API key is not known")
        if key.state != "active":
            self._use(key).refused += 1
            await asyncio.to_thread(self._audit, key, f"{key.state} key used", request)
            raise _no_key(f"the API key is {key.state}")
        return Access(key_id=key.id, tenant=key.tenant, scopes=key.scopes), key

    def enter(self, key: ApiKey) -> None:
        """Count a request in. Raises: ApiError 429 beyond the key's rate or concurrency."""
        use, now = self._use(key), time.monotonic()
        rate = (key.rate_per_minute or self.settings.key_rate) / 60
        # A bucket that holds ten seconds' worth: bursts pass, a stream does not.
        use.tokens = min(max(rate * 10, 1.0), use.tokens + (now - use.at) * rate)
        use.at = now
        most = key.concurrency or self.settings.key_concurrency
        if use.running >= most:
            use.refused += 1
            raise _too_many(f"{use.running} requests of this key are running, of {most}", 1.0)
        if use.tokens < 1:
            use.refused += 1
            wait = (1 - use.tokens) / rate
            raise _too_many(f"this key may make {rate * 60:.0f} requests a minute", wait)
        use.tokens -= 1
        use.running += 1
        use.served += 1

    def leave(self, key: ApiKey) -> None:
        """Count a request out."""
        self._use(key).running -= 1

    def reachable(self) -> None:
        """Raises: DataError when the keys' database is away. Blocks."""
        find_key(self.engine, f"charter_{'0' * 12}_{'0' * 43}")

    async def flush_for_ever(self) -> None:
        """Write the hourly counts of uses now and then."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write the counts of uses; what cannot be written is kept for the next time."""
        due = [(n, u.served, u.refused) for n, u in self._uses.items() if u.served or u.refused]
        if not due:
            return
        await asyncio.to_thread(count_uses, self.engine, due)
        for number, served, refused in due:
            self._uses[number].served -= served
            self._uses[number].refused -= refused

    async def _look_up(self, token: str) -> ApiKey | None:
        now = time.monotonic()
        at, key = self._remembered.get(token, (-REMEMBERED_S, None))
        if now - at < REMEMBERED_S:
            return key
        key = await asyncio.to_thread(find_key, self.engine, token)
        if len(self._remembered) > 10_000:
            self._remembered.clear()
        self._remembered[token] = now, key
        return key

    def _use(self, key: ApiKey) -> _Use:
        if key.id not in self._uses:
            rate = (key.rate_per_minute or self.settings.key_rate) / 60
            self._uses[key.id] = _Use(max(rate * 10, 1.0), time.monotonic())
        return self._uses[key.id]

    def _audit(self, key: ApiKey, action: str, request: HTTPConnection) -> None:
        with writing(self.engine) as connection:
            write_audit(
                connection, key.tenant, action, request.url.path,
                key_id=key.id, request_id=request_id(request),
            )  # fmt: skip


def needs(scope: Scope) -> Any:
    """The dependency of a route: who asks, if they have the scope and are within their limits."""

    async def admitted(request: Request, _: Shown) -> AsyncIterator[Access]:
        gate: Gate = request.app.state.service.gate
        access: Access = request.state.access
        key: ApiKey | None = request.state.key
        refuse_lacking(access, scope)
        if key is None:
            yield access
            return
        gate.enter(key)
        try:
            yield access
        finally:
            gate.leave(key)

    return Depends(admitted)


def refuse_lacking(access: Access, scope: Scope) -> None:
    """Raises: ApiError 403."""
    if scope in access.scopes or "admin" in access.scopes:
        return
    raise ApiError(
        403, "forbidden", f"this needs the scope {scope!r}; the key has {', '.join(access.scopes)}",
        f"make one with `charter keys create --scope {scope}`",
    )  # fmt: skip


def _token(headers: Headers) -> str | None:
    """The key in a request: a bearer's, `X-Api-Key`, or the password of HTTP Basic.

    Basic, since some reward clients can be told an address and nothing else.
    """
    if own := headers.get("x-api-key"):
        return own
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() != "basic":
        return None
    try:
        return b64decode(value, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def request_id(request: HTTPConnection) -> str:
    """The request's id, as the answer's `X-Request-Id` tells it."""
    return str(request.state.request_id)


def _refuse_strangers(headers: Headers) -> None:
    """Without keys, a page of another site in this machine's browser must get nothing done.

    Raises: ApiError 403.
    """
    hosts = [urlsplit(f"//{headers.get('host', '')}").hostname]
    if origin := headers.get("origin"):
        hosts.append(urlsplit(origin).hostname)
    for host in hosts:
        if not is_loopback(host or ""):
            raise ApiError(
                403, "forbidden", f"without API keys only this machine is served, not {host!r}",
                "make a key with `charter keys create`, and send it",
            )  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _no_key(message: str) -> ApiError:
    return ApiError(
        401, "no_key", message, "send Authorization: Bearer KEY; `charter keys create` makes one",
        headers={"WWW-Authenticate": "Bearer"},
    )  # fmt: skip


def _too_many(message: str, wait_s: float) -> ApiError:
    return ApiError(
        429, "too_many_requests", message, "wait as long as Retry-After says", retry_after_s=wait_s
    )
