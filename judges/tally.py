"""Bulk lookup of stored votes: from ballots to one array cell for each principle and pair."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from judges.aggregate import Bools, Floats, rule_logit, sigmoid
from judges.canonical import text_digest
from judges.constitutions.constitution import Constitution
from judges.records import Record
from judges.store.vote_store import VoteStore

Integers = npt.NDArray[np.int64]
EMPTY = text_digest("")
"""The digest of a completion with no text: it is never judged and never ranked."""
NOTHING = np.zeros((1, 1, 1), np.int64)
"""The place of a completion in votes that show none."""


class Settings(Record):
    """Digests of the settings whose votes make a ranking; several judges are a panel."""

    pair: tuple[str, ...]
    """How pairs were put to each judge."""
    applies: tuple[str, ...]
    """How scopes were put to each judge."""
    rule: str
    """The version of the rules checked by code."""


class Ballot(Record):
    """What one ranking is made of: which prompt, which completions, asked how."""

    id: str
    """The item's id."""
    conversation: str
    """Digest of the conversation."""
    completions: tuple[str, ...]
    """Digest of each completion, in the item's order."""
    settings: Settings
    """Whose votes count."""


@dataclass(frozen=True)
class Tally:
    """The votes on ballots of equally many completions."""

    logit_RPNN: Floats
    """Mean over orders, samples and judges; NaN where a vote is missing."""
    gap_RP: Floats
    """Mean over pairs of the log-odds a completion gains by being shown first; NaN: no votes."""
    applies_RP: Floats
    """P(applies); 1 for a principle without a scope; NaN where that vote is missing."""


def tally_votes(
    ballots: Sequence[Ballot], settings: Settings, constitution: Constitution, store: VoteStore
) -> Tally:
    """Every vote the ballots need, looked up all at once.

    Shapes: R ballots, P principles of the constitution, N completions (see Tally).
    Cost: no model call; one pass over the stored votes of these conversations.
    """
    table = _VoteTable(ballots, settings, constitution, store)
    r, p, n = len(ballots), len(constitution.principles), len(ballots[0].completions)
    logit = np.full((r, p, n, n), np.nan)
    gap, applies = np.full((r, p), np.nan), np.ones((r, p))
    same_RNN = _same_text(ballots)
    for k, principle in enumerate(constitution.principles):
        if principle.applies_when is not None:
            scope = table.on_prompts(settings.applies, principle.question_digest("applies"))
            applies[:, k] = sigmoid(scope)
        if principle.rule is not None:
            met_RN = table.on_completions(settings.rule, principle.question_digest("rule"))
            logit[:, k] = rule_logit(met_RN)
        else:
            shown_RNN = table.on_pairs(settings.pair, principle.question_digest("pair"))
            logit[:, k], gap[:, k] = _both_orders(shown_RNN, same_RNN)
    empty_RN = np.array([[digest == EMPTY for digest in b.completions] for b in ballots])
    pair_RNN = empty_RN[:, :, None] | empty_RN[:, None, :]
    logit[np.broadcast_to(pair_RNN[:, None], logit.shape)] = np.nan
    return Tally(logit, gap, applies)


def _same_text(ballots: Sequence[Ballot]) -> Bools:
    """Which completions equal each other, told by digest: the store may know neither. (R, N, N)"""
    text_RN = np.array([ballot.completions for ballot in ballots])
    return np.asarray(text_RN[:, :, None] == text_RN[:, None, :])


def _both_orders(shown_RNN: Floats, same_RNN: Bools) -> tuple[Floats, Floats]:
    """Mean logit over the two orders, and what being shown first gained on average."""
    swapped = np.swapaxes(shown_RNN, 1, 2)
    upper = np.triu(np.ones(shown_RNN.shape[1:], bool), 1)
    gaps = np.where(upper, (shown_RNN + swapped) / 2, np.nan)
    count = (~np.isnan(gaps)).sum((1, 2))
    none = np.full(len(gaps), np.nan)
    gap = np.divide(np.nansum(gaps, (1, 2)), count, out=none, where=count > 0)
    return np.where(same_RNN, 0.0, (shown_RNN - swapped) / 2), gap


class _VoteTable:
    """Stored votes sorted by one packed key: setting, conversation, principle, first, second."""

    def __init__(
        self,
        ballots: Sequence[Ballot],
        settings: Settings,
        constitution: Constitution,
        store: VoteStore,
    ) -> None:
        asked = list(dict.fromkeys((*settings.pair, *settings.applies, settings.rule)))
        conversations = list(dict.fromkeys(ballot.conversation for ballot in ballots))
        row_of = {conversation: row for row, conversation in enumerate(conversations)}
        self._row_R = np.array([row_of[ballot.conversation] for ballot in ballots])
        self._rows = len(conversations)
        self._setting = {digest: index for index, digest in enumerate(asked)}
        questions = _questions(constitution)
        self._question = {digest: index for index, digest in enumerate(questions)}
        completion_RN = store.ids(
            [digest for ballot in ballots for digest in ballot.completions]
        ).reshape(len(ballots), -1)
        self._known = np.unique(np.append(completion_RN, 0))
        self._place_RN = np.searchsorted(self._known, completion_RN)
        self._load(store, asked, conversations, questions)

    def _load(
        self,
        store: VoteStore,
        asked: Sequence[str],
        conversations: Sequence[str],
        questions: Sequence[str],
    ) -> None:
        votes = store.columns(asked, conversations)
        question_ids = store.ids(questions)
        question_ids = np.where(question_ids == 0, -1, question_ids)
        by_id = np.argsort(question_ids)
        question = by_id[_nearest(question_ids[by_id], votes.principle)]
        first = _nearest(self._known, votes.first)
        second = _nearest(self._known, votes.second)
        wanted = (
            votes.scored
            & (question_ids[question] == votes.principle)
            & (self._known[first] == votes.first)
            & (self._known[second] == votes.second)
        )
        key = self._pack(votes.setting, votes.conversation, question, first, second)
        self._key, self._value = _mean_by_key(key[wanted], votes.value[wanted])

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

    def on_pairs(self, settings: Sequence[str], question: str) -> Floats:
        """Mean log-odds of the row over the column when shown in this order. (R, N, N)"""
        place = self._place_RN
        return self._mean(
            settings, question, place[:, :, None], place[:, None, :], both_orders=True
        )

    def on_completions(self, setting: str, question: str) -> Floats:
        """The value of each completion. (R, N)"""
        return self._mean((setting,), question, self._place_RN[:, :, None], NOTHING)[:, :, 0]

    def on_prompts(self, settings: Sequence[str], question: str) -> Floats:
        """Mean log-odds that the scope covers each prompt. (R,)"""
        return self._mean(settings, question, NOTHING, NOTHING)[:, 0, 0]

    def _mean(
        self,
        settings: Sequence[str],
        question: str,
        first: Integers,
        second: Integers,
        both_orders: bool = False,
    ) -> Floats:
        """Mean over the judges that voted; NaN where none did."""
        row = self._row_R[:, None, None]
        found = [
            self._find(self._pack(self._setting[s], row, self._question[question], first, second))
            for s in settings
        ]
        if both_orders:
            # A judge that voted in one order only would bring its taste for a place into the mean.
            found = [np.where(np.isnan(np.swapaxes(one, 1, 2)), np.nan, one) for one in found]
        if len(found) == 1:
            return found[0]
        stacked = np.stack(found)
        count = (~np.isnan(stacked)).sum(0)
        none = np.full(count.shape, np.nan)
        return np.asarray(np.divide(np.nansum(stacked, 0), count, out=none, where=count > 0))

    def _find(self, key: Integers) -> Floats:
        if not len(self._key):
            return np.full(key.shape, np.nan)
        place = _nearest(self._key, key)
        return np.where(self._key[place] == key, self._value[place], np.nan)


def _questions(constitution: Constitution) -> list[str]:
    """The digest of every question the constitution puts, once each."""
    return list(
        dict.fromkeys(
            principle.question_digest(kind)
            for principle in constitution.principles
            for kind in principle.question_kinds
        )
    )


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
