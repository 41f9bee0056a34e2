"""Candidates from files are checked line by line; hypotheses speak in both directions."""

from pathlib import Path

import pytest

from judges.benchmarks.planted_pairs import labelled_pairs
from judges.constitutions.rules import check_rule
from judges.errors import DataError
from judges.inference.candidates import PATTERNS, hypotheses, read_candidates


def test_a_file_gives_one_candidate_a_line(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("# mine\n\nThe better  completion is kind.\n")
    (only,) = read_candidates(path)
    assert only.text == "The better completion is kind."
    assert only.origin == "file"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Be kind.\nBe kind. Be short.\n", "c.txt:2: .*more than one sentence"),
        ("Be kind.\nBe kind.\n", "c.txt:2: stands on line 1 too"),
        ("kind\n", "c.txt:1: .*fewer than two words"),
        ("a " * 50, "c.txt:1: .*more than 40 words"),
        ("# nothing\n", "no candidate in it"),
    ],
)
def test_a_line_that_is_no_candidate_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_candidates(path)


SPEAKS = {
    "lists": "We need:\n- tea\n- milk",
    "headings": "## Tea",
    "bold": "**Tea** is good",
    "code": "use `x`",
    "hedging": "Perhaps it rains",
    "refusal": "I can't help with that",
    "apology": "I am sorry",
    "politeness": "Happy to help",
    "praise": "Great question",
    "disclaimer": "As an AI, no",
    "exclamation": "Yes!",
    "question": "Is that so? ",
    "numbers": "It takes 3 days",
    "example": "for example tea",
    "warning": "Be careful",
    "emoji": "fine \U0001f600",
    "first-person": "I'm here",
    "second-person": "you're here",
}


@pytest.mark.parametrize("name", PATTERNS)
def test_each_hypothesis_tells_what_it_names_from_plain_prose(name: str) -> None:
    made = {c.text: c.rule for c in hypotheses([]) if c.rule is not None}
    words = PATTERNS[name][0]
    uses, without = (made[f"The completion {verb} {words}."] for verb in ("uses", "does without"))
    for text, found in ((SPEAKS[name], 1.0), ("Rivers carry water", 0.0)):
        assert check_rule(uses, (), text) == found
        assert check_rule(without, (), text) == 1 - found


def test_limits_of_length_follow_the_data() -> None:
    pairs = labelled_pairs(20, 0)
    kinds = [c.rule.kind for c in hypotheses(pairs) if c.rule and c.rule.kind != "regex"]
    assert {"max_words", "min_words"} == set(kinds)
