"""The guard's page says what the looks say, and stands alone; the law of Gao et al. is found."""

import math

import pytest

from tests.training.guard.looks import look
from training.guard.observation import Observation
from training.guard.page import guard_page, headline
from training.guard.scaling_law import fit_law


def looks(gold: list[float]) -> list[Observation]:
    found: list[Observation] = []
    for step, value in enumerate(gold):
        found.append(look(step, [step / 4] * 12, [value] * 12, found))
    return found


def test_the_page_needs_nothing_else_and_is_the_same_each_time() -> None:
    page = guard_page(looks([0.1, 0.5, 0.6, 0.5, 0.2]), "<run>")
    assert page == guard_page(looks([0.1, 0.5, 0.6, 0.5, 0.2]), "<run>")
    assert "&lt;run&gt;" in page and "<script" not in page and "http://" not in page.split("svg")[0]
    assert "Over-optimised at step 4: rules fell" in page
    assert "square root of KL" in page


def test_the_headline_claims_no_more_than_the_test_shows() -> None:
    assert headline(looks([0.1, 0.5])) == (
        "No fall of a held-out reward is shown; highest at step 1"
    )
    stopped = look(3, [1.0] * 4, [0.0] * 4, stopped="It ends.")
    assert headline([stopped]) == "It ends."
    unscored = look(0, [1.0] * 4, [None] * 4)
    assert headline([unscored]).startswith("Nothing can be said")


@pytest.mark.parametrize(
    ("form", "gain", "peak"),
    [
        ("learned", lambda d: d * (1.2 - 0.8 * math.log(d)), math.exp(0.5)),
        ("best-of-n", lambda d: d * (1.2 - 0.4 * d), 1.5),
    ],
)
def test_the_law_is_found_again(form: str, gain: object, peak: float) -> None:
    points = [(d / 4, gain(d / 4)) for d in range(1, 9)]  # type: ignore[operator]
    law = fit_law([(0.0, 0.0), *points], form)  # type: ignore[arg-type]
    assert law is not None and law.alpha == pytest.approx(1.2)
    assert law.peak == pytest.approx(peak) and law.explained == pytest.approx(1.0)
    assert law.at(1.0) == pytest.approx(gain(1.0))  # type: ignore[operator]


def test_too_few_points_are_no_law() -> None:
    assert fit_law([(0.0, 0.0), (1.0, 1.0), (2.0, 1.0)], "learned") is None
    assert fit_law([(float(d), 1.0) for d in range(1, 6)], "best-of-n") is None
