"""Golden tests pass exactly where the judge prefers what the author does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from judges.constitutions.constitution import Constitution
from judges.constitutions.files import list_constitutions, load_constitution
from judges.golden import GoldenResult, run_golden_tests
from judges.store.vote_store import VoteStore
from tests.judges.planted import asked, constitution, judge

CASE = {"prompt": "What is tea?", "better": "A drink.", "worse": "Well, tea is a sort of drink."}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


def brief(**changed: Any) -> Constitution:
    return constitution(
        {"id": "brief", "text": "Be brief.", "tests": [CASE], **changed},
        {"id": "untested", "text": "Be kind."},
    )


@pytest.mark.parametrize(
    ("taste", "passes"),
    [
        pytest.param("shorter", True, id="the judge agrees"),
        pytest.param("longer", False, id="the judge disagrees"),
        pytest.param("indifferent", False, id="a tie has not passed"),
    ],
)
async def test_a_test_passes_when_the_judge_agrees(
    store: VoteStore, taste: str, passes: bool
) -> None:
    planted = judge(preferences={"brief": taste}, position_bias=2)
    (result,) = await run_golden_tests(brief(), [planted], store)
    assert (result.principle, result.test, result.passed) == ("brief", 0, passes)
    assert asked(planted) == 2


async def test_a_scope_does_not_stand_in_a_tests_way(store: VoteStore) -> None:
    planted = judge(applies={"coffee": "never"})
    (result,) = await run_golden_tests(brief(applies_when="About coffee."), [planted], store)
    assert result.passed
    assert asked(planted) == 2


async def test_an_unscored_test_has_not_passed_and_says_why(store: VoteStore) -> None:
    (result,) = await run_golden_tests(brief(), [judge(failure_rates={"refused": 1.0})], store)
    assert result == GoldenResult(principle="brief", test=0, p=None, reason="refused", new_votes=2)
    assert not result.passed


async def test_a_rule_is_tested_without_a_judge(store: VoteStore) -> None:
    under = constitution(
        {"id": "few", "rule": {"kind": "max_words", "value": 3}, "tests": [CASE, CASE]}
    )
    planted = judge()
    results = await run_golden_tests(under, [planted], store)
    assert [(result.test, result.passed) for result in results] == [(0, True), (1, True)]
    assert asked(planted) == 0


@pytest.mark.parametrize("reference", [file.reference for file in list_constitutions()])
async def test_the_shipped_golden_tests_run_and_their_rules_hold(
    store: VoteStore, reference: str
) -> None:
    under = load_constitution(reference)
    results = await run_golden_tests(under, [judge()], store)
    assert len(results) == sum(len(principle.tests) for principle in under.principles)
    assert all(result.p is not None for result in results)
    rules = {principle.id for principle in under.principles if principle.rule is not None}
    assert [r for r in results if r.principle in rules and not r.passed] == []
