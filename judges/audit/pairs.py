"""Preference rows as columns: who was chosen, how surely, and under which principles."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from judges.calibration.estimates import FloatArray, IntArray, group_numbers
from judges.canonical import canonical_json
from judges.errors import DataError
from judges.formats.left_out import LeftOut
from judges.formats.messages import TRANSCRIPT, Messages
from judges.formats.pairs import EVEN, conversation_of, parse_pairs, probability, votes_of
from judges.formats.rows import read_rows

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
    left_out: LeftOut
    """Rows that are no pair with a preference: ties, empty completions."""

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
    """The pairs of a file in any format that training reads (`judges.formats.pairs`).

    A label below one half calls the rejected side better, so it turns its pair round, as in
    training; one half is a tie. Ids may be met twice: an audit reports such things.
    Raises: DataError naming file and line.
    """
    rows: list[_Row] = []
    left_out = LeftOut()
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        own = _own(row, where)
        with left_out.row(where) as lost:
            for one in _foreign(row, where, lost) if own is None else (own,):
                if one.p_chosen == EVEN:
                    lost["tie"] += 1
                else:
                    rows.append(_turned_round(one) if one.p_chosen < EVEN else one)
    if not rows:
        left = f" (left out: {left_out.text()})" if left_out.counts else ""
        raise DataError(f"{path}: no pair with a preference in it{left}; nothing to audit")
    return _columns(rows, left_out)


def read_prompts(path: Path) -> list[str]:
    """The conversations of any file of prompts, completions or pairs, for a leakage check.

    Raises: DataError naming file and line, where a row has no prompt.
    """
    prompts = []
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        prompt = _text(row.get("prompt"))
        if prompt is None and (turns := conversation_of(row, where)) is not None:
            prompt = _joined(turns)
        if prompt is not None:
            prompts.append(prompt)
    return prompts


def _own(row: Mapping[str, Any], where: str) -> _Row | None:
    """A row in TRL's columns, read without building records; None for any other."""
    prompt = _text(row.get("prompt"))
    chosen, rejected = (_answer(row.get(side)) for side in ("chosen", "rejected"))
    if prompt is None or chosen is None or rejected is None:
        return None
    key = canonical_json(row["prompt"])
    return _Row(
        str(row.get("id", where)),
        key,
        prompt,
        chosen,
        rejected,
        _sureness(row.get("p_chosen"), where),
        votes_of(row),
    )


def _foreign(row: Mapping[str, Any], where: str, lost: Counter[str]) -> Iterator[_Row]:
    """The pairs of a row in any other format; what is left out is counted."""
    for number, pair in enumerate(parse_pairs(row, where, "all", lost)):
        name = str(row.get("id", where))
        yield _Row(
            f"{name}#{number}" if number else name, canonical_json(pair.prompt),
            _joined(pair.prompt), _said(pair.chosen), _said(pair.rejected),
            _sureness(pair.p_chosen, where), pair.principles,
        )  # fmt: skip


def _turned_round(row: _Row) -> _Row:
    votes = {name: _number(p) for name, p in row.principles.items()}
    return row._replace(
        chosen=row.rejected,
        rejected=row.chosen,
        p_chosen=1 - row.p_chosen,
        principles={name: 1 - p for name, p in votes.items()},
    )


def _text(prompt: Any) -> str | None:
    if isinstance(prompt, str):
        return None if TRANSCRIPT.match(prompt) else prompt
    if not isinstance(prompt, list) or not prompt:
        return None
    known = all(isinstance(t, dict) and isinstance(t.get("content"), str) for t in prompt)
    return _joined(prompt) if known else None


def _said(completion: Messages) -> str:
    return "\n\n".join(turn["content"] for turn in completion)


def _joined(turns: Sequence[Mapping[str, Any]]) -> str:
    told = [turn["content"] for turn in turns if turn.get("role") != "system"]
    return "\n\n".join(told or [turn["content"] for turn in turns])


def _answer(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        content = value[0].get("content")
        return content if isinstance(content, str) else None
    return None


def _sureness(p: Any, where: str) -> float:
    told = probability(p, where)
    return float("nan") if told is None else told


def _columns(rows: list[_Row], left_out: LeftOut) -> AuditPairs:
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
        left_out=left_out,
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else float("nan")


def log_odds(p: FloatArray) -> FloatArray:
    """Log-odds of probabilities, kept finite."""
    inside = np.clip(p, NEAREST, 1 - NEAREST)
    return np.asarray(np.log(inside) - np.log1p(-inside))
