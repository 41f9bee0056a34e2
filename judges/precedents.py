"""Precedents: labelled cases shown before the question, so that a judge follows a group's values.

All of them in order, or the k whose prompts are most like the one judged. Sides alternate, so that
precedents teach no place. Which ones are shown follows from the pool, k and the prompt alone, so
a vote's key names the pool and k.
Source: in-context adaptation to a group's preferences, Sun et al. 2026, arXiv:2605.30323.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from judges.canonical import digest
from judges.errors import DataError
from judges.items import parse_item
from judges.jsonl import read_jsonl
from judges.layout import PAIR_OPTIONS, Case, precedent_turns
from judges.records import Message, Record


class Precedent(Record):
    """A labelled pair, as it is shown."""

    conversation: tuple[Message, ...]
    """The prompt both completions answer."""
    better: str
    """The completion that was preferred."""
    worse: str
    """The other."""
    principle: str | None = None
    """Id of the only principle it is shown under; without one, under all."""


class Precedents:
    """A pool of labelled pairs, and how many of them are shown."""

    def __init__(self, pool: Sequence[Precedent], k: int | None = None) -> None:
        """Without k all are shown, in order; with it, the k nearest, the nearest last."""
        self.pool, self.k = tuple(pool), k

    @cached_property
    def digest(self) -> str:
        """What names these precedents in vote keys."""
        return digest({"k": self.k, "pool": [one.model_dump(mode="json") for one in self.pool]})

    def turns(self, case: Case, principle: str) -> tuple[Message, ...]:
        """The turns to show before a pair, under a principle's id; nothing before other kinds."""
        if case.kind != "pair":
            return ()
        fit = [i for i, one in enumerate(self.pool) if one.principle in (None, principle)]
        if self.k is not None:
            fit = self._nearest(case, fit)
        shown: list[Message] = []
        for place, index in enumerate(fit):
            shown += _turns(self.pool[index], case.words, first=place % 2)
        return tuple(shown)

    def _nearest(self, case: Case, among: Sequence[int]) -> list[int]:
        """The k most alike by words and word parts, the nearest last; equal ones in pool order."""
        vectorizer, pool = self._vectors
        likeness = (pool @ vectorizer.transform([_text(case.conversation)]).T).toarray()[:, 0]
        best = sorted(among, key=lambda i: (-round(float(likeness[i]), 9), i))[: self.k]
        return best[::-1]

    @cached_property
    def _vectors(self) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
        return vectorizer, vectorizer.fit_transform([_text(one.conversation) for one in self.pool])


def _text(conversation: Sequence[Message]) -> str:
    return "\n".join(message.content for message in conversation)


def _turns(precedent: Precedent, words: str, first: int) -> list[Message]:
    shown = (
        (precedent.better, precedent.worse) if first == 0 else (precedent.worse, precedent.better)
    )
    case = Case(kind="pair", conversation=precedent.conversation, completions=shown, words=words)
    return list(precedent_turns(case, PAIR_OPTIONS[first]))


def read_precedents(path: Path, k: int | None = None) -> Precedents:
    """The precedents of a JSONL file: `prompt`, `chosen`, `rejected`, and `principle` if one.

    Raises: DataError naming file and line.
    """
    pool = []
    for number, row in read_jsonl(path):
        if not {"chosen", "rejected"} <= row.keys():
            raise DataError(
                f"{path}:{number}: lacks `chosen` or `rejected`; a precedent is a row with "
                "`prompt`, `chosen` and `rejected`"
            )
        item = parse_item(row, f"{path}:{number}")
        pool.append(
            Precedent(
                conversation=item.prompt,
                better=item.completions[0].text,
                worse=item.completions[1].text,
                principle=item.metadata.get("principle"),
            )
        )
    if not pool:
        raise DataError(f"{path}: holds no precedent; add rows, or drop the setting")
    return Precedents(pool, k)
