"""The mistakes that writers make, and the sentence each is answered with."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from judges.constitutions.files import parse_constitution
from judges.errors import ConstitutionError

GOOD = """\
name: manners
version: 1.0.0
title: Manners
licence: CC0-1.0
principles:
  - id: kind
    family: tone
    title: Kind
    text: The better completion is kinder.
"""
TEXT = "    text: The better completion is kinder.\n"
RULES = (
    "max_words, min_words, max_sentences, max_characters, min_characters, forbidden_phrases, "
    "required_phrases, regex, complete_sentence, json_schema, language, max_reading_grade, "
    "max_repetition, exact_match, numeric_answer"
)


def refusal(content: str, folders: Sequence[Path] = ()) -> str:
    with pytest.raises(ConstitutionError) as caught:
        parse_constitution(content.encode(), "f.yaml", folders)
    return str(caught.value)


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        pytest.param(
            "    weigth: 2\n",
            "10:5: principle 'kind' has an unknown key 'weigth' (did you mean 'weight'?)",
            id="a misspelt key",
        ),
        pytest.param(
            "aggregate: {zebra: 1}\n",
            "10:13: aggregate has an unknown key 'zebra'; known keys: tie_margin, decisive, "
            "abstain_below, min_weight",
            id="a key that is like no other",
        ),
        pytest.param(
            "  - id: kind\n    family: x\n    title: Y\n    text: Z\n",
            "10:5: id 'kind' is used twice; rename or remove one of the two (it is on line 6 too)",
            id="two principles with one id",
        ),
        pytest.param(
            "    propositions:\n      - {id: a, text: X}\n      - {id: a, text: Y}\n",
            "12:10: id 'a' is used twice; rename or remove one of the two (it is on line 11 too)",
            id="two propositions with one id",
        ),
        pytest.param(
            "    rule: {kind: max_words, value: 3}\n",
            "10:5: principle 'kind' has both text and rule; keep one of them, or make two "
            "principles",
            id="both text and rule",
        ),
        pytest.param(
            "    tier: hgih\n",
            "10:5: principle 'kind', tier is 'hgih' (did you mean 'high'?); use hard, high, normal "
            "or style",
            id="a misspelt tier",
        ),
        pytest.param(
            "    weight: -1\n",
            "10:5: principle 'kind', weight is -1, a number; it must be more than 0",
            id="a negative weight",
        ),
        pytest.param(
            "    weight: .inf\n",
            "10:5: principle 'kind', weight is inf, a number; write a finite number",
            id="an infinite weight",
        ),
        pytest.param(
            "    weight: 2,5\n",
            "10:5: principle 'kind', weight is '2,5'; write a number: 2.5, without quotes",
            id="a decimal comma",
        ),
        pytest.param(
            "    propositions:\n      - {id: a, text: It is warm, kind}\n",
            "11:35: principle 'kind', proposition 'a' has an unknown key 'kind'; a comma ends a "
            "text in braces: put it in quotes",
            id="a comma in a text in braces",
        ),
        pytest.param(
            "    weight: heavy\n",
            "10:5: principle 'kind', weight is 'heavy'; write a number",
            id="a weight in words",
        ),
        pytest.param(
            "    tests:\n      - {prompt: Hi, better: Hello}\n",
            "11:9: principle 'kind', test 1 has no worse; add `worse: …` (the completion that "
            "follows it less)",
            id="a test without a worse completion",
        ),
        pytest.param(
            "    tests: {prompt: Hi}\n",
            "10:5: principle 'kind', tests is a mapping (`key: value`); write a list: one `- …` "
            "to a line",
            id="a mapping for a list",
        ),
        pytest.param(
            "    tests: [Hi]\n",
            "10:13: principle 'kind', test 1 is 'Hi'; write `key: value` lines, indented below it",
            id="a text for a mapping",
        ),
        pytest.param(
            "    tests:\n      - {prompt: [{role: usr, content: x}], better: a, worse: b}\n",
            "11:20: principle 'kind', test 1, prompt item 1, role is 'usr' (did you mean 'user'?); "
            "use system, user, assistant or tool",
            id="a message of nobody",
        ),
        pytest.param(
            "    tests:\n      - {prompt: [], better: a, worse: b}\n",
            "11:10: principle 'kind', test 1, prompt is empty; fill it in",
            id="a conversation without messages",
        ),
        pytest.param(
            "    propositions:\n      - {id: a, text: X, expect: yes}\n",
            "11:26: principle 'kind', proposition 'a', expect is 'yes'; write true or false",
            id="yes for true",
        ),
        pytest.param(
            "    critique:\n    source: 1984\n",
            "11:5: principle 'kind', source is 1984, a number; put it in quotes to make it a text",
            id="a number for a text",
        ),
        pytest.param(
            "aggregate: {tie_margin: 1}\n",
            "10:13: aggregate, tie_margin is 1, a number; it must be at most 0.5",
            id="a tie margin over one half",
        ),
        pytest.param(
            "aggregate: {min_weight: -0.5}\n",
            "10:13: aggregate, min_weight is -0.5, a number; it must be at least 0",
            id="a negative share",
        ),
        pytest.param(
            "extends: [base@1]\n",
            "10:11: extends item 1 is 'base@1'; a parent is an exact version such as base@1.0.0",
            id="a parent without exact version",
        ),
    ],
)
def test_what_should_not_have_been_added(added: str, expected: str) -> None:
    assert refusal(GOOD + added) == f"f.yaml:{expected}"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(
            "  - id: kind\n    family",
            "  - family",
            "6:5: principle 1 has no id; add `id: …` (stable for ever: a renamed principle is a "
            "new principle)",
            id="no id",
        ),
        pytest.param(
            "id: kind",
            "id: Be Kind!",
            "6:5: principle 'Be Kind!', id is 'Be Kind!'; use lower-case letters, digits and "
            "single hyphens, such as 'be-kind'",
            id="an id that is a sentence",
        ),
        pytest.param("id: kind", "id:", "6:5: principle 1, id is empty; fill it in", id="empty id"),
        pytest.param(
            TEXT,
            "",
            "6:5: principle 'kind' has neither text nor rule; add `text: …`, what the judge shall "
            "read",
            id="neither text nor rule",
        ),
        pytest.param(
            TEXT,
            "    text: '  '\n",
            "9:5: principle 'kind', text is empty; fill it in, or remove the key",
            id="a blank text",
        ),
        pytest.param(
            TEXT,
            "    text: [kind] or cruel\n",
            "9:18: the indentation fits nothing above; line it up with its neighbours (it begins "
            "on line 6)",
            id="a text that begins with a bracket",
        ),
        pytest.param(
            TEXT,
            "    text: [kind]\n",
            "9:5: principle 'kind', text is a list; write one text; quote it when it holds ': ' or "
            "begins with '[' or '{'",
            id="a list for a text",
        ),
        pytest.param(
            "1.0.0",
            "1.0",
            "2:1: version is 1.0, a number; use three numbers such as 1.0.0",
            id="a version of two numbers",
        ),
        pytest.param(
            "1.0.0",
            "v1.0.0",
            "2:1: version is 'v1.0.0'; use three numbers such as 1.0.0",
            id="a version with a letter",
        ),
        pytest.param(
            "licence: CC0-1.0\n",
            "",
            "1:1: the file has no licence; add `licence: …` (SPDX identifier of the text's "
            "licence, such as `CC0-1.0`)",
            id="no licence",
        ),
        pytest.param(
            "principles:",
            "principle:",
            "5:1: the file has an unknown key 'principle' (did you mean 'principles'?)",
            id="a misspelt top-level key",
        ),
        pytest.param(
            TEXT,
            "    rule: {kind: max_word, value: 3}\n",
            "9:5: principle 'kind', rule kind is 'max_word' (did you mean 'max_words'?); use "
            + RULES,
            id="a misspelt kind of rule",
        ),
        pytest.param(
            TEXT,
            "    rule: {value: 3}\n",
            f"9:5: principle 'kind', rule has no kind; add `kind: …`, one of {RULES}",
            id="a rule without kind",
        ),
        pytest.param(
            TEXT,
            "    rule: {kind: max_words, value: 3.5}\n",
            "9:29: principle 'kind', rule, value is 3.5, a number; write a whole number",
            id="half a word",
        ),
        pytest.param(
            TEXT,
            "    rule: {kind: complete_sentence, value: 1}\n",
            "9:37: principle 'kind', rule has an unknown key 'value'; known keys: kind",
            id="a value for a rule without one",
        ),
        pytest.param(
            TEXT,
            "    rule: max_words\n",
            "9:5: principle 'kind', rule is 'max_words'; write `key: value` lines, indented below "
            "it",
            id="a rule that is a word",
        ),
        pytest.param(
            TEXT,
            "    rule: {kind: regex, value: 'a('}\n",
            "9:25: principle 'kind', rule, value is no Python regular expression (missing ), "
            "unterminated subpattern at position 1); write a sign that stands for itself with a "
            "backslash before it",
            id="a pattern that does not compile",
        ),
        pytest.param(
            TEXT,
            "    rule: {kind: json_schema, value: {type: integr}}\n",
            "9:31: principle 'kind', rule, value is no JSON Schema (type: 'integr' is not valid "
            "under any of the given schemas)",
            id="a schema that is none",
        ),
        pytest.param(
            TEXT,
            "    rule: {kind: language, value: eng}\n",
            "9:28: principle 'kind', rule, value is 'eng', no language that can be told (did you "
            "mean 'en'?)",
            id="a code of three letters",
        ),
        pytest.param(
            TEXT,
            "    rule: {kind: max_repetition, value: 1}\n",
            "9:34: principle 'kind', rule, value is 1, a number; it must be less than 1",
            id="all of it repeated",
        ),
        pytest.param(
            TEXT,
            "    rule: {kind: numeric_answer, value: many}\n",
            "9:34: principle 'kind', rule, value is 'many', which holds no number; write one, "
            "such as 42 or '3/4'",
            id="a number in words",
        ),
        pytest.param(
            GOOD,
            "- a\n",
            "1:1: the file is not made of `key: value` lines; begin with `name: …`",
            id="a list",
        ),
        pytest.param(GOOD, "# none\n", "1:1: the file is empty; begin with `name: …`", id="empty"),
        pytest.param(
            GOOD,
            GOOD[: GOOD.index("principles")],
            "1:1: the file has no principles; add `principles:` with at least one",
            id="no principles",
        ),
    ],
)
def test_what_should_have_been_written_otherwise(before: str, after: str, expected: str) -> None:
    assert refusal(GOOD.replace(before, after)) == f"f.yaml:{expected}"


def test_all_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    broken = GOOD.replace("1.0.0", "1").replace("id: kind", "id: Kind") + "    tier: no\nx: 1\n"
    assert [line.split(":")[1] for line in refusal(broken).split("\n")] == ["2", "6", "10", "11"]


def test_very_many_faults_end_in_a_count() -> None:
    lines = refusal(GOOD + "".join(f"x{n}: 1\n" for n in range(50))).split("\n")
    assert len(lines) == 21
    assert lines[-1] == "f.yaml: and 30 more"


def test_a_long_value_is_cut_short() -> None:
    assert len(refusal(GOOD.replace("id: kind", f"id: {'k' * 900}"))) < 1200
