"""What is planted in judges and pairs comes out on their card."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from judges.cards.breakdown import NULLS
from judges.cards.confidence import CardSettings
from judges.cards.labelled import LabelledPair
from judges.store.vote_store import VoteStore
from tests.judges.cards.made_pairs import BLIND, SEES, card_of, made_pairs
from tests.judges.planted import FULL, WORDS, asked, constitution, item, judge

PLAIN = CardSettings(inversion_pairs=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


async def test_a_judge_that_sees_the_better_side_passes_and_a_rerun_is_free(
    store: VoteStore,
) -> None:
    pairs = made_pairs(60)
    sees = judge(preferences=SEES)
    card = await card_of(pairs, [sees], store)
    assert (card.n, card.unscored, card.accuracy, card.gate) == (60, 0, 1.0, "ok")
    assert (card.flip_rate, card.inversion) == (0.0, 1.0)
    assert card.cost.votes == 120 and card.cost.prompt_tokens > 1000
    before = asked(sees)
    assert await card_of(pairs, [sees], store) == card
    assert asked(sees) == before == 240


async def test_a_judge_that_does_not_read_the_principle_does_not_turn_round(
    store: VoteStore,
) -> None:
    card = await card_of(made_pairs(40), [judge(preferences=BLIND)], store)
    assert card.inversion == 0.0
    assert card.principles[0].inversion is not None and card.principles[0].inversion.value == 0.0
    assert card.negation.n == 40
    assert card.gate == "ok"  # right for this principle, deaf to others: the card says both


async def test_inversion_asks_about_no_more_pairs_than_told_and_not_about_rules(
    store: VoteStore,
) -> None:
    one = judge(preferences=SEES)
    under = constitution({"id": "good", "text": "Be good."}, WORDS)
    few = CardSettings(inversion_pairs=7)
    card = await card_of(made_pairs(20), [one], store, under=under, options=few)
    assert asked(one) == 2 * 20 + 2 * 7
    assert card.negation.n == 7 and set(card.negation.principles) == {"good"}
    rules = await card_of(made_pairs(20), [one], store, under=constitution(WORDS, FULL))
    assert rules.inversion is None and rules.negation.reason == "the constitution has rules only"
    assert rules.flip_rate == 0.0


async def test_an_always_first_judge_flips_always_and_is_at_chance(store: VoteStore) -> None:
    first = judge(position_bias=50, preferences={"Be good": "indifferent"})
    card = await card_of(made_pairs(50), [first], store)
    assert (card.flip_rate, card.accuracy, card.gate) == (1.0, 0.5, "chance")
    assert card.inversion is None and card.negation.undecided == 50
    gap = card.principles[0].order_gap
    assert gap is not None and gap.value == pytest.approx(50)


async def test_a_planted_place_bias_is_found_and_moves_no_verdict(store: VoteStore) -> None:
    fair, biased = judge(preferences=SEES), judge(preferences=SEES, position_bias=1.5)
    one, other = [await card_of(made_pairs(30), [j], store, options=PLAIN) for j in (fair, biased)]
    assert one.accuracy == other.accuracy == 1.0
    assert one.overall.order_gap is not None and other.overall.order_gap is not None
    assert one.overall.order_gap.value == pytest.approx(0, abs=1e-9)
    assert other.overall.order_gap.value == pytest.approx(1.5)


async def test_a_taste_for_length_stands_next_to_peoples_own(store: VoteStore) -> None:
    longer = judge(preferences={"Be good": "longer"})
    card = await card_of(made_pairs(80), [longer], store, options=PLAIN)
    assert card.lengths is not None and card.lengths.difference is not None
    assert card.lengths.judge.share.value > 0.9 > 0.65 > card.lengths.human.share.value > 0.35
    assert card.lengths.difference.low > 0


async def test_a_ruler_gains_nothing_on_the_best_null(store: VoteStore) -> None:
    pairs = [
        LabelledPair(item=item(f"i{k}", "word " * (3 + k % 5), "word"), preferred=1.0)
        for k in range(40)
    ]
    ruler = judge(preferences={"Be good": "longer"})
    card = await card_of(pairs, [ruler], store, options=PLAIN)
    assert card.accuracy == 1.0
    assert card.nulls == {"first": 1.0, "longest": 1.0, "shortest": 0.0, "random": 0.5}
    assert card.gate == "above_chance_only"
    assert card.gate_reason.startswith("better than chance only: accuracy 100.0%")


async def test_calibration_recovers_the_temperature_labels_were_drawn_with(
    store: VoteStore,
) -> None:
    rng = np.random.default_rng(3)
    pairs = [
        LabelledPair(item=item(f"i{k}", "x " * rng.integers(1, 60), "y " * rng.integers(1, 60)),
                     preferred=1.0)
        for k in range(400)
    ]  # fmt: skip
    ruler = judge(preferences={"Be good": "longer"}, strength=3.0)
    sizes = np.array([[len(c.text.split()) for c in pair.item.completions] for pair in pairs])
    raw = 3.0 * (np.log2(1 + sizes[:, 0]) - np.log2(1 + sizes[:, 1]))
    won = rng.random(400) < expit(raw / 2.5)
    pairs = [
        pair.model_copy(update={"preferred": float(first)})
        for pair, first in zip(pairs, won.tolist(), strict=True)
    ]
    card = await card_of(pairs, [ruler], store, options=PLAIN)
    fitted = card.confidence.fitted
    assert fitted is not None and fitted.temperature == pytest.approx(2.5, rel=0.2)
    kinds = {one.kind: one for one in card.confidence.calibrations}
    assert set(kinds) == {"temperature", "platt", "isotonic"}
    assert kinds["temperature"].nll.high < 0 and kinds["temperature"].ece.high < 0
    rule = card.confidence.abstention
    assert rule is not None and rule.threshold is not None and rule.agreement is not None
    assert rule.agreement.value >= 0.8 and rule.alpha == 0.2
    shares = [point.coverage.value for point in card.confidence.coverage]
    assert shares == sorted(shares) and shares[-1] == 1.0


async def test_ties_count_half_and_unscored_pairs_are_counted_with_their_reason(
    store: VoteStore,
) -> None:
    pairs = [*made_pairs(20, ties=10), LabelledPair(item=item("e", "", "GOOD"), preferred=0.0)]
    sees = judge(preferences=SEES, fail_containing={"answer 12": "refused"})
    card = await card_of(pairs, [sees], store, options=PLAIN)
    assert (card.n, card.unscored, card.overall.ties) == (19, 2, 10)
    assert card.unscored_reasons == {"empty_completion": 1, "refused": 1}
    assert card.accuracy == pytest.approx((9 + 5) / 19)


async def test_nothing_scored_is_a_card_without_numbers_that_fails_its_gate(
    store: VoteStore,
) -> None:
    mute = judge(failure_rates={"refused": 1.0})
    card = await card_of(made_pairs(5), [mute], store)
    assert (card.n, card.unscored, card.accuracy, card.flip_rate) == (0, 5, None, None)
    assert (card.inversion, card.ece, card.nll, card.nulls, card.gate) == (
        None, None, None, {}, "chance",
    )  # fmt: skip


async def test_slices_and_principles_have_rows_of_their_own(store: VoteStore) -> None:
    under = constitution(
        {"id": "good", "text": "Be good.", "weight": 9.0},
        {"id": "bad", "text": "Be bad."},
        WORDS,
    )
    one = judge(preferences={**SEES, "Be bad": "avoids:GOOD"})
    card = await card_of(made_pairs(30), [one], store, under=under, options=PLAIN)
    assert [(row.name, row.n) for row in card.slices] == [("even", 15), ("odd", 15)]
    rows = {row.name: row for row in card.principles}
    assert list(rows) == ["good", "bad", "few-words"]
    assert [rows[name].accuracy.value for name in ("good", "bad")] == [1.0, 0.0]  # type: ignore[union-attr]
    assert rows["few-words"].flip_rate is None
    assert all(set(row.nulls) == set(NULLS) for row in card.principles)


async def test_annotators_are_compared_with_each_other_and_with_the_judge(
    store: VoteStore,
) -> None:
    pairs = [
        pair.model_copy(update={"annotations": (pair.preferred, pair.preferred, 1.0)})
        for pair in made_pairs(60)
    ]
    card = await card_of(pairs, [judge(preferences=SEES)], store, options=PLAIN)
    human, judge_one = card.agreement.human, card.agreement.with_one_annotator
    assert human is not None and judge_one is not None
    away = sum(pair.preferred == 0 for pair in pairs) / 60
    assert judge_one.value == pytest.approx(1 - away / 3)
    assert human.pairwise.value == pytest.approx(1 - away * 2 / 3)
    assert card.agreement.alpha is not None and card.agreement.alpha.value == 1.0


async def test_a_panel_has_a_row_a_judge_their_disagreement_and_a_stacker(
    store: VoteStore,
) -> None:
    sees, guesses = judge(preferences=SEES, noise=1.0), judge(preferences={"Be good": "random"})
    panel = [sees, type(guesses)("guesses", guesses.model)]
    alone = await card_of(made_pairs(60), [sees], store, options=PLAIN)
    assert alone.panel is None
    spent = asked(*panel)
    card = await card_of(made_pairs(60), panel, store, options=PLAIN)
    assert asked(*panel) == spent + 120  # the one judge's votes were there
    report = card.panel
    assert report is not None and report.stacker is not None and report.comparison is not None
    rows = {row.name: row for row in report.judges}
    assert rows["fake"].accuracy == alone.overall.accuracy
    assert report.disagreement is not None and report.disagreement.differ.value > 0.2
    assert report.stacker.weights[0] > report.stacker.weights[1]
    assert set(report.temperatures) == {"fake", "guesses"}


@pytest.mark.parametrize("kind", ["yes_no", "point", "list"])
async def test_other_ways_of_asking_have_cards_without_orders(store: VoteStore, kind: Any) -> None:
    pairs = made_pairs(60)
    good = await card_of(pairs, [judge(preferences=SEES)], store, kind=kind)
    assert good.accuracy is not None and good.accuracy > 0.9
    assert good.flip_rate is None
    assert good.n == 60
    again = await card_of(pairs, [judge(preferences=SEES)], store, kind=kind)
    assert again == good
    pair = await card_of(pairs, [judge(preferences=SEES)], store)
    assert pair.subject.settings != good.subject.settings
