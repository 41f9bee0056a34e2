"""An estimate is what then happens, less what the store knows; a budget ends asking, not work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from judges.budget import Budget, Prices
from judges.cost import estimate
from judges.judge import Judge, Method, Reasoning
from judges.models.fake import FakeModel, FakeSettings
from judges.pair_rounds import FewPairs
from judges.rank import rank
from judges.store.vote_store import VoteStore
from judges.worded import least_tokens
from tests.judges.planted import HONEST, SHORTER, WORDS, constitution, item

UNDER = constitution(SHORTER, HONEST, WORDS)
ITEMS = [item(str(n), f"one {n}", f"two {n} words", f"three {n} words here") for n in range(5)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


def judge(**options: Any) -> Judge:
    return Judge("fake", FakeModel(FakeSettings()), **options)


async def ranked(by: Judge, store: VoteStore, **options: Any) -> list[dict[str, Any]]:
    return [row async for part in rank(ITEMS, UNDER, [by], store, **options) for row in part]


@pytest.mark.parametrize("kind", ["pair", "yes_no", "point", "list"])
async def test_the_estimate_is_what_is_then_asked(store: VoteStore, kind: Any) -> None:
    by, method = judge(), Method(kind=kind)
    (before,) = estimate(ITEMS, UNDER, [by], store, method=method)
    lines = await ranked(by, store, method=method)
    assert sum(line["usage"]["new_votes"] for line in lines) == before.questions
    (after,) = estimate(ITEMS, UNDER, [by], store, method=method)
    assert after.stored == after.questions == before.questions
    assert after.prompt_tokens == after.completion_tokens == 0


def test_few_pairs_cost_their_budget(store: VoteStore) -> None:
    (told,) = estimate(ITEMS, UNDER, [judge()], store, pairs=FewPairs(pairs="active", budget=2))
    assert told.questions == 5 * 2 * 2 * 2  # items, pairs, orders, judged principles


def test_reasoning_is_paid_by_its_budget_and_prices_are_applied(store: VoteStore) -> None:
    thinker = judge(reasoning=Reasoning(max_tokens=99, samples=2))
    prices = {"fake": Prices(prompt=2.0, completion=10.0)}
    (told,) = estimate(ITEMS, UNDER, [thinker], store, prices=prices)
    assert told.questions == 5 * 3 * 2 * 2 * 2
    assert told.completion_tokens == told.questions * 100
    expected = (2.0 * told.fresh_tokens + 10.0 * told.completion_tokens) / 1e6
    assert told.price == pytest.approx(expected, rel=0.01)
    assert told.fresh_tokens < told.prompt_tokens and not told.exact


def test_shared_beginnings_count_once() -> None:
    assert least_tokens([[1, 2, 3], [1, 2, 4], [1, 2, 3], [5]]) == 5
    assert least_tokens([b"abc", b"abd"]) == 4


def test_a_budget_says_what_is_spent() -> None:
    budget = Budget(votes=10)
    assert budget.reached() is None
    budget.spend({"new_votes": 10, "prompt_tokens": 100})
    assert budget.reached() == "10 of 10 votes are spent"
    assert Budget(seconds=0).reached() is not None


async def test_at_the_budget_asking_ends_and_the_rest_is_left_to_a_second_run(
    store: VoteStore,
) -> None:
    by = judge()
    many = [item(str(n), f"one {n}", f"two {n} words") for n in range(400)]
    lines = rank(many, UNDER, [by], store, budget=Budget(votes=300))
    told = [row async for part in lines for row in part]
    status = [line["status"] for line in told]
    assert 0 < status.count("scored") < 400
    assert {line["reason"] for line in told if line["status"] == "error"} == {"over_budget"}
    spent = by.model.prompts  # type: ignore[attr-defined]
    assert 300 <= spent <= 300 + 5 * 256
    again = [row async for part in rank(many, UNDER, [by], store) for row in part]
    assert {line["status"] for line in again} == {"scored"}
    assert by.model.prompts == 400 * 4  # type: ignore[attr-defined]
