"""Logs as JSON lines with request ids; what was sent, and secrets, never stand in them."""

import json
import logging
import re
import sys
from typing import Any

OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
SECRETS = re.compile(r"charter_([0-9a-f]{12})_[A-Za-z0-9_-]{20,}|(://[^:/@\s]+:)[^@\s]+@")


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON, secrets blotted out."""
        told: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= {key: value for key, value in vars(record).items() if key not in OWN}
        if record.exc_info and record.exc_info[0]:
            told["error"] = record.exc_info[0].__name__
        return blotted(json.dumps(told, default=str, ensure_ascii=False))


class Plain(logging.Formatter):
    """One line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Message and fields, secrets blotted out."""
        more = {k: v for k, v in vars(record).items() if k not in OWN and v is not None}
        told = " ".join(f"{key}={value}" for key, value in more.items())
        return blotted(f"{record.levelname.lower()} {record.getMessage()} {told}".rstrip())


def blotted(text: str) -> str:
    """A text without the secrets of keys and of database addresses."""
    return SECRETS.sub(lambda m: f"charter_{m[1]}_…" if m[1] else f"{m[2]}…@", text)


def set_up_logs(as_json: bool) -> None:
    """Send the service's and the server's logs to stderr, each record once."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else Plain())
    for name in ("charter", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    # One line a request is ours.
    logging.getLogger("uvicorn.access").disabled = True
