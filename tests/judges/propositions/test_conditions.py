"""Conditions mean what logic says, and their probability what independence says."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import ConstitutionError
from judges.propositions.conditions import (
    And,
    Condition,
    Not,
    Or,
    can_hold,
    parse_condition,
    probability,
    statements,
)

NAMES = ("a", "b", "c")


def holds(condition: Condition, answers: dict[str, bool]) -> bool:
    """Plain logic, written another way."""
    match condition:
        case str():
            return answers[condition]
        case Not(part):
            return not holds(part, answers)
        case And(parts):
            return all(holds(part, answers) for part in parts)
        case Or(parts):
            return any(holds(part, answers) for part in parts)
    return bool(condition)


conditions = st.recursive(
    st.one_of(st.sampled_from(NAMES), st.booleans()),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=8,
)


def at(text: str, **phi: float) -> float:
    columns = {name: np.array([value]) for name, value in phi.items()}
    return float(probability(parse_condition(text), columns)[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a and b", 0.3 * 0.8),
        ("a or b", 1 - 0.7 * 0.2),
        ("not a", 0.7),
        ("not not a", 0.3),
        ("a and not (b or c)", 0.3 * 0.2 * 0.5),
        ("a or b and c", 1 - 0.7 * (1 - 0.4)),
        ("(a or b) and c", (1 - 0.7 * 0.2) * 0.5),
        ("a and not a", 0.0),
        ("a or not a", 1.0),
        ("a and a", 0.3),
        ("a and not (a and b)", 0.3 * 0.2),
    ],
)
def test_probability_has_the_closed_form(text: str, expected: float) -> None:
    assert at(text, a=0.3, b=0.8, c=0.5) == pytest.approx(expected)


@given(conditions, st.tuples(*[st.floats(0, 1)] * 3))
def test_probability_is_the_sum_over_all_answers_that_make_it_true(
    condition: Condition, phi: tuple[float, float, float]
) -> None:
    columns = {name: np.array([p]) for name, p in zip(NAMES, phi, strict=True)}
    expected = sum(
        float(np.prod([p if yes else 1 - p for p, yes in zip(phi, answers, strict=True)]))
        for answers in product((True, False), repeat=3)
        if holds(condition, dict(zip(NAMES, answers, strict=True)))
    )
    assert probability(condition, columns) == pytest.approx(expected, abs=1e-9)


@given(conditions)
def test_a_condition_can_hold_exactly_when_some_answers_make_it_true(condition: Condition) -> None:
    satisfiable = any(
        holds(condition, dict(zip(NAMES, answers, strict=True)))
        for answers in product((True, False), repeat=3)
    )
    assert can_hold(condition) is satisfiable


def test_a_missing_answer_makes_the_probability_missing_only_where_it_is_asked_about() -> None:
    columns = {"a": np.array([0.5, np.nan]), "b": np.array([0.5, 0.5])}
    found = probability(parse_condition("a and b"), columns)
    assert found[0] == 0.25
    assert np.isnan(found[1])
    assert not np.isnan(probability("b", columns)).any()


def test_splits_on_many_repeated_statements_stay_cheap() -> None:
    names = [f"s{i}" for i in range(25)]
    every = " and ".join(names)
    phi = {name: np.full(3, 0.9) for name in [*names, "z"]}
    found = probability(parse_condition(f"{every} and not ({every} and z)"), phi)
    assert found == pytest.approx(0.9**25 * 0.1)


def test_statements_come_as_often_as_they_occur() -> None:
    assert list(statements(parse_condition("a and not (b or a)"))) == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("a b", "'b' is out of place", id="two names without a word between"),
        pytest.param("a and", "wanted where the end stands", id="nothing after and"),
        pytest.param("", "wanted where the end stands", id="nothing at all"),
        pytest.param("(a or b", "never closed", id="an open bracket"),
        pytest.param("a)", "')' is out of place", id="a bracket too many"),
        pytest.param("or a", "wanted where 'or' stands", id="a word in front"),
        pytest.param("A & b", "'A' is no id", id="other signs"),
    ],
)
def test_a_broken_condition_is_refused_and_quoted(text: str, complaint: str) -> None:
    with pytest.raises(ConstitutionError) as caught:
        parse_condition(text)
    assert complaint in str(caught.value)
    assert repr(text) in str(caught.value)
