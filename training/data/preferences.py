"""Preference rows as trainers need them: checked one by one, each fault with its line."""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from judges.errors import DataError
from judges.jsonl import read_jsonl
from judges.records import Record
from training.runs.recipe import DataUsed

ROLES = ("system", "user", "assistant", "tool")
CONVERSATIONS = ("prompt", "chosen", "rejected")
FOLDER_FILE = "train.jsonl"

Messages = tuple[dict[str, str], ...]


class PreferencePair(Record):
    """One pair to train on."""

    line: int
    """Where it stands in the file."""
    prompt: Messages
    """The conversation so far."""
    chosen: Messages
    """The completion called better."""
    rejected: Messages
    """The completion called worse."""
    p_chosen: float
    """The label: the probability that chosen is better; 1 for hard labels."""


class PreferenceSet(Record):
    """All pairs of a file, with what they say of their own making."""

    used: DataUsed
    """The file, as a manifest pins it."""
    pairs: tuple[PreferencePair, ...]
    """Its rows, in order."""

    def places(self, rows: list[int]) -> str:
        """`file:line` of some pairs, for messages."""
        return ", ".join(f"{self.used.path}:{self.pairs[row].line}" for row in rows)


def read_preferences(path: Path, labels: Literal["soft", "hard"]) -> PreferenceSet:
    """The preference pairs of a .jsonl file, or of a folder's train.jsonl.

    Columns other than TRL's, `p_chosen` and `digests` are left alone.
    Raises: DataError naming file and line for a row that cannot be trained on, or no row at all.
    """
    file = path / FOLDER_FILE if path.is_dir() else path
    pairs: list[PreferencePair] = []
    digests: dict[str, dict[str, None]] = {}
    for number, row in read_jsonl(file):
        pairs.append(_pair(row, labels, number, f"{file}:{number}"))
        for name, value in _digests(row, f"{file}:{number}").items():
            digests.setdefault(name, {})[value] = None
    if not pairs:
        raise DataError(f"{file}: no preference row in it; make some with `charter preferences`")
    return PreferenceSet(
        used=DataUsed(
            path=str(file),
            sha256=_sha256(file),
            rows=len(pairs),
            digests={name: tuple(sorted(values)) for name, values in sorted(digests.items())},
        ),
        pairs=tuple(pairs),
    )


def _pair(row: Mapping[str, Any], labels: str, line: int, where: str) -> PreferencePair:
    prompt, chosen, rejected = (_messages(row, column, where) for column in CONVERSATIONS)
    if chosen == rejected:
        raise DataError(f"{where}: chosen and rejected are the same; drop this row")
    p = _probability(row, labels, where)
    return PreferencePair.model_construct(
        line=line,
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        p_chosen=1.0 if labels == "hard" else p,
    )


def _messages(row: Mapping[str, Any], column: str, where: str) -> Messages:
    if column not in row:
        raise DataError(f"{where}: no `{column}`; preference rows need prompt, chosen, rejected")
    messages = row[column]
    if not isinstance(messages, list) or not messages:
        raise DataError(
            f"{where}: {column} is {_short(messages)}; use a list of messages, each with role and "
            "content (a plain string would be trained without the chat template)"
        )
    return tuple(_message(message, f"{where}: {column}") for message in messages)


def _message(message: Any, where: str) -> dict[str, str]:
    if not isinstance(message, dict):
        raise DataError(f"{where} holds {_short(message)}; use {{role, content}} objects")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise DataError(f"{where}: role is {role!r}; use {', '.join(ROLES)}")
    if not isinstance(content, str) or not content.strip():
        raise DataError(f"{where}: content is {_short(content)}; use text that is not empty")
    return {"role": role, "content": content}


def _probability(row: Mapping[str, Any], labels: str, where: str) -> float:
    if "p_chosen" not in row:
        if labels == "hard":
            return 1.0
        raise DataError(
            f'{where}: no `p_chosen`, which labels = "soft" trains on; add it, or set '
            'labels = "hard"'
        )
    p = row["p_chosen"]
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1 or math.isnan(p):
        raise DataError(f"{where}: p_chosen is {_short(p)}; use a probability from 0 to 1")
    return float(p)


def _digests(row: Mapping[str, Any], where: str) -> dict[str, str]:
    digests = row.get("digests") or {}
    if not isinstance(digests, dict):
        raise DataError(f"{where}: digests is {_short(digests)}; use an object of digests")
    return {str(name): str(value) for name, value in digests.items() if value}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
