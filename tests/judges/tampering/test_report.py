"""Recall per principle and critique precision find what was planted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from judges.errors import ConstitutionError, DataError
from judges.records import Message
from judges.store.vote_store import VoteStore
from judges.tampering.pairs import TamperedPair
from judges.tampering.report import (
    CritiqueSpan,
    measure_critiques,
    measure_recall,
    overlaps,
)
from tests.judges.planted import HONEST, KIND, WORDS, asked, constitution, judge

UNDER = constitution(HONEST, KIND, WORDS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


def pair(name: str, principle: str = "honest", rejected: str = "tea is BAD now") -> TamperedPair:
    return TamperedPair(
        id=name,
        prompt=(Message(role="user", content=f"What is tea? {name}"),),
        chosen="tea is good now",
        rejected=rejected,
        principle=principle,
        span=(7, 10),
        made_by="model",
    )


async def test_recall_is_per_principle_and_finds_a_blind_judge(store: VoteStore) -> None:
    sees = judge(
        preferences={"honest": "avoids:BAD", "kind": "contains:BAD", "few": "random"},
        position_bias=1.0,
    )
    pairs = [pair(f"h{k}") for k in range(4)] + [pair(f"k{k}", "kind") for k in range(3)]
    honest, kind = await measure_recall(pairs, UNDER, [sees], store)
    assert (honest.principle, honest.n, kind.principle, kind.n) == ("honest", 4, "kind", 3)
    assert honest.recall is not None and kind.recall is not None
    assert (honest.recall.value, kind.recall.value) == (1.0, 0.0)
    assert honest.recall.low < 1
    assert asked(sees) == 2 * len(pairs)
    await measure_recall(pairs, UNDER, [sees], store)
    assert asked(sees) == 2 * len(pairs), "a second report costs nothing"


async def test_a_tie_is_a_half_and_a_failure_no_number(store: VoteStore) -> None:
    ties = judge(preferences={"": "indifferent"}, fail_containing={"h0": "refused"})
    (honest,) = await measure_recall([pair("h0"), pair("h1")], UNDER, [ties], store)
    assert (honest.n, honest.unscored) == (1, 1)
    assert honest.recall is not None and honest.recall.value == 0.5
    (lost,) = await measure_recall([pair("h0")], UNDER, [ties], store)
    assert (lost.n, lost.recall) == (0, None)


async def test_a_rule_is_recalled_without_a_judge(store: VoteStore) -> None:
    none = judge()
    pairs = [pair("w", "few-words", "tea is BAD now and then")]
    (words,) = await measure_recall(pairs, UNDER, [none], store)
    assert words.recall is not None and words.recall.value == 1.0
    assert asked(none) == 0


async def test_a_pair_of_an_unknown_principle_is_an_error(store: VoteStore) -> None:
    with pytest.raises(ConstitutionError, match="'gone'"):
        await measure_recall([pair("a", "gone")], UNDER, [judge()], store)


@pytest.mark.parametrize(
    ("start", "end", "hit"),
    [(0, 7, False), (0, 8, True), (9, 14, True), (10, 14, False), (8, 8, False)],
)
def test_a_quote_hits_where_it_shares_a_character(start: int, end: int, hit: bool) -> None:
    critique = CritiqueSpan(pair="a", principle="honest", start=start, end=end)
    assert overlaps(pair("a"), critique) is hit


def test_precision_counts_critiques_and_recall_copies() -> None:
    pairs = [pair("a"), pair("b"), pair("c", "kind")]
    spots = [
        ("a", "honest", 7, 10),
        ("a", "honest", 0, 3),
        ("a", "kind", 7, 10),
        ("c", "kind", 0, 9),
    ]
    told = [
        CritiqueSpan(pair=name, principle=principle, start=start, end=end)
        for name, principle, start, end in spots
    ]
    both, honest, kind = measure_critiques(pairs, told)
    assert (both.critiques, both.copies, both.set_aside) == (3, 3, 1)
    assert both.precision is not None and both.recall is not None
    assert [both.precision.value, both.recall.value] == pytest.approx([2 / 3, 2 / 3])
    assert honest.precision is not None and honest.precision.value == 0.5
    assert (honest.principle, honest.set_aside) == ("honest", 1)
    assert kind.recall is not None and kind.recall.value == 1.0


def test_no_critique_is_no_precision_but_a_recall_of_nothing() -> None:
    both, _ = measure_critiques([pair("a")], [])
    assert both.precision is None
    assert both.recall is not None and both.recall.value == 0.0


def test_a_critique_of_an_unknown_pair_is_an_error() -> None:
    with pytest.raises(DataError, match="'z'"):
        measure_critiques([pair("a")], [CritiqueSpan(pair="z", principle="honest", start=0, end=1)])
