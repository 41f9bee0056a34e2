"""What is asked of each pair: both orders, opposites with the opposite label, contrasts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from judges.constitutions.files import load_constitution
from judges.errors import DataError
from judges.layout import read_prompt
from tests.training.distilled_judge.made_questions import CONSTITUTION, MIXTURE, pair, ranking
from training.distilled_judge.contrasts import DEFIES, FRAMES, OBEYS
from training.distilled_judge.questions import (
    labelled_by,
    prompts_of,
    questions_of_people,
    questions_of_ranking,
    strangers_of,
)


def framed(wordings: Sequence[str], verbs: tuple[str, ...]) -> set[str]:
    return {f.format(verb=verb, text=text) for f in FRAMES for verb in verbs for text in wordings}


def test_inverted_principle_flips_the_label() -> None:
    made = questions_of_people([pair(n) for n in range(20)], MIXTURE, "made")
    for number, questions in enumerate(made):
        plain, opposite = questions.asked[:2]
        assert plain.kind == "plain"
        assert plain.principle in {*MIXTURE.wordings, *framed(MIXTURE.wordings, OBEYS)}
        assert opposite.kind == "opposite"
        assert opposite.principle in framed(MIXTURE.wordings, DEFIES)
        assert opposite.p_first == pytest.approx(1 - plain.p_first)
        right = 0.8 if pair(number).preferred == 1 else 0.2
        assert plain.p_first == pytest.approx(right)
    assert {q.asked[0].p_first > 0.5 for q in made} == {True, False}


def test_half_of_each_kind_is_said_plainly_where_both_are_asked() -> None:
    both = MIXTURE._replace(opposite_wordings=("Be long.", "Prefer the long one."))
    made = questions_of_people([pair(n) for n in range(200)], both, "made")
    plain = sum(questions.asked[0].principle in both.wordings for questions in made)
    opposite = sum(questions.asked[1].principle in both.opposite_wordings for questions in made)
    assert 70 < plain < 130 and 70 < opposite < 130
    alone = questions_of_people([pair(n) for n in range(9)], MIXTURE._replace(opposites=0), "made")
    assert all(questions.asked[0].principle in MIXTURE.wordings for questions in alone)


def test_strangers_are_a_completion_of_ones_own_and_one_that_answers_another_prompt() -> None:
    made = questions_of_people([pair(n, chosen=f"Brief {n}.") for n in range(30)], MIXTURE, "made")
    found = list(strangers_of(made, 1.5, MIXTURE))
    assert 30 <= len(found) < 50
    assert found == list(strangers_of(made, 1.5, MIXTURE))
    own_first = 0
    for stranger in found:
        (own,) = (one for one in made if one.conversation == stranger.conversation)
        (other,) = (one for one in made if stranger.place.endswith(f"of {one.place}"))
        assert own is not other and stranger.place.startswith(own.place)
        assert {stranger.first, stranger.second} & {own.first, own.second}
        assert {stranger.first, stranger.second} & {other.first, other.second}
        own_first += stranger.first in (own.first, own.second)
        assert [asked.kind for asked in stranger.asked] == ["plain", "opposite"]
        assert [asked.p_first for asked in stranger.asked] == [0.5, 0.5]
    assert 0.2 < own_first / len(found) < 0.8
    assert list(strangers_of(made[:1], 3, MIXTURE)) == []


def test_another_teachers_labels_turn_round_with_the_principle() -> None:
    (questions,) = questions_of_people([pair(0)], MIXTURE, "made")
    (taught,) = labelled_by([questions], np.log([9.0]), 0.5, None)
    plain, opposite = taught.asked[:2]
    assert plain.p_first == pytest.approx((questions.asked[0].p_first + 0.9) / 2)
    assert opposite.p_first == pytest.approx(1 - plain.p_first)
    assert taught.asked[2:] == questions.asked[2:]
    spread = labelled_by([questions] * 2, np.array([0.01, -0.01]), 1.0, 2.0)
    p = 1 / (1 + np.exp(-2))
    assert [one.asked[0].p_first for one in spread] == pytest.approx([p, 1 - p])


def test_both_orders_are_asked_with_opposite_labels() -> None:
    (questions,) = questions_of_people([pair(0)], MIXTURE, "made")
    asked = list(prompts_of(questions))
    assert len(asked) == 2 * len(questions.asked)
    for (one, p), (other, q) in zip(asked[::2], asked[1::2], strict=True):
        seen, turned = read_prompt(one), read_prompt(other)
        assert seen.completions == turned.completions[::-1]
        assert seen.tail == turned.tail
        assert p == pytest.approx(1 - q)


def test_questions_depend_on_the_pair_alone() -> None:
    alone = questions_of_people([pair(3)], MIXTURE, "made")
    among = questions_of_people([pair(n) for n in range(6)], MIXTURE, "made")
    assert alone[0] == among[3]
    other = questions_of_people([pair(3)], MIXTURE._replace(seed=1), "made")
    assert other[0].asked != alone[0].asked


def test_several_peoples_labels_are_averaged() -> None:
    line = {"completions": ["a", "b"], "preferred_index": 0, "annotators": [0, 0, 1, None]}
    (questions,) = questions_of_people([pair(0, **line, chosen=None)], MIXTURE, "made")
    assert questions.asked[0].p_first == pytest.approx(0.5 + 0.6 * (2.5 / 4 - 0.5))


def test_a_larger_judges_probability_is_the_label(tmp_path: Path) -> None:
    (tmp_path / "made.yaml").write_text(CONSTITUTION)
    constitution = load_constitution(str(tmp_path / "made.yaml"))
    (questions,) = questions_of_ranking("r:1", ranking(1), constitution, "clarity", MIXTURE)
    plain, opposite = questions.asked[:2]
    assert "The better completion is plainer." in plain.principle
    assert plain.p_first == 0.7
    assert opposite.p_first == pytest.approx(0.3)
    assert {asked.kind for asked in questions.asked[2:]} == {"contrast"}
    for silent in (ranking(2, p=None), ranking(3) | {"status": "error"}):
        assert questions_of_ranking("r:2", silent, constitution, "clarity", MIXTURE) == []
    with pytest.raises(DataError, match=r"no judged principle of the family 'kindness'; it has cl"):
        questions_of_ranking("r:1", ranking(1), constitution, "kindness", MIXTURE)
