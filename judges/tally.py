"""Bulk lookup of stored votes: from ballots to one array cell for each principle and pair."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from judges.aggregate import Bools, Floats, rule_logit, sigmoid
from judges.canonical import text_digest
from judges.combination import mean_of_known, panel_of
from judges.constitutions.constitution import Constitution, Principle
from judges.listwise import list_logits, list_questions
from judges.records import Kind, Record
from judges.store.vote_store import VoteStore

Integers = npt.NDArray[np.int64]
EMPTY = text_digest("")
"""The digest of a completion with no text: it is never judged and never ranked."""
NOTHING = np.zeros((1, 1, 1), np.int64)
"""The place of a completion in votes that show none."""


RATING_LOGIT = 1.0
"""Log-odds that one point of rating, of ten, is worth."""


class Settings(Record):
    """Digests of the settings whose votes make a ranking; several judges are a panel."""

    kind: Kind = "pair"
    """What was asked of each judge: pairs, a whole group, or each completion alone."""
    pair: tuple[str, ...]
    """How that was put to each judge."""
    applies: tuple[str, ...]
    """How scopes were put to each judge."""
    rule: str
    """The version of the rules checked by code."""
    samples: int = 1
    """Votes a question that count; later ones are left aside."""
    adjustments: tuple[str | None, ...] = ()
    """For each judge, the digest of what is done to its logits; none: nothing is."""
    panel: str = "mean"
    """How judges are combined: `mean` of logits, `majority`, or the digest of fitted weights."""


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
    panel = panel_of(settings.panel, settings.adjustments, len(settings.pair), store)
    for k, principle in enumerate(constitution.principles):
        if principle.applies_when is not None:
            scope = table.on_prompts(settings.applies, principle.question_digest("applies"))
            applies[:, k] = sigmoid(scope)
        if principle.rule is not None:
            met_RN = table.on_completions(settings.rule, principle.question_digest("rule"))
            logit[:, k] = rule_logit(met_RN)
            continue
        logit_JRNN, gap_JR = _by_judge(table, ballots, settings, principle, store)
        logit[:, k] = np.where(same_RNN, 0.0, panel.combine(logit_JRNN))
        gap[:, k] = mean_of_known(gap_JR)
    empty_RN = np.array([[digest == EMPTY for digest in b.completions] for b in ballots])
    pair_RNN = empty_RN[:, :, None] | empty_RN[:, None, :]
    logit[np.broadcast_to(pair_RNN[:, None], logit.shape)] = np.nan
    return Tally(logit, gap, applies)


def _by_judge(
    table: "_VoteTable",
    ballots: Sequence[Ballot],
    settings: Settings,
    principle: Principle,
    store: VoteStore,
) -> tuple[Floats, Floats]:
    """Each judge's raw logits under a principle, both orders averaged. (J, R, N, N), (J, R)"""
    question = principle.question_digest(settings.kind)
    size = (len(ballots), len(ballots[0].completions))
    logits, gaps = [], []
    for setting in settings.pair:
        gap = np.full(size[0], np.nan)
        if settings.kind == "pair":
            logit, gap = _both_orders(table.on_pairs(setting, question))
        elif settings.kind == "list":
            logit = _of_groups(ballots, setting, question, settings.samples, store)
        else:
            alone_RN = table.on_completions(setting, question)
            scale = RATING_LOGIT if settings.kind == "point" else 1.0
            logit = scale * (alone_RN[:, :, None] - alone_RN[:, None, :])
        logits.append(logit)
        gaps.append(gap)
    return np.stack(logits), np.stack(gaps)


def _of_groups(
    ballots: Sequence[Ballot], setting: str, question: str, samples: int, store: VoteStore
) -> Floats:
    """The logits that votes on whole groups give. (R, N, N)"""
    asked = [
        list_questions(setting, question, ballot.conversation, filled(ballot), samples)
        for ballot in ballots
    ]
    votes = store.get([one for some in asked for one in some])
    size = len(ballots[0].completions)
    logit = np.full((len(ballots), size, size), np.nan)
    for row, (ballot, some) in enumerate(zip(ballots, asked, strict=True)):
        logit[row] = list_logits(ballot.completions, some, votes)
    return logit


def filled(ballot: Ballot) -> list[str]:
    """The digests of the completions that have a text."""
    return [digest for digest in ballot.completions if digest != EMPTY]


def _same_text(ballots: Sequence[Ballot]) -> Bools:
    """Which completions equal each other, told by digest: the store may know neither. (R, N, N)"""
    text_RN = np.array([ballot.completions for ballot in ballots])
    return np.asarray(text_RN[:, :, None] == text_RN[:, None, :])


def _both_orders(shown_RNN: Floats) -> tuple[Floats, Floats]:
    """Mean logit over the two orders, and what being shown first gained on average.

    A vote in one order only would bring a taste for a place into the mean: such a pair is missing.
    """
    swapped = np.swapaxes(shown_RNN, 1, 2)
    upper = np.triu(np.ones(shown_RNN.shape[1:], bool), 1)
    gaps = np.where(upper, (shown_RNN + swapped) / 2, np.nan)
    return (shown_RNN - swapped) / 2, mean_of_known(gaps.reshape(len(gaps), -1).T)


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
        questions = _questions(constitution, settings.kind)
        self._question = {digest: index for index, digest in enumerate(questions)}
        completion_RN = store.ids(
            [digest for ballot in ballots for digest in ballot.completions]
        ).reshape(len(ballots), -1)
        self._known = np.unique(np.append(completion_RN, 0))
        self._place_RN = np.searchsorted(self._known, completion_RN)
        self._samples, self._log_odds = settings.samples, settings.kind != "point"
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
            & (votes.sample < self._samples)
            & (question_ids[question] == votes.principle)
            & (self._known[first] == votes.first)
            & (self._known[second] == votes.second)
        )
        key = self._pack(votes.setting, votes.conversation, question, first, second)
        of = votes.value[wanted]
        if self._samples > 1 and self._log_odds:
            # Of several samples the probabilities are averaged, not the logits.
            self._key, p = _mean_by_key(key[wanted], sigmoid(of))
            self._value = np.log(p) - np.log1p(-p)
        else:
            self._key, self._value = _mean_by_key(key[wanted], of)

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
        place = self._place_RN
        return self._at(setting, question, place[:, :, None], place[:, None, :])

    def on_completions(self, setting: str, question: str) -> Floats:
        """The value of each completion. (R, N)"""
        return self._at(setting, question, self._place_RN[:, :, None], NOTHING)[:, :, 0]

    def on_prompts(self, settings: Sequence[str], question: str) -> Floats:
        """Mean log-odds over the judges that the scope covers each prompt. (R,)"""
        found = [self._at(setting, question, NOTHING, NOTHING)[:, 0, 0] for setting in settings]
        return mean_of_known(np.stack(found))

    def _at(self, setting: str, question: str, first: Integers, second: Integers) -> Floats:
        row = self._row_R[:, None, None]
        key = self._pack(self._setting[setting], row, self._question[question], first, second)
        return self._find(key)

    def _find(self, key: Integers) -> Floats:
        if not len(self._key):
            return np.full(key.shape, np.nan)
        place = _nearest(self._key, key)
        return np.where(self._key[place] == key, self._value[place], np.nan)


def _questions(constitution: Constitution, kind: Kind) -> list[str]:
    """The digest of every question the constitution puts, once each."""
    return list(
        dict.fromkeys(
            principle.question_digest(kind if one == "pair" else one)
            for principle in constitution.principles
            for one in principle.question_kinds
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
