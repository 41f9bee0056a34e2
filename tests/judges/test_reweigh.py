"""Re-weighting equals re-judging, and asks no model."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from judges.ballots import ballot_of
from judges.constitutions.constitution import Constitution
from judges.jsonl import read_jsonl, write_jsonl
from judges.judge import Judge, settings_of
from judges.records import Item
from judges.reweigh import CELLS, questions, rankings
from judges.store.vote_store import VoteStore
from tests.judges.planted import (
    FULL,
    HONEST,
    KIND,
    SHORTER,
    WORDS,
    as_written,
    asked,
    constitution,
    item,
    items,
    judge,
    rank_all,
    verdicts,
)

SCOPED = {"id": "warm", "text": "Be warm.", "tier": "hard", "applies_when": "It is about tea."}
PRINCIPLES: list[dict[str, Any]] = [SHORTER, HONEST, KIND, WORDS, FULL, SCOPED]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


def noisy() -> Judge:
    """A judge with everything planted that can make votes fail or contradict each other."""
    return judge(
        noise=3.0,
        position_bias=0.7,
        failure_rates={"refused": 0.05},
        applies={"about tea": "contains:i1"},
    )


def reweighed(
    of: list[Item], under: Constitution, judges: list[Judge], store: VoteStore
) -> list[dict[str, Any]]:
    ballots = [ballot_of(one, settings_of(judges)) for one in of]
    return as_written(list(rankings(ballots, under, store)))


edits = st.fixed_dictionaries(
    {
        "weights": st.lists(st.floats(0.1, 5), min_size=6, max_size=6),
        "tiers": st.lists(
            st.sampled_from(["hard", "high", "normal", "style"]), min_size=6, max_size=6
        ),
        "tie_margin": st.floats(0, 0.5),
        "decisive": st.floats(0, 4),
        "abstain_below": st.sampled_from([0.0, 0.1, 0.5]),
        "min_weight": st.floats(0, 1),
        "order": st.permutations(range(6)),
        "dropped": st.integers(0, 5),
    }
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits)
def test_reweighing_an_edit_equals_judging_under_it(tmp_path: Path, edit: dict[str, Any]) -> None:
    principles = [
        {**PRINCIPLES[k], "weight": edit["weights"][k], "tier": edit["tiers"][k]}
        for k in edit["order"]
        if k != edit["dropped"]
    ]
    names = ("tie_margin", "decisive", "abstain_below", "min_weight")
    edited = constitution(*principles, **{name: edit[name] for name in names})
    of = items(3, 3)
    with VoteStore.open(f"sqlite:///{tmp_path}/first.db") as first:
        asyncio.run(rank_all(of, constitution(*PRINCIPLES), [noisy()], first))
        cheap = reweighed(of, edited, [noisy()], first)
    with VoteStore.open(f"sqlite:///{tmp_path}/fresh.db") as fresh:
        judged = asyncio.run(rank_all(of, edited, [noisy()], fresh))
    assert [verdicts(line) for line in judged] == cheap


async def test_rankings_of_every_size_come_back_in_order(store: VoteStore) -> None:
    of = [
        item("a", "x"),
        *items(3, 4),
        item("b", "x", "y z"),
        item("c"),
        *items(0),
        item("d", "", "x"),
    ]
    under = constitution(SHORTER, WORDS)
    lines = await rank_all(of, under, [judge()], store)
    assert [line["id"] for line in lines] == [one.id for one in of]
    assert [verdicts(line) for line in lines] == reweighed(of, under, [judge()], store)
    assert lines[5]["p"] == []


def test_large_groups_are_aggregated_in_parts_and_come_back_in_order(store: VoteStore) -> None:
    under = constitution(SHORTER, HONEST, KIND)
    of = [item(f"i{k}", *["x"] * (64 if k % 7 else 2)) for k in range(150)]
    assert 64 * 64 * 3 * len(of) > CELLS
    lines = list(rankings([ballot_of(one, settings_of([judge()])) for one in of], under, store))
    assert [line["id"] for line in lines] == [one.id for one in of]
    assert [len(line["p"]) for line in lines] == [len(one.completions) for one in of]


def test_a_store_that_knows_nothing_scores_nothing(store: VoteStore) -> None:
    (line,) = reweighed([item("a", "x", "y")], constitution(SHORTER, WORDS), [judge()], store)
    assert (line["status"], line["reason"]) == ("unscored", "missing_vote")
    assert line["p"] == [[0.5, None], [None, 0.5]]
    assert line["unranked"] == {"0": "missing_vote", "1": "missing_vote"}


async def test_a_new_principle_lacks_its_votes(store: VoteStore) -> None:
    of = items(2)
    await rank_all(of, constitution(SHORTER), [judge()], store)
    lines = reweighed(of, constitution(SHORTER, HONEST), [judge()], store)
    assert {line["reason"] for line in lines} == {"missing_vote"}
    light = constitution(SHORTER, {**HONEST, "weight": 0.1})
    assert {line["status"] for line in reweighed(of, light, [judge()], store)} == {"scored"}


async def test_votes_of_another_judge_do_not_count(store: VoteStore) -> None:
    of, under = items(2), constitution(SHORTER)
    await rank_all(of, under, [judge()], store)
    lines = reweighed(of, under, [judge(seed=1)], store)
    assert {line["reason"] for line in lines} == {"missing_vote"}


def test_questions_are_both_orders_of_each_pair_once() -> None:
    ballot = ballot_of(item("a", "x", "", "y", "x", "z"), settings_of([judge()]))
    asked_for = questions(ballot, constitution(SHORTER, HONEST, WORDS, SCOPED))
    assert len(asked_for) == len(set(asked_for))
    pairs = [q for q in asked_for if len(q.completions) == 2]
    # x, y, x, z: five distinct pairs of different text of which two repeat, in two orders.
    assert len(pairs) == 3 * 3 * 2
    assert all(q.completions[0] != q.completions[1] for q in pairs)
    assert {q.model_copy(update={"completions": q.completions[::-1]}) for q in pairs} == set(pairs)
    assert len([q for q in asked_for if len(q.completions) == 1]) == 3
    assert len([q for q in asked_for if not q.completions]) == 1


async def test_asking_nobody_is_proved_by_the_count(store: VoteStore) -> None:
    of = items(3)
    planted = judge()
    await rank_all(of, constitution(SHORTER, HONEST), [planted], store)
    before = asked(planted)
    reweighed(of, constitution(SHORTER, {**HONEST, "weight": 9.0}), [planted], store)
    assert asked(planted) == before


async def test_lines_survive_the_file(store: VoteStore, tmp_path: Path) -> None:
    lines = await rank_all(items(3), constitution(*PRINCIPLES), [noisy()], store)
    write_jsonl(tmp_path / "r.jsonl", lines)
    assert [row for _, row in read_jsonl(tmp_path / "r.jsonl")] == lines
