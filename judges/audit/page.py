"""An audit as one HTML file: no script, no font and no image from elsewhere."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from judges.audit.findings import fades
from judges.audit.report import AuditReport, FeatureReport
from judges.cards import page as card_page
from judges.cards.plots import Mark, interval_figure

HERE = Path(__file__).parent
CARDS = Path(card_page.__file__).parent
MOST_MARKS = 24


def audit_page(report: AuditReport) -> str:
    """The audit's page; equal audits give equal bytes. Texts in it are data, and escaped."""
    errors = sum(one.severity == "error" for one in report.findings)
    warnings = sum(one.severity == "warning" for one in report.findings)
    html = (
        _environment()
        .get_template("audit.html.jinja")
        .render(
            report=report,
            css=Markup((CARDS / "card.css").read_text("utf-8")),
            headline=_headline(errors, warnings),
            bad=errors > 0,
            figures={name: svg and Markup(svg) for name, svg in figures(report).items()},
            favoured=[one for one in (*report.style, *report.phrases) if one.favours],
        )
    )
    html = html.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return html.translate(card_page.CONTROLS)


def _headline(errors: int, warnings: int) -> str:
    if errors:
        return f"To mend before training: {errors}; to look at: {warnings}"
    return f"To look at: {warnings}" if warnings else "Nothing found that warns"


def figures(report: AuditReport) -> dict[str, str | None]:
    """The page's figures by name; None where there is nothing to draw."""
    style = [one for one in report.style if one.share.n]
    style = sorted(style, key=lambda one: (one.favours is None, one.p_value))[:MOST_MARKS]
    phrases = report.phrases[:MOST_MARKS]
    noise = [Mark(f"told by {one.source}", one.noise) for one in report.noise]
    flips = [Mark(one.principle, one.flips) for one in report.position]
    return {
        "style": _drawn([_mark(one) for one in style], "style", "Side with more of it chosen"),
        "phrases": _drawn([_mark(one) for one in phrases], "phrases", "Side with it chosen"),
        "length": _drawn(_bands(report), "length", "Longer side chosen"),
        "noise": _drawn(noise, "noise", "Wrong labels"),
        "position": _drawn(flips, "position", "Winner changes with the order shown"),
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


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent)
    environment.tests.update(fading=fades)
    return environment
