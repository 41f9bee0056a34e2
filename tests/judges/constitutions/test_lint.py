"""Each check speaks about the fault it is named after, and about nothing else."""

from typing import Any

import pytest

from judges.constitutions.constitution import Constitution, GoldenTest, Principle
from judges.constitutions.lint import lint_constitution, nests_repeats
from judges.constitutions.rules import DocumentRule, LimitRule, PatternRule

TEST = GoldenTest(prompt="Hi", better="Hello!", worse="What?")
COMPLETE: dict[str, Any] = {
    "id": "kind",
    "family": "tone",
    "title": "Kind",
    "text": "The better completion greets the reader more warmly.",
    "critique": "Quote what is cold.",
    "revise": "Make it warmer.",
    "source": "A book.",
    "tests": (TEST,),
}
OTHER = {"id": "plain", "text": "It uses fewer words that a child would not know."}
THIRD = {"id": "true", "text": "Its claims about history agree with what scholars hold."}


def findings(*changes: dict[str, Any], description: str | None = "For talks.") -> list[Any]:
    constitution = Constitution(
        name="manners",
        version="1.0.0",
        title="Manners",
        licence="CC0-1.0",
        description=description,
        principles=tuple(Principle(**(COMPLETE | change)) for change in changes),
    )
    return [(found.check, found.principle) for found in lint_constitution(constitution)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([{}], [], id="nothing to say about a complete principle"),
        pytest.param([{"tests": ()}], [("no-tests", "kind")], id="no tests"),
        pytest.param([{"critique": None}], [("no-critique", "kind")], id="no critique"),
        pytest.param([{"revise": None}], [("no-revise", "kind")], id="no revision request"),
        pytest.param([{"source": None}], [("no-source", "kind")], id="no source"),
        pytest.param([{"text": "Word " * 61}], [("long-text", "kind")], id="a text over 60 words"),
        pytest.param([{"text": "Word " * 60}], [], id="a text of 60 words"),
        pytest.param(
            [{"text": "It is kind and true. It is short."}], [("two-in-one", "kind")], id="two asks"
        ),
        pytest.param([{"text": "It names cups and plates."}], [], id="one sentence with and"),
        pytest.param([{"text": "It is kind. Length is no matter."}], [], id="two without and"),
        pytest.param([{"text": "It is handy. It is sandy."}], [], id="and inside a word"),
        pytest.param(
            [{"tests": (TEST, GoldenTest(prompt="Hi", better="Same", worse="Same\n"))}],
            [("same-answers", "kind")],
            id="better and worse alike",
        ),
        pytest.param(
            [{}, {"id": "warm", "text": "The better completion greets a reader more warmly."}],
            [("near-duplicate", "warm")],
            id="two texts nearly alike",
        ),
        pytest.param([{}, OTHER], [], id="two texts with little in common"),
        pytest.param(
            [{"weight": 3}, OTHER, THIRD], [], id="a weight not above its share among three"
        ),
        pytest.param(
            [{"weight": 4}, OTHER, THIRD], [("dominates", "kind")], id="a weight over its tier"
        ),
        pytest.param([{"weight": 9}], [], id="a weight alone in its tier"),
        pytest.param(
            [{"weight": 9}, OTHER | {"tier": "high"}], [], id="a weight against another tier"
        ),
        pytest.param(
            [{"text": None, "rule": LimitRule(kind="max_words", value=5)}], [], id="a rule"
        ),
        pytest.param(
            [{"text": None, "rule": PatternRule(kind="regex", value="^(a+)+$")}],
            [("slow-pattern", "kind")],
            id="a slow pattern",
        ),
        pytest.param(
            [{"text": None, "rule": DocumentRule(kind="json_schema", value={"pattern": "(a*)*"})}],
            [("slow-pattern", "kind")],
            id="a slow pattern in a schema",
        ),
    ],
)
def test_each_check_finds_its_fault(changes: list[Any], expected: list[Any]) -> None:
    assert findings(*changes) == expected


def test_a_constitution_says_what_it_is_for() -> None:
    assert findings({}, description=None) == [("no-description", None)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("(a+)+", True),
        ("(?:x(?:a|b*?)){2,}", True),
        ("(?=(a*)*)", True),
        ("a+b*c{2,9}", False),
        ("(a{1,3})+", False),
        ("(a+){3}", False),
        ("(a++)+", False),
        ("(?>a+)*", False),
    ],
)
def test_a_repetition_inside_another_is_seen(pattern: str, expected: bool) -> None:
    assert nests_repeats(pattern) is expected
