"""YAML is read as its author meant it, or refused with the line and the remedy."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.constitutions.yaml_source import MAX_BYTES, read_yaml
from judges.errors import ConstitutionError


def refusal(content: str | bytes) -> str:
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    with pytest.raises(ConstitutionError) as caught:
        read_yaml(raw, "f.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param("yes", "yes", id="yes is a word"),
        pytest.param("no", "no", id="no is a word"),
        pytest.param("on", "on", id="on is a word"),
        pytest.param("true", True, id="true"),
        pytest.param("null", None, id="null"),
        pytest.param("", None, id="nothing"),
        pytest.param("-3", -3, id="integer"),
        pytest.param("010", 10, id="a leading zero is no octal"),
        pytest.param("1.5e3", 1500.0, id="decimal"),
        pytest.param(".5", 0.5, id="decimal without leading zero"),
        pytest.param("1.0.0", "1.0.0", id="version"),
        pytest.param("1:30", "1:30", id="no base-60 number"),
        pytest.param("1_000", "1_000", id="no underscores in numbers"),
        pytest.param("2024-01-01", "2024-01-01", id="a date stays text"),
        pytest.param("'5'", "5", id="a number in quotes is text"),
        pytest.param("9" * 5000, "9" * 5000, id="digits without end stay text"),
        pytest.param(">-\n  one\n  two", "one two", id="folded text"),
        pytest.param("# a remark\n  one", "one", id="a remark"),
    ],
)
def test_a_value_means_what_yaml_1_2_says(written: str, meant: object) -> None:
    data = read_yaml(f"key: {written}\n".encode(), "f.yaml").data
    assert data == {"key": meant}
    assert type(data["key"]) is type(meant)


@pytest.mark.parametrize(
    ("content", "position", "remedy"),
    [
        pytest.param("a: 1\n\tb: 2\n", "2:1", "a tab indents this line", id="a tab"),
        pytest.param("a: |\n  x\n\ty\n", "3:1", "a tab indents", id="a tab in a text block"),
        pytest.param("a: 1\nb: 2\na: 3", "3:1", "'a' is here twice, first on line 1", id="twice"),
        pytest.param("a: one: two", "1:7", "inside a text looks like a key", id="a colon in text"),
        pytest.param("a: 1\n b: 2", "2:3", "line keys up", id="a key too far in"),
        pytest.param("a\nb: 1", "2:2", "give each line above its ':'", id="a key without colon"),
        pytest.param("a: @x", "1:4", "cannot begin with", id="an at sign"),
        pytest.param("a: 'x\nb: 1\n", "1:4", "add the closing quote", id="an open quote"),
        pytest.param("a: >- x", "1:7", "begins on the line below", id="a text beside its sign"),
        pytest.param("a:\xa01\nb: 2", "1:3", "U+00A0 stands here", id="a no-break space"),
        pytest.param("a:\n  b: 1\n\u3000 c: 2\nd", "3:1", "type a plain space", id="a wide space"),
        pytest.param("{a: b: c}", "1:6", "put a text that holds ': ' in quotes", id="in braces"),
        pytest.param(
            "a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n", "2:1", "a merge", id="a merge"
        ),
        pytest.param("a: 'don't'", "1:9", "apostrophe", id="an apostrophe in single quotes"),
        pytest.param('a: "\\d"', "1:6", "use single quotes", id="a backslash in double quotes"),
        pytest.param("a: [1\nb: 2", "2:2", "add ']'", id="an open list"),
        pytest.param("a: {b: 1", "1:9", "add '}'", id="an open mapping"),
        pytest.param("a: - b", "1:4", "on the line below its key", id="a list beside its key"),
        pytest.param("- - a\n -b: 1", "2:2", "(it begins on line 1)", id="indentation"),
        pytest.param("a: &x 1\nb: *x", "1:4", "anchors (&) and aliases (*)", id="an anchor"),
        pytest.param("a: *x", "1:4", "quote it when it begins", id="an alias"),
        pytest.param("&x a: 1", "1:1", "anchors (&) and aliases (*)", id="an anchor on a key"),
        pytest.param("a: !!python/name:os.system", "1:4", "the tag", id="a tag that runs code"),
        pytest.param("a: 1\n---\nb: 2", "2:1", "a second document", id="two documents"),
        pytest.param("? [a]\n: 1", "1:3", "a key is a word", id="a list for a key"),
        pytest.param('a: "\\0"', "1:4", "U+0000", id="an escaped null"),
        pytest.param('a: "\\ud800"', "1:4", "U+D800", id="an escaped half character"),
        pytest.param("[" * 10_000, "1:22", "nested more than 20 deep", id="endless nesting"),
    ],
)
def test_a_fault_is_named_with_line_and_remedy(content: str, position: str, remedy: str) -> None:
    message = refusal(content)
    assert message.startswith(f"f.yaml:{position}: ")
    assert remedy in message
    assert "\n" not in message


def test_what_is_not_utf_8_is_named_with_its_line() -> None:
    assert refusal(b"a: 1\nb: \xe9t\xe9\n") == (
        "f.yaml:2:4: byte 0xe9 is not UTF-8; save the file as UTF-8"
    )


def test_a_control_character_is_named_with_its_line() -> None:
    assert refusal("a: 1\nb: \x1b[31m\n") == "f.yaml:2:4: control character U+001B; remove it"


def test_a_large_file_is_refused_before_it_is_read() -> None:
    lines = b"a" * (MAX_BYTES - 10) + b"\n" + b"b" * 5_000_000
    assert refusal(lines).startswith("f.yaml:2:10: the file is larger than 1 MiB")


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    source = read_yaml(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "f.yaml")
    assert source.data == {"a": 1, "b": 2}
    assert source.line(("b",)) == 2


def test_every_value_has_its_line() -> None:
    source = read_yaml(b"a:\n  - b: 1\n    c: >-\n      x\n      y\n  - d: 2\n", "f.yaml")
    assert source.position(("a",)) == "f.yaml:1:1"
    assert source.position(("a", 0, "c")) == "f.yaml:3:5"
    assert source.position(("a", 1)) == "f.yaml:6:5"
    assert source.position(("a", 1, "missing", 3)) == "f.yaml:6:5"


CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
TEXTS = st.text(CHARACTERS)
# Escaped, a key must stay under the 1024 characters that YAML allows for one.
KEYS = st.text(CHARACTERS, max_size=40)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, DATA, min_size=1, max_size=3))
def test_json_is_yaml_and_is_read_as_json(data: dict[str, object]) -> None:
    for text in (json.dumps(data), json.dumps(data, indent=2, ensure_ascii=False)):
        assert read_yaml(text.encode(), "f.yaml").data == data


@given(st.lists(st.text(st.characters(categories=["L", "Nd"]), min_size=1), min_size=1))
def test_a_folded_text_is_its_lines_with_spaces_between(lines: list[str]) -> None:
    block = "".join(f"    {line}\n" for line in lines)
    assert read_yaml(f"a:\n  b: >-\n{block}".encode(), "f.yaml").data == {
        "a": {"b": " ".join(lines)}
    }


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        read_yaml(content, "f.yaml")
    except ConstitutionError as error:
        assert str(error).startswith("f.yaml:")


@given(st.text(alphabet="ab:-?[]{}'\"\\&*!|>%@# \n\t1.", max_size=40))
def test_any_punctuation_is_read_or_refused(content: str) -> None:
    try:
        read_yaml(content.encode(), "f.yaml")
    except ConstitutionError as error:
        assert str(error).startswith("f.yaml:")
