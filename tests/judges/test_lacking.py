"""What is counted in bulk is what asking one question at a time comes to."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judges.ballots import ballot_maker, ballot_of
from judges.constitutions.constitution import Constitution
from judges.judge import Judge, Method, settings_of
from judges.lacking import Pairs, lacking_once, lacking_votes
from judges.rank import rank
from judges.records import Item
from judges.store.vote_store import VoteStore
from judges.tally import Ballot
from tests.judges.planted import (
    FULL,
    HONEST,
    KIND,
    SHORTER,
    WORDS,
    asked,
    constitution,
    item,
    items,
    judge,
)

SCOPED = {"id": "warm", "text": "Be warm.", "applies_when": "It is about tea."}
ALL: tuple[dict[str, Any], ...] = (SHORTER, HONEST, KIND, WORDS, FULL, SCOPED)
ODD = [
    *items(3, 3),
    item("same", "x", "x", "y"),
    item("empty", "", "x", "y z"),
    item("twin", "x", "y", prompt="Twins?"),
    item("alone", "x"),
    item("nobody", "", ""),
]
ODD += [ODD[5].model_copy(update={"id": "twin-again"}), ODD[0].model_copy(update={"id": "swap"})]
ODD[-1] = ODD[-1].model_copy(update={"completions": ODD[0].completions[::-1]})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


def two() -> list[Judge]:
    """Two judges that disagree, one of which thinks that few prompts are about tea."""
    return [
        judge(noise=2.0, applies={"about tea": "contains:i1"}),
        judge(seed=5, applies={"about tea": "never"}),
    ]


def cast(
    of: Sequence[Item], under: Constitution, by: list[Judge], store: VoteStore, **way: Any
) -> int:
    """Votes that a ranking casts by asking."""

    async def run() -> list[dict[str, Any]]:
        return [line async for part in rank(of, under, by, store, **way) for line in part]

    asyncio.run(run())
    return asked(*by)


def counted(
    of: Sequence[Item], under: Constitution, by: list[Judge], store: VoteStore, method: Method
) -> tuple[list[Ballot], Any]:
    make = ballot_maker(by, under, method)
    ballots = [make(one) for one in of]
    return ballots, lacking_votes(ballots, [None] * len(of), under, store)


@pytest.mark.parametrize("kind", ["pair", "yes_no", "point", "list"])
@pytest.mark.parametrize("samples", [1, 2])
def test_a_new_principle_lacks_what_is_then_asked(
    store: VoteStore, kind: Any, samples: int
) -> None:
    method = Method(kind=kind, samples=samples)
    cast(ODD, constitution(HONEST, WORDS, SCOPED), two(), store, method=method)
    under, by = constitution(*ALL), two()
    ballots, found = counted(ODD, under, by, store, method)
    once = lacking_once(found, ballots, [None] * len(ballots), store)
    judged = [topic.kind != "rule" for topic in found.topics]
    assert once[judged].sum() == cast(ODD, under, by, store, method=method) > 0
    assert once[judged][:, 0].sum() == by[0].model.prompts  # type: ignore[attr-defined]
    again = counted(ODD, under, by, store, method)[1]
    assert not again.votes_RTJ.any()
    assert not found.votes_RTJ[[one.id in ("alone", "nobody") for one in ODD]].any()


def test_the_votes_a_ranking_is_made_of_are_those_its_line_counts(store: VoteStore) -> None:
    by, under = two(), constitution(*ALL)

    async def run() -> list[dict[str, Any]]:
        return [line async for part in rank(ODD, under, by, store) for line in part]

    lines = asyncio.run(run())
    found = counted(ODD, under, by, store, Method())[1]
    assert found.votes_R.tolist() == [line["usage"]["votes"] for line in lines]


def test_scopes_not_voted_on_are_taken_to_apply_and_then_known(store: VoteStore) -> None:
    under, by, of = constitution(SCOPED), two()[:1], items(4)
    most = counted(of, under, by, store, Method())[1]
    assert most.votes_RTJ.sum() == 4 * (1 + 2)
    cast(of, under, by, store)
    assert counted(of, under, by, store, Method())[1].votes_R.tolist() == [1, 3, 1, 1]


def test_only_some_topics_and_some_pairs(store: VoteStore) -> None:
    under, by, of = constitution(SHORTER, HONEST), [judge()], items(2, 3)
    ballots = [ballot_of(one, settings_of(by)) for one in of]
    pairs: list[Pairs | None] = [((0, 1),), None]
    only = {under.principles[1].question_digest("pair")}
    found = lacking_votes(ballots, pairs, under, store, only=only)
    np.testing.assert_array_equal(found.votes_RTJ[..., 0], [[0, 2], [0, 6]])
    assert found.stored_J.tolist() == [0]


def test_unscored_votes_are_there_all_the_same(store: VoteStore) -> None:
    by, under, of = [judge(failure_rates={"refused": 1.0})], constitution(SHORTER), items(2)
    cast(of, under, by, store)
    assert not counted(of, under, by, store, Method())[1].votes_RTJ.any()
