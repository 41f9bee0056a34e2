"""Win rates over pairs of two policies, with those of one policy beside."""

import pytest

from judges.records import CompletionText, Item, Message
from training.evaluation.win_rates import NOISE, Pairs, win_rate

ASKED = (Message(role="user", content="Why?"),)


def pairs(*ids: str, texts: tuple[str, str] = ("a long answer", "short")) -> Pairs:
    completions = tuple(CompletionText(text=text) for text in texts)
    return Pairs([Item(id=name, prompt=ASKED, completions=completions) for name in ids])


def test_ties_count_half_and_what_lies_within_the_margin_is_one() -> None:
    found = win_rate(pairs("1#0", "1#1", "2#0", "2#1"), [0.9, 0.1, 0.52, 0.5], 0.05, seed=0)
    assert (found.rate, found.n, found.unscored) == (0.5, 4, 0)


def test_pairs_of_the_earlier_policy_are_no_wins_of_the_later() -> None:
    told = [0.9, None, 0.1, 0.1]
    among = pairs("1#0", "2#0", f"{NOISE}1#0", f"{NOISE}2#0")
    real, noise = (win_rate(among, told, 0.05, seed=0, noise=n) for n in (False, True))
    assert (real.rate, real.n, real.unscored) == (1, 1, 1)
    assert (noise.rate, noise.n, noise.unscored) == (0, 2, 0)
    assert noise.length_controlled is None


def test_no_verdict_is_no_rate() -> None:
    found = win_rate(pairs("1#0", f"{NOISE}1#0"), [None, 0.7], 0.05, seed=0)
    assert (found.n, found.unscored, found.low, found.high) == (0, 1, 0, 1)
    assert found.length_controlled is None


def test_a_judge_that_only_likes_length_gives_no_win_at_equal_length() -> None:
    """Longer wins nine times in ten, in the policy's pairs and in those of the base with itself."""
    long, short = CompletionText(text="w" * 90), CompletionText(text="w" * 30)
    items, told = [], []
    for number in range(120):
        name, noise = f"{number}#0", number >= 60
        ours_longer = number % 2 == 0 if noise else number % 4 > 0
        both = (long, short) if ours_longer else (short, long)
        items.append(Item(id=NOISE * noise + name, prompt=ASKED, completions=both))
        told.append(0.9 if ours_longer != (number % 10 == 9) else 0.1)
    found = win_rate(Pairs(items), told, 0.05, seed=0)
    assert found.rate == pytest.approx(0.65)
    assert found.low > 0.5
    assert found.length_controlled is not None
    assert found.length_controlled.low < 0.5 < found.length_controlled.high
