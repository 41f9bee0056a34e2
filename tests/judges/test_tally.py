"""Stored votes land in the right cell, whatever else the store holds."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judges.ballots import ballot_of
from judges.canonical import text_digest
from judges.constitutions.constitution import Constitution
from judges.judge import Judge, settings_of
from judges.matter import Matter
from judges.records import Question, Vote
from judges.store.vote_store import VoteStore
from judges.tally import Ballot, Tally, tally_votes
from tests.judges.planted import HONEST, SHORTER, WORDS, constitution, item, judge

SCOPED = {"id": "scoped", "text": "Be warm.", "applies_when": "About tea."}
UNDER = constitution(SHORTER, HONEST, WORDS, SCOPED)
OF = item("a", "one", "two", "three")
NAN = float("nan")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


class Casting:
    """Puts chosen values into the store, by principle and by the texts shown."""

    def __init__(self, store: VoteStore, *judges: Judge) -> None:
        self.store, self.judges = store, judges
        self.matter = Matter.of([OF], UNDER, judges)

    @property
    def ballot(self) -> Ballot:
        return ballot_of(OF, settings_of(self.judges))

    def vote(
        self,
        principle: str,
        kind: Any,
        value: float | None,
        *shown: str,
        by: int = 0,
        sample: int = 0,
    ) -> None:
        settings = settings_of(self.judges)
        setting = {
            "pair": settings.pair[by],
            "applies": settings.applies[by],
            "rule": settings.rule,
        }[kind]
        asked = next(p for p in UNDER.principles if p.id == principle)
        question = Question(
            setting=setting,
            principle=asked.question_digest(kind),
            conversation=text_digest(OF.conversation_text),
            completions=tuple(text_digest(text) for text in shown),
            sample=sample,
        )
        vote = Vote(
            question=question,
            status="unscored" if value is None else "scored",
            reason="refused" if value is None else None,
            value=value,
        )
        self.store.add([vote], self.matter.texts([question]))

    def tally(self, under: Constitution = UNDER, **changes: Any) -> Tally:
        ballot = self.ballot
        settings = ballot.settings.model_copy(update=changes)
        return tally_votes([ballot], settings, under, self.store)


def test_an_empty_store_gives_nothing_but_the_diagonal(store: VoteStore) -> None:
    tally = Casting(store, judge()).tally()
    off = ~np.eye(3, dtype=bool)
    assert np.isnan(tally.logit_RPNN[0][:, off]).all()
    assert np.isnan(tally.gap_RP).all()
    assert tally.applies_RP[0].tolist()[:3] == [1, 1, 1]
    assert np.isnan(tally.applies_RP[0, 3])


def test_both_orders_make_one_logit_and_one_gap(store: VoteStore) -> None:
    casting = Casting(store, judge())
    casting.vote("shorter", "pair", 3.0, "one", "two")
    casting.vote("shorter", "pair", -1.0, "two", "one")
    tally = casting.tally()
    assert tally.logit_RPNN[0, 0, 0, 1] == 2.0
    assert tally.logit_RPNN[0, 0, 1, 0] == -2.0
    assert tally.gap_RP[0, 0] == 1.0
    assert np.isnan(tally.logit_RPNN[0, 0, 0, 2])
    assert np.isnan(tally.logit_RPNN[0, 1]).sum() == 6


def test_one_order_alone_is_a_missing_vote(store: VoteStore) -> None:
    casting = Casting(store, judge())
    casting.vote("shorter", "pair", 3.0, "one", "two")
    casting.vote("shorter", "pair", None, "two", "one")
    tally = casting.tally()
    assert np.isnan(tally.logit_RPNN[0, 0, 0, 1])
    assert np.isnan(tally.gap_RP[0, 0])


def test_samples_are_averaged_in_probability(store: VoteStore) -> None:
    casting = Casting(store, judge())
    for sample, p in enumerate((0.6, 0.8, 0.94, 0.01)):  # the fourth is beyond what is asked for
        casting.vote("shorter", "pair", math.log(p / (1 - p)), "one", "two", sample=sample)
    mean = math.log(0.78 / 0.22)
    for sample in range(3):
        casting.vote("shorter", "pair", -mean, "two", "one", sample=sample)
    tally = casting.tally(samples=3)
    assert tally.logit_RPNN[0, 0, 0, 1] == pytest.approx(mean)
    assert casting.tally(samples=1).logit_RPNN[0, 0, 0, 1] != pytest.approx(mean)


def test_a_panel_counts_each_judge_once_however_often_it_was_asked(store: VoteStore) -> None:
    casting = Casting(store, judge(), judge(seed=1))
    for sample in range(3):
        casting.vote("shorter", "pair", 1.0, "one", "two", sample=sample)
    casting.vote("shorter", "pair", -1.0, "two", "one")
    casting.vote("shorter", "pair", 5.0, "one", "two", by=1)
    casting.vote("shorter", "pair", -5.0, "two", "one", by=1)
    assert casting.tally().logit_RPNN[0, 0, 0, 1] == 3.0


def test_of_a_panel_a_judge_that_voted_in_one_order_does_not_count(store: VoteStore) -> None:
    casting = Casting(store, judge(), judge(seed=1, position_bias=50))
    casting.vote("shorter", "pair", 1.0, "one", "two")
    casting.vote("shorter", "pair", -1.0, "two", "one")
    casting.vote("shorter", "pair", 50.0, "one", "two", by=1)
    casting.vote("shorter", "pair", None, "two", "one", by=1)
    tally = casting.tally()
    assert tally.logit_RPNN[0, 0, 0, 1] == 1.0
    assert tally.gap_RP[0, 0] == 0.0


def test_rules_and_scopes_land_in_their_own_places(store: VoteStore) -> None:
    casting = Casting(store, judge())
    casting.vote("few-words", "rule", 1.0, "one")
    casting.vote("few-words", "rule", 0.5, "three")
    casting.vote("scoped", "applies", 0.0)
    tally = casting.tally()
    assert tally.logit_RPNN[0, 2, 0, 2] == 2.0
    assert np.isnan(tally.logit_RPNN[0, 2, 0, 1])
    assert tally.applies_RP[0, 3] == 0.5


def test_principles_with_the_same_wording_share_their_votes(store: VoteStore) -> None:
    casting = Casting(store, judge())
    casting.vote("shorter", "pair", 2.0, "one", "two")
    casting.vote("shorter", "pair", -2.0, "two", "one")
    twins = constitution({**HONEST, "id": "first"}, SHORTER, {**SHORTER, "id": "twin"})
    logit = casting.tally(twins).logit_RPNN[0, :, 0, 1]
    np.testing.assert_array_equal(logit, [NAN, 2.0, 2.0])


def test_completions_the_store_never_saw_are_not_equal_to_each_other(store: VoteStore) -> None:
    casting = Casting(store, judge())
    casting.vote("shorter", "pair", 2.0, "one", "two")  # "three" stays unknown
    settings = casting.ballot.settings
    unknown = casting.ballot.model_copy(
        update={"completions": tuple(map(text_digest, ("four", "five", "four")))}
    )
    logit = tally_votes([unknown], settings, UNDER, store).logit_RPNN[0, 0]
    np.testing.assert_array_equal(logit, [[0, NAN, 0], [NAN, 0, NAN], [0, NAN, 0]])
