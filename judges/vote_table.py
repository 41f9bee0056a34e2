"""Stored votes as one sorted table of integers, looked up for thousands of ballots at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from judges.aggregate import Floats, sigmoid
from judges.combination import mean_of_known
from judges.store.columns import VoteColumns
from judges.store.vote_store import VoteStore

Integers = npt.NDArray[np.int64]
NOTHING = np.zeros((1, 1, 1), np.int64)
"""The place of a completion in votes that show none."""


@dataclass(frozen=True)
class Wanted:
    """Which votes a table holds: digests, and what is done with several samples of a question."""

    conversations: Sequence[str]
    """Of each ballot."""
    completions: Sequence[Sequence[str]]
    """Of each ballot, equally many."""
    settings: Sequence[str]
    """Each once."""
    questions: Sequence[str]
    """Texts, scopes and rules, each once."""
    samples: int = 1
    """Later samples of a question are left aside."""
    log_odds: bool = True
    """Whether values are log-odds, whose probabilities are averaged; else ratings."""


class VoteTable:
    """Stored votes sorted by one packed key: setting, conversation, principle, first, second."""

    def __init__(self, wanted: Wanted, store: VoteStore, *, counted: bool = False) -> None:
        """The votes wanted; `counted` adds how many samples are stored, scored or not."""
        conversations = list(dict.fromkeys(wanted.conversations))
        row_of = {conversation: row for row, conversation in enumerate(conversations)}
        self._row_R = np.array([row_of[conversation] for conversation in wanted.conversations])
        self._rows = len(conversations)
        self._setting = {digest: index for index, digest in enumerate(wanted.settings)}
        self._question = {digest: index for index, digest in enumerate(wanted.questions)}
        completion_RN = store.ids(
            [digest for completions in wanted.completions for digest in completions]
        ).reshape(len(wanted.completions), -1)
        self._known = np.unique(np.append(completion_RN, 0))
        self._place_RN = np.searchsorted(self._known, completion_RN)
        votes = store.columns(wanted.settings, conversations, wanted.questions)
        self._load(wanted, votes, store.ids(wanted.questions), counted)

    def _load(
        self, wanted: Wanted, votes: VoteColumns, question_ids: Integers, counted: bool
    ) -> None:
        question_ids = np.where(question_ids == 0, -1, question_ids)
        by_id = np.argsort(question_ids)
        question = by_id[_nearest(question_ids[by_id], votes.principle)]
        first = _nearest(self._known, votes.first)
        second = _nearest(self._known, votes.second)
        held = (
            (votes.sample < wanted.samples)
            & (question_ids[question] == votes.principle)
            & (self._known[first] == votes.first)
            & (self._known[second] == votes.second)
        )
        key = self._pack(votes.setting, votes.conversation, question, first, second)
        told = held & votes.scored
        if wanted.samples > 1 and wanted.log_odds:
            # Of several samples the probabilities are averaged, not the logits.
            self._key, p = _mean_by_key(key[told], sigmoid(votes.value[told]))
            self._value = np.log(p) - np.log1p(-p)
        else:
            self._key, self._value = _mean_by_key(key[told], votes.value[told])
        if counted:
            self._stored, self._count = np.unique(key[held], return_counts=True)

    def _pack(
        self,
        setting: Integers | int,
        row: Integers,
        question: Integers | int,
        first: Integers,
        second: Integers,
    ) -> Integers:
        width = len(self._known)
        key = (setting * self._rows + row) * len(self._question) + question
        return np.asarray((key * width + first) * width + second)

    def on_pairs(self, setting: str, question: str) -> Floats:
        """Log-odds of the row over the column when shown in this order. (R, N, N)"""
        return self._find(self._keys_of_pairs(setting, question))

    def on_completions(self, setting: str, question: str) -> Floats:
        """The value of each completion. (R, N)"""
        return self._find(self._keys_of_completions(setting, question))

    def on_prompts(self, settings: Sequence[str], question: str) -> Floats:
        """Mean log-odds over the judges that the scope covers each prompt. (R,)"""
        found = [self._find(self._keys_of_prompts(setting, question)) for setting in settings]
        return mean_of_known(np.stack(found))

    def stored_on_pairs(self, setting: str, question: str) -> Integers:
        """How many samples are stored of each pair, shown in this order. (R, N, N)"""
        return self._stored_at(self._keys_of_pairs(setting, question))

    def stored_on_completions(self, setting: str, question: str) -> Integers:
        """How many samples are stored of each completion. (R, N)"""
        return self._stored_at(self._keys_of_completions(setting, question))

    def stored_on_prompts(self, setting: str, question: str) -> Integers:
        """1 where a judge's vote on the prompt is stored, else 0. (R,)"""
        return self._stored_at(self._keys_of_prompts(setting, question))

    def _keys_of_pairs(self, setting: str, question: str) -> Integers:
        place = self._place_RN
        return self._keys(setting, question, place[:, :, None], place[:, None, :])

    def _keys_of_completions(self, setting: str, question: str) -> Integers:
        return self._keys(setting, question, self._place_RN[:, :, None], NOTHING)[:, :, 0]

    def _keys_of_prompts(self, setting: str, question: str) -> Integers:
        return self._keys(setting, question, NOTHING, NOTHING)[:, 0, 0]

    def _keys(self, setting: str, question: str, first: Integers, second: Integers) -> Integers:
        row = self._row_R[:, None, None]
        return self._pack(self._setting[setting], row, self._question[question], first, second)

    def _find(self, key: Integers) -> Floats:
        if not len(self._key):
            return np.full(key.shape, np.nan)
        place = _nearest(self._key, key)
        return np.where(self._key[place] == key, self._value[place], np.nan)

    def _stored_at(self, key: Integers) -> Integers:
        if not len(self._stored):
            return np.zeros(key.shape, np.int64)
        place = _nearest(self._stored, key)
        return np.where(self._stored[place] == key, self._count[place], 0)


def _nearest(ordered: Integers, wanted: Integers) -> Integers:
    """Where each wanted number stands in an ordered array, or would: to be compared."""
    return np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)


def _mean_by_key(key: Integers, value: Floats) -> tuple[Integers, Floats]:
    """Distinct keys in order, each with the mean of its values: several samples are one cell."""
    if len(key) and not (key[1:] > key[:-1]).all():
        order = np.argsort(key, kind="stable")
        key, value = key[order], value[order]
        starts = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        counts = np.diff(np.append(starts, len(key)))
        key, value = key[starts], np.add.reduceat(value, starts) / counts
    return key, value
