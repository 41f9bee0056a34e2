"""Copies, contradictions and leaks that were planted are found, and nothing else is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.audit.audit import audit
from judges.audit.copies import copy_numbers
from judges.audit.duplicates import find_duplicates, find_leakage
from judges.audit.pairs import AuditPairs
from judges.audit.report import AuditSettings
from tests.judges.audit.made_preferences import columns, made, text


def extended(pairs: AuditPairs, again: list[tuple[str, str, str]]) -> AuditPairs:
    """The pairs with more (prompt, chosen, rejected) after them."""
    prompts, chosen, rejected = (list(side) for side in zip(*again, strict=True))
    return columns(
        pairs.chosen + chosen, pairs.rejected + rejected, prompts=pairs.prompts + prompts
    )


def test_repeated_and_contradictory_pairs_are_told_apart() -> None:
    pairs = made(60, 1)
    p, c, r = pairs.prompts, pairs.chosen, pairs.rejected
    again = [(p[0], c[0], r[0]), (p[1], r[1], c[1]), (p[2], r[2], c[2]), (p[3], c[3], c[3])]
    found = find_duplicates(extended(pairs, again))
    assert (found.repeated.pairs, found.repeated.examples) == (1, ["pair-60"])
    assert (found.contradictory.pairs, found.contradictory.examples) == (2, ["pair-61", "pair-62"])
    assert found.identical.examples == ["pair-63"]
    assert found.contradicting is not None
    assert found.contradicting.value == pytest.approx(2 / 3) and found.contradicting.n == 3


def test_contradictions_are_errors_and_tell_of_noise() -> None:
    pairs = made(60, 1)
    again = [(pairs.prompts[k], pairs.rejected[k], pairs.chosen[k]) for k in range(5)]
    report = audit(extended(pairs, again), "made", AuditSettings())
    first = report.findings[0]
    assert (first.severity, first.kind) == ("error", "contradictory pairs")
    assert report.noise[0].source == "copies" and report.noise[0].noise.n == 5
    clean = audit(pairs, "made", AuditSettings())
    assert not [one for one in clean.findings if one.severity == "error"]


def test_copies_with_a_word_changed_are_near_copies() -> None:
    rng = np.random.default_rng(2)
    chosen, rejected = text(rng, 90, 100), text(rng, 90, 100)
    changed = chosen + " indeed"
    found = find_duplicates(columns([chosen, rejected], [rejected, changed], prompts=["why"] * 2))
    assert (found.contradictory.pairs, found.near_contradictory.pairs) == (0, 1)


def test_held_out_prompts_are_found() -> None:
    pairs = made(50, 3)
    rng = np.random.default_rng(3)
    long = text(rng, 90, 100)
    more = extended(pairs, [(long, "yes", "no")])
    found = find_leakage(more, [pairs.prompts[7], long + " please", "never asked"], "test.jsonl")
    assert (found.exact.examples, found.held_out_exact) == (["pair-7"], 1)
    assert found.near.examples == ["pair-7", "pair-50"]
    report = audit(pairs, "made", AuditSettings(), held_out={"test.jsonl": [pairs.prompts[7]]})
    assert report.findings[0].kind == "leakage"


@given(st.lists(st.text("ab ", max_size=12), max_size=12))
def test_equal_texts_have_equal_numbers_and_short_ones_no_other(texts: list[str]) -> None:
    exact, near = copy_numbers(texts)
    plain = [" ".join(one.split()) for one in texts]
    for i, first in enumerate(plain):
        for j, second in enumerate(plain):
            assert (exact[i] == exact[j]) == (first == second)
            if len(first.split()) < 3:
                assert (near[i] == near[j]) == (first == second)
