"""Scores of single completions come from votes alone, and a lost vote is never a number."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from judges.constitutions.constitution import Constitution
from judges.judge import Judge
from judges.models.fake import FakeModel, FakeSettings
from judges.scoring.score import score
from judges.store.vote_store import VoteStore
from tests.judges.planted import SHORTER, WORDS, constitution, item

SPELLED = {
    "id": "spelled",
    "text": "Talk about tea.",
    "propositions": [
        {"id": "tea", "text": "It mentions the word 'tea'.", "weight": 3.0},
        {"id": "beer", "text": "It mentions the word 'beer'.", "expect": False},
    ],
}
SCOPED = {"id": "scoped", "text": "Be brief.", "applies_when": "About cats.", "weight": 5.0}
LONG, SHORT = "one two three four five six seven eight nine ten", "one two"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


def judge(**planted: Any) -> Judge:
    tastes = {"word 'tea'": "contains:tea", "word 'beer'": "contains:beer"}
    return Judge("fake", FakeModel(FakeSettings(preferences=tastes, **planted)))


async def scored(
    under: Constitution, store: VoteStore, *texts: str, by: Judge | None = None, **options: Any
) -> dict[str, Any]:
    lines = score([item("a", *texts)], under, [by or judge()], store, **options)
    return next(iter([row async for part in lines for row in part]))


async def test_the_better_completion_scores_higher_in_every_way(store: VoteStore) -> None:
    line = await scored(constitution(SHORTER), store, LONG, SHORT)
    assert line["status"] == "scored"
    assert 0 < line["scores"][0] < line["scores"][1] < 1
    assert 1 <= line["ratings"][0] < line["ratings"][1] <= 10
    assert line["usage"]["new_votes"] == 4


async def test_a_rating_is_a_mean_not_a_mode(store: VoteStore) -> None:
    ratings = (await scored(constitution(SHORTER), store, LONG, SHORT, "one two three"))["ratings"]
    assert len({round(rating % 1, 3) for rating in ratings}) > 1


async def test_statements_make_a_principles_score(store: VoteStore) -> None:
    line = await scored(constitution(SPELLED), store, "tea", "beer", "tea and beer")
    yes = line["principles"]["spelled"]["statements"]
    tea, beer = yes["tea"], yes["beer"]
    assert line["scores"] == [
        pytest.approx((3 * t + (1 - b)) / 4, abs=1e-5) for t, b in zip(tea, beer, strict=True)
    ]
    assert line["scores"][0] > line["scores"][2] > line["scores"][1]


async def test_rules_need_no_judge_and_scopes_take_weight_away(store: VoteStore) -> None:
    by = judge(applies={"cats": "never"})
    line = await scored(constitution(WORDS, SCOPED), store, "a b", "a b c d e f g h", by=by)
    assert line["scores"] == [1.0, 0.0]
    assert line["principles"]["scoped"]["applies"] < 0.05


async def test_a_lost_vote_or_an_empty_text_is_a_reason_never_a_number(store: VoteStore) -> None:
    by = judge(fail_containing={"seven": "refused"})
    line = await scored(constitution(SHORTER), store, LONG, "", SHORT, by=by)
    assert line["scores"][:2] == [None, None]
    assert line["reasons"] == ["refused", "empty_completion", None]


async def test_a_dead_engine_is_an_error_and_a_second_run_asks_again(store: VoteStore) -> None:
    by = judge(fail_containing={"seven": "engine_error"})
    line = await scored(constitution(SHORTER), store, LONG, SHORT, by=by)
    assert (line["status"], line["reason"]) == ("error", "engine_error")
    again = await scored(constitution(SHORTER), store, LONG, SHORT, by=by)
    assert again["usage"]["new_votes"] == 0


async def test_a_new_weight_costs_no_vote(store: VoteStore) -> None:
    by = judge()
    first = await scored(constitution(SHORTER, WORDS), store, LONG, SHORT, by=by)
    calls = by.model.prompts  # type: ignore[attr-defined]
    heavier = constitution({**SHORTER, "weight": 9.0}, WORDS)
    second = await scored(heavier, store, LONG, SHORT, by=by)
    assert by.model.prompts == calls  # type: ignore[attr-defined]
    assert second["scores"] != first["scores"]


async def test_ratings_alone_score_too(store: VoteStore) -> None:
    line = await scored(constitution(SHORTER), store, LONG, SHORT, ask=("rating",))
    assert line["scores"] == [pytest.approx((r - 1) / 9, abs=1e-5) for r in line["ratings"]]
