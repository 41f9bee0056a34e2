"""Votes are asked for once, committed as they come, and failures of transport are not stored."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from judges.ballots import ballot_of
from judges.judge import Judge, settings_of
from judges.matter import Matter
from judges.records import Item
from judges.reweigh import questions
from judges.store.vote_store import VoteStore
from judges.votes import Asked, cast_votes, in_scope
from tests.judges.planted import HONEST, SHORTER, WORDS, asked, constitution, item, judge


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


SCOPED = {**HONEST, "applies_when": "About tea."}
UNDER = constitution(SHORTER, WORDS, SCOPED)


async def cast(of: Item, judges: list[Judge], store: VoteStore) -> tuple[Asked, Matter]:
    matter = Matter.of([of], UNDER, judges)
    return await cast_votes(
        questions(ballot_of(of, settings_of(judges)), UNDER), matter, store
    ), matter


async def test_every_question_gets_its_kind_of_vote(store: VoteStore) -> None:
    planted = judge(position_bias=1.0)
    told, matter = await cast(item("a", "one", "two three"), [planted], store)
    by_kind: dict[str, list[float]] = {}
    for question, vote in told.votes.items():
        kind = matter.settings[question.setting][1].kind
        assert vote.value is not None
        by_kind.setdefault(kind, []).append(vote.value)
    assert {kind: len(found) for kind, found in by_kind.items()} == {
        "pair": 4, "rule": 2, "applies": 1,
    }  # fmt: skip
    assert by_kind["rule"] == [1.0, 1.0]
    assert told.usage()["votes"] == 7
    assert told.usage()["new_votes"] == 5


async def test_a_question_asked_twice_at_once_is_put_once(store: VoteStore) -> None:
    planted = judge()
    of = item("a", "one", "two")
    wanted = questions(ballot_of(of, settings_of([planted])), constitution(SHORTER))
    await cast_votes([*wanted, *wanted], Matter.of([of], constitution(SHORTER), [planted]), store)
    assert asked(planted) == len(wanted) == 2


async def test_a_database_that_falls_meanwhile_gets_the_votes_once_it_is_back(
    postgresql_url: str,
) -> None:
    of, asks = item("a", "one", "two three"), judge(latency_s=0.2)
    with VoteStore.open(postgresql_url) as store:
        casting = asyncio.create_task(cast(of, [asks], store))
        await asyncio.sleep(0.1)
        kill_a_session(postgresql_url)  # PostgreSQL ends all others, and takes none for a while
        told, _ = await casting
        before = asked(asks)
        again, _ = await cast(of, [asks], store)
    assert told.votes == again.votes and len(told.votes) == 7
    assert asked(asks) == before == 5


def kill_a_session(url: str) -> None:
    with psycopg.connect(url) as victim:
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        with suppress(psycopg.OperationalError):
            victim.execute("SELECT 1")
            time.sleep(0.2)


async def test_an_engine_error_is_no_vote_but_a_refusal_is(store: VoteStore) -> None:
    of = item("a", "one", "two")
    down = judge(fail_containing={"brief": "engine_error", "honest": "refused"})
    told, _ = await cast(of, [down], store)
    assert len(told.failures) == 2
    assert not told.failures.keys() & told.votes.keys()
    found = store.get([*told.votes, *told.failures])
    assert found == told.votes
    assert sorted(vote.reason for vote in found.values() if vote.reason) == ["refused"] * 2


@pytest.mark.parametrize(
    ("mass", "floor", "status"),
    [
        pytest.param(0.2, 0.1, "scored", id="over the floor"),
        pytest.param(0.1, 0.1, "scored", id="on the floor"),
        pytest.param(0.05, 0.1, "unscored", id="under the floor"),
    ],
)
async def test_the_floor_of_label_mass(
    store: VoteStore, mass: float, floor: float, status: str
) -> None:
    model = judge(label_mass=mass).model
    told, matter = await cast(item("a", "one", "two"), [Judge("j", model, floor)], store)
    cast_by_judge = [
        vote for q, vote in told.votes.items() if matter.settings[q.setting][0] is not None
    ]
    assert {vote.status for vote in cast_by_judge} == {status}
    assert all((vote.value is None) == (status == "unscored") for vote in cast_by_judge)
    assert all(vote.logprobs and vote.label_mass == mass for vote in cast_by_judge)


@pytest.mark.parametrize(
    ("scopes", "asks"),
    [
        pytest.param(("always",), True, id="in scope"),
        pytest.param(("never",), False, id="out of scope"),
        pytest.param(("never", "always"), True, id="one judge of the panel says it may apply"),
    ],
)
async def test_pairs_are_asked_only_where_a_principle_may_apply(
    store: VoteStore, scopes: tuple[str, ...], asks: bool
) -> None:
    judges = [judge(seed=k, applies={"tea": scope}) for k, scope in enumerate(scopes)]
    of = item("a", "one", "two")
    matter = Matter.of([of], UNDER, judges)
    wanted = questions(ballot_of(of, settings_of(judges)), UNDER)
    told = await cast_votes([q for q in wanted if not q.completions], matter, store)
    pairs = [q for q in wanted if len(q.completions) == 2]
    left = {matter.wordings[q.principle].principle.id for q in in_scope(pairs, told, matter)}
    assert left == ({"shorter", "honest"} if asks else {"shorter"})
