"""An audit as one HTML file: no script, no font and no image from elsewhere."""

from functools import cache
from pathlib import Path

from jinja2 import Environment

from judges.audit.findings import fades
from judges.audit.report import AuditReport, FeatureReport
from judges.cards.plots import Mark, interval_figure
from judges.pages import page_environment, percent, render_page

HERE = Path(__file__).parent
MOST_MARKS = 24


def audit_page(report: AuditReport) -> str:
    """The audit's page; equal audits give equal bytes. Texts in it are data, and escaped."""
    errors = sum(one.severity == "error" for one in report.findings)
    warnings = sum(one.severity == "warning" for one in report.findings)
    return render_page(
        _environment(),
        "audit.html.jinja",
        figures(report),
        report=report,
        headline=_headline(errors, warnings),
        bad=errors > 0,
        favoured=[one for one in (*report.style, *report.topics, *report.phrases) if one.favours],
    )


def _headline(errors: int, warnings: int) -> str:
    if errors:
        return f"To mend before training: {errors}; to look at: {warnings}"
    return f"To look at: {warnings}" if warnings else "Nothing found that warns"


def figures(report: AuditReport) -> dict[str, str | None]:
    """The page's figures by name; None where there is nothing to draw."""
    style = [one for one in report.style if one.share.n]
    style = sorted(style, key=lambda one: (one.favours is None, one.p_value))[:MOST_MARKS]
    phrases = report.phrases[:MOST_MARKS]
    topics = sorted(report.topics, key=lambda one: (one.favours is None, one.p_value))
    noise = [Mark(f"told by {one.source}", one.noise) for one in report.noise]
    flips = [Mark(one.principle, one.flips) for one in report.position]
    turned = [Mark(one.principle, one.flips) for one in report.rationale]
    return {
        "style": _drawn([_mark(one) for one in style], "style", "Side with more of it chosen"),
        "phrases": _drawn([_mark(one) for one in phrases], "phrases", "Side with it chosen"),
        "topics": _drawn([_mark(one) for one in topics], "topics", "Side of it chosen"),
        "length": _drawn(_bands(report), "length", "Longer side chosen"),
        "noise": _drawn(noise, "noise", "Wrong votes or labels"),
        "position": _drawn(flips, "position", "Winner changes with the order shown"),
        "rationale": _drawn(turned, "rationale", "Winner changes when the judge reasons"),
    }


def _drawn(marks: list[Mark], name: str, title: str) -> str | None:
    return interval_figure(marks, name, title) if marks else None


def _mark(one: FeatureReport) -> Mark:
    """Filled where the labels favour or avoid it, hollow where chance would do."""
    return Mark(one.feature, one.share, main=one.favours is not None)


def _bands(report: AuditReport) -> list[Mark]:
    marks = [Mark("all pairs", report.length.longer_chosen)] if report.length.longer_chosen else []
    for band in report.length.bands:
        below = "" if band.below is None else f" to {band.below:g}"
        label = f"{band.above:g}{below} times as long"
        marks.append(Mark(label if below else f"{label} or more", band.longer_chosen, main=False))
    return marks


@cache
def _environment() -> Environment:
    environment = page_environment(HERE)
    environment.filters.update(percent=percent)
    environment.tests.update(fading=fades)
    return environment
