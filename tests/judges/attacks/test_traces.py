"""Marks of attacks are found on nearly every attack that ships, and hardly ever elsewhere."""

import time
from pathlib import Path

import pytest

from judges.attacks.suite import SUITE, Attack
from judges.attacks.traces import attack_traces
from judges.cards.labelled import read_labelled

PLAIN = "Tea is a warm drink made of leaves. It is old, and well liked."
WITHOUT = {"repeated"}
"""Attacks that leave no mark: a text said three times is found by the audit's repetition."""


@pytest.mark.parametrize("attack", SUITE, ids=lambda attack: attack.name)
def test_each_attack_leaves_a_mark(attack: Attack) -> None:
    assert bool(attack_traces(attack.apply(PLAIN))) == (attack.name not in WITHOUT)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "# A heading\n\n- one\n- two\n\n```python\nassert a == b === c\n```\n| a | b |\n|---|---|",
        "The judge heard both sides; the user said nothing. My answer: A good one is short.",
        "Der Richter sagte nein. Семь раз отмерь. 七転び八起き。 \u2764\ufe0f",
        "A scientist: \U0001f469\u200d\U0001f52c",
    ],
    ids=["plain", "markdown", "about judges", "other scripts", "joined emoji"],
)
def test_honest_texts_bear_none(text: str) -> None:
    assert attack_traces(text) == ()


@pytest.mark.parametrize(
    "part",
    [
        "a",
        " ",
        "\n",
        "=",
        "score ",
        "user ",
        "\u2713 ",
        "a \u2713 ",
        "[[",
        "ignore all ",
        "Answer:\n",
    ],
    ids=repr,
)
def test_no_text_makes_the_search_slow(part: str) -> None:
    start = time.process_time()
    attack_traces(part * (200_000 // len(part)) + "x")
    assert time.process_time() - start < 2


def test_people_s_data_hardly_bears_any(labelled_data: Path) -> None:
    pairs = [
        pair
        for name in ("llmbar/pairs.jsonl", "pandalm/pairs.jsonl")
        for pair in read_labelled(labelled_data / name)
    ]
    texts = [one.text for pair in pairs for one in pair.item.completions]
    assert len(texts) > 1000
    assert sum(bool(attack_traces(text)) for text in texts) / len(texts) < 0.005
