"""The constitutions in this repository keep what their README promises."""

from pathlib import Path

import pytest

from judges.constitutions.constitution import Constitution, GoldenTest
from judges.constitutions.files import list_constitutions, load_constitution
from judges.constitutions.lint import lint_constitution
from judges.constitutions.rules_text import count_words

SHIPPED = Path(__file__).parents[3] / "constitutions"
NEWEST = {
    name: load_constitution(name, [SHIPPED])
    for name in sorted({file.reference.split("@")[0] for file in list_constitutions([SHIPPED])})
}
EACH = pytest.mark.parametrize("constitution", NEWEST.values(), ids=NEWEST)
PROMISED = {"helpful-harmless", "honest", "even-handed", "plain-speech", "safe-completion"}
SPELT_OUT = {"honest", "even-handed", "safe-completion"}
LEANING_BY_NATURE = {"max_words", "min_words"}
"""Rules about length: their better completion is always the shorter, or always the longer."""


def characters_more(test: GoldenTest) -> int:
    return len(test.better) - len(test.worse)


def share_longer(tests: list[GoldenTest]) -> float:
    return sum(characters_more(test) > 0 for test in tests) / len(tests)


def test_the_promised_set_is_here() -> None:
    assert set(NEWEST) >= PROMISED


@EACH
def test_an_editor_finds_the_schema(constitution: Constitution) -> None:
    file = SHIPPED / constitution.name / f"{constitution.version}.yaml"
    hint = file.read_text("utf-8").partition("\n")[0]
    assert hint == "# yaml-language-server: $schema=../schema.json"


@EACH
def test_every_principle_has_three_golden_tests_and_says_where_it_comes_from(
    constitution: Constitution,
) -> None:
    assert constitution.licence == "CC0-1.0"
    assert {p.id: len(p.tests) for p in constitution.principles if len(p.tests) < 3} == {}
    assert [
        p.id for p in constitution.principles if not (p.source and p.critique and p.revise)
    ] == []


@EACH
def test_neither_the_longer_nor_the_shorter_wins_as_a_rule(constitution: Constitution) -> None:
    tests = [test for principle in constitution.principles for test in principle.tests]
    assert 0.4 <= share_longer(tests) <= 0.6
    words_better = sum(count_words(test.better) for test in tests)
    words_worse = sum(count_words(test.worse) for test in tests)
    assert 0.8 <= words_better / words_worse <= 1.25


@EACH
def test_each_principle_has_a_test_in_either_direction(constitution: Constitution) -> None:
    one_way = [
        principle.id
        for principle in constitution.principles
        if principle.rule is None or principle.rule.kind not in LEANING_BY_NATURE
        if not (
            any(characters_more(test) > 0 for test in principle.tests)
            and any(characters_more(test) < 0 for test in principle.tests)
        )
    ]
    assert one_way == []


@EACH
def test_a_judged_text_is_comparative_and_of_a_length_that_is_read(
    constitution: Constitution,
) -> None:
    texts = {p.id: p.text for p in constitution.principles if p.text is not None}
    assert [name for name, text in texts.items() if not text.startswith("The better")] == []
    # plain-speech leaves most to rules; each of its two texts is one short sentence.
    least = 11 if constitution.name == "plain-speech" else 25
    assert {i: n for i, text in texts.items() if not least <= (n := count_words(text)) <= 35} == {}


@EACH
def test_a_hard_principle_has_a_scope(constitution: Constitution) -> None:
    hard = [p for p in constitution.principles if p.tier == "hard"]
    assert [p.id for p in hard if p.applies_when is None] == []


@EACH
def test_lint_has_nothing_to_say_but_of_the_weight_of_brevity(constitution: Constitution) -> None:
    found = [(finding.check, finding.principle) for finding in lint_constitution(constitution)]
    meant = [("dominates", "brevity")] if constitution.name == "plain-speech" else []
    assert found == meant


def test_no_two_constitutions_share_a_principle_id() -> None:
    # So that one file may extend any of them together without one replacing another's principle.
    ids = [principle.id for each in NEWEST.values() for principle in each.principles]
    assert sorted({name for name in ids if ids.count(name) > 1}) == []


def test_no_prompt_is_used_twice() -> None:
    prompts = [
        str(test.conversation)
        for each in NEWEST.values()
        for principle in each.principles
        for test in principle.tests
    ]
    assert sorted({prompt for prompt in prompts if prompts.count(prompt) > 1}) == []


@pytest.mark.parametrize("name", sorted(SPELT_OUT))
def test_propositions_say_what_speaks_for_and_against_a_completion(name: str) -> None:
    stated = [statement for p in NEWEST[name].principles for statement in p.propositions]
    assert {statement.expect for statement in stated} == {True, False}
    assert all(statement.text.startswith(("The ", "For ", "Where ")) for statement in stated)


def test_every_judged_principle_of_safe_completion_is_spelt_out() -> None:
    judged = [p for p in NEWEST["safe-completion"].principles if p.text is not None]
    assert [p.id for p in judged if len(p.propositions) < 2] == []
    statements = [statement.id for p in judged for statement in p.propositions]
    assert len(set(statements)) == len(statements)


def test_the_sets_with_a_hard_tier_are_those_about_harm() -> None:
    hard = {n for n, each in NEWEST.items() if any(p.tier == "hard" for p in each.principles)}
    assert hard & PROMISED == {"helpful-harmless", "safe-completion"}


def test_every_constitution_is_in_the_table_with_its_counts() -> None:
    table = (SHIPPED / "README.md").read_text(encoding="utf-8")
    for name, each in NEWEST.items():
        rules = sum(p.rule is not None for p in each.principles)
        statements = sum(len(p.propositions) for p in each.principles)
        tests = sum(len(p.tests) for p in each.principles)
        counts = f"| {len(each.principles)} | {rules} | {statements} | {tests} |"
        assert f"| [`{name}`]({name}/{each.version}.yaml) {counts}" in table
