"""A diff says what changed and what that costs; a question asked before costs nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.constitutions.constitution import Constitution, Principle, Proposition
from judges.constitutions.diff import Diff, compare, headline
from judges.constitutions.rules import LimitRule

KIND = Principle(
    id="kind",
    family="tone",
    title="Kind",
    text="The kinder one.",
    applies_when="Is it sad?",
    propositions=(Proposition(id="warm", text="It is warm."),),
)
TRUE = Principle(id="true", family="honesty", title="True", text="The truer one.")
SHORT = Principle(
    id="short", family="style", title="Short", rule=LimitRule(kind="max_words", value=9)
)


def made(*principles: Principle, **more: Any) -> Constitution:
    top = {"name": "a", "version": "1.0.0", "title": "A", "licence": "CC0-1.0"}
    return Constitution(**(top | more), principles=principles)


OLD = made(KIND, TRUE, SHORT)


def edited(**update: Any) -> Diff:
    """The diff of an edit of the first principle."""
    return compare(OLD, made(Principle(**(KIND.model_dump() | update)), TRUE, SHORT))


def told(diff: Diff) -> list[tuple[str, str]]:
    return [(headline(change), change.cost) for change in diff.changes]


WARM = {"id": "warm", "text": "It is warm."}


@pytest.mark.parametrize(
    ("update", "expected", "wanted"),
    [
        pytest.param({"text": "X."}, ("reworded 'kind'", "votes"), ["pair"], id="reworded"),
        pytest.param(
            {"applies_when": "Is it?"},
            ("scope of 'kind' changed", "votes"),
            ["applies"],
            id="scope",
        ),
        pytest.param(
            {"applies_when": None}, ("scope of 'kind' removed", "labels"), [], id="no scope left"
        ),
        pytest.param({"weight": 2}, ("weight of 'kind': 1 → 2", "labels"), [], id="weight"),
        pytest.param({"tier": "hard"}, ("tier of 'kind': normal → hard", "labels"), [], id="tier"),
        pytest.param(
            {"family": "care"}, ("family of 'kind': tone → care", "labels"), [], id="family"
        ),
        pytest.param(
            {"critique": "Where?"}, ("critique of 'kind' added", "revisions"), [], id="critique"
        ),
        pytest.param({"title": "T"}, ("title of 'kind' changed", "nothing"), [], id="title"),
        pytest.param(
            {"tests": ({"prompt": "p", "better": "b", "worse": "w"},)},
            ("tests of 'kind' changed", "nothing"),
            [],
            id="tests",
        ),
        pytest.param(
            {"text": None, "rule": {"kind": "max_words", "value": 3}},
            ("rule of 'kind' changed", "checks"),
            ["rule"],
            id="a rule in place of a text",
        ),
        pytest.param(
            {"propositions": (WARM, {"id": "calm", "text": "It is calm."})},
            ("statement added 'calm' of 'kind' added", "votes"),
            ["yes_no"],
            id="a statement",
        ),
        pytest.param(
            {"propositions": ()},
            ("statement removed 'warm' of 'kind' removed", "labels"),
            [],
            id="a statement less",
        ),
        pytest.param(
            {"propositions": (WARM | {"weight": 3},)},
            ("statement weight 'warm' of 'kind': 1 → 3", "labels"),
            [],
            id="a statement's weight",
        ),
        pytest.param(
            {"propositions": (WARM | {"expect": False},)},
            ("statement answer 'warm' of 'kind': yes → no", "labels"),
            [],
            id="a statement's answer",
        ),
    ],
)
def test_one_edit_is_one_change(
    update: dict[str, Any], expected: tuple[str, str], wanted: list[str]
) -> None:
    diff = edited(**update)
    assert told(diff) == [expected]
    assert [question.kind for question in diff.wanted] == wanted
    assert diff.cost == expected[1]


def test_an_added_principle_costs_its_votes_and_a_removed_one_none() -> None:
    diff = compare(made(KIND, SHORT), made(KIND, TRUE))
    assert told(diff) == [("added 'true'", "votes"), ("removed 'short'", "labels")]
    assert diff.wanted_digests == {TRUE.question_digest("pair")}


def test_a_renamed_principle_keeps_its_votes() -> None:
    diff = compare(OLD, made(KIND.model_copy(update={"id": "warm", "weight": 2.0}), TRUE, SHORT))
    assert told(diff) == [
        ("renamed 'kind' to 'warm'", "labels"),
        ("weight of 'warm': 1 → 2", "labels"),
    ]
    assert diff.wanted == ()


def test_words_that_another_principle_had_are_judged_already() -> None:
    swapped = (
        KIND.model_copy(update={"text": TRUE.text}),
        TRUE.model_copy(update={"text": KIND.text}),
    )
    diff = compare(OLD, made(*swapped, SHORT))
    assert told(diff) == [("reworded 'kind'", "labels"), ("reworded 'true'", "labels")]
    assert diff.wanted == ()


def test_what_is_said_of_the_whole() -> None:
    diff = compare(OLD, made(TRUE, KIND, SHORT, title="B", aggregate={"decisive": 2.0}))
    assert told(diff) == [
        ("setting decisive: 1 → 2", "labels"),
        ("title changed", "nothing"),
        ("order changed", "nothing"),
    ]


PRINCIPLES = st.lists(
    st.builds(
        Principle,
        id=st.sampled_from("abcd"),
        family=st.sampled_from(["f", "g"]),
        title=st.just("T"),
        text=st.sampled_from(["One.", "Two.", "Three.", "Four."]),
        weight=st.sampled_from([1.0, 2.0]),
        applies_when=st.sampled_from([None, "Is it?", "Was it?"]),
        critique=st.sampled_from([None, "Where?"]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda principle: principle.id,
)


@given(PRINCIPLES, PRINCIPLES)
def test_costs_are_those_of_the_digests(old: list[Principle], new: list[Principle]) -> None:
    before, after = made(*old), made(*new)
    diff = compare(before, after)
    assert (diff.changes == ()) == (before.digest == after.digest)
    asked = [
        {p.question_digest(kind) for p in c.principles for kind in p.question_kinds}
        for c in (before, after)
    ]
    assert diff.wanted_digests == asked[1] - asked[0]
    assert (diff.cost == "votes") == bool(diff.wanted)
    if before.digests.aggregate != after.digests.aggregate:
        assert diff.cost in ("votes", "labels")


@given(PRINCIPLES)
def test_nothing_differs_from_itself(principles: list[Principle]) -> None:
    assert compare(made(*principles), made(*principles)).changes == ()
