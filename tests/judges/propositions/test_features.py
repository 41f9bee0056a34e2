"""Features: P(yes), derived statements and classes, missing answers kept missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import ConstitutionError, DataError
from judges.propositions.features import (
    UNCLASSED,
    class_probabilities,
    derived_probabilities,
    likeliest_classes,
    yes_probabilities,
)
from judges.propositions.scheme import parse_scheme

SCHEME = parse_scheme(
    b"""
propositions:
  - {id: sorry, text: The completion apologises.}
  - {id: helps, text: The completion helps.}
derived:
  refusal: sorry and not helps
classes:
  - {id: ideal, when: {refuse: refusal, comply: helps}}
  - {id: unacceptable, when: {refuse: not refusal, comply: not helps}}
""",
    "s.yaml",
)
rows = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5)


def test_phi_is_the_sigmoid_of_the_log_odds_and_missing_stays_missing() -> None:
    phi = yes_probabilities([[0.0, np.log(3)], [np.nan, -800.0]])
    assert phi[0] == pytest.approx([0.5, 0.75])
    assert np.isnan(phi[1, 0])
    assert phi[1, 1] == 0


def test_derived_statements_follow_the_product_rule() -> None:
    found = derived_probabilities(np.array([[0.9, 0.2], [0.9, np.nan]]), SCHEME)
    assert found[0] == pytest.approx([0.72])
    assert np.isnan(found[1, 0])


@given(rows)
def test_classes_that_leave_nothing_out_sum_to_one(answers: list[tuple[float, float]]) -> None:
    for kind in SCHEME.kinds:
        found = class_probabilities(np.array(answers), SCHEME, [kind] * len(answers))
        assert found.sum(axis=1) == pytest.approx(1)


def test_each_prompt_is_classed_by_its_own_kind() -> None:
    phi = np.array([[1.0, 0.0], [1.0, 0.0]])
    found = likeliest_classes(class_probabilities(phi, SCHEME, ["refuse", "comply"]))
    assert found.tolist() == [0, 1]


def test_doubt_takes_the_worse_class_and_missing_answers_take_none() -> None:
    found = likeliest_classes(np.array([[0.5, 0.5], [0.6, 0.4], [np.nan, 1.0], [0.0, 0.0]]))
    assert found.tolist() == [1, 0, UNCLASSED, UNCLASSED]


def test_an_unknown_kind_and_a_wrong_shape_are_refused() -> None:
    with pytest.raises(ConstitutionError, match="kind of prompt is 'other'"):
        class_probabilities(np.ones((1, 2)), SCHEME, ["other"])
    with pytest.raises(DataError, match="one column for each of 2"):
        derived_probabilities(np.ones((1, 3)), SCHEME)
    with pytest.raises(DataError, match="1 kinds for 2 completions"):
        class_probabilities(np.ones((2, 2)), SCHEME, ["refuse"])
