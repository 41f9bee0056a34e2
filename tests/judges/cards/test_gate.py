"""A judge without a good card is said loudly, where labels are made and where they go."""

import json
from pathlib import Path
from typing import Any

import pytest

from judges.calibration.estimates import Estimate
from judges.cards.breakdown import Breakdown
from judges.cards.card import gate_of
from judges.cards.gate import (
    card_lines,
    cards_folder,
    check_card,
    find_card,
    keep_card,
    mark_in,
    warning_of,
)
from judges.errors import ConfigError, DataError
from tests.judges.planted import HONEST, WORDS, constitution

UNDER = constitution(HONEST)
OTHER = constitution({"id": "honest", "text": "Be frank."})


def made_card(gate: str = "ok", n: int = 100, under: Any = UNDER) -> dict[str, Any]:
    return {
        "format": "charter judge card",
        "n": n,
        "gate": gate,
        "gate_reason": f"reason {gate}",
        "later_versions": "may say more",
        "subject": {
            "judges": ["strict"],
            "settings": ["s1"],
            "constitution": under.reference,
            "judged_digest": under.digests.judged,
        },
    }


@pytest.mark.parametrize(
    ("gate", "heard"),
    [
        ("ok", ""),
        ("above_chance_only", "WARNING: judge strict is reason above_chance_only; labels may say"),
        ("chance", "WARNING: judge strict is reason chance; use another judge"),
    ],
)
def test_a_card_is_found_by_how_judges_are_asked_and_said_where_it_is_not_good(
    gate: str, heard: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = keep_card(made_card(gate))
    assert path.is_relative_to(cards_folder())
    mark = check_card(["strict"], ["s1"], UNDER)
    assert (mark.gate, mark.constitution) == (gate, None)
    assert mark.digest is not None and len(mark.digest) == 64
    assert capsys.readouterr().err.startswith(heard)


def test_a_missing_card_names_the_command_and_is_refused_when_required(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check_card(["strict"], ["s1"], UNDER).gate == "missing"
    told = capsys.readouterr().err
    assert "WARNING: judge strict has no judge card" in told
    assert "charter judge-card --data LABELLED --constitution planted@1.0.0 --judge strict" in told
    with pytest.raises(
        ConfigError, match=r"--require-card: judge strict has no judge card.*charter"
    ):
        check_card(["strict"], ["s1"], UNDER, require=True)
    assert check_card(["any"], ["s1"], constitution(WORDS), require=True).gate == "rules_only"


def test_a_required_card_must_be_better_than_chance() -> None:
    keep_card(made_card("chance"))
    with pytest.raises(ConfigError, match="--require-card: judge strict is reason chance"):
        check_card(["strict"], ["s1"], UNDER, require=True)
    keep_card(made_card("above_chance_only"))
    assert check_card(["strict"], ["s1"], UNDER, require=True).gate == "above_chance_only"


def test_a_card_under_the_same_texts_is_taken_before_a_larger_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    keep_card(made_card("ok", n=900, under=OTHER))
    mark = check_card(["strict"], ["s1"], UNDER)
    assert mark.constitution == OTHER.reference
    assert "has a good card, but under planted@1.0.0" in capsys.readouterr().err
    keep_card(made_card("chance", n=10))
    assert find_card(["s1"], UNDER.digests.judged).gate == "chance"
    assert find_card(["s1"], None).gate == "ok"


def test_the_judges_of_a_panel_may_stand_in_any_order() -> None:
    card = made_card()
    card["subject"]["settings"] = ["s1", "s2"]
    keep_card(card)
    assert find_card(["s2", "s1"], None).gate == "ok"
    assert find_card(["s1"], None).gate == "missing"


def test_a_named_card_must_be_one_and_be_this_judges(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(made_card()))
    assert find_card(["s1"], UNDER.digests.judged, path).gate == "ok"
    with pytest.raises(ConfigError, match=r"card\.json: is the card of strict, asked in another"):
        find_card(["s9"], None, path)
    path.write_text("{}")
    with pytest.raises(ConfigError, match=r"card\.json: is no judge card; write it anew"):
        find_card(["s1"], None, path)


def test_a_ranking_line_without_a_mark_is_looked_up_by_its_judges() -> None:
    line: dict[str, Any] = {"id": "a", "digests": {"judge": "s1+s2"}}
    assert mark_in(line).gate == "missing"
    card = made_card()
    card["subject"]["settings"] = ["s1", "s2"]
    keep_card(card)
    assert mark_in(line).gate == "ok"
    assert mark_in({**line, "card": {"gate": "chance", "told": "no better"}}).told == "no better"
    with pytest.raises(DataError, match="ranking 'a': `card` is no mark"):
        mark_in({**line, "card": {"gate": "fine"}})


def test_the_card_of_an_adapter_that_ships_counts_where_it_judges(tmp_path: Path) -> None:
    """Alone it is the judge's card; beside the base, which has none, it is told."""
    ships = tmp_path / "safe"
    ships.mkdir()
    manifest = {"family": "harmlessness", "by_default": True, "measured": "well"}
    (ships / "adapter.json").write_text(json.dumps(manifest))
    (ships / "card.json").write_text(json.dumps(made_card()))
    assert find_card(["s1"], None, adapters=tmp_path).gate == "ok"
    both = find_card(["base", "s1"], None, adapters=tmp_path)
    assert (both.gate, "its adapter under planted@1.0.0: reason ok" in both.told) == (
        "missing",
        True,
    )
    assert "chance; its adapter under" in warning_of(both, ["default"], "planted")
    assert find_card(["base"], None, adapters=tmp_path).told == "no judge card was found"


def test_a_dataset_card_says_a_bad_judge_in_bold() -> None:
    keep_card(made_card("chance"))
    bad, missing = find_card(["s1"], None), find_card(["s2"], None)
    first, second = card_lines([bad, missing]).split("\n")
    assert first.startswith("- **chance: reason chance**") and str(bad.digest) in first
    assert second.startswith("- **The judge has no judge card")


def row(accuracy: tuple[float, float] | None, gain: tuple[float, float] | None) -> Breakdown:
    def estimate(ends: tuple[float, float] | None) -> Estimate | None:
        return ends and Estimate(value=sum(ends) / 2, low=ends[0], high=ends[1], n=50)

    nothing = dict.fromkeys(("flip_rate", "order_gap", "inversion", "kappa", "ece", "nll"))
    return Breakdown(
        name="all", n=50, unscored=0, ties=0, nulls={}, best_null="longest",
        accuracy=estimate(accuracy), above_best_null=estimate(gain), **nothing,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("accuracy", "gain", "gate"),
    [
        (None, None, "chance"),
        ((0.5, 0.7), (0.1, 0.2), "chance"),
        ((0.2, 0.4), (-0.3, -0.1), "chance"),
        ((0.51, 0.7), (0.0, 0.2), "above_chance_only"),
        ((0.51, 0.7), (0.01, 0.2), "ok"),
    ],
    ids=["nothing scored", "touches chance", "below chance", "no better null", "both"],
)
def test_the_gate_needs_both_intervals(
    accuracy: tuple[float, float] | None, gain: tuple[float, float] | None, gate: str
) -> None:
    assert gate_of(row(accuracy, gain))[0] == gate
