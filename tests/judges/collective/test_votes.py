"""Votes in long and wide form say the same; a faulty line is named."""

from pathlib import Path

import numpy as np
import pytest

from judges.collective.votes import read_statements, read_votes
from judges.errors import DataError

LONG = "participant,statement,vote\nann,s1,agree\nann,s2,disagree\nbob,s1,0\nbob,s2,1\ncem,s2,\n"
WIDE = "participant,group-id,s1,s2\nann,0,1,-1\nbob,1,pass,agree\n"


@pytest.mark.parametrize("text", [LONG, WIDE, "\ufeff" + LONG.replace("\n", "\r\n")])
def test_both_forms_give_one_matrix(tmp_path: Path, text: str) -> None:
    path = tmp_path / "v.csv"
    path.write_bytes(text.encode())
    found = read_votes(path)
    assert found.participants == ("ann", "bob")
    assert found.statements == ("s1", "s2")
    assert found.votes.tolist() == [[1, -1], [0, 1]]


def test_the_order_of_lines_changes_nothing_and_numbers_sort_by_size(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_text("participant,statement,vote\n10,0,1\n9,0,-1\n")
    found = read_votes(path)
    assert found.participants == ("9", "10")
    assert np.isnan(found.votes).sum() == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("participant,statement,vote\na,s,agre\n", "v.csv:2: vote is 'agre' .did you mean 'agree'"),
        ("participant,statement,vote\na,s,2\n", "v.csv:2: vote is '2'; use agree"),
        ("participant,statement,vote\na,s,1\n\na,s,1\n", "v.csv:4: 'a' votes on 's' on line 2 too"),
        ("participant,statement,vote\na,s\n", "v.csv:2: 2 cells for 3 columns"),
        ("participant,statement,vote\n,s,1\n", "v.csv:2: participant or statement is empty"),
        ("participant,s\na,x\n", "v.csv:2: column 's': vote is 'x'"),
        ("participant,s\na,1\na,1\n", "v.csv:3: participant 'a' stands on line 2 too"),
        ("participant,s,s\na,1,1\n", "v.csv:1: column 's' is there twice"),
        ("particpant,s\na,1\n", "v.csv:1: .*did you mean 'participant'"),
        ("participant,statement,vote\n", "no vote in it"),
        ('participant,statement,vote\na,"s"x,1\n', "v.csv:2: no CSV"),
        ("", "v.csv:1: .*none"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "v.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_votes(path)


def test_statements_are_read_also_as_polis_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text('comment-id,agrees,comment-body\n0,3,"Be kind,\nalways."\n')
    (only,) = read_statements(path)
    assert (only.id, only.text) == ("0", "Be kind, always.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("statement,text\ns,Be kind.\ns,Be.\n", "s.csv:3: statement 's' stands on line 2 too"),
        ("statement,text\ns,\n", "s.csv:2: the statement has no id or no text"),
        ("statement,words\ns,x\n", "s.csv:1: the columns are statement, words"),
        ("statement,text\n", "no statement in it"),
    ],
)
def test_a_faulty_statement_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_statements(path)
