"""Labelled pairs: where a copy differs, how much, and which principle it is about."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import ConstitutionError, DataError
from judges.items import load_items
from judges.jsonl import write_jsonl
from judges.tampering.pairs import (
    TamperedPair,
    alone,
    changed_share,
    changed_span,
    golden_pairs,
    read_pairs,
)
from tests.judges.planted import HONEST, SHORTER, constitution

CASE = {"prompt": "What is tea?", "better": "A warm drink.", "worse": "A cold drink."}


@pytest.mark.parametrize(
    ("original", "copy", "quoted"),
    [
        pytest.param("tea is warm today", "tea is cold today", "cold", id="a word replaced"),
        pytest.param("tea is warm", "tea is not warm", "not ", id="a word put in"),
        pytest.param("tea is very warm", "tea is warm", "is warm", id="a word out: neighbours"),
        pytest.param("tea is warm", "tea is", "is", id="the end cut off: its neighbour"),
        pytest.param("a b c d e", "x b c d y", "x b c d y", id="from first to last change"),
        pytest.param("same", "same", "", id="no change, no span"),
    ],
)
def test_the_span_holds_the_changed_words(original: str, copy: str, quoted: str) -> None:
    start, end = changed_span(original, copy)
    assert copy[start:end].strip() == quoted.strip()


@given(original=st.text(), copy=st.text())
def test_everything_outside_the_span_is_the_originals(original: str, copy: str) -> None:
    start, end = changed_span(original, copy)
    assert 0 <= start <= end <= len(copy)
    if original != copy:
        assert original.startswith(copy[:start])
        assert original.endswith(copy[end:])


@pytest.mark.parametrize(
    ("copy", "share"),
    [("a b c d", 0.0), ("a b c x", 0.25), ("a b", 0.5), ("x y z w", 1.0), ("", 1.0)],
)
def test_the_changed_share_counts_words(copy: str, share: float) -> None:
    assert changed_share("a b c d", copy) == share


def test_golden_tests_are_pairs() -> None:
    (pair,) = golden_pairs(constitution({**SHORTER, "tests": [CASE]}, HONEST))
    assert (pair.id, pair.principle, pair.made_by) == ("golden:shorter:0", "shorter", "golden")
    assert pair.rejected[slice(*pair.span)] == "cold"


def test_one_principle_alone_has_no_scope() -> None:
    under = constitution({**SHORTER, "applies_when": "Always."}, HONEST)
    (kept,) = alone(under, "shorter").principles
    assert (kept.id, kept.applies_when) == ("shorter", None)


def test_an_unknown_principle_is_named_with_its_neighbour() -> None:
    with pytest.raises(ConstitutionError, match="did you mean 'honest'"):
        alone(constitution(SHORTER, HONEST), "honnest")


def test_pairs_are_read_back_and_are_preference_rows(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    pairs = golden_pairs(constitution({**SHORTER, "tests": [CASE]}))
    write_jsonl(path, [pair.model_dump(mode="json") for pair in pairs])
    assert list(read_pairs(path)) == pairs
    (item,) = load_items(path)
    assert [c.text for c in item.completions] == ["A warm drink.", "A cold drink."]
    assert item.metadata["principle"] == "shorter"


def test_a_span_beyond_the_text_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    (pair,) = golden_pairs(constitution({**SHORTER, "tests": [CASE]}))
    write_jsonl(path, [pair.model_dump(mode="json") | {"span": [0, 99]}])
    with pytest.raises(DataError, match=r"pairs.jsonl:1: .*not within the 13 characters"):
        list(read_pairs(path))


def test_a_pair_shows_the_original_first() -> None:
    (pair,) = golden_pairs(constitution({**SHORTER, "tests": [CASE]}))
    assert isinstance(pair, TamperedPair)
    assert pair.item.completions[0].text == pair.chosen
