"""The version says what a change costs: patch, minor or major."""

from collections.abc import Mapping
from typing import get_args

import pytest

from judges.constitutions.constitution import Constitution, Principle
from judges.constitutions.diff import Change, What, compare
from judges.constitutions.semver import (
    MAJOR,
    MINOR,
    demanded_step,
    next_version,
    refuse_wrong_step,
    step_of,
)
from judges.errors import ConstitutionError

KIND = {"id": "kind", "family": "tone", "title": "Kind", "text": "The kinder one."}
TRUE = {"id": "true", "family": "tone", "title": "True", "text": "The truer one."}


def made(version: str, *principles: Mapping[str, object], title: str = "A") -> Constitution:
    return Constitution(
        name="a",
        version=version,
        title=title,
        licence="CC0-1.0",
        principles=tuple(Principle.model_validate(each) for each in principles),
    )


def taken(before: Constitution, after: Constitution) -> str:
    return refuse_wrong_step(before, after, compare(before, after), "f.yaml")


@pytest.mark.parametrize(
    ("version", "step", "expected"),
    [("1.2.3", "patch", "1.2.4"), ("1.2.3", "minor", "1.3.0"), ("1.9.3", "major", "2.0.0")],
)
def test_the_next_version(version: str, step: str, expected: str) -> None:
    assert next_version(version, step) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("what", get_args(What))
def test_a_change_that_leaves_votes_and_labels_is_a_patch_and_no_other(what: What) -> None:
    quiet = what in ("critique", "revise", "title", "source", "tests", "order", "about")
    assert (step_of(Change(what=what, cost="nothing")) == "patch") == quiet
    assert not (what in MAJOR and what in MINOR)


@pytest.mark.parametrize(
    ("after", "step"),
    [
        pytest.param(made("1.0.1", KIND, title="B"), "patch", id="a title"),
        pytest.param(made("1.1.0", KIND, TRUE), "minor", id="an added principle"),
        pytest.param(made("1.1.0", KIND | {"weight": 2.0}), "minor", id="a weight"),
        pytest.param(made("1.1.0", KIND | {"tier": "high"}), "minor", id="a tier"),
        pytest.param(made("2.0.0", KIND | {"text": "Warmer."}), "major", id="a text"),
        pytest.param(made("2.0.0", TRUE), "major", id="a removed principle"),
        pytest.param(made("2.0.0", KIND | {"applies_when": "Is it?"}), "major", id="a scope"),
        pytest.param(made("2.0.0", KIND | {"id": "warm"}), "major", id="an id"),
    ],
)
def test_the_step_that_is_demanded_is_taken(after: Constitution, step: str) -> None:
    before = made("1.0.0", KIND)
    assert demanded_step(compare(before, after)) == step
    assert taken(before, after) == step


@pytest.mark.parametrize("version", ["1.0.1", "1.1.0", "1.0.2", "3.0.0"])
def test_a_wrong_step_names_each_change_that_forces_the_right_one(version: str) -> None:
    after = made(version, KIND | {"text": "Warmer.", "weight": 2.0}, title="B")
    with pytest.raises(ConstitutionError) as caught:
        taken(made("1.0.0", KIND), after)
    assert str(caught.value) == (
        f"f.yaml: version is {version}, but what changed since a@1.0.0 demands the major step: "
        "write `version: 2.0.0`\n  major: reworded 'kind'"
    )


def test_too_large_a_step_is_wrong_too() -> None:
    with pytest.raises(ConstitutionError, match=r"write `version: 1\.0\.1`"):
        taken(made("1.0.0", KIND), made("2.0.0", KIND, title="B"))


def test_a_version_that_says_the_same_is_refused() -> None:
    with pytest.raises(ConstitutionError, match=r"says the same as a@1\.0\.0"):
        taken(made("1.0.0", KIND), made("1.0.1", KIND))


def test_the_first_settled_version_may_follow_any_trial() -> None:
    assert taken(made("0.3.0", KIND), made("1.0.0", KIND, title="B")) == "patch"
