"""Ways to ask other than pairs: each finds the planted order, and reweighing repeats it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from judges.errors import ModelError
from judges.jsonl import dump_line, parse_line
from judges.judge import Judge, Method, Reasoning
from judges.models.fake import FakeModel, FakeSettings
from judges.rank import rank
from judges.ranking_files import ballot_in
from judges.reweigh import rankings
from judges.store.vote_store import VoteStore
from tests.judges.planted import HONEST, KIND, SHORTER, WORDS, constitution, item

UNDER = constitution(SHORTER, WORDS)
TEXTS = ("one two three four five six seven eight", "one two three", "one", "")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


def judge(seed: int = 0, **options: Any) -> Judge:
    planted = {
        name: options.pop(name) for name in list(options) if name in FakeSettings.model_fields
    }
    return Judge(f"fake{seed}", FakeModel(FakeSettings(seed=seed, **planted)), **options)


async def ranked(
    judges: list[Judge], store: VoteStore, method: Method, *texts: str
) -> list[dict[str, Any]]:
    items = [item("a", *texts), item("b", *texts[:2])]
    lines = rank(items, UNDER, judges, store, method=method)
    return [parse_line(dump_line(row), "line") async for part in lines for row in part]


@pytest.mark.parametrize("kind", ["pair", "yes_no", "point", "list"])
async def test_each_way_finds_the_planted_order(store: VoteStore, kind: Any) -> None:
    lines = await ranked([judge()], store, Method(kind=kind), *TEXTS)
    assert [line["status"] for line in lines] == ["scored", "scored"]
    assert lines[0]["ranking"] == [2, 1, 0]
    assert lines[0]["unranked"] == {"3": "empty_completion"}
    assert lines[1]["ranking"] == [1, 0]


@pytest.mark.parametrize("kind", ["pair", "yes_no", "point", "list"])
async def test_a_second_run_and_reweighing_ask_nothing_and_say_the_same(
    store: VoteStore, kind: Any
) -> None:
    one = judge()
    first = await ranked([one], store, Method(kind=kind), *TEXTS)
    calls = one.model.prompts  # type: ignore[attr-defined]
    again = await ranked([one], store, Method(kind=kind), *TEXTS)
    assert one.model.prompts == calls  # type: ignore[attr-defined]
    ballots = [ballot_in(line) for line in again]
    assert None not in ballots
    redone = rankings([ballot for ballot in ballots if ballot], UNDER, store)
    for row, other in zip(redone, first, strict=True):
        line = parse_line(dump_line(row), "line")
        assert line["scores"] == other["scores"]
        assert line["digests"] == other["digests"]


async def test_shuffles_cancel_a_taste_for_the_first_place(store: VoteStore) -> None:
    biased = judge(position_bias=3.0, strength=1.0)
    lines = await ranked([biased], store, Method(kind="list", samples=8), *TEXTS)
    assert lines[0]["ranking"] == [2, 1, 0]


async def test_reasoning_is_kept_beside_the_vote_and_the_vote_is_chosen(store: VoteStore) -> None:
    thinker = judge(reasoning=Reasoning(max_tokens=12, samples=2))
    lines = await ranked([thinker], store, Method(), *TEXTS)
    assert lines[0]["ranking"] == [2, 1, 0]
    from judges.reweigh import questions

    ballot = ballot_in(lines[0])
    assert ballot is not None and ballot.settings.samples == 2
    votes = store.get(questions(ballot, UNDER))
    told = {vote.rationale for vote in votes.values() if len(vote.question.completions) == 2}
    assert None not in told and len(told) > 6
    assert all(text is not None and '"reasoning"' in text for text in told)


async def test_reasoning_that_outruns_its_budget_may_be_unscored(store: VoteStore) -> None:
    cut = judge(reasoning=Reasoning(max_tokens=1, cut_off="unscored"))
    lines = await ranked([cut], store, Method(), *TEXTS)
    assert lines[0]["status"] == "unscored"
    assert set(lines[0]["unranked"].values()) == {"truncated", "empty_completion"}


@pytest.mark.parametrize("aid", ["criteria", "reference"])
async def test_what_the_judge_writes_itself_is_shown_and_kept(store: VoteStore, aid: str) -> None:
    lines = await ranked([judge(**{aid: True})], store, Method(), *TEXTS)
    assert lines[0]["ranking"] == [2, 1, 0]
    plain = await ranked([judge()], store, Method(), *TEXTS)
    assert plain[0]["digests"]["judge"] != lines[0]["digests"]["judge"]


async def test_clamped_probabilities_stay_within_their_bounds(store: VoteStore) -> None:
    lines = await ranked([judge(clamp=0.6)], store, Method(), *TEXTS)
    p = lines[0]["principles"]["shorter"]["p"]
    assert 0.4 - 1e-6 <= p[0][2] <= 0.4 + 1e-6
    assert lines[0]["digests"]["calibration"]


async def test_a_majority_of_judges_decides(store: VoteStore) -> None:
    # One judge that is very sure does not outvote two that are a little.
    short = [judge(seed=k, strength=0.5) for k in (1, 2)]
    long = judge(seed=3, strength=50.0, preferences={"Be brief": "longer"})
    mean = await ranked([*short, long], store, Method(), *TEXTS[:2])
    majority = await ranked([*short, long], store, Method(panel="majority"), *TEXTS[:2])
    assert mean[0]["principles"]["shorter"]["p"][0][1] > 0.5
    assert majority[0]["principles"]["shorter"]["p"][0][1] == pytest.approx(0.375, abs=1e-6)


def test_ways_of_asking_have_keys_of_their_own() -> None:
    one = judge()
    digests = {one.setting(kind).digest for kind in ("pair", "yes_no", "point", "applies")}
    digests |= {one.setting("list", size).digest for size in (3, 4)}
    assert len(digests) == 6
    assert HONEST and KIND


async def test_a_judge_whose_engine_is_gone_leaves_the_panel_with_its_reason(
    store: VoteStore,
) -> None:
    gone = judge(seed=9, failure_rates={"engine_error": 1.0})
    items = [item(str(n), *TEXTS[:3]) for n in range(120)]
    lines = [row async for part in rank(items, UNDER, [judge(), gone], store) for row in part]
    assert {line["status"] for line in lines} == {"scored"}
    assert lines[-1]["left"] == {"fake9": "planted in the fake model"}
    assert all(list(line["ranking"]) == [2, 1, 0] for line in lines)
    # Later windows no longer ask it.
    assert gone.model.prompts < 120 * 6  # type: ignore[attr-defined]


async def test_one_judge_alone_that_is_gone_stops_the_work(store: VoteStore) -> None:
    gone = judge(failure_rates={"engine_error": 1.0})
    with pytest.raises(ModelError, match="answered none of"):
        await ranked([gone], store, Method(), *[f"text {n}" for n in range(9)])
