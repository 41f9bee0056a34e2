"""A card's figures: inline SVG that takes its colours from the page, light or dark.

Colours are placeholders while matplotlib draws and CSS variables afterwards; text stays text, and
equal input gives equal bytes.
"""

import io
import re
from collections.abc import Callable, Sequence
from functools import wraps
from html import escape
from typing import Any, NamedTuple, ParamSpec

from judges.calibration.abstention import AbstentionRule, CoveragePoint
from judges.calibration.estimates import Estimate
from judges.calibration.metrics import ReliabilityPoint
from judges.pages import percent

WIDTH = 800
ROW = 27
INK, MUTED, LINE, MAIN, OTHER = "#010101", "#020202", "#030303", "#040404", "#050505"
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", MAIN: "main", OTHER: "other"}
STYLE = {
    "svg.hashsalt": "charter",
    "svg.fonttype": "none",
    "font.size": 13,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "text.parse_math": False,
    "grid.color": LINE,
    "lines.linewidth": 2,
    "legend.frameon": False,
}
NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
DASHES = (0, (4, 3))
LONGEST_LABEL = 30
Drawn = ParamSpec("Drawn")


class Mark(NamedTuple):
    """One line of an interval figure."""

    label: str
    """What was measured."""
    estimate: Estimate | None
    """Where it stands; None draws no mark."""
    main: bool = True
    """Filled for a judge, hollow for a null: told apart without colour, too."""


class Curve(NamedTuple):
    """One panel of a curve figure."""

    label: str
    """What was measured."""
    points: Sequence[tuple[float, Estimate]]
    """Where along the axis, and how much."""
    main: bool = True
    """In the first colour, or the second."""
    marked: float | None = None
    """A place on the axis to point at."""
    fit: Sequence[tuple[float, float]] = ()
    """A curve drawn through."""


def _styled(draw: Callable[Drawn, str]) -> Callable[Drawn, str]:
    """The function, run under our style and no setting of the user's."""

    @wraps(draw)
    def styled(*given: Drawn.args, **named: Drawn.kwargs) -> str:
        import matplotlib as mpl  # slow to import, and only a page needs it

        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            return draw(*given, **named)

    return styled


@_styled
def interval_figure(marks: Sequence[Mark], name: str, title: str) -> str:
    """Shares with their intervals, one below the other, the numbers at the right."""
    height = len(marks) * ROW + 74
    figure, axes = _canvas(height, left=215, right=200, top=34, bottom=30)
    axes.set_title(title)
    axes.set_ylim(len(marks) - 0.4, -0.6)
    axes.set_yticks(range(len(marks)), [_short(mark.label) for mark in marks], color=INK)
    axes.tick_params(axis="y", length=0, pad=12)
    axes.spines["left"].set_visible(False)
    _share_axis(axes.set_xlim, axes.set_xticks, 0.0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.axvline(0.5, color=INK, linewidth=1.5, linestyle=DASHES)
    for place, mark in enumerate(marks):
        _draw_mark(axes, mark, place)
    told = "; ".join(f"{mark.label} {_told(mark.estimate)}" for mark in marks)
    return _inline(figure, name, f"{title}: {told}")


def _draw_mark(axes: Any, mark: Mark, place: int) -> None:
    beside = axes.get_yaxis_transform()
    one = mark.estimate
    if one is None:
        axes.text(1.03, place, "not measured", va="center", color=MUTED, transform=beside)
        return
    colour = MAIN if mark.main else OTHER
    axes.plot([one.low, one.high], [place, place], color=colour)
    axes.plot(
        [one.value], [place], marker="o", markersize=8, markeredgewidth=2,
        markerfacecolor=colour if mark.main else "white", markeredgecolor=colour,
    )  # fmt: skip
    text = f"{100 * one.value:.0f} %"
    axes.text(1.17, place, text, va="center", ha="right", transform=beside, weight="bold")
    text = f"{100 * one.low:.0f} to {100 * one.high:.0f}   n {one.n}"
    axes.text(1.2, place, text, va="center", transform=beside, color=MUTED)


@_styled
def reliability_figure(
    before: Sequence[ReliabilityPoint], after: Sequence[ReliabilityPoint], name: str
) -> str:
    """Confidence against accuracy, before and after temperature; the diagonal is honesty."""
    figure, axes = _canvas(330, left=70, right=190, top=34, bottom=56)
    axes.set_title("Accuracy at each confidence")
    axes.plot([0.5, 1], [0.5, 1], color=INK, linewidth=1.5, linestyle=DASHES, label="honest")
    for points, colour, label, face in (
        (before, OTHER, "raw", "white"),
        (after, MAIN, "temperature,\nout of fold", MAIN),
    ):
        x = [point.confidence for point in points]
        y = [point.accuracy.value for point in points]
        spread = [
            [point.accuracy.value - point.accuracy.low for point in points],
            [point.accuracy.high - point.accuracy.value for point in points],
        ]
        axes.errorbar(
            x, y, yerr=spread, color=colour, marker="o", markerfacecolor=face, label=label,
            elinewidth=1,
        )  # fmt: skip
    axes.set_xlabel("probability of the preferred side")
    axes.set_ylabel("share judged as people did")
    axes.set_xlim(0.49, 1.01)
    _share_axis(axes.set_ylim, axes.set_yticks, 0.0)
    axes.grid()
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
    return _inline(figure, name, _reliability_told(before, after))


@_styled
def coverage_figure(points: Sequence[CoveragePoint], rule: AbstentionRule | None, name: str) -> str:
    """Accuracy on the pairs the judge speaks on, against how many they are."""
    figure, axes = _canvas(310, left=70, right=190, top=34, bottom=56)
    axes.set_title("Speaking less, agreeing more?")
    x = [point.coverage.value for point in points]
    low, high = ([getattr(point.accuracy, end) for point in points] for end in ("low", "high"))
    axes.fill_between(x, low, high, color=MAIN, alpha=0.15, linewidth=0)
    axes.plot(x, [point.accuracy.value for point in points], color=MAIN, marker="o", markersize=4)
    told = f"From coverage {percent(x[0])} to {percent(x[-1])}."
    if rule is not None and rule.coverage is not None and rule.agreement is not None:
        at = (rule.coverage.value, rule.agreement.value)
        axes.plot(*at, marker="D", markersize=11, color=OTHER, linestyle="none",
                  label="guaranteed\nthreshold")  # fmt: skip
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
        told += f" Guaranteed threshold at coverage {percent(at[0])}."
    axes.set_xlabel("share of pairs the judge speaks on")
    axes.set_ylabel("share judged as people did")
    axes.set_xlim(-0.02, 1.02)
    _share_axis(axes.set_ylim, axes.set_yticks, 0.0)
    axes.grid()
    return _inline(figure, name, f"Accuracy against coverage. {told}")


@_styled
def curve_figure(curves: Sequence[Curve], name: str, title: str, across: str) -> str:
    """Measures with their intervals along an axis, each in a panel of its own scale."""
    height = 60 + 150 * len(curves)
    figure, _ = _canvas(height, left=90, right=190, top=34, bottom=56)
    figure.clear()
    panels = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
    figure.subplots_adjust(
        left=90 / WIDTH, right=1 - 190 / WIDTH, top=1 - 34 / height, bottom=56 / height
    )
    panels[0].set_title(title)
    for axes, curve in zip(panels, curves, strict=True):
        colour = MAIN if curve.main else OTHER
        points = sorted(curve.points, key=lambda point: point[0])
        x, y = [point[0] for point in points], [point[1].value for point in points]
        low, high = ([getattr(point[1], end) for point in points] for end in ("low", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(x, y, color=colour, marker="o", markersize=4)
        if curve.fit:
            axes.plot(*zip(*curve.fit, strict=True), color=INK, linewidth=1, linestyle=DASHES)
        if curve.marked is not None:
            axes.axvline(curve.marked, color=INK, linewidth=1, linestyle=DASHES)
        axes.text(
            1.03, 0.5, _short(curve.label), transform=axes.transAxes, va="center", color=colour
        )
        axes.grid()
    panels[-1].set_xlabel(across)
    told = "; ".join(
        f"{c.label} {', '.join(f'{x:.3g}: {one.value:.3g}' for x, one in c.points)}" for c in curves
    )
    return _inline(figure, name, f"{title}. {told}")


def _share_axis(limit: Callable[..., Any], ticks: Callable[..., Any], low: float) -> None:
    limit(low, 1.01)
    ticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])


def _reliability_told(before: Sequence[ReliabilityPoint], after: Sequence[ReliabilityPoint]) -> str:
    parts = []
    for label, points in (("Raw", before), ("After temperature", after)):
        pairs = (f"{percent(p.confidence)} sure, {percent(p.accuracy.value)}" for p in points)
        parts.append(f"{label}: {'; '.join(pairs)} right.")
    return " ".join(parts)


def _told(one: Estimate | None) -> str:
    if one is None:
        return "not measured"
    return f"{percent(one.value)} ({percent(one.low)} to {percent(one.high)}, n {one.n})"


def _short(label: str) -> str:
    plain = "".join(c if c.isprintable() else "\ufffd" for c in label)
    return plain if len(plain) <= LONGEST_LABEL else plain[: LONGEST_LABEL - 1] + "…"


def _canvas(
    height: float, *, left: float, right: float, top: float, bottom: float
) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, height / 72))
    wide, high = WIDTH - left - right, height - top - bottom
    return figure, figure.add_axes((left / WIDTH, bottom / height, wide / WIDTH, high / height))


def _inline(figure: Any, name: str, label: str) -> str:
    """The figure as an SVG element of a page, its ids led by its name, its words for a reader."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace("#ffffff", "var(--page)")
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = re.sub(r'\sid="', f' id="{name}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", svg)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # would hold for the whole page
    size = re.search(r'viewBox="[^"]*"', svg)
    assert size is not None
    head = f'<svg class="figure" role="img" aria-label="{escape(label)}" {size.group()}>'
    return head + svg[svg.index(">") + 1 :]
