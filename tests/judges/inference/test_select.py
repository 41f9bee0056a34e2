"""Planted principles come out, chance does not, and nothing held out decides anything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.benchmarks.planted_pairs import PLANTED, candidates, fake_votes, labelled_pairs
from judges.calibration.estimates import FloatArray
from judges.cards.labelled import LabelledPair
from judges.errors import DataError
from judges.inference.chance import discoveries, part_pairs, sign_test
from judges.inference.infer import groups_of
from judges.inference.select import SelectionSettings, select, weighted_mean

CANDIDATES = candidates()
IDS = [candidate.id for candidate in CANDIDATES]
TEXT = {candidate.id: candidate.text for candidate in CANDIDATES}


@pytest.fixture(scope="module")
def pairs() -> list[LabelledPair]:
    return labelled_pairs(500, seed=1)


@pytest.fixture(scope="module")
def votes(pairs: list[LabelledPair]) -> FloatArray:
    return fake_votes(pairs, CANDIDATES, noise=0.5)


def test_planted_principles_are_recovered_from_500_noisy_pairs(
    pairs: list[LabelledPair], votes: FloatArray
) -> None:
    labels = np.array([pair.preferred for pair in pairs])
    found = select(IDS, votes, labels, groups_of(pairs))
    texts = [TEXT[one.id] for one in found.kept]
    hits = len(set(texts) & set(PLANTED))
    assert hits / len(PLANTED) == 1.0, "recall"
    assert hits / len(texts) == 1.0, "precision"
    assert texts == sorted(PLANTED, key=lambda text: -PLANTED[text]), "the strongest joins first"
    assert np.mean([one.weight for one in found.kept]) == pytest.approx(1.0, abs=1e-3)
    accuracy = found.held_out_accuracy
    assert accuracy is not None and accuracy.n == found.held_out_pairs == 150
    assert accuracy.low > 0.6


def test_every_candidate_that_is_dropped_has_a_reason(
    pairs: list[LabelledPair], votes: FloatArray
) -> None:
    labels = np.array([pair.preferred for pair in pairs])
    rows = np.concatenate([votes, np.full((1, len(pairs)), np.nan), np.zeros((1, len(pairs)))])
    rows = np.concatenate([rows, votes[[0]]])
    rare = np.where(np.arange(len(pairs)) < 5, rows[0], 0.0)
    found = select([*IDS, "nan", "zero", "twice", "rare"], [*rows, rare], labels, groups_of(pairs))
    reasons = {one.id: one.dropped for one in found.candidates}
    assert len(reasons) == len(IDS) + 4
    assert reasons["nan"] == "no_votes"
    assert reasons["zero"] == "low_coverage"
    assert reasons["rare"] == "low_coverage"
    assert reasons["twice"] in ("adds_nothing", "no_weight")
    against = next(c.id for c in CANDIDATES if c.text.endswith('avoids "amber".'))
    assert reasons[against] == "no_better_than_chance"


def test_random_labels_yield_hardly_anything(pairs: list[LabelledPair], votes: FloatArray) -> None:
    rng = np.random.default_rng(0)
    kept = [
        len(select(IDS, votes, rng.integers(0, 2, len(pairs)).astype(float), groups_of(pairs)).kept)
        for _ in range(20)
    ]
    # At a false discovery rate of 5 %, one run in twenty finds something where there is nothing.
    assert sum(count > 0 for count in kept) <= 4
    assert sum(kept) <= 5


def test_held_out_labels_decide_nothing(pairs: list[LabelledPair], votes: FloatArray) -> None:
    labels = np.array([pair.preferred for pair in pairs])
    held_out = part_pairs(groups_of(pairs), len(pairs), held_out=0.3, seed=0)
    other = np.where(held_out, 1 - labels, labels)
    one, two = (select(IDS, votes, y, groups_of(pairs), None, held_out) for y in (labels, other))
    weights = [[(kept.id, kept.weight) for kept in found.kept] for found in (one, two)]
    assert weights[0] == weights[1]
    assert one.held_out_accuracy and two.held_out_accuracy
    assert one.held_out_accuracy.value == pytest.approx(1 - two.held_out_accuracy.value)


def test_the_same_seed_selects_the_same(pairs: list[LabelledPair], votes: FloatArray) -> None:
    labels = np.array([pair.preferred for pair in pairs])
    settings = SelectionSettings(seed=3)
    one = select(IDS, votes, labels, groups_of(pairs), settings)
    assert one == select(IDS, votes, labels, groups_of(pairs), settings)


def test_swapping_completions_changes_nothing(pairs: list[LabelledPair], votes: FloatArray) -> None:
    labels = np.array([pair.preferred for pair in pairs])
    held_out = part_pairs(groups_of(pairs), len(pairs), held_out=0.3, seed=0)
    one = select(IDS, votes, labels, groups_of(pairs), None, held_out)
    two = select(IDS, -votes, 1 - labels, groups_of(pairs), None, held_out)
    assert [k.id for k in one.kept] == [k.id for k in two.kept]
    assert [k.weight for k in one.kept] == pytest.approx([k.weight for k in two.kept], abs=1e-3)


def test_a_prompt_is_whole_in_one_part(pairs: list[LabelledPair]) -> None:
    groups = groups_of(pairs)
    held_out = part_pairs(groups, len(pairs), held_out=0.3, seed=5)
    sides = {(group, bool(out)) for group, out in zip(groups, held_out, strict=True)}
    assert len(sides) == len(set(groups))


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1.0, 0.5] * 10, "neither 0 nor 1"), ([1.0, 0.0] * 4, "needs 10 or more")],
    ids=["a tie", "too few prompts"],
)
def test_unusable_labels_are_refused(labels: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        select(["a"], np.ones((1, len(labels))), labels)


def test_pairs_of_one_prompt_are_one_piece_of_evidence() -> None:
    row, y = np.ones(20), np.ones(20)
    assert sign_test(row, y, np.arange(20)) == pytest.approx(0.5**20)
    assert sign_test(row, y, np.repeat([0, 1], 10)) == pytest.approx(0.25)
    assert sign_test(-row, y, np.arange(20)) == 1.0


def test_discoveries_are_benjamini_and_hochbergs() -> None:
    p = [0.01, 0.04, 0.03, 0.005, 0.9]
    assert discoveries(p, 0.05).tolist() == [True, True, True, True, False]
    assert discoveries([0.04, 0.9], 0.05).tolist() == [False, False]
    assert discoveries([], 0.05).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_discoveries_are_the_smallest_p_values(p: list[float]) -> None:
    found = discoveries(p, 0.1)
    if found.any() and not found.all():
        assert np.array(p)[found].max() < np.array(p)[~found].min()


def test_a_verdict_needs_most_of_the_weight() -> None:
    votes = np.array([[1.0, np.nan, 2.0], [-3.0, 4.0, np.nan]])
    verdict = weighted_mean(votes, [4.0, 1.0])
    assert verdict[0] == pytest.approx(0.2)
    assert np.isnan(verdict[1])
    assert verdict[2] == pytest.approx(2.0)
