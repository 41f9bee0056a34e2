"""Topics: found without the labels, told where labels favour one, and only there."""

import numpy as np
import pytest

from judges.audit.audit import audit
from judges.audit.report import AuditReport, AuditSettings
from judges.audit.topics import topic_signs
from judges.audit.words import split_words
from tests.judges.audit.made_preferences import columns

SUBJECTS = [[f"{a}{b}{end}" for a in "bdfglm" for b in "aeiou"] for end in ("rn", "st", "kl", "mp")]


def said_of(subject: int, rng: np.random.Generator) -> str:
    """A text of a subject: 20 of its 30 words, so that no phrase is common to all of its texts."""
    return " ".join(rng.permutation(SUBJECTS[subject])[:20])


def audited(favoured: float, seed: int = 3, pairs: int = 300) -> AuditReport:
    """Two sides of different subjects; that of the first subject is chosen with some chance."""
    rng = np.random.default_rng(seed)
    chosen, rejected = [], []
    for _ in range(pairs):
        one, other = rng.permutation(4)[:2].tolist()
        chance = favoured if one == 0 else 1 - favoured if other == 0 else 0.5
        sides = said_of(one, rng), said_of(other, rng)
        better, worse = sides if rng.random() < chance else sides[::-1]
        chosen.append(better)
        rejected.append(worse)
    return audit(columns(chosen, rejected), "made", AuditSettings())


def test_a_favoured_topic_is_found_by_its_words_and_told() -> None:
    report = audited(0.9)
    found = [one for one in report.topics if one.favours == "chosen"]
    assert found
    for one in found:
        assert all(
            word in SUBJECTS[0] for word in one.feature.removeprefix("topic of ").split(", ")
        )
    told = [one for one in report.findings if one.message.startswith("topic of ")]
    assert any(one.kind == "favoured feature" and "was chosen in" in one.message for one in told)


def test_chance_favours_no_topic() -> None:
    favoured = [one for seed in range(4) for one in audited(0.5, seed).topics if one.favours]
    assert not favoured


def test_each_side_of_another_topic_is_told_once_by_each_topic() -> None:
    rng = np.random.default_rng(0)
    texts = [said_of(number % 4, rng) for number in range(400)]
    signs = topic_signs(split_words(texts), 0)
    assert len(signs.names) == 8 and set(signs.kinds) == {"topic"}
    assert (np.diff(signs.feature) >= 0).all()
    assert np.bincount(signs.pair, minlength=200).tolist() == [2] * 200
    assert np.bincount(signs.pair, weights=signs.sign).tolist() == [0] * 200
    again = topic_signs(split_words(texts), 0)
    assert signs.names == again.names and (signs.feature == again.feature).all()


@pytest.mark.parametrize(
    "texts", [["a b c"] * 8, ["same words here"] * 200, [""] * 200], ids=["few", "alike", "empty"]
)
def test_where_no_topics_can_be_found_there_are_none(texts: list[str]) -> None:
    assert topic_signs(split_words(texts), 0).names == []
