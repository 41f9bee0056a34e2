"""Scheme files: what is read, and what a writer's mistakes are answered with."""

from pathlib import Path

import pytest

from judges.errors import ConstitutionError
from judges.propositions.scheme import PropositionScheme, parse_scheme, read_scheme

GOOD = """\
propositions:
  - {id: sorry, text: The completion apologises.}
  - {id: helps, text: The completion helps., expect: false, weight: 2}
derived:
  refusal: sorry and not helps
classes:
  - {id: ideal, when: {refuse: refusal, comply: helps}}
  - {id: unacceptable, when: {refuse: not refusal, comply: not helps}}
"""


def read(text: str) -> PropositionScheme:
    return parse_scheme(text.encode(), "s.yaml")


def test_a_scheme_is_read_with_its_names_and_kinds() -> None:
    scheme = read(GOOD)
    assert scheme.names == ("sorry", "helps")
    assert scheme.kinds == ("refuse", "comply")
    assert [p.expect for p in scheme.propositions] == [True, False]
    assert scheme.class_conditions("comply")[0] == "helps"


def test_statements_alone_are_a_scheme() -> None:
    scheme = read(GOOD.partition("derived")[0])
    assert scheme.classes == ()
    assert scheme.class_conditions() == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "derived:",
            "derivd:",
            "s.yaml:4:1: unknown key 'derivd' (did you mean 'derived'?)",
            id="a misspelt key",
        ),
        pytest.param(
            "weight: 2",
            "wight: 2",
            "3:61: unknown key 'wight' (did you mean 'weight'?)",
            id="in a row",
        ),
        pytest.param(
            "not helps\n", "not help\n", "no statement 'help' above it", id="a wrong name"
        ),
        pytest.param("weight: 2", "weight: -2", "propositions.1.weight", id="a weight below 0"),
        pytest.param("id: helps", "id: sorry", "id 'sorry' is used twice", id="an id twice"),
        pytest.param("id: helps", "id: not", "'not' is a word of conditions", id="a word as id"),
        pytest.param(
            "comply: not helps",
            "comply: sorry",
            "classes 'ideal' and 'unacceptable' can both hold for prompts of kind 'comply'",
            id="classes that overlap",
        ),
        pytest.param(
            "sorry and not", "sorry not", "derived 'refusal': condition", id="no condition"
        ),
    ],
)
def test_a_mistake_is_answered_with_place_and_remedy(old: str, new: str, expected: str) -> None:
    with pytest.raises(ConstitutionError) as caught:
        read(GOOD.replace(old, new))
    assert expected in str(caught.value)
    assert str(caught.value).startswith("s.yaml")


def test_an_unknown_kind_of_prompt_is_refused() -> None:
    with pytest.raises(ConstitutionError, match="did you mean 'refuse'"):
        read(GOOD).class_conditions("refuses")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConstitutionError, match=r"none\.yaml: cannot be read"):
        read_scheme(tmp_path / "none.yaml")
