"""Calibrators: laws, known temperatures, and scikit-learn's answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.calibration import _sigmoid_calibration
from sklearn.isotonic import IsotonicRegression

from judges.aggregate import aggregate, scheme_of
from judges.calibration.scaling import (
    Calibration,
    CalibrationKind,
    fit_calibration,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    fit_temperature_within,
    read_calibration,
    write_calibration,
)
from judges.errors import DataError
from tests.judges.calibration.made_logits import judged_pairs
from tests.judges.planted import constitution

KINDS: tuple[CalibrationKind, ...] = ("temperature", "platt", "isotonic")
finite = st.floats(-30, 30, allow_subnormal=False)
labelled = st.lists(st.tuples(finite, st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=40)
kinds = st.sampled_from(KINDS)


@given(kinds, labelled, st.lists(finite, min_size=1, max_size=10))
def test_swapping_a_pair_negates_its_logit(
    kind: CalibrationKind, rows: list[tuple[float, float]], asked: list[float]
) -> None:
    calibration = fit_calibration(kind, *zip(*rows, strict=True))
    raw = np.array(asked)
    np.testing.assert_array_equal(calibration.apply(-raw), -calibration.apply(raw))


@given(kinds, labelled, st.lists(finite, min_size=2, max_size=10), st.booleans())
def test_order_is_kept(
    kind: CalibrationKind, rows: list[tuple[float, float]], asked: list[float], pairs: bool
) -> None:
    calibration = fit_calibration(kind, *zip(*rows, strict=True), pairs=pairs)
    assert (np.diff(calibration.apply(np.sort(asked))) >= 0).all()


@given(kinds, labelled)
def test_which_completion_came_first_does_not_matter(
    kind: CalibrationKind, rows: list[tuple[float, float]]
) -> None:
    x, y = np.array(rows).T
    given_so, swapped = fit_calibration(kind, x, y), fit_calibration(kind, -x, 1 - y)
    np.testing.assert_allclose(given_so.apply(x), swapped.apply(x), rtol=1e-5, atol=1e-5)


@given(kinds, labelled, st.booleans())
def test_never_quite_certain(
    kind: CalibrationKind, rows: list[tuple[float, float]], pairs: bool
) -> None:
    x, y = np.array(rows).T
    calibrated = fit_calibration(kind, x, y, pairs=pairs).apply(x)
    assert np.isfinite(calibrated).all()
    assert np.abs(calibrated).mean() < 40


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    found = fit_temperature(*judged_pairs(20_000, temperature)).temperature
    assert found == pytest.approx(temperature, rel=0.05)


def test_isotonic_finds_a_known_temperature_as_a_curve() -> None:
    calibration = fit_isotonic(*judged_pairs(50_000, 3.0))
    raw = np.array([-6.0, -3, 0, 3, 6])
    np.testing.assert_allclose(calibration.apply(raw), raw / 3, atol=0.25)


def test_temperature_satisfies_its_equation() -> None:
    x, y = judged_pairs(200, 2.0)
    slope = fit_temperature(x, y).parameters["slope"][0]
    low, high = 1 / 202, 201 / 202
    assert np.sum(x * (expit(slope * x) - (low + (high - low) * y))) == pytest.approx(0, abs=1e-4)


def test_platt_of_single_completions_is_scikit_learns() -> None:
    x, y = judged_pairs(300, 2.0)
    a, b = _sigmoid_calibration(x + 1, y)
    ours = fit_platt(x + 1, y, pairs=False).parameters
    assert ours["slope"][0] == pytest.approx(-a, rel=1e-3)
    assert ours["intercept"][0] == pytest.approx(-b, abs=2e-3)


def test_platt_of_pairs_is_temperature_since_both_orders_cancel_the_intercept() -> None:
    x, y = judged_pairs(300, 2.0)
    platt = fit_platt(x + 1, y)
    assert platt.parameters["intercept"] == (0.0,)
    assert platt.parameters["slope"] == fit_temperature(x + 1, y).parameters["slope"]
    both = fit_platt(np.r_[x + 1, -x - 1], np.r_[y, 1 - y], pairs=False).parameters
    assert both["intercept"][0] == pytest.approx(0, abs=1e-6)


def test_isotonic_of_single_completions_is_scikit_learns() -> None:
    x, y = judged_pairs(600, 2.0)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(x, y).predict(x)
    ours = expit(fit_isotonic(x, y, pairs=False).apply(x))
    positive = y.sum()
    low, high = 1 / (600 - positive + 2), (positive + 1) / (positive + 2)
    np.testing.assert_allclose(ours, theirs.clip(low, high), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_repetitions(kind: CalibrationKind) -> None:
    x, y = judged_pairs(60, 2.0)
    times = np.random.default_rng(0).integers(1, 4, 60)
    weighted = fit_calibration(kind, x, y, times)
    repeated = fit_calibration(kind, np.repeat(x, times), np.repeat(y, times))
    np.testing.assert_allclose(weighted.apply(x), repeated.apply(x), atol=1e-6)
    assert (weighted.n, repeated.n) == (60, times.sum())


def test_a_tie_is_half_of_each() -> None:
    x, y = judged_pairs(60, 2.0)
    y[:20] = 0.5
    halves = fit_temperature(
        np.r_[x, x[:20]], np.r_[np.ones(20), y[20:], np.zeros(20)],
        np.r_[np.full(20, 0.5), np.ones(40), np.full(20, 0.5)],
    )  # fmt: skip
    assert fit_temperature(x, y).temperature == pytest.approx(halves.temperature)


@pytest.mark.parametrize("kind", KINDS)
def test_a_contrary_judge_is_worth_nothing_and_not_turned_around(kind: CalibrationKind) -> None:
    x, y = judged_pairs(300, 1.0)
    np.testing.assert_allclose(fit_calibration(kind, -x, y).apply([-3.0, 0, 3]), 0, atol=1e-9)


def test_slope_nought_has_no_temperature_and_keeps_gaps() -> None:
    calibration = fit_temperature([-1.0, 1], [1, 0])
    assert calibration.temperature == float("inf")
    np.testing.assert_array_equal(calibration.apply([np.inf, np.nan, 1]), [0, np.nan, 0])


def test_few_labels_promise_little() -> None:
    one = expit(fit_temperature([9.0], [1]).apply(9.0))
    assert one == pytest.approx(2 / 3)
    assert expit(fit_isotonic([9.0], [1]).apply(9.0)) == pytest.approx(2 / 3)
    assert fit_isotonic([9.0], [1]).apply(4.5) == pytest.approx(logit(2 / 3) / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gap_stays_a_gap(kind: CalibrationKind) -> None:
    calibrated = fit_calibration(kind, *judged_pairs(50, 1.0)).apply([[np.nan, 1.0]])
    assert np.isnan(calibrated).tolist() == [[True, False]]


@pytest.mark.parametrize("kind", KINDS)
def test_written_and_read_back_it_is_the_same(kind: CalibrationKind, tmp_path: Path) -> None:
    calibration = fit_calibration(kind, *judged_pairs(80, 2.0))
    write_calibration(tmp_path / "c.json", calibration)
    again = read_calibration(tmp_path / "c.json")
    assert again == calibration
    assert again.digest == calibration.digest
    assert again.digest != fit_calibration(kind, *judged_pairs(80, 2.1)).digest


@pytest.mark.parametrize(
    ("logits", "labels", "weights", "message"),
    [
        ([], [], None, "no scored items"),
        ([1.0, float("nan")], [1, 0], None, "item 1: unscored"),
        ([1.0, 2], [1, 0.7], None, "item 1: label 0.7"),
        ([1.0, 2], [1], None, "shapes"),
        ([1.0, 2], [1, 0], [-1, 2], "weights"),
        ([1.0, 2], [1, 0], [0, 0], "weights"),
    ],
    ids=["none", "unscored", "label", "lengths", "negative weight", "no weight"],
)
def test_what_cannot_be_fitted_is_refused(
    logits: list[float], labels: list[float], weights: list[float] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fit_temperature(logits, labels, weights)


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "platt", "parameters": {"slope": [1]}, "n": 3},
        {"kind": "temperature", "parameters": {"slope": [-1]}, "n": 3},
        {"kind": "temperature", "parameters": {"slope": [1, 2]}, "n": 3},
        {"kind": "isotonic", "parameters": {"raw": [0, 1], "calibrated": [0, -1]}, "n": 3},
        {"kind": "isotonic", "parameters": {"raw": [0, 1], "calibrated": [0]}, "n": 3},
        {"kind": "temperature", "parameters": {"slope": [1]}, "n": 0},
    ],
    ids=["lacking", "falling", "two slopes", "falling knots", "odd knots", "no labels"],
)
def test_a_record_that_is_no_calibration_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Calibration.model_validate(record)


def test_a_file_that_is_no_calibration_says_where(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"kind": "temprature", "parameters": {}, "n": 1}')
    with pytest.raises(DataError, match=r"c\.json: no calibration: kind"):
        read_calibration(tmp_path / "c.json")
    with pytest.raises(DataError):
        read_calibration(tmp_path / "absent.json")


def _verdicts(vote_B: Any, rule_B: Any, decisive: float) -> Callable[[float], Any]:
    """Verdicts of a judged principle beside a rule, which no slope touches, under a scheme."""
    under = constitution(
        {"id": "judged", "text": "Be kind.", "tier": "high"},
        {"id": "rule", "rule": {"kind": "max_words", "value": 9}},
        decisive=decisive,
    )

    def scaled(slope: float) -> Any:
        logit = np.zeros((len(vote_B), 2, 2, 2))
        for k, one in enumerate((slope * vote_B, rule_B)):
            logit[:, k, 0, 1], logit[:, k, 1, 0] = one, -one
        p = aggregate(logit, np.ones((len(vote_B), 2)), scheme_of(under)).p_RNN[:, 0, 1]
        p = np.clip(p, 1e-15, 1 - 1e-15)
        return np.log(p) - np.log1p(-p)

    return scaled


@pytest.mark.parametrize("decisive", [100.0, 1.0])
def test_votes_are_calibrated_for_the_verdicts_they_add_up_to(decisive: float) -> None:
    rng = np.random.default_rng(4)
    truth_B, rule_B = rng.normal(0, 1.5, 3000), 4.0 * rng.integers(-1, 2, 3000)
    right = _verdicts(truth_B, rule_B, decisive)(1.0)
    label_B = (rng.random(3000) < 1 / (1 + np.exp(-right))) * 1.0
    scaled = _verdicts(4 * truth_B, rule_B, decisive)  # four times too sure of itself
    fitted = fit_temperature_within(scaled, label_B, np.ones(3000))
    assert fitted.temperature == pytest.approx(4, rel=0.15)
    whole = fit_temperature(scaled(1.0), label_B)
    loss = [
        float(np.mean(np.logaddexp(0, z) - label_B * z))
        for z in (scaled(one.parameters["slope"][0]) for one in (fitted, whole))
    ]
    # The slope of whole verdicts, applied to votes, is another one, and worse.
    assert loss[0] < loss[1] - 0.001


def test_where_a_slope_of_votes_is_one_of_verdicts_both_are_the_same() -> None:
    rng = np.random.default_rng(5)
    logit_B = rng.normal(0, 3, 200)
    label_B = (rng.random(200) < 1 / (1 + np.exp(-logit_B / 3))) * 1.0
    within = fit_temperature_within(lambda slope: slope * logit_B, label_B, np.ones(200))
    assert within == fit_temperature(logit_B, label_B)
