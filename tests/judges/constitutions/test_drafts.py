"""A draft loads as it is, tells editors where the schema lies, and keeps its author's remarks."""

from pathlib import Path

import pytest

from judges.constitutions.constitution import constitution_schema_text
from judges.constitutions.drafts import SCHEMA_FILE, copied, schema_beside, starter, with_hint
from judges.constitutions.files import parse_constitution
from judges.constitutions.lint import lint_constitution
from judges.errors import ConstitutionError

TEXT = """\
# A published version never changes: copy this file.
# A remark.
name: a      # its folder
version: 1.0.0
title: "name: a"
licence: CC0-1.0
principles:
  - {id: b, family: f, title: B, text: The better one., source: "version: 1.0.0"}
"""


def test_the_starter_loads_and_lint_finds_nothing_that_forbids_publishing() -> None:
    text = starter("front-desk", "schema.json")
    made = parse_constitution(text.encode(), "f.yaml", [])
    assert (made.reference, made.title) == ("front-desk@1.0.0", "Front desk")
    assert not any(finding.forbids for finding in lint_constitution(made))
    judged = [finding for finding in lint_constitution(made) if finding.principle != "short"]
    assert judged == []


def test_the_first_line_is_the_one_that_editors_read() -> None:
    assert starter("a", "../schema.json").startswith(
        "# yaml-language-server: $schema=../schema.json\nname: a"
    )
    twice = with_hint(with_hint("name: a\n", "old.json"), "new.json")
    assert twice == "# yaml-language-server: $schema=new.json\nname: a\n"


def test_the_schema_that_the_hint_names_is_that_of_the_records(tmp_path: Path) -> None:
    assert SCHEMA_FILE.read_text() == constitution_schema_text()
    inside = SCHEMA_FILE.parent / "a" / "1.0.0.yaml"
    assert schema_beside(inside) == "../schema.json"
    assert Path(schema_beside(tmp_path / "a.yaml")) == SCHEMA_FILE


def test_a_copy_keeps_remarks_and_texts_under_its_own_name() -> None:
    text = copied(TEXT.encode(), "a.yaml", "mine", "2.0.0", "s.json")
    hint = "# yaml-language-server: $schema=s.json\n"
    kept = TEXT.partition("\n")[2].replace("name: a   ", "name: mine   ", 1)
    assert text == hint + kept.replace("version: 1.0.0\ntitle", "version: 2.0.0\ntitle")


def test_windows_line_ends_and_quotes_are_copied() -> None:
    text = TEXT.replace("version: 1.0.0\n", 'version: "1.0.0"\n').replace("\n", "\r\n")
    made = parse_constitution(copied(text.encode(), "a", "b", "1.0.1", "s").encode(), "b", [])
    assert made.reference == "b@1.0.1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"name": "a", "version": "1.0.0"}', "a.yaml:1:2: `name: …`", id="JSON"),
        pytest.param(
            TEXT.replace('title: "name: a"', 'title: >-\n  T\ndescription: "x\n\nname: b\n\ny"'),
            "does not stand on a line of its own",
            id="a text that looks like a name",
        ),
    ],
)
def test_what_cannot_be_copied_by_line_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ConstitutionError) as caught:
        copied(text.encode(), "a.yaml", "mine", "1.0.0", "s.json")
    assert expected in str(caught.value)


@pytest.mark.parametrize("name", ["Front Desk", "", "../a", "a" * 65, "a\n"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConstitutionError, match="is no name for a constitution"):
        starter(name, "schema.json")
