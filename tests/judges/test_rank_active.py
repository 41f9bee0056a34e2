"""Ranking by few pairs: within budget, resumable, the same from stored votes, cycles reported."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judges.active_pairs import budget_of
from judges.ballots import ballot_of
from judges.benchmarks.few_votes import estimate
from judges.constitutions.constitution import Constitution
from judges.errors import ConfigError
from judges.judge import Judge, Method, settings_of
from judges.models.fake import FakeModel, FakeSettings
from judges.pair_rounds import FewPairs, open_contest
from judges.rank import rank
from judges.ranking_files import ballot_in
from judges.ranking_verbs import rank_file
from judges.records import Item
from judges.reweigh import rankings
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
    judge,
    verdicts,
)

UNDER = constitution(HONEST)
ACTIVE = FewPairs()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


def eight(count: int, size: int = 8) -> list[Item]:
    """Items of many completions."""
    return [item(f"i{k}", *(f"text {k} {c}" for c in range(size))) for k in range(count)]


async def rank_few(
    of: Sequence[Item],
    store: VoteStore,
    pairs: FewPairs = ACTIVE,
    by: Judge | None = None,
    under: Constitution = UNDER,
) -> list[dict[str, Any]]:
    """Every ranking line, as written."""
    parts = rank(of, under, [by or judge(noise=1.0)], store, pairs=pairs)
    return as_written([line async for part in parts for line in part])


@pytest.mark.parametrize("plan", [ACTIVE, FewPairs(pairs="random"), FewPairs(budget=9)])
async def test_all_are_ranked_within_the_budget(store: VoteStore, plan: FewPairs) -> None:
    planted = judge(noise=1.0)
    lines = await rank_few(eight(6), store, plan, planted)
    budget = budget_of(8, plan.budget)
    for line in lines:
        assert sorted(line["ranking"]) == list(range(8))
        assert 8 <= len(line["observed"]) <= budget
        assert line["usage"]["votes"] == 2 * len(line["observed"])
    assert asked(planted) == sum(line["usage"]["votes"] for line in lines)
    assert max(line["usage"]["rounds"] for line in lines) == (
        1 if plan.pairs == "random" else 1 + -(-(budget - 8) // 2)
    )


async def test_few_completions_are_judged_in_all_pairs_at_once(store: VoteStore) -> None:
    (line,) = await rank_few(eight(1, size=4), store)
    assert line["observed"] == [list(pair) for pair in combinations(range(4), 2)]
    assert line["usage"]["rounds"] == 1


async def test_reweighing_gives_the_same_ranking(store: VoteStore) -> None:
    under = constitution(SHORTER, HONEST, KIND, WORDS, FULL)
    lines = await rank_few(eight(5), store, under=under)
    ballots = [ballot for line in lines if (ballot := ballot_in(line))]
    again = as_written(list(rankings(ballots, under, store)))
    assert [verdicts(line) for line in again] == [verdicts(line) for line in lines]


async def test_judging_again_costs_nothing_whatever_the_window_or_the_order(
    store: VoteStore,
) -> None:
    of = eight(12)
    lines = await rank_few(of, store)
    again = judge(noise=1.0)
    mixed = [
        one.model_copy(update={"id": f"again {k}", "completions": one.completions[::-1]})
        for k, one in enumerate(of[3:])
    ]
    repeated = await rank_few(mixed, store, by=again)
    assert asked(again) == 0
    assert [[7 - k for k in line["ranking"]] for line in repeated] == [
        line["ranking"] for line in lines[3:]
    ]


class _Killed(RuntimeError):
    pass


class _Mortal(FakeModel):
    """A fake model that dies after some calls, in the middle of an item's rounds."""

    def __init__(self, settings: FakeSettings, lives: int) -> None:
        super().__init__(settings)
        self.lives = lives

    async def choose(self, prompts: Any, options: Any) -> Any:
        if self.calls >= self.lives:
            raise _Killed
        return await super().choose(prompts, options)


@pytest.mark.parametrize("lives", [1, 2])
async def test_killed_in_the_middle_it_asks_the_same_and_only_what_lacks(
    tmp_path: Path, lives: int
) -> None:
    planted, of = FakeSettings(noise=1.0), eight(6)
    with VoteStore.open(f"sqlite:///{tmp_path}/whole.db") as store:
        whole = await rank_few(of, store, by=Judge("fake", FakeModel(planted)))
    with VoteStore.open(f"sqlite:///{tmp_path}/killed.db") as store:
        first = Judge("fake", _Mortal(planted, lives))
        with pytest.raises(_Killed):
            await rank_few(of, store, by=first)
        second = Judge("fake", FakeModel(planted))
        lines = await rank_few(of[::-1], store, by=second)
    assert [verdicts(line) for line in lines[::-1]] == [verdicts(line) for line in whole]
    assert asked(first) + asked(second) == sum(line["usage"]["votes"] for line in whole)


async def test_votes_that_lie_there_already_count_but_change_no_question(store: VoteStore) -> None:
    of, planted = eight(3), judge(noise=1.0)
    everything = rank(of, UNDER, [planted], store)
    assert sum([len(part) async for part in everything]) == 3
    lines = await rank_few(of, store, by=planted)
    assert all(len(line["observed"]) == 28 for line in lines)
    assert all(line["usage"]["votes"] <= 24 for line in lines)


async def test_at_equal_votes_telling_pairs_come_nearer_to_all_than_random_ones(
    tmp_path: Path,
) -> None:
    of, planted = eight(100), judge(noise=1.0)
    scores: dict[str, list[list[float]]] = {}
    votes: dict[str, int] = {}
    for name, place, plan in (
        ("active", "active", ACTIVE),
        ("random", "random", FewPairs(pairs="random")),
        ("all", "random", FewPairs(budget=28)),  # in the same store: less to ask
    ):
        with VoteStore.open(f"sqlite:///{tmp_path}/{place}.db") as store:
            lines = await rank_few(of, store, plan, planted)
        scores[name] = [line["scores"] for line in lines]
        votes[name] = sum(line["usage"]["votes"] for line in lines)
    assert votes["active"] <= votes["random"] == 100 * 24 < votes["all"] == 100 * 56
    gains = []
    for active, chance, every in zip(*scores.values(), strict=True):
        order = [np.sign(np.subtract.outer(one, one)) for one in (active, chance, every)]
        gains.append(((order[0] - order[1]) * order[2]).sum() / 56)
    assert estimate(np.array(gains))[1] > 0


async def test_cycles_are_reported(store: VoteStore) -> None:
    lines = await rank_few(
        eight(30, size=6), store, FewPairs(budget=12), judge(noise=8.0, strength=0.1)
    )
    assert any(line["cycles"] for line in lines)
    for line in lines:
        seen = {tuple(pair) for pair in line["observed"]}
        for i, j, k in line["cycles"]:
            assert line["p"][i][j] > 0.5 and line["p"][j][k] > 0.5 and line["p"][k][i] > 0.5
            assert {tuple(sorted(pair)) for pair in ((i, j), (j, k), (k, i))} <= seen


async def test_equal_and_empty_texts_are_no_players(store: VoteStore) -> None:
    planted = judge(noise=1.0)
    texts = ("a", "", "b", "a", "c", " ", "d", "b", "e", "f")
    (line,) = await rank_few([item("x", *texts)], store, by=planted)
    assert asked(planted) <= 2 * budget_of(6, None)
    assert sorted(line["ranking"]) == [0, 2, 3, 4, 6, 7, 8, 9]
    assert line["scores"][0] == line["scores"][3]
    assert line["unranked"] == {"1": "empty_completion", "5": "empty_completion"}


@pytest.mark.parametrize("texts", [("only",), ("", ""), ("one", ""), ("same", "same")])
async def test_nothing_to_compare_is_nothing_to_ask(store: VoteStore, texts: Any) -> None:
    planted = judge()
    (line,) = await rank_few([item("x", *texts)], store, by=planted)
    assert asked(planted) == 0
    assert line["usage"]["rounds"] == 1


async def test_an_item_with_an_engine_failure_rests_and_is_taken_up_again(store: VoteStore) -> None:
    off = item("off", "down now", *(f"fine {k}" for k in range(7)))
    first = judge(noise=1.0, fail_containing={"down now": "engine_error"})
    lines = await rank_few([off, *eight(1)], store, by=first)
    assert [line["status"] for line in lines] == ["error", "scored"]
    assert lines[0]["usage"]["rounds"] == 1
    refused = judge(noise=1.0, fail_containing={"down now": "refused"})
    (line,) = await rank_few([off], store, by=refused)
    assert line["unranked"] == {"0": "refused"}


async def test_scopes_are_asked_once_and_keep_pairs_out(store: VoteStore) -> None:
    scoped = {**HONEST, "applies_when": "The question is on tea."}
    planted = judge(noise=1.0, applies={"tea": "never"})
    under = constitution(scoped, SHORTER)
    (line,) = await rank_few(eight(1), store, by=planted, under=under)
    assert asked(planted) == 1 + 2 * len(line["observed"])


async def test_few_pairs_go_with_pairs_only(store: VoteStore) -> None:
    alone = rank(eight(1), UNDER, [judge()], store, pairs=ACTIVE, method=Method(kind="point"))
    with pytest.raises(ConfigError, match="shows no pairs"):
        await anext(alone)


def test_a_second_run_keeps_lines_of_the_same_pairs_and_budget_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, of = tmp_path / "r.jsonl", eight(3)
    told = []
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as store:
        for plan in (
            ACTIVE,
            ACTIVE,
            FewPairs(budget=20),
            FewPairs(budget=20, goal="best"),
            FewPairs(pairs="random"),
            "ring",
        ):
            asyncio.run(rank_file(of, UNDER, ["fake"], store, output, plan))
            told.append("3 of 3 are done already" in capsys.readouterr().err)
    assert told == [False, True, False, False, False, False]


def test_the_seed_is_of_the_texts() -> None:
    one, other = eight(2)
    contests = [
        open_contest(ballot_of(of, settings_of([judge()])), ACTIVE, UNDER) for of in (one, other)
    ]
    assert not np.array_equal(contests[0].asked_NN, contests[1].asked_NN)
