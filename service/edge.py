"""The outermost layer: request ids, limits on bodies, one log line and one count a request.

Written against ASGI itself: streams pass through as they are, and a body is measured as it
arrives, with or without a Content-Length.
"""

import asyncio
import logging
import re
import secrets
import time
import traceback
from asyncio import timeout_at

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.context import Service
from service.errors import HTTP_CODES, ApiError, answer_error, as_api_error
from service.settings import Settings
from service.tracing import name_span

UPLOADS = ("/v1/files",)
"""Where bodies may be as large and as slow as uploads."""
OPEN_TO_ALL = ("/health", "/ready", "/metrics", "/openapi.json", "/reviews")
"""What needs no key: it tells nothing of what was judged."""
UNMATCHED = "unmatched"
GONE = 499
"""The status on record of a request whose client went away before any answer."""
GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
MIB = 2**20
log = logging.getLogger("charter.service")


class Edge:
    """Around the whole application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.settings, self.metrics = app, service.settings, service.metrics
        self.gate, self.tracing = service.gate, service.tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = number
        answer = _Answer(send, number)
        start = time.perf_counter()
        with self.tracing.request(scope, number) as span:
            try:
                await self._answer(scope, receive, answer, number)
            finally:
                self._note(scope, answer, number, time.perf_counter() - start)
                name_span(span, _method(scope), _route(scope), answer.status or GONE)

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer", number: str) -> None:
        """Have the application answer, within the limits; what it raises is an answer too."""
        try:
            if scope["path"] not in OPEN_TO_ALL:
                request = HTTPConnection(scope)
                scope["state"]["access"], scope["state"]["key"] = await self.gate.who(request)
            body = _Body(scope, receive, self.settings)
            body.refuse_declared()
            await self.app(scope, body.receive, answer.send)
        except ApiError as error:
            self.metrics.refused.labels(error.code).inc()
            await answer_error(error)(scope, receive, answer.send)
        except Exception as error:
            self._tell_defect(error, number, scope)
            if answer.status:
                raise
            await answer_error(as_api_error(error))(scope, receive, answer.send)

    def _note(self, scope: Scope, answer: "_Answer", number: str, seconds: float) -> None:
        route, status = _route(scope), answer.status or GONE
        self.metrics.requests.labels(route, _method(scope), str(status)).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)
        access = scope.get("state", {}).get("access")
        log.info(
            "request",
            extra={
                "request_id": number,
                "method": scope["method"],
                "path": scope["path"][:200],
                "status": status,
                "seconds": round(seconds, 4),
                "bytes": answer.bytes,
                "key_id": access.key_id if access else None,
                "tenant": access.tenant if access else None,
            },
        )

    def _tell_defect(self, error: Exception, number: str, scope: Scope) -> None:
        # Where and what kind, never the message: it may quote what was sent.
        frames = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in frames[-4:][::-1])
        log.error(
            "defect", extra={"request_id": number, "path": scope["path"][:200],
                             "error": type(error).__name__, "where": where}
        )  # fmt: skip


class _Answer:
    """What goes out: the request id on it, its status and size noted."""

    def __init__(self, send: Send, number: str) -> None:
        self._send, self._number = send, number
        self.status, self.bytes = 0, 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", []), (b"x-request-id", self._number.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]  # fmt: skip
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
        await self._send(message)


class _Body:
    """What comes in, counted and timed; too much of it, or too slowly, ends the request."""

    def __init__(self, scope: Scope, receive: Receive, settings: Settings) -> None:
        self._receive = receive
        upload = scope["method"] == "POST" and scope["path"] in UPLOADS
        self._most = settings.max_upload_bytes if upload else settings.max_body_bytes
        self._pace = settings.body_s if upload else 0.0
        self._seen, self._whole = 0, False
        self._ends = asyncio.get_running_loop().time() + settings.body_s
        self._declared = _content_length(scope)

    def refuse_declared(self) -> None:
        """Raises: ApiError 413 for a body that says itself that it is too large."""
        if self._declared > self._most:
            code, hint = HTTP_CODES[413]
            raise ApiError(413, code, self._too_large().detail, hint)

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        try:
            async with timeout_at(self._ends + self._pace * (self._seen // MIB)):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408, f"the body did not arrive in time: {self._seen} bytes"
            ) from None
        self._seen += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._seen > self._most:
            raise self._too_large()
        return message

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the body is larger than {self._most} bytes")


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _request_id(scope: Scope) -> str:
    """The id that the client gave, if it is a harmless one; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and GIVEN_ID.fullmatch(text := str(value, "latin-1")):
            return text
    return secrets.token_hex(8)


def _route(scope: Scope) -> str:
    """The address's pattern, so that ids in addresses do not become labels."""
    return str(getattr(scope.get("route"), "path", UNMATCHED))


def _method(scope: Scope) -> str:
    known = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    method = str(scope["method"])
    return method if method in known else "OTHER"
