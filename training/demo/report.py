"""The report of a demo: one HTML file that says what changed, how surely, and by which commands.

The page is `report.html.jinja` with `report.css` and the figures put into it: no script, no font
and no image from elsewhere. Everything a model wrote is escaped by the template engine.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from judges.canonical import canonical_json
from judges.constitutions.constitution import Constitution, Principle
from judges.jsonl import replacing
from judges.pages import page_environment
from judges.preferences import PreferenceCounts
from judges.records import Probability, Record
from training.demo.report_plots import Look, Mark, interval_figure, label_figure, training_figure
from training.demo.report_words import (
    MOST_SANITY_LOST,
    REASONS,
    VISIBLE,
    duration,
    excerpt,
    flat,
    headline,
    label_entropy,
    percent,
    question,
    rule_share,
    span,
    stayed_sane,
)
from training.evaluation.evaluate import Evaluation
from training.evaluation.policy_text import PolicyText
from training.evaluation.win_rates import WinRate

HERE = Path(__file__).parent


class FlippedLabel(Record):
    """A pair whose better side changed with the weight."""

    prompt: str
    """Its last turn."""
    before_better: str
    """The completion that was preferred before the edit."""
    after_better: str
    """The completion that is preferred after it."""
    p_before: Probability
    """How surely, before: 0.5 to 1."""
    p_after: Probability
    """How surely, after: 0.5 to 1."""


class WeightEdit(Record):
    """What one edited weight does to the labels, from the votes that are stored."""

    principle: str
    """Whose weight."""
    old_weight: float
    """As the labels were made."""
    new_weight: float
    """As edited."""
    pairs: int
    """Pairs with a label both before and after."""
    flipped: int
    """Of these, pairs whose label turned round."""
    model_calls: int
    """New votes that were needed."""
    seconds: float
    """Time to rank again."""
    examples: tuple[FlippedLabel, ...] = ()
    """A few of the flipped."""


class DemoReport(Record):
    """Everything the report shows."""

    title: str
    """Names the run."""
    constitution: Constitution
    """What the labels were made under, and the policy measured by."""
    evaluation: Evaluation
    """The policy against the base on held-out prompts."""
    counts: PreferenceCounts
    """What became of the pairs."""
    labels: tuple[Probability, ...]
    """`p_chosen` of every preference row."""
    training: tuple[dict[str, Any], ...]
    """What the trainer logged, a row a step."""
    edit: WeightEdit
    """One edit of a weight and what it flipped."""
    timings: dict[str, float]
    """Seconds a stage took."""
    summary: dict[str, Any]
    """As in summary.json."""


def write_report(path: Path, report: DemoReport) -> None:
    """Write the report as one self-contained HTML file; equal reports give equal bytes.

    Raises: DataError when the disk is full or the place cannot be written.
    """
    html = page(report, figures(report))
    with replacing(path) as file:
        file.write(html.encode("utf-8"))


def page(report: DemoReport, drawn: Mapping[str, str | None]) -> str:
    """The report's HTML around its figures, which must be SVG of ours: they are not escaped."""
    html = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            evaluation=report.evaluation,
            edit=report.edit,
            headline=headline(report.evaluation, report.constitution.title),
            most_lost=100 * MOST_SANITY_LOST,
            stayed_sane=stayed_sane(report.evaluation),
            margin=report.constitution.aggregate.tie_margin,
            figures={name: svg and Markup(svg) for name, svg in drawn.items()},
            css=Markup((HERE / "report.css").read_text("utf-8")),
            reasons=REASONS,
            rule_share=rule_share(report.constitution.principles),
            floor=label_entropy(report.labels),
        )
    )
    return html.translate(VISIBLE)


@cache
def _environment() -> Environment:
    environment = page_environment(HERE)
    environment.filters.update(
        percent=percent,
        span=span,
        duration=duration,
        excerpt=excerpt,
        question=question,
        flat=flat,
        json=canonical_json,
    )
    return environment


def figures(report: DemoReport) -> dict[str, str | None]:
    """The page's figures by name; None where there is nothing to draw."""
    evaluation, entropy = report.evaluation, label_entropy(report.labels)
    return {
        "wins": _wins(evaluation, report.constitution.principles),
        "words": _words(evaluation),
        "training": training_figure(
            report.training, entropy, "training", "Line charts of what the trainer logged by step."
        ),
        "labels": label_figure(
            report.labels,
            "labels",
            f"{len(report.labels)} labels by how sure they are",
            "Histogram of the probability that the chosen completion is better.",
        ),
    }


def _wins(evaluation: Evaluation, principles: Sequence[Principle]) -> str:
    ruled = {principle.id for principle in principles if principle.rule is not None}
    parts = {
        "rules only": evaluation.win_rate_rules,
        "judged only": evaluation.win_rate_judged,
    }
    marks = [_mark("all principles", evaluation.win_rate, "main")]
    marks += [_mark(label, part) for label, part in parts.items() if part is not None]
    marks += [
        _mark(f"{name} ({'rule' if name in ruled else 'judged'})", rate, opens=index == 0)
        for index, (name, rate) in enumerate(evaluation.principles.items())
    ]
    noise = _mark("noise floor", evaluation.noise_floor, "before", opens=True)
    told = "; ".join(f"{mark.label} {_told(mark)}" for mark in [*marks, noise])
    return interval_figure(
        [*marks, noise],
        "wins",
        "How often the trained model's answer is preferred",
        f"Win rates with 95 % intervals: {told}.",
        share=True,
        band=noise,
    )


def _mark(label: str, rate: WinRate, look: Look = "plain", *, opens: bool = False) -> Mark:
    return Mark(
        label=label,
        mean=rate.rate,
        low=rate.low,
        high=rate.high,
        n=rate.n,
        look=look,
        opens=opens,
    )


def _told(mark: Mark) -> str:
    if mark.n == 0:
        return "not scored"
    return f"{percent(mark.mean)} ({percent(mark.low)} to {percent(mark.high)}, n {mark.n})"


def _words(evaluation: Evaluation) -> str:
    looks: tuple[tuple[str, PolicyText, Look], ...] = (
        ("before training", evaluation.against_text, "before"),
        ("after training", evaluation.policy_text, "main"),
    )
    marks = [
        Mark(
            label=label,
            mean=text.words.mean,
            low=text.words.low,
            high=text.words.high,
            n=text.n,
            look=look,
        )
        for label, text, look in looks
    ]
    told = f"{marks[0].mean:.1f} before training, {marks[1].mean:.1f} after."
    title = "Words in an answer, mean"
    return interval_figure(
        marks, "words", title, f"Mean words in an answer: {told}", share=False, band=None
    )
