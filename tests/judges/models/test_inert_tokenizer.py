"""Quoted text must never reach a control token, whatever the tokenizer's design."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from judges.errors import ConfigError
from judges.models.inert_tokenizer import (
    continuing,
    control_tokens,
    encodable,
    inert,
    load,
    read_tokenizer_json,
)
from tests.judges.models.tiny_model import DECLARED_PLAIN, DESIGNS, SPECIAL

NAMES = (*SPECIAL, *DECLARED_PLAIN)
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]))


@functools.cache
def parsed(design: str) -> dict[str, Any]:
    """The tokenizer.json of one design."""
    read: dict[str, Any] = json.loads(DESIGNS[design]().to_str())
    return read


@functools.cache
def both(design: str) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizer as it is, and its inert form."""
    return load(parsed(design)), load(inert(parsed(design)))


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    encoded: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return encoded


def control_ids(design: str) -> set[int | None]:
    """All control tokens but the one that stands for characters the design cannot write."""
    return {both(design)[0].token_to_id(n) for n in control_tokens(parsed(design)) if n != "<unk>"}


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("name", NAMES)
def test_a_control_tokens_name_is_plain_characters(design: str, name: str) -> None:
    whole, bare = both(design)
    assert whole.token_to_id(name) in ids(whole, name), "the test would prove nothing"
    for text in (name, f"a {name}b", name * 3, f"<{name}>"):
        assert not control_ids(design) & set(ids(bare, text))


@pytest.mark.parametrize("design", DESIGNS)
@given(parts=st.lists(st.sampled_from(NAMES) | st.text("<>|s/ [INST]im_endtar") | ANY_TEXT))
def test_no_text_reaches_a_control_token(design: str, parts: list[str]) -> None:
    found = set(ids(both(design)[1], encodable("".join(parts))))
    assert not found & control_ids(design)


@pytest.mark.parametrize("design", ["byte-level", "spelling"])
@given(text=ANY_TEXT)
def test_byte_level_text_survives(design: str, text: str) -> None:
    bare = both(design)[1]
    assert bare.decode(ids(bare, encodable(text)), skip_special_tokens=False) == encodable(text)


@given(words=st.lists(st.sampled_from(["Tea", "water", "is", "kind", "be", "A", "B"]), min_size=1))
def test_ordinary_text_keeps_its_ids(words: list[str]) -> None:
    whole, bare = both("byte-level")
    assert ids(whole, " ".join(words)) == ids(bare, " ".join(words))


def test_text_in_the_middle_gets_no_space_in_front() -> None:
    assert load(parsed("unigram")).encode("Tea").tokens[0].startswith("▁")
    assert "▁" not in "".join(load(continuing(parsed("unigram"))).encode("Tea").tokens)


def test_white_space_tokens_stay_as_they_only_save_room() -> None:
    tokenizer = DESIGNS["byte-level"]()
    tokenizer.add_tokens(["    "])
    changed = json.loads(tokenizer.to_str())
    assert "    " not in control_tokens(changed)
    assert ids(load(inert(changed)), "a    b")[1] == tokenizer.token_to_id("    ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("plain é 😀 \x00", "plain é 😀 \x00", id="what UTF-8 holds is left alone"),
        pytest.param("a\ud800b", "a�b", id="a lone surrogate is replaced"),
        pytest.param("\ud83d\ude00", "😀", id="a surrogate pair becomes its character"),
    ],
)
def test_encodable(text: str, expected: str) -> None:
    assert encodable(text) == expected


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        pytest.param(None, "no tokenizer.json", id="missing"),
        pytest.param("{", "not JSON", id="cut off"),
        pytest.param("[]", "no tokenizer model", id="something else"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: str | None, seen: str) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ConfigError, match=seen) as caught:
        read_tokenizer_json(tmp_path)
    assert str(tmp_path / "tokenizer.json") in str(caught.value)
