"""Quality of answers: closed forms, nulls, and what has no meaning is None."""

import numpy as np
import pytest

from judges.errors import DataError
from judges.propositions.auroc import auroc
from judges.propositions.report import PropositionReport, proposition_report
from judges.propositions.table import report_table

SAID = np.array([1, 1, 1, -1, -1, -1, -1, -1, -1, -1], dtype=float)
TRUE = np.array([1, 1, 0, 1, 1, 0, 0, 0, 0, 0], dtype=float)


def report_of(logits: np.ndarray, labels: np.ndarray) -> PropositionReport:
    names = [f"s{i}" for i in range(logits.shape[1])]
    return proposition_report(names, logits, labels)


def one(logits: np.ndarray, labels: np.ndarray) -> PropositionReport:
    return report_of(logits[:, None], labels[:, None])


def test_accuracy_precision_recall_and_f1_by_hand() -> None:
    (found,) = one(SAID, TRUE).propositions
    values = {
        name: getattr(found, name).value
        for name in ("base_rate", "accuracy", "precision", "recall", "f1")
    }
    assert values == pytest.approx(
        {"base_rate": 0.4, "accuracy": 0.7, "precision": 2 / 3, "recall": 0.5, "f1": 4 / 7}
    )
    assert found.precision is not None
    assert found.recall is not None
    assert (found.n, found.precision.n, found.recall.n) == (10, 3, 4)


def test_nulls_by_hand() -> None:
    nulls = one(SAID, TRUE).propositions[0].nulls
    accuracy = {name: null.accuracy.value for name, null in nulls.items()}
    f1 = {name: null.f1.value for name, null in nulls.items() if null.f1}
    assert accuracy == pytest.approx(
        {"always_yes": 0.4, "always_no": 0.6, "base_rate_coin": 0.52, "random": 0.5}
    )
    assert f1 == pytest.approx(
        {"always_yes": 0.8 / 1.4, "always_no": 0, "base_rate_coin": 0.4, "random": 0.4 / 0.9}
    )


@pytest.mark.parametrize(("said", "null"), [(2.0, "always_yes"), (-2.0, "always_no")])
def test_a_judge_that_is_a_null_scores_as_that_null(said: float, null: str) -> None:
    found = one(np.full(10, said), TRUE)
    (row,) = found.propositions
    assert row.accuracy is not None
    assert row.f1 is not None
    assert row.f1.value == pytest.approx(getattr(row.nulls[null].f1, "value", None))
    assert row.accuracy.value == pytest.approx(row.nulls[null].accuracy.value)
    assert found.macro.accuracy_above_best_null.value <= 0
    assert row.auroc is not None
    assert row.auroc.value == 0.5


def test_a_coin_by_simulation_meets_its_null() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(2_000) < 0.3).astype(float)
    guesses = np.where(rng.random(2_000) < 0.3, 1.0, -1.0)
    (row,) = one(guesses, labels).propositions
    null = row.nulls["base_rate_coin"]
    assert row.accuracy is not None and row.f1 is not None and null.f1 is not None
    assert row.accuracy.value == pytest.approx(null.accuracy.value, abs=0.03)
    assert row.f1.value == pytest.approx(null.f1.value, abs=0.04)


def test_a_statement_never_true_has_no_recall_f1_or_auroc_and_is_in_no_mean_f1() -> None:
    logits = np.column_stack([SAID, SAID])
    labels = np.column_stack([TRUE, np.zeros(10)])
    found = report_of(logits, labels)
    never = found.propositions[1]
    assert (never.recall, never.f1, never.auroc) == (None, None, None)
    assert never.precision is not None
    assert never.precision.value == 0
    assert never.nulls["always_yes"].f1 is None
    assert never.nulls["always_no"].accuracy.low < 1
    assert (found.macro.statements, found.macro.statements_f1) == (2, 1)
    assert found.macro.f1 is not None
    assert found.macro.f1.value == pytest.approx(4 / 7)


def test_missing_answers_are_counted_and_in_nothing_else() -> None:
    logits = np.column_stack([np.append(SAID, np.nan), np.full(11, np.nan)])
    labels = np.column_stack([np.append(TRUE, 1), np.append(TRUE, 1)])
    found = report_of(logits, labels)
    row, nothing = found.propositions
    assert (row.n, row.unscored) == (10, 1)
    assert row.accuracy is not None
    assert row.accuracy.value == pytest.approx(0.7)
    assert (nothing.n, nothing.unscored, nothing.accuracy, nothing.nulls) == (0, 11, None, {})
    assert found.macro.statements == 1
    assert found.macro.accuracy.value == pytest.approx(0.7)


def test_means_count_statements_alike() -> None:
    logits = np.column_stack([SAID, np.where(TRUE == 1, 1.0, -1.0)])
    found = report_of(logits, np.column_stack([TRUE, TRUE])).macro
    assert found.accuracy.value == pytest.approx(0.85)
    assert found.f1 is not None
    assert found.f1.value == pytest.approx((4 / 7 + 1) / 2)
    assert found.accuracy.low <= 0.85 <= found.accuracy.high
    assert found.accuracy_above_best_null.value == pytest.approx(0.25)


def test_a_faultless_judge_is_not_certain() -> None:
    (row,) = one(np.where(TRUE == 1, 3.0, -3.0), TRUE).propositions
    for estimate in (row.accuracy, row.precision, row.recall, row.f1, row.auroc):
        assert estimate is not None
        assert estimate.value == estimate.high == 1
        assert estimate.low < 0.95


@pytest.mark.parametrize(
    ("logits", "labels", "expected"),
    [
        ([0, 1, 2, 3], [0, 0, 1, 1], 1.0),
        ([3, 2, 1, 0], [0, 0, 1, 1], 0.0),
        ([1, 1, 1, 1], [0, 0, 1, 1], 0.5),
        ([0, 2, 1, 2], [0, 0, 1, 1], 0.625),
    ],
)
def test_auroc_by_hand(logits: list[float], labels: list[float], expected: float) -> None:
    found = auroc(logits, labels)
    assert found is not None
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high


def test_auroc_interval_covers_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    true_value = 0.7602  # Φ(1/√2) for unit normals one apart
    labels = np.repeat([0.0, 1.0], [60, 40])
    found = [auroc(rng.normal(size=100) + labels, labels) for _ in range(400)]
    covered = np.mean([e.low <= true_value <= e.high for e in found if e is not None])
    assert 0.92 <= covered <= 0.98


def test_copies_of_a_prompt_do_not_narrow_the_auroc_interval() -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat([0.0, 1.0], 30)
    logits = rng.normal(size=60) + labels
    alone = auroc(logits, labels)
    copied = auroc(np.tile(logits, 5), np.tile(labels, 5), np.tile(np.arange(60), 5))
    assert alone is not None and copied is not None
    assert copied.value == pytest.approx(alone.value)
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.1)


def test_the_table_names_every_statement_and_null() -> None:
    table = report_table(
        report_of(np.column_stack([SAID, SAID]), np.column_stack([TRUE, 0 * TRUE]))
    )
    for word in ("s0", "s1", "always_yes", "always_no", "base_rate_coin", "random", "10 prompts"):
        assert word in table


@pytest.mark.parametrize(
    ("logits", "labels", "complaint"),
    [
        ([[1.0]], [[0.5]], "labels must be 0 or 1"),
        ([[np.inf]], [[1.0]], "infinite"),
        ([[1.0, 1.0]], [[1.0]], "one row a completion"),
        ([[np.nan]], [[1.0]], "no statement has an answer"),
    ],
)
def test_what_cannot_be_reported_is_refused(
    logits: list[list[float]], labels: list[list[float]], complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        proposition_report(["a"], logits, labels)
