"""What counts as what, phrases included, against readings by hand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.audit.features import style_features
from judges.audit.ngrams import ngram_signs
from judges.audit.phrases import count_phrases
from judges.audit.words import distinct_share, split_words


def values(text: str) -> dict[str, float]:
    features = style_features([text, "x"], split_words([text, "x"]))
    return {one.name: one.values[0] for one in features}


def test_a_text_is_read_as_a_person_would() -> None:
    text = (
        "# Plan\n\nWhat a great question! I'm not sure, but here are 2 **good** ways:\n"
        "- one\n2) two\n\n```py\nx\n```\nSee https://e.org \N{ROCKET}."
    )
    found = values(text)
    wanted = {
        "headings": 1, "list items": 2, "code blocks": 1, "bold": 1, "links": 1, "emoji": 1,
        "exclamation marks": 1, "question marks": 0, "flattery": 2, "hedges": 1, "numbers": 2,
        "first person": 1, "refusals": 0, "apologies": 0, "paragraphs": 3,
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize("text", ["I cannot help with it", "i can\u2019t help", "I WON'T, no"])
def test_a_refusal_is_seen_however_it_is_written(text: str) -> None:
    assert values(text)["any refusals"] == 1


def test_a_refusal_late_in_a_text_or_over_its_end_is_none() -> None:
    assert values("word " * 100 + "I cannot help")["refusals"] == 0
    assert count_phrases(split_words(["so I cannot", "help me"]), "refusals").tolist() == [0, 0]


@given(st.lists(st.text("ab ", max_size=12), min_size=2, max_size=8))
def test_distinct_shares_are_those_of_sets(texts: list[str]) -> None:
    shares = distinct_share(split_words(texts), 2)
    for text, share in zip(texts, shares, strict=True):
        runs = list(pairwise(text.split()))
        assert share == pytest.approx(len(set(runs)) / len(runs) if runs else 1)


@given(st.lists(st.tuples(st.text("ab ", max_size=9), st.text("ab ", max_size=9)), max_size=30))
def test_phrases_are_those_of_sets(pairs: list[tuple[str, str]]) -> None:
    signs = ngram_signs(split_words([text for pair in pairs * 3 for text in pair]))
    found = {(signs.names[k], p, s) for k, p, s in zip(*map(list, signs[2:]), strict=True)}
    wanted: dict[str, set[tuple[str, int, int]]] = {}
    for number, (chosen, rejected) in enumerate(pairs * 3):
        ours, theirs = grams(chosen), grams(rejected)
        for name in ours ^ theirs:
            sign = 1 if name in ours else -1
            wanted.setdefault(name, set()).add((name, number, sign))
    assert found == {one for told in wanted.values() if len(told) >= 12 for one in told}


def grams(text: str) -> set[str]:
    words = text.split()
    return {" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words) - n + 1)}
