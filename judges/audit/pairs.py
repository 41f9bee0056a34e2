"""Preference rows as columns: who was chosen, how surely, and under which principles."""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from judges.calibration.estimates import FloatArray, IntArray, group_numbers
from judges.canonical import canonical_json
from judges.cards.labelled import TIE, LabelledPair, parse_labelled
from judges.errors import DataError
from judges.jsonl import parse_line, read_jsonl

NEAREST = 1e-6
"""Probabilities are kept so far from 0 and 1: rankings round to six digits."""


@dataclass(frozen=True)
class AuditPairs:
    """Preference pairs, one place a pair in every column."""

    ids: list[str]
    """As the rows have them; line numbers where they have none."""
    prompts: list[str]
    """The conversations, turns joined; system turns left out, which many prompts share."""
    chosen: list[str]
    """The completions preferred."""
    rejected: list[str]
    """The completions not preferred."""
    p_chosen: FloatArray
    """The judge's probability of the label; NaN where a row has none."""
    principles: dict[str, FloatArray]
    """Each principle's own log-odds for the chosen side; NaN where it did not vote."""
    groups: IntArray
    """Which conversation each pair is about: pairs of one conversation are not independent."""
    ties: int
    """Labelled ties, which have no chosen side and are left out."""

    def __len__(self) -> int:
        return len(self.ids)


class _Row(NamedTuple):
    id: str
    key: str
    """The whole conversation, system turns too."""
    prompt: str
    chosen: str
    rejected: str
    p_chosen: float
    principles: Mapping[str, Any]


def read_pairs(path: Path) -> AuditPairs:
    """The pairs of a preference file, or of any labelled file that `judge-card` reads.

    Ids may be met twice: an audit reports such things. Raises: DataError naming file and line.
    """
    rows, ties = [], 0
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        read = _own(row, where) or _labelled(row, where)
        if read is None:
            ties += 1
        else:
            rows.append(read)
    if not rows:
        raise DataError(f"{path}: no pair with a preference in it ({ties} ties); nothing to audit")
    return _columns(rows, ties)


def read_prompts(path: Path) -> list[str]:
    """The conversations of any file of prompts, completions or pairs, for a leakage check.

    Raises: DataError naming file and line, where a row has no prompt.
    """
    prompts = []
    for number, row in read_rows(path):
        prompt = _text(row.get("prompt"))
        if prompt is None:
            pair = parse_labelled(row, f"{path}:{number}")
            prompt = _joined([turn.model_dump() for turn in pair.item.prompt])
        prompts.append(prompt)
    return prompts


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line; .gz files are unpacked. Raises: DataError.

    A folder that `charter preferences` made stands for the rows in it.
    """
    if (rows := path / "train.jsonl").is_file():
        path = rows
    if path.suffix != ".gz" or not path.is_file():
        yield from read_jsonl(path)
        return
    try:
        with gzip.open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, parse_line(line, f"{path}:{number}")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); get the file again") from None


def _own(row: Mapping[str, Any], where: str) -> _Row | None:
    """A row in TRL's columns, read without building records; None for any other."""
    prompt = _text(row.get("prompt"))
    chosen, rejected = (_answer(row.get(side)) for side in ("chosen", "rejected"))
    if prompt is None or chosen is None or rejected is None:
        return None
    key = canonical_json(row["prompt"])
    return _Row(
        str(row.get("id", where)), key, prompt, chosen, rejected, _sureness(row, where), _votes(row)
    )


def _labelled(row: Mapping[str, Any], where: str) -> _Row | None:
    """A row in a foreign format; None for a tie."""
    pair: LabelledPair = parse_labelled(row, where)
    if pair.preferred == TIE:
        return None
    better, worse = pair.item.completions[:: 1 if pair.preferred > TIE else -1]
    turns = [turn.model_dump() for turn in pair.item.prompt]
    metadata = pair.item.metadata
    return _Row(
        pair.item.id, canonical_json(turns), _joined(turns), better.text, worse.text,
        _sureness(metadata, where), _votes(metadata),
    )  # fmt: skip


def _text(prompt: Any) -> str | None:
    if isinstance(prompt, str):
        return prompt
    if not isinstance(prompt, list) or not prompt:
        return None
    known = all(isinstance(t, dict) and isinstance(t.get("content"), str) for t in prompt)
    return _joined(prompt) if known else None


def _joined(turns: list[dict[str, Any]]) -> str:
    told = [turn["content"] for turn in turns if turn.get("role") != "system"]
    return "\n\n".join(told or [turn["content"] for turn in turns])


def _answer(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        content = value[0].get("content")
        return content if isinstance(content, str) else None
    return None


def _sureness(row: Mapping[str, Any], where: str) -> float:
    p = row.get("p_chosen")
    if p is None:
        return float("nan")
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise DataError(f"{where}: p_chosen is {p!r}; use a number from 0 to 1")
    return float(p)


def _votes(row: Mapping[str, Any]) -> Mapping[str, Any]:
    votes = row.get("principles")
    return votes if isinstance(votes, Mapping) else {}


def _columns(rows: list[_Row], ties: int) -> AuditPairs:
    names = list(dict.fromkeys(name for row in rows for name in row.principles))
    return AuditPairs(
        ids=[row.id for row in rows],
        prompts=[row.prompt for row in rows],
        chosen=[row.chosen for row in rows],
        rejected=[row.rejected for row in rows],
        p_chosen=np.array([row.p_chosen for row in rows]),
        principles={
            name: log_odds(np.array([_number(row.principles.get(name)) for row in rows]))
            for name in names
        },
        groups=group_numbers([row.key for row in rows], len(rows)),
        ties=ties,
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else float("nan")


def log_odds(p: FloatArray) -> FloatArray:
    """Log-odds of probabilities, kept finite."""
    inside = np.clip(p, NEAREST, 1 - NEAREST)
    return np.asarray(np.log(inside) - np.log1p(-inside))
