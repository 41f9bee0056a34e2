"""The laws of aggregation, on arrays: no store, no model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.aggregate import (
    TIERS,
    Floats,
    Scheme,
    Verdicts,
    aggregate,
    largest_component,
    order_completions,
    rule_logit,
    scheme_of,
    sigmoid,
)
from judges.constitutions.constitution import AggregateSettings, Constitution, Principle


def scheme(*principles: tuple[str, float], **settings: float) -> Scheme:
    """A scheme from (tier, weight) pairs."""
    constitution = Constitution(
        name="test",
        version="1.0.0",
        title="Test",
        licence="CC0-1.0",
        aggregate=AggregateSettings(**settings),
        principles=tuple(
            Principle.model_validate(
                {"id": f"p{i}", "family": "f", "title": "t", "text": "x", "tier": t, "weight": w}
            )
            for i, (t, w) in enumerate(principles)
        ),
    )
    return scheme_of(constitution)


def pair(*logits: float) -> Floats:
    """One ranking of two completions: each principle's logit of the first over the second."""
    logit = np.zeros((1, len(logits), 2, 2))
    logit[0, :, 0, 1], logit[0, :, 1, 0] = logits, [-x for x in logits]
    return logit


def judge(logits: list[float], applies: list[float], of: Scheme) -> Verdicts:
    return aggregate(pair(*logits), np.array([applies]), of)


def p_of(logits: list[float], applies: list[float], of: Scheme) -> float:
    return float(judge(logits, applies, of).p_RNN[0, 0, 1])


tiers = st.sampled_from(TIERS)
principle = st.tuples(tiers, st.floats(0.1, 10), st.floats(-6, 6), st.floats(0, 1))


@given(st.lists(principle, min_size=1, max_size=6), st.floats(0, 3))
def test_swapping_two_completions_maps_p_to_one_minus_p(
    drawn: list[tuple[str, float, float, float]], decisive: float
) -> None:
    of = scheme(*((t, w) for t, w, _, _ in drawn), decisive=decisive)
    logits, applies = [x for _, _, x, _ in drawn], [a for *_, a in drawn]
    p = p_of(logits, applies, of)
    assert p_of([-x for x in logits], applies, of) == pytest.approx(1 - p, abs=1e-12)
    verdicts = judge(logits, applies, of)
    swapped = verdicts.p_RNN[0, ::-1, ::-1]
    np.testing.assert_allclose(swapped, verdicts.p_RNN[0].T, atol=1e-12)
    np.testing.assert_array_equal(np.diagonal(verdicts.p_RNN[0]), 0.5)
    np.testing.assert_allclose(verdicts.p_RNN + np.swapaxes(verdicts.p_RNN, 1, 2), 1, atol=1e-12)


@given(st.lists(principle, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_the_principles_changes_nothing(
    drawn: list[tuple[str, float, float, float]], random: object
) -> None:
    def p(rows: list[tuple[str, float, float, float]]) -> float:
        of = scheme(*((t, w) for t, w, _, _ in rows))
        return p_of([x for _, _, x, _ in rows], [a for *_, a in rows], of)

    mixed = list(drawn)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert p(mixed) == pytest.approx(p(drawn), abs=1e-12)


@given(st.floats(-6, 6), st.integers(1, 8), st.floats(0.1, 10))
def test_many_agreeing_principles_do_not_saturate(logit: float, n: int, weight: float) -> None:
    of = scheme(*([("normal", weight)] * n))
    assert p_of([logit] * n, [1.0] * n, of) == pytest.approx(float(sigmoid(logit)), abs=1e-12)


@given(st.floats(1.01, 6), st.floats(-20, 20), st.floats(0.001, 1000))
def test_a_decisive_higher_tier_outranks_lower_ones_whatever_their_weights(
    hard: float, style: float, weight: float
) -> None:
    of = scheme(("hard", 0.001), ("style", weight))
    verdicts = judge([hard, style], [1.0, 1.0], of)
    assert verdicts.p_RNN[0, 0, 1] == pytest.approx(float(sigmoid(hard)))
    assert verdicts.tier_RNN[0, 0, 1] == TIERS.index("hard")


@pytest.mark.parametrize(
    ("logits", "applies", "expected", "tier"),
    [
        pytest.param([0.9, -3.0], [1, 1], -3.0, "normal", id="a doubtful hard tier leaves it"),
        pytest.param([0.9, -0.5], [1, 1], 0.2, None, id="none decisive: the mean over all"),
        pytest.param([5.0, -0.5], [0.01, 1], -0.5, None, id="out of scope never decides"),
        pytest.param([5.0, -0.5], [0.1, 1], 0.0, None, id="hardly in scope is not decisive"),
        pytest.param([5.0, -0.5], [0.5, 1], 5.0, "hard", id="half in scope decides if sure"),
        pytest.param([5.0, 5.0], [0, 0], 0.0, None, id="nothing applies: neither is better"),
    ],
)
def test_which_tier_decides(
    logits: list[float], applies: list[float], expected: float, tier: str | None
) -> None:
    verdicts = judge(logits, applies, scheme(("hard", 1.0), ("normal", 1.0)))
    assert verdicts.p_RNN[0, 0, 1] == pytest.approx(float(sigmoid(expected)))
    assert verdicts.tier_RNN[0, 0, 1] == (TIERS.index(tier) if tier else -1)


NAN = float("nan")


@pytest.mark.parametrize(
    ("logits", "applies", "min_weight", "missing"),
    [
        pytest.param([NAN, 2.0], [1, 1], 0.0, True, id="a hard vote is missing"),
        pytest.param([NAN, 2.0], [0.01, 1], 1.0, False, id="a hard vote out of scope is not"),
        pytest.param([2.0, 2.0], [NAN, 1], 0.0, True, id="a hard scope's vote is missing"),
        pytest.param([2.0, NAN], [1, 1], 0.5, False, id="half the weight is there, half is asked"),
        pytest.param([2.0, NAN], [1, 1], 0.6, True, id="half the weight is there, more is asked"),
        pytest.param([2.0, NAN], [1, 0.02], 1.0, False, id="out of scope needs no vote"),
        pytest.param([NAN, NAN], [0, 0], 1.0, False, id="nothing applies, so nothing is missing"),
    ],
)
def test_missing_votes_make_a_pair_unscored(
    logits: list[float], applies: list[float], min_weight: float, missing: bool
) -> None:
    of = scheme(("hard", 1.0), ("normal", 1.0), min_weight=min_weight)
    verdicts = judge(logits, applies, of)
    assert verdicts.missing_RNN[0, 0, 1] == missing
    assert np.isnan(verdicts.p_RNN[0, 0, 1]) == missing
    assert not verdicts.missing_RNN[0, 0, 0]


@pytest.mark.parametrize(
    ("abstain_below", "p", "abstains"),
    [
        pytest.param(0.0, 0.5, False, id="0 never abstains, not even on a tie"),
        pytest.param(0.2, 0.59, True, id="twice the distance from a half is below it"),
        pytest.param(0.2, 0.41, True, id="the same on the other side"),
        pytest.param(0.2, 0.61, False, id="twice the distance from a half is above it"),
        pytest.param(1.0, 0.999, True, id="1 abstains on all that is not certain"),
    ],
)
def test_abstaining_is_told_from_missing(abstain_below: float, p: float, abstains: bool) -> None:
    logit = float(np.log(p / (1 - p)))
    verdicts = judge([logit], [1.0], scheme(("normal", 1.0), abstain_below=abstain_below))
    assert verdicts.abstained_RNN[0, 0, 1] == abstains
    assert np.isnan(verdicts.p_RNN[0, 0, 1]) == abstains
    assert not verdicts.missing_RNN[0, 0, 1]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_rules_give_antisymmetric_logits(met: list[float]) -> None:
    logit = rule_logit(np.array(met)[None, None])[0, 0]
    np.testing.assert_array_equal(logit, -logit.T)
    assert logit[0, 1] == pytest.approx(4 * (met[0] - met[1]))


def matrix(**p: float) -> Floats:
    """Probabilities from p01=0.9 and the like; all else unobserved."""
    n = 1 + max(int(digit) for name in p for digit in name[1:])
    values = np.full((n, n), np.nan)
    np.fill_diagonal(values, 0.5)
    for name, value in p.items():
        i, j = int(name[1]), int(name[2])
        values[i, j], values[j, i] = value, 1 - value
    return values[None]


def test_a_cycle_is_reported_with_its_ranking() -> None:
    order = order_completions(matrix(p01=0.9, p12=0.8, p02=0.2), 0.05)[0]
    assert order.cycles == ((0, 1, 2),)
    assert sorted(order.ranking) == [0, 1, 2]


@pytest.mark.parametrize(
    ("p", "margin", "cycles"),
    [
        pytest.param({"p01": 0.9, "p12": 0.9, "p02": 0.9}, 0.05, (), id="an order has none"),
        pytest.param({"p01": 0.9, "p12": 0.9, "p02": 0.48}, 0.05, (), id="a tie closes none"),
        pytest.param({"p01": 0.1, "p12": 0.1, "p02": 0.9}, 0.05, ((0, 2, 1),), id="the other way"),
        pytest.param({"p01": 0.9, "p12": 0.9, "p02": 0.5}, 0.0, (), id="an exact tie closes none"),
    ],
)
def test_cycles(p: dict[str, float], margin: float, cycles: tuple[object, ...]) -> None:
    assert order_completions(matrix(**p), margin)[0].cycles == cycles


@pytest.mark.parametrize(
    ("p", "margin", "groups"),
    [
        pytest.param({"p01": 0.52, "p12": 0.9, "p02": 0.9}, 0.05, ((0, 1),), id="two near each"),
        pytest.param({"p01": 0.51, "p12": 0.51, "p02": 0.52}, 0.05, ((0, 1, 2),), id="all three"),
        pytest.param({"p01": 0.9, "p12": 0.9, "p02": 0.98}, 0.05, (), id="none"),
        pytest.param({"p01": 0.5}, 0.0, ((0, 1),), id="an exact tie, whatever the margin"),
        pytest.param({"p01": 0.501}, 0.0, (), id="margin 0 ties nothing else"),
    ],
)
def test_tie_groups(p: dict[str, float], margin: float, groups: tuple[object, ...]) -> None:
    assert order_completions(matrix(**p), margin)[0].tie_groups == groups


def test_what_is_not_connected_is_not_ranked() -> None:
    order = order_completions(matrix(p01=0.2, p12=0.3, p34=0.9), 0.05)[0]
    assert order.ranking == (2, 1, 0)
    assert order.scores[3:] == (None, None)
    assert sum(score for score in order.scores if score is not None) == pytest.approx(0, abs=1e-5)


def test_nothing_observed_ranks_nobody() -> None:
    order = order_completions(np.full((1, 3, 3), np.nan), 0.05)[0]
    assert (order.ranking, order.scores) == ((), (None, None, None))


@given(st.integers(2, 9), st.integers(0, 999))
def test_the_largest_component_is_found_by_walking(n: int, seed: int) -> None:
    seen = np.triu(np.random.default_rng(seed).random((n, n)) < 0.25, 1)
    seen = seen | seen.T
    member = largest_component(seen[None])[0]
    parts = []
    left = set(range(n))
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            part.add(here := edge.pop())
            edge += [k for k in np.flatnonzero(seen[here]).tolist() if k not in part]
        parts.append(part)
        left -= part
    largest = max(len(part) for part in parts)
    found = set(np.flatnonzero(member).tolist())
    assert found == (
        next(p for p in sorted(parts, key=min) if len(p) == largest) if largest > 1 else set()
    )


@given(st.integers(2, 6), st.integers(0, 999))
def test_relabelling_completions_relabels_their_order(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((n, n)), 1)
    p = upper + np.tril(1 - upper.T, -1)
    np.fill_diagonal(p, 0.5)
    new = rng.permutation(n)
    plain = order_completions(p[None], 0.05)[0]
    relabelled = order_completions(p[new][:, new][None], 0.05)[0]
    assert [int(new[i]) for i in relabelled.ranking] == list(plain.ranking)
    assert len(relabelled.cycles) == len(plain.cycles)
