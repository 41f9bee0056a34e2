"""Diagnosis and impact as one HTML file each: no script, no font and no image from elsewhere."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment

from judges.cards.plots import Mark, interval_figure
from judges.cost import JudgeEstimate
from judges.cost_text import estimate_lines
from judges.diagnostics.diagnosis import Diagnosis
from judges.diagnostics.impact_report import Impact
from judges.diagnostics.plots import matrix_figure
from judges.pages import page_environment, percent, render_page

HERE = Path(__file__).parent
STYLE = """
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0; font: inherit; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .9rem; }
.pair > div { background: var(--panel); border-radius: .5rem; padding: .7rem 1rem; }
.pair > div.won { outline: 2px solid var(--main); }
article { border-top: 1px solid var(--line); padding: .8rem 0; }
@media (max-width: 40rem) { .pair { grid-template-columns: 1fr; } }
"""


def diagnosis_page(found: Diagnosis) -> str:
    """The diagnosis's page; equal input gives equal bytes. Texts in it are data, and escaped."""
    names = [one.id for one in found.principles]
    decides = [Mark(one.id, one.decides, main=not one.dead) for one in found.principles]
    figures = {"decides": interval_figure(decides, "decides", "Share of pairs it decides")}
    if found.relations:
        figures |= {
            "correlation": matrix_figure(
                names,
                {(one.first, one.second): one.correlation for one in found.relations},
                "Correlation between principles",
            ),
            "contradiction": matrix_figure(
                names,
                {(one.first, one.second): one.contradiction for one in found.relations},
                "Share of pairs on which two principles decisively disagree",
                percent=True,
            ),
        }
    return _render("diagnosis.html.jinja", found=found, figures=figures, findings=findings(found))


def impact_page(found: Impact) -> str:
    """The impact's page; equal input gives equal bytes. Texts in it are data, and escaped."""
    moved = [Mark(one.principle, one.share) for one in found.moved_by]
    parts = [Mark(one.slice or "no part", one.share) for one in found.slices]
    figures = {
        "moved": interval_figure(moved, "moved", "Share of flips it moved most"),
        "slices": interval_figure(parts, "slices", "Share of labels that flip") if parts else "",
    }
    return _render("impact.html.jinja", found=found, figures=figures)


def findings(found: Diagnosis) -> list[str]:
    """What an author should look at first, a sentence each."""
    told = []
    for one in found.principles:
        if one.dead and one.decides:
            told.append(
                f"{one.id} is dead here: it decides at most {percent(one.decides.high)} of pairs"
            )
        if one.redundant_beside:
            told.append(
                f"{one.id} is redundant beside {', '.join(one.redundant_beside)}: they say the "
                "same, and leaving it out changes next to nothing"
            )
        if one.golden.failed:
            told.append(f"{one.id} fails {one.golden.failed} of its {one.golden.n} golden tests")
        if one.agreement_change and one.agreement_change.low > 0:
            told.append(f"{one.id} does harm: without it, people are agreed with more often")
        if not one.votes:
            told.append(f"{one.id} has no vote in scope in this run: nothing is known of it")
    return told + _contradictions(found)


def _contradictions(found: Diagnosis) -> list[str]:
    return [
        f"{one.first} and {one.second} contradict each other on "
        f"{percent(one.contradiction.value)} of {one.n} pairs"
        for one in found.relations
        if one.contradiction and one.contradiction.low > 0.1
    ]


def _render(template: str, figures: Mapping[str, str | None], **given: object) -> str:
    return render_page(_environment(), template, figures, more_style=STYLE, **given)


def _cut(text: str, most: int = 1500) -> str:
    return text if len(text) <= most else text[:most] + " …"


def _cost(one: JudgeEstimate) -> str:
    return " ".join(line.strip() for line in estimate_lines(one))


@cache
def _environment() -> Environment:
    environment = page_environment(HERE)
    environment.filters.update(percent=percent, cut=_cut, cost=_cost)
    return environment
