"""A quote is found where it stands, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.critiques.quotes import find_quote


@pytest.mark.parametrize(
    ("quote", "text", "span"),
    [
        pytest.param("is hot", "Tea is hot.", (4, 10), id="verbatim"),
        pytest.param("is\nhot", "Tea is hot.", (4, 10), id="wrapped in the quote"),
        pytest.param("is hot", "Tea is \n\t hot.", (4, 13), id="wrapped in the text"),
        pytest.param(" is hot ", "Tea is hot", (4, 10), id="padded"),
        pytest.param("a.b", "axb a.b", (4, 7), id="no pattern"),
        pytest.param("IS HOT", "Tea is hot.", None, id="another case"),
        pytest.param("is cold", "Tea is hot.", None, id="not said"),
        pytest.param("ishot", "is hot", None, id="white space is not left out"),
        pytest.param("", "Tea", None, id="empty"),
        pytest.param(" \n", "a \nb", None, id="blank"),
        pytest.param("a", "", None, id="empty text"),
    ],
)
def test_a_quote_is_found(quote: str, text: str, span: tuple[int, int] | None) -> None:
    assert find_quote(quote, text) == span


@given(st.text(), st.text(min_size=1), st.text())
def test_every_passage_of_a_text_is_found_in_it(before: str, quote: str, after: str) -> None:
    text = before + quote + after
    span = find_quote(quote, text)
    if not quote.strip():
        assert span is None
    else:
        assert span is not None
        assert text[slice(*span)] == quote
        assert span[0] <= len(before)


@given(st.text("ab \n"), st.text("ab \n"))
def test_what_is_found_has_the_quotes_words(quote: str, text: str) -> None:
    span = find_quote(quote, text)
    if span is not None:
        assert text[slice(*span)].split() == quote.split()
    elif quote.strip():
        assert " ".join(quote.split()) not in " ".join(text.split())
