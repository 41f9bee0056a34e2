"""What is written reads back the same, whatever the texts hold."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.constitutions.constitution import Constitution, GoldenTest, Principle, Proposition
from judges.constitutions.files import list_constitutions, load_constitution, parse_constitution
from judges.constitutions.yaml_text import yaml_text

SHIPPED = Path(__file__).parents[3] / "constitutions"
TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\n\t:#-'\"{}[],&*!|>%@ "),
    min_size=1,
    max_size=150,
).filter(lambda text: text.strip() == text and text.strip("\ufeff") == text and bool(text))


@given(TEXTS, TEXTS, TEXTS)
def test_any_text_comes_back(one: str, two: str, three: str) -> None:
    principle = Principle(
        id="a",
        family="f",
        title=one,
        text=two,
        propositions=(Proposition(id="true", text=three, expect=False),),
        tests=(GoldenTest(prompt=one, better=two, worse=three),),
    )
    made = Constitution(
        name="a", version="1.0.0", title=three, licence="CC0-1.0", principles=(principle,)
    )
    assert parse_constitution(yaml_text(made).encode(), "f.yaml", []) == made


@pytest.mark.parametrize("file", list_constitutions([SHIPPED]), ids=lambda file: file.reference)
def test_every_shipped_constitution_comes_back(file) -> None:  # type: ignore[no-untyped-def]
    whole = load_constitution(str(file.path), [SHIPPED], warn=False)
    text = yaml_text(whole)
    back = parse_constitution(text.encode(), "f.yaml", [])
    assert back == whole.model_copy(update={"extends": (), "drop": ()})
    assert max(map(len, text.splitlines())) <= 100 or '"' in text


def test_it_is_written_as_people_write_it() -> None:
    made = Constitution.model_validate(
        {
            "name": "a",
            "version": "1.0.0",
            "title": "no",
            "licence": "CC0-1.0",
            "aggregate": {"decisive": 2},
            "principles": [
                {"id": "b", "family": "f", "title": "B: c", "text": "word " * 30, "weight": 2},
                {
                    "id": "d",
                    "family": "f",
                    "title": "true",
                    "rule": {"kind": "max_words", "value": 3},
                },
            ],
        }
    )
    line = " ".join(["word"] * 19)
    assert (
        yaml_text(made)
        == f"""\
name: a
version: 1.0.0
title: "no"
licence: CC0-1.0
aggregate: {{decisive: 2.0}}
principles:
  - id: b
    family: f
    title: "B: c"
    text: >-
      {line}
      {" ".join(["word"] * 11)}
    weight: 2.0

  - id: d
    family: f
    title: "true"
    rule: {{kind: max_words, value: 3}}
"""
    )
