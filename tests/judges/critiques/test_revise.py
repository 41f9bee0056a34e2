"""Every round is kept, what got no better is marked, and only what was accepted is built upon."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from judges.critiques.check import Check
from judges.critiques.plan import drawn_principles
from judges.critiques.revise import ACCEPTED, Revising, revise
from judges.judge import Judge
from judges.model import Sampling
from judges.models.fake import FakeModel, FakeSettings
from judges.records import Item
from judges.store.vote_store import VoteStore
from tests.judges.critiques.made_requests import BRIEF, MENTION, NO_TEA, OFFENDING, requests
from tests.judges.planted import item, judge

LONG = "Some tea is made of leaves, " + "and of more leaves, " * 12 + "all of them green."


def revising(of: Sequence[dict[str, Any]] = (NO_TEA,), **changed: Any) -> Revising:
    """One round under one principle, unchecked, on a fake model with what is planted."""
    planted = changed.pop("planted", {})
    model = FakeModel(FakeSettings.model_validate(planted))
    under = requests(*of)
    how = Revising(
        constitution=under,
        principles=under.principles,
        critic=model,
        reviser=model,
        sampling=Sampling(max_tokens=200, seed=1),
        rounds=1,
        seed=0,
    )
    return replace(how, **changed)


async def lines(items: Sequence[Item], how: Revising) -> list[dict[str, Any]]:
    return [line async for part in revise(items, how) for line in part]


async def one(text: str, how: Revising) -> dict[str, Any]:
    """What became of one completion."""
    (line,) = await lines([item("a", text)], how)
    completion: dict[str, Any] = line["completions"][0]
    return completion


@pytest.fixture
def votes(tmp_path: Path) -> Any:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as store:
        yield store


async def test_a_revision_that_the_judge_finds_better_is_kept(votes: VoteStore) -> None:
    found = await one(OFFENDING, revising(check=Check([judge()], votes)))
    (played,) = found["rounds"]
    assert (played["status"], played["reason"]) == ("kept", None)
    assert played["revision"] == found["accepted"] == OFFENDING.replace("tea", "it")
    assert played["p"] > 0.9
    assert played["order_gap"] == 0
    assert played["critique"]["quote"] == "tea"
    assert (found["text"], found["accepted_round"]) == (OFFENDING, 1)


async def test_without_a_check_it_is_taken_unchecked() -> None:
    found = await one(OFFENDING, revising())
    assert [(r["status"], r["p"]) for r in found["rounds"]] == [("unchecked", None)]
    assert found["accepted"] != OFFENDING


@pytest.mark.parametrize(
    ("planted", "status", "reason"),
    [
        pytest.param({"empty_revisions": 1}, "empty", "empty_completion", id="empty"),
        pytest.param({"identical_revisions": 1}, "identical", None, id="the same again"),
        pytest.param({"nothing_wrong": 1}, "unneeded", None, id="nothing found"),
        pytest.param({"invalid_json": 1}, "failed", "invalid_json", id="no critique"),
        pytest.param({"invented_quotes": 1}, "failed", "quote_not_found", id="an invented quote"),
        pytest.param({"worse_revisions": 1}, "worse", None, id="worse by the judge"),
    ],
)
async def test_what_got_no_better_is_marked_and_not_accepted(
    votes: VoteStore, planted: dict[str, float], status: str, reason: str | None
) -> None:
    # Where a revision becomes worse, it says what the principle is against: `contains` it twice.
    of = {**MENTION} if status == "worse" else NO_TEA
    text = "It is about water." if status == "worse" else OFFENDING
    settings = {"critiques": planted}
    if status == "worse":
        of |= {"critique": 'Avoid "about"'}  # finds something, so that there is a revision
    how = revising([of], planted=settings, check=Check([judge()], votes))
    found = await one(text, how)
    (played,) = found["rounds"]
    assert (played["status"], played["reason"]) == (status, reason)
    assert found["accepted"] == text
    assert found["accepted_round"] is None
    asked_for_one = status in ("empty", "identical", "worse")
    assert (played["revision"] is not None) == asked_for_one
    if status == "worse":
        assert played["p"] < 0.1
        assert played["revision"] == "It is about it."


@pytest.mark.parametrize(
    ("planted", "reason", "status"),
    [
        pytest.param({}, "truncated", "unscored", id="cut off"),
        pytest.param(
            {"fail_containing": {"Revision request": "engine_error"}},
            "engine_error",
            "error",
            id="no answer",
        ),
        pytest.param(
            {"fail_containing": {"Revision request": "refused"}},
            "refused",
            "unscored",
            id="refused",
        ),
    ],
)
async def test_a_revision_that_fails_is_a_failed_round(
    planted: dict[str, Any], reason: str, status: str
) -> None:
    text = LONG if reason == "truncated" else OFFENDING
    sampling = Sampling(max_tokens=12 if reason == "truncated" else 200, seed=1)
    (line,) = await lines([item("a", text)], revising(planted=planted, sampling=sampling))
    (played,) = line["completions"][0]["rounds"]
    assert (played["status"], played["reason"]) == ("failed", reason)
    assert (line["status"], line["reason"]) == (status, reason)
    assert line["completions"][0]["accepted"] == text
    assert bool(line["detail"]) == (status == "error")


@pytest.mark.parametrize(
    ("planted", "reason", "status"),
    [
        pytest.param({"label_mass": 0.001}, "low_label_mass", "unscored", id="no mass"),
        pytest.param({"failure_rates": {"engine_error": 1}}, "engine_error", "error", id="dead"),
    ],
)
async def test_a_check_that_fails_accepts_nothing(
    votes: VoteStore, planted: dict[str, Any], reason: str, status: str
) -> None:
    (line,) = await lines([item("a", OFFENDING)], revising(check=Check([judge(**planted)], votes)))
    (played,) = line["completions"][0]["rounds"]
    assert (played["status"], played["reason"], played["p"]) == ("failed", reason, None)
    assert played["revision"] is not None
    assert line["completions"][0]["accepted"] == OFFENDING
    assert line["status"] == status


async def test_a_judge_that_always_says_a_finds_nothing_worse(votes: VoteStore) -> None:
    always = judge(position_bias=50, strength=0)
    found = await one(OFFENDING, revising(check=Check([always], votes)))
    (played,) = found["rounds"]
    assert (played["status"], played["p"], played["order_gap"]) == ("kept", 0.5, 50)


async def test_an_empty_completion_is_never_put_to_the_model() -> None:
    how = revising(rounds=2)
    (line,) = await lines([item("a", "  ")], how)
    assert [r["reason"] for r in line["completions"][0]["rounds"]] == ["empty_completion"] * 2
    assert (line["status"], line["reason"]) == ("unscored", "empty_completion")
    assert isinstance(how.critic, FakeModel)
    assert how.critic.prompts == 0


async def test_each_round_starts_from_the_last_accepted_text(votes: VoteStore) -> None:
    how = revising((NO_TEA, BRIEF, MENTION), rounds=6, check=Check([judge()], votes))
    of = [item(f"i{k}", LONG, f"{k} " + LONG) for k in range(20)]
    statuses: Counter[str] = Counter()
    for line in await lines(of, how):
        for index, completion in enumerate(line["completions"]):
            text = completion["text"]
            plan = drawn_principles(how.principles, 6, 0, f"{line['id']}:{index}")
            assert [r["principle"] for r in completion["rounds"]] == [p.id for p in plan]
            for number, played in enumerate(completion["rounds"], start=1):
                statuses[played["status"]] += 1
                span = played["critique"]["span"]
                assert played["round"] == number
                assert span is None or text[slice(*span)] == played["critique"]["quote"]
                text = played["revision"] if played["status"] in ACCEPTED else text
            assert completion["accepted"] == text
            assert "tea" not in text
    assert statuses["kept"] > 80
    assert statuses["unneeded"] > 40


async def test_all_principles_in_turn_are_a_round_each() -> None:
    how = revising((NO_TEA, BRIEF, MENTION), in_turn=True)
    found = await one(LONG, how)
    assert [r["principle"] for r in found["rounds"]] == ["no-tea", "brief", "mention"]
    assert found["accepted_round"] == 3


async def test_the_checks_votes_are_free_the_second_time(votes: VoteStore) -> None:
    def how() -> Revising:
        return revising((NO_TEA, BRIEF), rounds=2, check=Check([judge()], votes))

    def cast(made: Revising) -> int:
        assert made.check is not None
        model = made.check.judges[0].model
        assert isinstance(model, FakeModel)
        return model.prompts

    of = [item(f"i{k}", f"{k} {LONG}") for k in range(8)]
    first, second = how(), how()
    made = await lines(of, first)
    assert await lines(of, second) == made
    assert (cast(first), cast(second)) == (32, 0)


async def test_a_rule_checks_without_a_judge(votes: VoteStore) -> None:
    rule = {"id": "brief", "rule": {"kind": "max_words", "value": 20}}
    rule |= {"critique": BRIEF["critique"], "revise": BRIEF["revise"]}
    quiet = FakeModel()
    how = revising([rule], rounds=2, check=Check([Judge("quiet", quiet)], votes))
    found = await one("word " * 60, how)
    assert quiet.prompts == 0
    assert [r["status"] for r in found["rounds"]] == ["kept", "kept"]


async def test_what_is_fine_can_be_revised_all_the_same() -> None:
    planted = {"critiques": {"nothing_wrong": 1}}
    found = await one(OFFENDING, revising(planted=planted, always=True))
    assert found["rounds"][0]["critique"]["severity"] == "none"
    assert found["rounds"][0]["status"] == "unchecked"
    assert found["accepted"] == OFFENDING.replace("tea", "it")


async def test_another_model_can_revise() -> None:
    critic, reviser = FakeModel(), FakeModel(FakeSettings(seed=5))
    await one(OFFENDING, revising(critic=critic, reviser=reviser))
    assert (critic.prompts, reviser.prompts) == (1, 1)


async def test_the_same_seed_gives_the_same_rounds_and_another_one_others() -> None:
    of = [item(f"i{k}", LONG) for k in range(40)]

    def how(seed: int) -> Revising:
        sampling = Sampling(max_tokens=200, seed=seed)
        planted = {"critiques": {"identical_revisions": 0.3, "invalid_json": 0.3}}
        return revising((NO_TEA, BRIEF), rounds=2, seed=seed, sampling=sampling, planted=planted)

    first = await lines(of, how(1))
    assert await lines(of, how(1)) == first
    assert await lines(of, how(2)) != first
    assert await lines(of[::-1], how(1)) == first[::-1]
