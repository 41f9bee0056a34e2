"""Whatever is wrong with a file, its author is told line, column, reason and remedy."""

import re
from pathlib import Path

import pytest

from judges.constitutions.files import load_constitution
from judges.constitutions.published import record_digest
from judges.errors import ConstitutionError

GOOD = """\
name: house
version: 1.0.0
title: House
licence: CC0-1.0
principles:
  - id: kind
    family: tone
    title: Kind
    text: The kinder one.
    propositions:
      - {id: warm, text: It is warm., expect: true}
  - id: calm
    family: tone
    title: Calm
    text: The calmer one.
"""
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"


@pytest.mark.parametrize(
    ("before", "after", "position", "reason", "remedy"),
    [
        pytest.param(
            "    title: Kind", "\ttitle: Kind", "8:1", "a tab indents", "only spaces", id="a tab"
        ),
        pytest.param(
            "title: House",
            "title:\tHouse",
            "3:7",
            "a tab stands here",
            "only spaces",
            id="tab after",
        ),
        pytest.param(
            "text: The kinder one.", "text: #1", "9:5", "text is empty", "in quotes", id="a remark"
        ),
        pytest.param(
            "text: The kinder one.",
            "rule: {kind: regex, value: '('}",
            "9:25",
            "no Python regular expression",
            "write",
            id="a pattern",
        ),
        pytest.param(
            "title: House",
            f"{'k' * 300}: x\ntitle: House",
            "3:1",
            "k'… of 300",
            "known keys",
            id="a long key",
        ),
        pytest.param(
            "title: House", "title: House\ntitle: B", "4:1", "twice", "keep one", id="duplicate key"
        ),
        pytest.param(
            "expect: true", "expect: no", "11:39", "'no'", "write true or false", id="unquoted no"
        ),
        pytest.param(
            "text: The kinder one.", "text: -", "9:11", "list", "on the line below", id="a dash"
        ),
        pytest.param(
            "    title: Kind", "   title: Kind", "8:4", "fits nothing", "line it up", id="indent"
        ),
        pytest.param(
            "expect:", "expcet:", "11:39", "unknown key", "did you mean 'expect'", id="unknown key"
        ),
        pytest.param(
            "- id: kind\n    family", "- family", "6:5", "has no id", "add `id: …`", id="no id"
        ),
        pytest.param("id: calm", "id: kind", "12:5", "used twice", "rename", id="one id twice"),
        pytest.param(
            "principles:",
            "extends: [lost@1.0.0]\nprinciples:",
            "5:11",
            "'lost@1.0.0' is not found",
            "add a folder",
            id="no such parent",
        ),
        pytest.param("Kind\n", "Kinder\n", "2:1", "is published", "undo the edit", id="published"),
        pytest.param(
            "name: house",
            "# " + "x" * 5_000_000 + "\nname: house",
            "1:1048577",
            "larger than 1 MiB",
            "split it up",
            id="5 MB",
        ),
        pytest.param("name: house", f"{BOMB}name: house", "1:4", "anchors", "write", id="a bomb"),
        pytest.param("House", "\x00", "3:8", "U+0000", "remove it", id="a control character"),
    ],
)
def test_bad_input_is_told_with_line_column_reason_and_remedy(
    tmp_path: Path, before: str, after: str, position: str, reason: str, remedy: str
) -> None:
    path = tmp_path / "house" / "1.0.0.yaml"
    path.parent.mkdir()
    path.write_text(GOOD)
    record_digest(load_constitution("house", [tmp_path]), tmp_path)
    assert GOOD.count(before) == 1
    path.write_text(GOOD.replace(before, after))
    with pytest.raises(ConstitutionError) as caught:
        load_constitution("house", [tmp_path])
    first = str(caught.value).partition("\n")[0]
    assert re.match(rf"{re.escape(str(path))}:{position}: ", first), first
    assert reason in first and remedy in first
