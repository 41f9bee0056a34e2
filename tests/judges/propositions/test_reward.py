"""Scores: means as the constitution weighs them, sums as a fit does, nothing made up for a gap."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.constitutions.constitution import Constitution
from judges.errors import DataError
from judges.propositions.reward import (
    combined_scores,
    proposition_columns,
    score_completions,
    weighted_mean,
    weighted_sum,
)

NAN = float("nan")


def made(*principles: dict[str, Any], min_weight: float = 0.8) -> Constitution:
    common = {"family": "tone", "title": "T", "text": "The better completion is better."}
    return Constitution.model_validate(
        {
            "name": "made",
            "version": "1.0.0",
            "title": "Made",
            "licence": "CC0-1.0",
            "aggregate": {"min_weight": min_weight},
            "principles": [common | principle for principle in principles],
        }
    )


def stated(name: str, *propositions: dict[str, Any], **more: Any) -> dict[str, Any]:
    rows = [{"id": f"p{i}", "text": "It is so."} | row for i, row in enumerate(propositions)]
    return {"id": name, "propositions": rows, **more}


CONSTITUTION = made(
    stated("kind", {"weight": 3}, {"expect": False}, weight=2.0),
    {"id": "unstated"},
    stated("short", {}),
)


def test_columns_are_named_by_principle_and_statement_in_order() -> None:
    names = [column.name for column in proposition_columns(CONSTITUTION)]
    assert names == ["kind/p0", "kind/p1", "short/p0"]


def test_a_score_is_the_weighted_mean_of_the_expected_answers() -> None:
    (score,) = score_completions(CONSTITUTION, np.array([[0.8, 0.4, 0.5]]))
    kind = (3 * 0.8 + 1 * (1 - 0.4)) / 4
    assert score.principles == {"kind": pytest.approx(kind), "short": pytest.approx(0.5)}
    assert score.score == pytest.approx((2 * kind + 0.5) / 3)
    assert score.propositions == {"kind/p0": 0.8, "kind/p1": 0.4, "short/p0": 0.5}
    assert (score.status, score.reason) == ("scored", None)


@pytest.mark.parametrize(
    ("min_weight", "phi", "scored"),
    [
        pytest.param(0.8, [NAN, 0.4, 0.5], False, id="three quarters of a principle missing"),
        pytest.param(0.75, [0.8, NAN, 0.5], True, id="a quarter missing where a quarter may"),
        pytest.param(0.8, [0.8, NAN, 0.5], False, id="a quarter missing where a fifth may"),
        pytest.param(0.6, [0.8, 0.4, NAN], True, id="a third of the principles missing"),
        pytest.param(0.7, [0.8, 0.4, NAN], False, id="a third where three tenths may"),
        pytest.param(0.0, [NAN, NAN, NAN], False, id="nothing there, whatever may be missing"),
    ],
)
def test_too_much_missing_weight_is_unscored(
    min_weight: float, phi: list[float], scored: bool
) -> None:
    constitution = CONSTITUTION.model_copy(
        update={"aggregate": CONSTITUTION.aggregate.model_copy(update={"min_weight": min_weight})}
    )
    (score,) = score_completions(constitution, np.array([phi]))
    assert (score.score is not None) is scored
    assert score.status == ("scored" if scored else "unscored")
    assert score.reason == (None if scored else "missing_vote")


def test_what_is_there_counts_for_the_whole_never_a_default() -> None:
    constitution = made(stated("kind", {"weight": 9}, {}))
    (score,) = score_completions(constitution, np.array([[0.25, NAN]]))
    assert score.score == 0.25
    assert score.propositions["kind/p1"] is None


def test_a_hard_principle_without_a_score_makes_it_unscored() -> None:
    constitution = made(stated("a", {}, tier="hard", weight=0.01), stated("b", {}))
    (score,) = score_completions(constitution, np.array([[NAN, 0.9]]))
    assert (score.score, score.reason) == (None, "missing_vote")


def test_a_principle_out_of_scope_neither_counts_nor_is_missed() -> None:
    constitution = made(stated("a", {}, tier="hard"), stated("b", {}))
    phi, applies = np.array([[NAN, 0.9], [0.1, 0.9]]), np.array([[0.0, 1.0], [0.5, 1.0]])
    out, half = score_completions(constitution, phi, applies)
    assert out.score == pytest.approx(0.9)
    assert half.score == pytest.approx((0.5 * 0.1 + 0.9) / 1.5)


def test_an_unknown_scope_counts_as_missing() -> None:
    principles = made(stated("a", {}), stated("b", {})).principles
    found = combined_scores(np.array([[0.9, 0.9]]), principles, 0.8, np.array([[NAN, 1.0]]))
    assert np.isnan(found).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_a_mean_lies_between_its_parts_whatever_the_weights(values: list[float], seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(0.01, 10, len(values))
    mean = weighted_mean(np.array([values]), weights)[0]
    assert min(values) - 1e-12 <= mean <= max(values) + 1e-12


def test_a_sum_adds_weights_of_either_sign_to_the_base() -> None:
    phi = np.array([[0.5, 0.25], [1.0, 0.0]])
    found = weighted_sum(phi, [2.0, -4.0], np.array([10.0, 20.0]))
    assert found == pytest.approx([10.0, 22.0])


def test_a_sum_with_a_gap_is_unscored_unless_asked_otherwise_and_then_scaled() -> None:
    phi = np.array([[0.5, NAN]])
    assert np.isnan(weighted_sum(phi, [3.0, -1.0])).all()
    assert weighted_sum(phi, [3.0, -1.0], min_weight=0.75) == pytest.approx([4 / 3 * 1.5])
    assert weighted_sum(phi, [3.0, 0.0]) == pytest.approx([1.5])
    assert np.isnan(weighted_sum(np.array([[0.5]]), [3.0], np.array([NAN]))).all()


def test_wrong_shapes_and_constitutions_without_statements_are_refused() -> None:
    with pytest.raises(DataError, match="no principle has propositions"):
        score_completions(made({"id": "a"}), np.empty((1, 0)))
    with pytest.raises(DataError, match="one column a statement, 3"):
        score_completions(CONSTITUTION, np.ones((1, 2)))
    with pytest.raises(DataError, match="give one a column"):
        weighted_sum(np.ones((1, 2)), [1.0])
