"""Bulk lookup of stored votes: from ballots to one array cell for each principle and pair."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from judges.aggregate import Bools, Floats, rule_logit, sigmoid
from judges.canonical import text_digest
from judges.combination import mean_of_known, panel_of
from judges.constitutions.constitution import Constitution, Principle
from judges.listwise import list_logits, list_questions
from judges.records import Kind, Record
from judges.store.vote_store import VoteStore
from judges.vote_table import VoteTable, Wanted

EMPTY = text_digest("")
"""The digest of a completion with no text: it is never judged and never ranked."""

RATING_LOGIT = 1.0
"""Log-odds that one point of rating, of ten, is worth."""


class FamilySettings(Record):
    """How a family of principles is put to each judge, where judges have an adapter for it."""

    family: str
    """The `family` of the principles."""
    pair: tuple[str, ...]
    """In place of `Settings.pair`, in the same order."""


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
    families: tuple[FamilySettings, ...] = ()
    """Families whose principles are put to judges otherwise, each once."""

    def of(self, principle: Principle) -> tuple[str, ...]:
        """How one principle's text is put to each judge."""
        named = (one.pair for one in self.families if one.family == principle.family)
        return next(named, self.pair)

    def under(self, constitution: Constitution) -> tuple[str, ...]:
        """Every way in which a constitution's texts are put to judges: whose card counts."""
        texts = [self.of(p) for p in constitution.principles if p.rule is None]
        return tuple(dict.fromkeys(one for some in texts or [self.pair] for one in some))


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
    table = VoteTable(wanted_votes(ballots, settings, constitution), store)
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


def wanted_votes(
    ballots: Sequence[Ballot], settings: Settings, constitution: Constitution
) -> Wanted:
    """The votes that a constitution needs on ballots of equally many completions."""
    return Wanted(
        conversations=[ballot.conversation for ballot in ballots],
        completions=[ballot.completions for ballot in ballots],
        settings=list(
            dict.fromkeys((*settings.under(constitution), *settings.applies, settings.rule))
        ),
        questions=list(
            dict.fromkeys(
                principle.question_digest(settings.kind if kind == "pair" else kind)
                for principle in constitution.principles
                for kind in principle.question_kinds
            )
        ),
        samples=settings.samples,
        log_odds=settings.kind != "point",
    )


def _by_judge(
    table: VoteTable,
    ballots: Sequence[Ballot],
    settings: Settings,
    principle: Principle,
    store: VoteStore,
) -> tuple[Floats, Floats]:
    """Each judge's raw logits under a principle, both orders averaged. (J, R, N, N), (J, R)"""
    question = principle.question_digest(settings.kind)
    size = (len(ballots), len(ballots[0].completions))
    logits, gaps = [], []
    for setting in settings.of(principle):
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
