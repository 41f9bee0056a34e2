"""Ranking with planted judges: what was planted comes out, failures are records, votes are kept."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from judges.ballots import ballot_of, chosen_pairs, judged_pairs
from judges.canonical import text_digest
from judges.errors import ModelError
from judges.rank import WINDOW_QUESTIONS, rank
from judges.records import CompletionText, Item, Message
from judges.store.vote_store import VoteStore
from judges.tally import EMPTY, Ballot, Settings
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
    rank_all,
    verdicts,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


async def test_a_line_has_the_contract(store: VoteStore) -> None:
    texts = ("one two three", "one", "one two")
    (line,) = await rank_all([item("a", *texts)], constitution(SHORTER, WORDS), [judge()], store)
    assert (line["id"], line["status"], line["reason"]) == ("a", "scored", None)
    assert line["ranking"] == [1, 2, 0]
    assert [row[k] for k, row in enumerate(line["p"])] == [0.5, 0.5, 0.5]
    for matrix in (line["p"], *(one["p"] for one in line["principles"].values())):
        for i in range(3):
            assert matrix[i][i] == 0.5
            for j in range(3):
                assert matrix[i][j] + matrix[j][i] == pytest.approx(1, abs=2e-6)
    assert line["observed"] == [[0, 1], [0, 2], [1, 2]]
    assert sum(line["scores"]) == pytest.approx(0, abs=1e-5)
    assert line["tie_groups"] == line["cycles"] == []
    assert set(line["digests"]) == {"constitution", "judge", "calibration"}
    assert line["principles"]["shorter"]["order_gap"] == pytest.approx(0, abs=1e-6)
    assert line["principles"]["few-words"]["order_gap"] is None
    assert line["completions"] == list(texts)
    assert line["usage"]["votes"] == line["usage"]["new_votes"] + 3 == 9
    assert line["usage"]["prompt_tokens"] > 0


async def test_an_always_a_judge_prefers_nothing_and_shows_its_bias(store: VoteStore) -> None:
    (line,) = await rank_all(
        [item("a", "x y z", "x", "x y")],
        constitution({"id": "any", "text": "P"}),
        [judge(position_bias=50, preferences={"P": "indifferent"})],
        store,
    )
    assert line["p"] == [[0.5] * 3] * 3
    assert line["scores"] == [0, 0, 0]
    assert line["tie_groups"] == [[0, 1, 2]]
    assert line["principles"]["any"]["order_gap"] == pytest.approx(50)


@pytest.mark.parametrize("bias", [-3.0, 0.5, 8.0])
async def test_a_bias_for_a_place_moves_no_verdict(store: VoteStore, bias: float) -> None:
    of, under = items(5, 3), constitution(SHORTER, HONEST)
    plain = await rank_all(of, under, [judge()], store)
    biased = await rank_all(of, under, [judge(position_bias=bias)], store)
    for one, other in zip(plain, biased, strict=True):
        assert one["p"] == other["p"]
        assert other["principles"]["honest"]["order_gap"] == pytest.approx(bias, abs=1e-5)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(4)))
def test_the_order_of_the_completions_does_not_matter(tmp_path: Path, order: list[int]) -> None:
    texts = ["a b c", "a", "a b", "a b c d e"]
    under = constitution(SHORTER, HONEST, KIND, WORDS)
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as store:
        mixed = item("x", *(texts[k] for k in order))
        plain, other = asyncio.run(
            rank_all([item("x", *texts), mixed], under, [judge(noise=1.0)], store)
        )
    assert [order[k] for k in other["ranking"]] == plain["ranking"]
    assert [other["scores"][order.index(k)] for k in range(4)] == pytest.approx(
        plain["scores"], abs=1e-5
    )


async def test_k_failing_items_are_records_and_the_others_are_scored(store: VoteStore) -> None:
    of = [
        *items(20),
        item("refused", "bad word", "fine"),
        item("off", "down now", "fine"),
    ]
    planted = judge(fail_containing={"bad word": "refused", "down now": "engine_error"})
    lines = await rank_all(of, constitution(SHORTER), [planted], store)
    assert [line["id"] for line in lines] == [one.id for one in of]
    ends = [(line["status"], line["reason"]) for line in lines]
    assert ends == [
        *[("scored", None)] * 20,
        ("unscored", "refused"),
        ("error", "engine_error"),
    ]
    assert lines[-1]["detail"] == "planted in the fake model"


async def test_a_second_run_asks_only_what_the_engine_failed_to_answer(store: VoteStore) -> None:
    of = [*items(30), item("off", "down now", "fine")]
    under = constitution(SHORTER, HONEST)
    first = judge(fail_containing={"down now": "engine_error"})
    lines = await rank_all(of, under, [first], store)
    assert asked(first) == 31 * 2 * 2
    again = judge(fail_containing={"down now": "engine_error"})
    assert [verdicts(x) for x in await rank_all(of, under, [again], store)] == [
        verdicts(x) for x in lines
    ]
    assert asked(again) == 2 * 2


async def test_judging_the_same_again_costs_nothing(store: VoteStore) -> None:
    of, under = items(10, 3), constitution(SHORTER, WORDS)
    first, again = judge(), judge()
    lines = await rank_all(of, under, [first], store)
    repeated = await rank_all(of, under, [again], store)
    assert asked(first) == 10 * 3 * 2
    assert asked(again) == 0
    assert [verdicts(x) for x in repeated] == [verdicts(x) for x in lines]
    assert all(line["usage"]["new_votes"] == 0 for line in repeated)


async def test_a_changed_wording_costs_that_principle_only(store: VoteStore) -> None:
    of = items(5)
    await rank_all(of, constitution(SHORTER, HONEST), [judge()], store)
    again = judge()
    await rank_all(of, constitution(SHORTER, {**HONEST, "text": "Be frank."}), [again], store)
    assert asked(again) == 5 * 2


async def test_the_same_prompt_under_two_ids_is_judged_once(store: VoteStore) -> None:
    one = item("a", "x", "x y")
    planted = judge()
    twin = one.model_copy(update={"id": "b"})
    lines = await rank_all([one, twin], constitution(SHORTER), [planted], store)
    assert asked(planted) == 2
    assert lines[0]["p"] == lines[1]["p"]


@pytest.mark.parametrize(
    ("texts", "status", "reason", "ranking", "unranked"),
    [
        pytest.param(
            ("one two", "", "one"), "scored", None, [2, 0], {"1": "empty_completion"}, id="empty"
        ),
        pytest.param(
            ("one two", " \n\t", "one"), "scored", None, [2, 0], {"1": "empty_completion"},
            id="only space",
        ),
        pytest.param(
            ("one two", "x" * 100_000, "one"), "scored", None, [2, 0], {"1": "too_long"},
            id="100,000 characters",
        ),
        pytest.param(
            ("one two", "bad word", "one"), "scored", None, [2, 0], {"1": "refused"}, id="refused"
        ),
        pytest.param(
            ("one", "bad word", ""), "unscored", "refused", [],
            {"0": "refused", "1": "refused", "2": "empty_completion"}, id="all pairs fail",
        ),
        pytest.param(
            ("one", "", ""), "unscored", "empty_completion", [],
            {"0": "one_completion", "1": "empty_completion", "2": "empty_completion"},
            id="one that is not empty",
        ),
        pytest.param(
            ("one", ""), "unscored", "empty_completion", [],
            {"0": "one_completion", "1": "empty_completion"}, id="the second of two is empty",
        ),
        pytest.param(
            ("", ""), "unscored", "empty_completion", [],
            {"0": "empty_completion", "1": "empty_completion"}, id="all empty",
        ),
        pytest.param(
            ("one",), "unscored", "one_completion", [], {"0": "one_completion"}, id="only one"
        ),
        pytest.param(
            ("one", "x" * 100_000), "unscored", "too_long", [],
            {"0": "too_long", "1": "too_long"}, id="one of two is too long",
        ),
    ],
)  # fmt: skip
async def test_a_completion_that_cannot_be_ranked_says_why(
    store: VoteStore,
    texts: tuple[str, ...],
    status: str,
    reason: str | None,
    ranking: list[int],
    unranked: dict[str, str],
) -> None:
    planted = judge(max_tokens=8192, fail_containing={"bad word": "refused"})
    (line,) = await rank_all([item("a", *texts)], constitution(SHORTER), [planted], store)
    assert (line["status"], line["reason"]) == (status, reason)
    assert line["ranking"] == ranking
    assert line["unranked"] == unranked
    assert [score is None for score in line["scores"]] == [
        index not in ranking for index in range(len(texts))
    ]
    assert [line["p"][i][i] for i in range(len(texts))] == [0.5] * len(texts)


async def test_duplicates_are_even_without_a_vote(store: VoteStore) -> None:
    planted = judge()
    (line,) = await rank_all([item("a", "x y", "x y")], constitution(SHORTER), [planted], store)
    assert line["status"] == "scored"
    assert line["p"] == [[0.5, 0.5], [0.5, 0.5]]
    assert line["tie_groups"] == [[0, 1]]
    assert asked(planted) == 0


SCOPED = {**HONEST, "tier": "hard", "applies_when": "The prompt is about money."}


async def test_out_of_scope_a_principle_neither_decides_nor_costs_votes(store: VoteStore) -> None:
    planted = judge(applies={"money": "never"}, preferences={"honest": "longer"})
    (line,) = await rank_all(
        [item("a", "one", "one two")], constitution(SHORTER, SCOPED), [planted], store
    )
    assert asked(planted) == 1 + 2
    assert line["ranking"] == [0, 1]
    assert line["principles"]["honest"]["applies"] < 0.05
    assert line["principles"]["honest"]["p"] == [[0.5, None], [None, 0.5]]


async def test_in_scope_the_hard_tier_decides(store: VoteStore) -> None:
    planted = judge(applies={"money": "contains:tea"}, preferences={"honest": "longer"})
    (line,) = await rank_all(
        [item("a", "one", "one two three")], constitution(SHORTER, SCOPED), [planted], store
    )
    assert line["ranking"] == [1, 0]


async def test_a_missing_hard_vote_makes_the_item_unscored(store: VoteStore) -> None:
    under = constitution(SHORTER, {**HONEST, "tier": "hard"}, min_weight=0)
    planted = judge(fail_containing={"honest": "option_missing"})
    (line,) = await rank_all([item("a", "one", "one two")], under, [planted], store)
    assert (line["status"], line["reason"]) == ("unscored", "option_missing")


async def test_a_scope_vote_that_fails_is_the_reason(store: VoteStore) -> None:
    planted = judge(fail_containing={"money": "refused"})
    (line,) = await rank_all(
        [item("a", "one", "one two")], constitution(SHORTER, SCOPED), [planted], store
    )
    assert (line["status"], line["reason"]) == ("unscored", "refused")


async def test_little_label_mass_is_unscored_not_guessed(store: VoteStore) -> None:
    planted = judge(label_mass=0.001)
    (line,) = await rank_all([item("a", "one", "one two")], constitution(SHORTER), [planted], store)
    assert (line["status"], line["reason"]) == ("unscored", "low_label_mass")


async def test_an_abstention_is_called_one(store: VoteStore) -> None:
    under = constitution(SHORTER, abstain_below=1.0)
    (line,) = await rank_all([item("a", "one", "one two")], under, [judge()], store)
    assert (line["status"], line["reason"]) == ("unscored", "below_abstention_threshold")


async def test_a_panel_is_the_mean_of_its_judges(store: VoteStore) -> None:
    of, under = items(4), constitution({"id": "p", "text": "P"})
    short = judge(preferences={"P": "shorter"})
    longer = judge(preferences={"P": "longer"})
    even = await rank_all(of, under, [short, longer], store)
    assert all(line["p"][0][1] == pytest.approx(0.5) for line in even)
    alone = await rank_all(of, under, [short], store)
    assert any(abs(line["p"][0][1] - 0.5) > 0.2 for line in alone)
    assert even[0]["digests"]["judge"] == "+".join(
        one.setting("pair").digest for one in (short, longer)
    )


async def test_of_a_panel_one_that_fails_leaves_the_other(store: VoteStore) -> None:
    of, under = [item("a", "one", "one two")], constitution(SHORTER)
    failing = judge(seed=1, failure_rates={"refused": 1.0})
    both = await rank_all(of, under, [judge(), failing], store)
    alone = await rank_all(of, under, [judge()], store)
    assert both[0]["p"] == alone[0]["p"]


async def test_a_dead_engine_stops_the_job_and_keeps_the_votes(store: VoteStore) -> None:
    of, under = items(60), constitution(SHORTER)
    await rank_all(of[:10], under, [judge()], store)
    with pytest.raises(ModelError, match=r"answered none of 120 questions .*all votes so far"):
        await rank_all(of, under, [judge(failure_rates={"engine_error": 1.0})], store)
    again = judge()
    await rank_all(of, under, [again], store)
    assert asked(again) == 50 * 2


async def test_windows_keep_the_order_and_tell_how_far_they_are(store: VoteStore) -> None:
    of, seen = items(1200), []
    parts = [
        part
        async for part in rank(
            of, constitution(SHORTER), [judge()], store, progress=lambda *at: seen.append(at)
        )
    ]
    window = WINDOW_QUESTIONS // 2
    assert len(parts) == -(-1200 // window)
    assert [line["id"] for part in parts for line in part] == [one.id for one in of]
    assert seen == [(min(k * window, 1200), 1200) for k in range(1, len(parts) + 1)]


async def test_a_caller_who_stops_early_leaves_no_task_behind(store: VoteStore) -> None:
    lines = rank(items(1200), constitution(SHORTER), [judge(latency_s=0.01)], store)
    await anext(lines)
    await lines.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_of_rules_alone_no_judge_is_asked(store: VoteStore) -> None:
    planted = judge()
    texts = ("One two three four five six.", "One two", "One two.")
    (line,) = await rank_all([item("a", *texts)], constitution(WORDS, FULL), [planted], store)
    assert asked(planted) == 0
    assert line["ranking"] == [2, 1, 0]


async def test_how_sampling_ended_never_sways_a_stored_vote(store: VoteStore) -> None:
    """Equal questions have equal keys: a rule reads no more than the key names."""
    whole, cut = (
        Item(
            id=reason,
            prompt=(Message(role="user", content="hi"),),
            completions=(
                CompletionText(text="One.", finish_reason=reason),
                CompletionText(text="2"),
            ),
        )
        for reason in ("stop", "length")
    )
    forward = await rank_all([whole, cut], constitution(FULL), [judge()], store)
    assert forward[0]["p"] == forward[1]["p"]


@given(st.integers(2, 12))
def test_a_ring_is_connected_closed_and_as_few_as_can_be(size: int) -> None:
    pairs = chosen_pairs(size, "ring")
    assert len(pairs) == len(set(pairs)) == min(size, size * (size - 1) // 2)
    assert all(i < j for i, j in pairs)
    assert {k for pair in pairs for k in pair} == set(range(size))


@given(st.integers(2, 12))
def test_a_chain_is_the_fewest_pairs_that_connect_all(size: int) -> None:
    assert chosen_pairs(size, "chain") == [(i, i + 1) for i in range(size - 1)]


def test_a_ring_passes_over_empty_completions() -> None:
    digests = tuple(EMPTY if k in (0, 3) else text_digest(str(k)) for k in range(7))
    ballot = Ballot(
        id="a", conversation="c", completions=digests,
        settings=Settings(pair=(), applies=(), rule=""),
    )  # fmt: skip
    assert judged_pairs(ballot, "ring") == [(1, 2), (1, 6), (2, 4), (4, 5), (5, 6)]


async def test_a_ring_ranks_all_with_fewer_votes(store: VoteStore) -> None:
    texts = ["one " * k for k in (3, 1, 6, 2, 5, 4)]
    planted = judge()
    (line,) = await rank_all([item("a", *texts)], constitution(SHORTER), [planted], store, "ring")
    assert asked(planted) == 6 * 2
    assert line["ranking"] == [1, 3, 0, 5, 4, 2]
    assert line["observed"] == [[0, 1], [0, 5], [1, 2], [2, 3], [3, 4], [4, 5]]


def test_a_ballot_tells_texts_apart_but_not_kinds_of_empty() -> None:
    ballot = ballot_of(item("a", "x", "x ", "", " \n"), Settings(pair=(), applies=(), rule=""))
    assert len(set(ballot.completions)) == 3
    assert ballot.completions[2:] == (EMPTY, EMPTY)
