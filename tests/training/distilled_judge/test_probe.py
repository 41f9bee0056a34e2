"""A linear probe teaches what it can tell of pairs that it did not see, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from judges.errors import DataError
from judges.records import Message
from tests.judges.models.tiny_model import byte_level_bpe, write_model
from training.distilled_judge.probe import completion_spans, cross_fit, taught_by
from training.distilled_judge.questions import Asked, PairQuestions
from training.distilled_judge.vote_encoder import VoteEncoder

PAIRS, SIZE = 400, 20


def made(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """States whose first number says which is better, and what noisy people said."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(PAIRS, SIZE))
    better = x[:, 0] > 0
    said = np.where(random.random(PAIRS) < noise, ~better, better)
    return x, np.where(said, 0.8, 0.2)


def test_it_tells_more_than_the_noisy_labels_that_it_learns_from() -> None:
    x, said = made(noise=0.35)
    taught = cross_fit(x, said, [str(row) for row in range(PAIRS)])
    better = x[:, 0] > 0
    assert ((taught.p_B > 0.5) == better).mean() > 0.73 > ((said > 0.5) == better).mean()
    assert 0.55 < taught.right < 0.7


def test_swapping_the_completions_swaps_what_it_says() -> None:
    x, said = made(noise=0.25)
    groups = [str(row) for row in range(PAIRS)]
    here, there = cross_fit(x, said, groups), cross_fit(-x, 1 - said, groups)
    assert here.p_B == pytest.approx(1 - there.p_B, abs=1e-4)


def test_states_that_say_nothing_teach_nothing() -> None:
    """By heart it would tell nearly all; a pair that opens alike may not help either."""
    random = np.random.default_rng(1)
    x = np.repeat(random.normal(size=(PAIRS // 2, SIZE * 10)), 2, axis=0)
    said = np.repeat(np.where(random.random(PAIRS // 2) < 0.5, 0.8, 0.2), 2)
    taught = cross_fit(x, said, [str(row // 2) for row in range(PAIRS)])
    assert taught.right < 0.6
    assert np.abs(taught.p_B - 0.5).mean() < 0.12


def test_pairs_that_nobody_labelled_are_told_by_a_probe_of_all() -> None:
    x, said = made(noise=0.25)
    further, better = made(noise=0.0, seed=3)
    taught = cross_fit(np.concatenate([x, further]), said, [str(row) for row in range(PAIRS)])
    alone = cross_fit(x, said, [str(row) for row in range(PAIRS)])
    assert taught.p_B[:PAIRS] == pytest.approx(alone.p_B)
    assert (taught.right, taught.strength) == (alone.right, alone.strength)
    assert ((taught.p_B[PAIRS:] > 0.5) == (better > 0.5)).mean() > 0.8


def test_ties_of_people_neither_count_nor_teach() -> None:
    x, said = made(noise=0.25)
    ties = np.random.default_rng(2).normal(size=x.shape)
    with_ties = cross_fit(
        np.concatenate([x, ties]),
        np.concatenate([said, np.full(PAIRS, 0.5)]),
        [str(row) for row in range(2 * PAIRS)],
    )
    assert with_ties.right > 0.65  # counted as the second, about half of the ties would be wrong
    with pytest.raises(DataError, match="all labels of people are ties"):
        cross_fit(x, np.full(PAIRS, 0.5), [str(row) for row in range(PAIRS)])


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        pytest.param("Yes, do it.", "No.", ("Yes, do it.", "No."), id="nothing shared"),
        pytest.param(
            "It is so: tea is a drink.",
            "It is so: no.",
            ("tea is a drink.", "no."),
            id="a beginning",
        ),
    ],
)
def test_spans_are_what_tells_the_completions_apart(
    tmp_path: Path, first: str, second: str, told: tuple[str, str]
) -> None:
    write_model(tmp_path, byte_level_bpe())
    (tmp_path / "config.json").write_text("{}")
    encoder = VoteEncoder(str(tmp_path))
    asked = (Asked("The better completion is kind.", 0.8, "plain"),)
    pair = PairQuestions("here", (Message(role="user", content="x"),), first, second, asked)
    ids = encoder.tree(pair)[0].ids_T.tolist()
    for (start, length), text in zip(completion_spans(encoder, pair), told, strict=True):
        assert ids[start : start + length] == encoder.encoder.encode_text(f" {text}")[-length:]
        assert length >= len(encoder.encoder.encode_text(text)) - 1


def test_its_share_goes_to_the_principle_and_its_opposite_only() -> None:
    asked = (Asked("p", 0.8, "plain"), Asked("not p", 0.2, "opposite"), Asked("q", 1.0, "contrast"))
    pair = PairQuestions("here", (Message(role="user", content="x"),), "a", "b", asked)
    x, said = made(noise=0.25)
    taught = cross_fit(x, said, [str(row) for row in range(PAIRS)])
    taught = taught._replace(p_B=np.array([0.4]))
    (told,) = taught_by([pair], taught, 0.5)
    assert [one.p_first for one in told.asked] == pytest.approx([0.6, 0.4, 1.0])
    assert taught_by([pair], taught, 0.0) == [pair]


def test_its_log_odds_are_scaled_to_a_spread() -> None:
    x, said = made(noise=0.25)
    taught = cross_fit(x, said, [str(row) for row in range(PAIRS)])
    asked = (Asked("p", 0.8, "plain"),)
    pairs = [PairQuestions("here", (Message(role="user", content="x"),), "a", "b", asked)] * PAIRS
    labels = np.array([one.asked[0].p_first for one in taught_by(pairs, taught, 1.0, spread=2.0)])
    assert np.std(np.log(labels / (1 - labels))) == pytest.approx(2.0)
    assert ((labels > 0.5) == (taught.p_B > 0.5)).all()
