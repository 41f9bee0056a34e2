"""What a request can fail with: one table from exceptions to statuses, one shape for all."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from judges.errors import (
    CharterError,
    ConfigError,
    ConstitutionError,
    DataError,
    ModelError,
    VerdictError,
)
from judges.records import Record
from judges.suggest import did_you_mean

log = logging.getLogger("charter.service")


class ErrorDetail(Record):
    """What went wrong, for programs and for people."""

    code: str
    """One word that programs can compare."""
    message: str
    """What, with the value, and where."""
    hint: str
    """What to do about it."""


class ErrorBody(Record):
    """The one shape of every error."""

    error: ErrorDetail = Field(
        examples=[{
            "code": "unknown_constitution",
            "message": "constitution 'no-such' is not found",
            "hint": "GET /v1/constitutions lists what there is",
        }]
    )  # fmt: skip
    """What went wrong."""


class ApiError(CharterError):
    """An answer other than success, decided on by the service itself."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        *,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(max(1, round(retry_after_s)))


STATUSES: tuple[tuple[type[Exception], int, str, str], ...] = (
    (ConstitutionError, 422, "invalid_constitution", "see constitutions/README.md"),
    (ConfigError, 422, "invalid_request", "see /docs for what a request holds"),
    (DataError, 422, "invalid_data", "see /docs for what a request holds"),
    (ModelError, 503, "engine_unavailable", "the judge does not answer; try again soon"),
    (VerdictError, 503, "cannot_judge", "judging as a whole cannot go on; try again soon"),
    (TimeoutError, 504, "deadline_passed", "give more time, or ask for less at once"),
)
"""The first that fits; what fits none is a defect of ours: 500."""
HTTP_CODES = {
    400: ("bad_request", "send one JSON object"),
    401: ("no_key", "send Authorization: Bearer KEY"),
    403: ("forbidden", "use a key with the scope that this needs"),
    404: ("not_found", "GET /openapi.json lists every address"),
    405: ("method_not_allowed", "see the Allow header"),
    408: ("too_slow", "send the body faster, or less of it"),
    409: ("conflict", "read it again, then repeat the request"),
    413: ("too_large", "send less at once"),
    415: ("unsupported_media_type", "send application/json"),
    422: ("invalid_request", "see /docs for what a request holds"),
    429: ("too_many_requests", "wait as long as Retry-After says"),
    507: ("storage_full", "nothing was stored; try again later"),
    503: ("unavailable", "try again soon"),
}


def error_body(code: str, message: str, hint: str) -> dict[str, Any]:
    """The body of an error answer."""
    return {"error": {"code": code, "message": message, "hint": hint}}


def as_api_error(error: Exception) -> ApiError:
    """What an exception is told as. The database's address is none of a client's business."""
    if isinstance(error, ApiError):
        return error
    for kind, status, code, hint in STATUSES:
        if isinstance(error, kind):
            if isinstance(error, DataError) and "://" in str(error):
                return ApiError(
                    503, "store_unavailable", "the database cannot be used now",
                    "the service's log says why; try again soon", retry_after_s=5,
                )  # fmt: skip
            wait = 5.0 if status == 503 else None
            return ApiError(status, code, str(error), hint, retry_after_s=wait)
    return ApiError(500, "internal_error", "the service failed", "its log says why, by request id")


def answer_error(error: ApiError) -> Response:
    """The answer that an error becomes."""
    body = error_body(error.code, error.message, error.hint)
    return JSONResponse(body, error.status, error.headers)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every failure in the one shape: ours, the framework's, and defects."""

    async def of_charter(request: Request, error: Exception) -> Response:
        told = as_api_error(error)
        if told.status >= 500:
            number = getattr(request.state, "request_id", None)
            log.warning("%s: %s", told.code, error, extra={"request_id": number})
        return answer_error(told)

    async def of_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code, hint = HTTP_CODES.get(error.status_code, ("error", ""))
        body = error_body(code, str(error.detail), hint)
        return JSONResponse(body, error.status_code, error.headers)

    async def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer_error(_invalid(error.errors(), _known_fields(request)))

    app.add_exception_handler(CharterError, of_charter)
    app.add_exception_handler(TimeoutError, of_charter)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)


def _known_fields(request: Request) -> list[str]:
    """What the body of a request to this route may hold."""
    field = getattr(request.scope.get("route"), "body_field", None)
    kind = getattr(getattr(field, "field_info", None), "annotation", None)
    return list(getattr(kind, "model_fields", ()))


def _invalid(problems: Sequence[Mapping[str, Any]], known: Sequence[str]) -> ApiError:
    """The first fault of a request: where, what, what to do."""
    problem = problems[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "json_invalid":
        said = problem.get("ctx", {}).get("error", "")
        return ApiError(400, "bad_request", f"the body is not JSON: {said}", "send one JSON object")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    said = problem["msg"]
    if problem["type"] == "extra_forbidden":
        said = f"unknown key{did_you_mean(str(problem['loc'][-1]), known)}"
    hint = HTTP_CODES[422][1]
    return ApiError(422, "invalid_request", f"{place}: {said}{more}", hint)
