"""Labels that turn round when the judge reasons first."""

from collections.abc import Iterator
from typing import Any

import pytest

from judges.audit.rationale import ALL, measure_rationale
from judges.errors import DataError


def line(number: int, p: float | None, **more: Any) -> dict[str, Any]:
    matrix = [[0.5, p], [None if p is None else 1 - p, 0.5]]
    return {
        "id": str(number), "prompt": "Why?", "completions": ["a", "b"], "p": matrix,
        "principles": {"brevity": {"p": matrix}}, **more,
    }  # fmt: skip


def lines(*p: float | None) -> Iterator[dict[str, Any]]:
    return (line(number, one) for number, one in enumerate(p))


def test_planted_flips_and_sureness_are_found() -> None:
    plain = [0.6] * 100
    reasoned = [0.1] * 30 + [0.9] * 70
    both, brevity = measure_rationale(lines(*reasoned), lines(*plain))
    assert (both.principle, brevity.principle) == (ALL, "brevity")
    assert both.flips == brevity.flips
    assert both.flips.value == pytest.approx(0.3)
    assert both.flips.low < 0.3 < both.flips.high
    assert both.flips.n == 100
    assert both.surer.value == pytest.approx(2.197 - 0.405, abs=0.001)


def test_a_tie_is_half_a_turn() -> None:
    found = measure_rationale(lines(0.5, 0.9), lines(0.9, 0.9))
    assert found[0].flips.value == pytest.approx(0.25)


def test_pairs_that_one_ranking_lacks_or_could_not_score_are_left_out() -> None:
    other = [line(0, 0.9), line(1, None), line(2, 0.9, completions=["a", "c"]), line(3, 0.1)]
    found = measure_rationale(lines(0.9, 0.9, 0.9, 0.9, 0.9), other)
    assert (found[0].flips.n, found[0].flips.value) == (2, 0.5)


def test_rankings_of_other_completions_are_refused() -> None:
    with pytest.raises(DataError, match="share no scored pair"):
        measure_rationale(lines(0.9), [line(7, 0.9)])
