"""The page of an evaluation: what it says, of invented numbers."""

import re
from typing import Any

import pytest

from judges.calibration.estimates import Estimate
from tests.training.demo.invented_report import an_evaluation, interval, win
from training.evaluation.capability import Capability
from training.evaluation.changes import Change
from training.evaluation.evaluate import Evaluation, Example
from training.evaluation.harness import Benchmark
from training.evaluation.page import evaluation_page, figures, headline, missing, warnings
from training.evaluation.policy_text import Diversity, PolicyText
from training.evaluation.refusals import Refusals
from training.evaluation.sycophancy import Sycophancy
from training.evaluation.unanswered import Unanswered


def estimate(value: float, half: float = 0.05, n: int = 48) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def change(before: float, after: float, half: float = 0.05) -> Change:
    return Change(
        before=estimate(before), after=estimate(after), difference=estimate(after - before, half)
    )


def measured(**changes: Any) -> Evaluation:
    """Everything measured, and nothing lost."""
    values: dict[str, Any] = {
        "win_rate": win(0.75).model_copy(update={"length_controlled": estimate(0.7)}),
        "diversity": Diversity(
            within=change(0.8, 0.81),
            boilerplate=change(0.1, 0.1),
            distinct_2_before=0.7,
            distinct_2_after=0.69,
        ),
        "refusals": Refusals(
            over_refusal=change(0.2, 0.19),
            refusal=change(0.7, 0.72),
            types={"homonyms": change(0.3, 0.3)},
            unanswered=2,
        ),
        "capability": Capability(
            questions=100,
            unread=1,
            nats=change(1.9, 1.91),
            accuracy=change(0.66, 0.65),
            types={"sums": change(2.1, 2.1)},
        ),
        "sycophancy": Sycophancy(
            disputes=24,
            sided_with_both=change(0.2, 0.21),
            contrarian=change(0.1, 0.1),
            narrator_pull=change(0.05, 0.06),
            questions=100,
            gave_in=change(0.3, 0.3),
            kinds={"expert, likely": change(0.5, 0.5)},
            sure=(estimate(0.1), None),
            unsure=(estimate(0.6), estimate(0.6)),
            line=(None, None),
            unread=3,
        ),
        "benchmarks": (
            Benchmark(
                task="arc_easy", metric="acc,none", higher_is_better=True, change=change(0.6, 0.59)
            ),
        ),
    }
    return an_evaluation(**(values | changes))


def test_the_page_holds_every_measure_and_loads_nothing() -> None:
    page = evaluation_page(measured())
    assert page.count("<svg") == 6
    for words in ("at equal length", "homonyms", "arc_easy", "nats: sums", "brevity", "neither is"):
        assert words in page
    assert "No loss is shown" in page
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    assert page == evaluation_page(measured())


def test_what_was_not_measured_has_no_figure_and_no_section() -> None:
    bare = an_evaluation()
    drawn = figures(bare)
    assert [name for name, figure in drawn.items() if figure] == ["wins"]
    page = evaluation_page(bare)
    assert "Refusals" not in page
    assert "What it still knows" not in page
    assert "wants to hear" not in page


def test_texts_of_models_are_data() -> None:
    script = "<script>alert(1)</script>"
    one = Example(id="1", prompt=script, policy=script, against=script, p=0.9)
    page = evaluation_page(measured(examples=(one,)))
    assert script not in page
    assert page.count("&lt;script&gt;") == 3
    assert page.count('class="won"') == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(
            {"win_rate": win(0.75).model_copy(update={"length_controlled": estimate(0.52)})},
            "At equal length the win is not shown: 52.0",
            id="won by length",
        ),
        pytest.param(
            {
                "refusals": Refusals(
                    over_refusal=change(0.1, 0.6), refusal=None, types={}, unanswered=0
                )
            },
            "It refuses more prompts that are safe: +0.500",
            id="over-refusal",
        ),
        pytest.param(
            {
                "capability": Capability(
                    questions=9, unread=0, nats=change(1.0, 2.0), accuracy=None, types={}
                )
            },
            "Right answers became less likely",
            id="forgot",
        ),
        pytest.param(
            {
                "benchmarks": (
                    Benchmark(
                        task="wikitext",
                        metric="ppl,none",
                        higher_is_better=False,
                        change=change(20, 30),
                    ),
                )
            },
            "wikitext is worse by ppl,none: +10.000",
            id="a metric where less is better",
        ),
        pytest.param(
            {
                "policy_text": PolicyText(
                    n=48, sane=interval(0.2, 0.1), words=interval(9, 1), distinct_2=0.7
                )
            },
            "Fewer answers are finished",
            id="fragments",
        ),
    ],
)
def test_a_loss_that_its_interval_shows_is_told(changes: dict[str, Any], words: str) -> None:
    assert warnings(measured()) == []
    told = warnings(measured(**changes))
    assert len(told) == 1
    assert words in told[0]
    assert told[0] in evaluation_page(measured(**changes))


def test_the_headline_goes_no_further_than_its_interval() -> None:
    assert headline(win(0.75)).startswith("The policy follows the constitution better")
    assert headline(win(0.25)).startswith("The policy follows the constitution worse")
    assert headline(win(0.55)).startswith("No difference can be shown")
    assert headline(win(0.5, n=0, unscored=7)).startswith("Nothing can be said")


def test_what_a_policy_did_not_answer_is_told_with_its_number() -> None:
    failed = Unanswered(asked=96, policy=3, against=1, pairs=4, kl=2)
    page = evaluation_page(measured(unanswered=failed))
    assert "Of 96 answers asked of each, 1 are missing before and 3 after, so 4 pairs" in page
    assert "measured without 2 completions" in page
    whole = Unanswered(asked=96, policy=0, against=0, pairs=0, kl=0)
    assert missing(whole) == missing(None) == ""
    assert "missing" not in evaluation_page(measured(unanswered=whole))
