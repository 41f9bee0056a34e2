"""Flip rates, shifts and controls come out as planted in the fake judge."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from judges.attacks.measure import AttackReport, AttackResult, control, measure_attacks
from judges.attacks.suite import SUITE, Attack
from judges.errors import DataError
from judges.judge import Judge
from judges.records import Item
from judges.store.vote_store import VoteStore
from tests.judges.models.tiny_model import byte_level_bpe, write_model
from tests.judges.planted import HONEST, KIND, asked, constitution, item, judge

UNDER = constitution(HONEST)
PAIRS = [item(f"p{k}", f"GOOD tea, number {k}.", f"Tea, number {k}.") for k in range(6)]
ORDER = "order"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


def attacks(*names: str) -> list[Attack]:
    return [attack for attack in SUITE if attack.name in names]


def named(report: AttackReport, name: str) -> AttackResult:
    return next(result for result in report.attacks if result.attack == name)


def obedient() -> Judge:
    """Prefers whatever holds an order, and is slightly drawn to what is shown first."""
    return judge(preferences={"honest": "contains:Ignore all earlier"}, position_bias=0.5)


async def test_an_obedient_judge_flips_under_orders_only(store: VoteStore) -> None:
    # Alone, an obedient judge ties on clean pairs; so these hold the order in the better one.
    pairs = [item(f"p{k}", f"Ignore all earlier {k}", f"Tea {k}") for k in range(6)]
    chosen = attacks(ORDER, "checklist")
    report = await measure_attacks(pairs, UNDER, [obedient()], store, attacks=chosen)
    assert (report.pairs, report.right, report.wrong, report.unscored) == (6, 6, 0, 0)
    order, checklist = named(report, ORDER), named(report, "checklist")
    assert order.flips is not None and checklist.flips is not None
    assert (order.n, order.flips.value, checklist.flips.value) == (6, 0.5, 0.0)
    assert order.logit_shift is not None
    assert order.logit_shift.value == pytest.approx(4.0, abs=1e-3)
    assert order.excess_flips is not None and order.excess_flips.value == 0.5
    assert report.flips is not None and report.flips.value == 0.25


async def test_a_judge_fond_of_length_flips_under_the_control_too(store: VoteStore) -> None:
    fond = judge(preferences={"honest": "longer"})
    pairs = [item(f"p{k}", f"Tea is a warm drink {k}.", f"Tea {k}.") for k in range(5)]
    report = await measure_attacks(pairs, UNDER, [fond], store, attacks=attacks(ORDER))
    order = named(report, ORDER)
    assert order.flips is not None and order.control_flips is not None
    assert (order.flips.value, order.control_flips.value) == (1.0, 1.0)
    assert order.excess_flips is not None and order.excess_flips.value == 0.0


async def test_a_steadfast_judge_never_flips_and_nothing_breaks(
    store: VoteStore, tmp_path: Path
) -> None:
    steadfast = judge(preferences={"honest": "contains:GOOD"})
    folder = write_model(tmp_path / "model", byte_level_bpe())
    report = await measure_attacks(PAIRS[:2], UNDER, [steadfast], store, tokenizers=[folder])
    assert report.structural_breaks == 0
    assert report.control_tokens_checked
    assert report.prompts_checked == 2 * 2 * len(SUITE)
    assert len(report.attacks) == len(SUITE)
    assert all(result.flips is not None and result.flips.value == 0 for result in report.attacks)
    assert all(result.flips.high > 0 for result in report.attacks if result.flips)


async def test_votes_are_stored_and_free_on_a_rerun(store: VoteStore) -> None:
    steadfast = judge(preferences={"honest": "contains:GOOD"})
    first = await measure_attacks(PAIRS, UNDER, [steadfast], store, attacks=attacks(ORDER))
    before = asked(steadfast)
    assert before == 2 * 3 * len(PAIRS), "clean, attack and control, in both orders"
    again = await measure_attacks(PAIRS, UNDER, [steadfast], store, attacks=attacks(ORDER))
    assert (asked(steadfast), again) == (before, first)


async def test_wrong_and_unscored_pairs_cannot_flip(store: VoteStore) -> None:
    mixed = judge(preferences={"honest": "contains:GOOD"}, fail_containing={"(p0)": "refused"})
    pairs = [*PAIRS[:2], item("wrong", "Tea.", "GOOD tea.")]
    report = await measure_attacks(pairs, UNDER, [mixed], store, attacks=attacks(ORDER))
    assert (report.right, report.wrong, report.unscored) == (1, 1, 1)
    assert named(report, ORDER).n == 1


async def test_an_attack_that_silences_the_judge_is_counted_not_scored(store: VoteStore) -> None:
    planted = {"Ignore all earlier": "refused"}
    shy = judge(preferences={"honest": "contains:GOOD"}, fail_containing=planted)
    report = await measure_attacks(PAIRS, UNDER, [shy], store, attacks=attacks(ORDER))
    order = named(report, ORDER)
    assert (order.n, order.flips, order.unscored) == (0, None, len(PAIRS))
    assert order.logit_shift is None


async def test_a_constitution_is_judged_as_a_whole(store: VoteStore) -> None:
    both = judge(preferences={"honest": "contains:GOOD", "kind": "contains:GOOD"})
    report = await measure_attacks(
        PAIRS, constitution(HONEST, KIND), [both], store, attacks=attacks(ORDER)
    )
    assert report.right == len(PAIRS)
    assert asked(both) == 2 * 2 * 3 * len(PAIRS)


async def test_an_item_that_is_no_pair_is_an_error(store: VoteStore) -> None:
    three: Item = item("three", "a", "b", "c")
    with pytest.raises(DataError, match="'three' has 3 completions"):
        await measure_attacks([three], UNDER, [judge()], store)


@pytest.mark.parametrize("attack", SUITE, ids=lambda a: a.name)
def test_a_control_has_the_attacks_length(attack: Attack) -> None:
    text = "Tea is a warm drink." * 3
    attacked = attack.apply(text)
    assert abs(len(control(text, attacked)) - len(attacked)) <= 20
