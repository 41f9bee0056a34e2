"""What a reward model learns from: prompts with all their completions and the labels of all pairs.

Ranking lines are such already, with each principle's labels beside; preference rows of one prompt
are put together again, so that a completion that stands in many pairs is encoded once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from judges.canonical import digest
from judges.errors import DataError
from judges.records import Message

Floats = npt.NDArray[np.float64]
Labels = Literal["soft", "hard", "clamped"]
Ids = npt.NDArray[np.uint32]
Messages = tuple[Message, ...]


@dataclass(frozen=True)
class RankedPrompt:
    """One prompt, its completions, and P(row better than column) by head; NaN where unknown."""

    place: str
    """Where it stands, as `file:line` of its first row."""
    prompt: Messages
    completions: tuple[Messages, ...]
    p_HNN: Floats
    """Labels of each head; of the whole, one head. p[i, j] + p[j, i] = 1."""
    applies_H: Floats
    """How far each head's principle applies to the prompt, 0 to 1; NaN where not known."""

    @property
    def pairs(self) -> int:
        """Labelled pairs, of whichever head."""
        known = ~np.isnan(self.p_HNN).all(0)
        return int(np.triu(known, 1).sum())


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as a trainer reads it."""

    row: int
    """Which ranked prompt it is."""
    texts: tuple[Ids, ...]
    """The ids of each completion with its prompt; last, where scopes are learnt, of the prompt."""
    ranked: RankedPrompt
    """Its labels."""


def from_rankings(
    lines: Iterable[tuple[str, Mapping[str, Any]]], principles: Sequence[str] | None = None
) -> list[RankedPrompt]:
    """Scored ranking lines, each with its place; without principles, labels of the whole.

    Unscored lines and lines without a labelled pair are left out: the caller counts them.
    Raises: DataError for a line whose labels cannot be read, or that lacks a principle.
    """
    found = []
    for place, line in lines:
        if line["status"] != "scored":
            continue
        tables: list[Any] = [line["p"]]
        applies: list[Any] = [1.0]
        if principles is not None:
            votes = [_votes(line, name, place) for name in principles]
            tables, applies = [one["p"] for one in votes], [one.get("applies") for one in votes]
        one = RankedPrompt(
            place=place,
            prompt=_messages(line["prompt"]),
            completions=tuple(_answer(text) for text in line["completions"]),
            p_HNN=np.stack([_table(table, len(line["completions"]), place) for table in tables]),
            applies_H=np.array([np.nan if a is None else a for a in applies], float),
        )
        if one.pairs:
            found.append(one)
    return found


def from_pairs(
    rows: Iterable[tuple[str, Sequence[Mapping[str, str]], Any, Any, float]],
) -> list[RankedPrompt]:
    """Preference rows (place, prompt, chosen, rejected, p), those of one prompt put together.

    A pair that stands in several rows gets the mean of their labels. Prompts keep the order of
    their first row.
    """
    groups: dict[str, _Group] = {}
    for place, prompt, chosen, rejected, p in rows:
        messages = _messages(prompt)
        key = digest([[m.role, m.content] for m in messages])
        group = groups.setdefault(key, _Group(place, messages))
        group.add(_messages(chosen), _messages(rejected), p)
    return [group.whole() for group in groups.values()]


class _Group:
    """The rows of one prompt."""

    def __init__(self, place: str, prompt: Messages) -> None:
        self.place, self.prompt = place, prompt
        self._index: dict[Messages, int] = {}
        self._labels: dict[tuple[int, int], list[float]] = {}

    def add(self, first: Messages, second: Messages, p: float) -> None:
        """One row: P(first better than second)."""
        i, j = (self._index.setdefault(text, len(self._index)) for text in (first, second))
        self._labels.setdefault((min(i, j), max(i, j)), []).append(p if i < j else 1 - p)

    def whole(self) -> RankedPrompt:
        """The prompt with all its completions and pairs."""
        n = len(self._index)
        p = np.full((n, n), np.nan)
        np.fill_diagonal(p, 0.5)
        for (i, j), labels in self._labels.items():
            p[i, j] = sum(labels) / len(labels)
            p[j, i] = 1 - p[i, j]
        return RankedPrompt(self.place, self.prompt, tuple(self._index), p[None], np.ones(1))


def relabel(p_HNN: Floats, labels: Labels, clamp: float = 0.6) -> Floats:
    """Labels as they are; as certainty, ties left out; or held within [1 - clamp, clamp].

    Source of the clamp: Bai et al. 2022, arXiv:2212.08073, section 4.3, with 0.6.
    """
    if labels == "soft":
        return p_HNN
    if labels == "clamped":
        return np.clip(p_HNN, 1 - clamp, clamp)
    sure = np.where(p_HNN > 0.5, 1.0, np.where(p_HNN < 0.5, 0.0, np.nan))
    return np.where(np.isnan(p_HNN), np.nan, sure)


def keep_completions(one: RankedPrompt, kept: Sequence[int]) -> RankedPrompt:
    """The prompt with only some of its completions."""
    rows = np.array(kept, int)
    return RankedPrompt(
        one.place,
        one.prompt,
        tuple(one.completions[i] for i in kept),
        one.p_HNN[:, rows[:, None], rows[None, :]],
        one.applies_H,
    )


def _votes(line: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    votes = line["principles"].get(name)
    if not isinstance(votes, Mapping) or "p" not in votes:
        had = ", ".join(line["principles"]) or "none"
        raise DataError(
            f"{place}: no labels of principle {name!r} (the line has {had}); name the constitution "
            "that the rankings were made under"
        )
    return votes


def _table(table: Any, n: int, place: str) -> Floats:
    try:
        p = np.array(table, float)  # null becomes NaN
    except (TypeError, ValueError):
        p = np.zeros((0, 0))
    if p.shape != (n, n):
        raise DataError(f"{place}: `p` is no table of {n} by {n} numbers; rank this prompt again")
    outside = ~np.isnan(p) & ((p < 0) | (p > 1))
    if outside.any():
        raise DataError(f"{place}: p is {p[outside][0]}; use probabilities from 0 to 1")
    return p


def _messages(given: Any) -> Messages:
    return tuple(
        Message.model_construct(role=turn["role"], content=turn["content"]) for turn in given
    )


def _answer(text: str) -> Messages:
    return (Message.model_construct(role="assistant", content=text),)
