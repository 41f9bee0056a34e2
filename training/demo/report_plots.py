"""The report's figures: inline SVG that takes its colours from the page, light or dark.

One unit of a figure is one pixel of the page. Colours are placeholders while matplotlib draws and
CSS variables afterwards; text stays text. Equal input gives equal bytes.
"""

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from html import escape
from typing import Any, Literal, ParamSpec, TypeVar

from judges.records import Record

WIDTH = 880
ROW = 27
INK, MUTED, LINE, AFTER, BEFORE = "#010101", "#020202", "#030303", "#040404", "#050505"
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", AFTER: "after", BEFORE: "before"}
STYLE = {
    "svg.hashsalt": "charter",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 13,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 1,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 1,
    "ytick.major.width": 1,
    "text.color": INK,
    "grid.color": LINE,
    "grid.linewidth": 1,
    "lines.linewidth": 2,
}
NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
CURVES = (
    ("loss", "Loss"),
    ("rewards/accuracies", "Reward accuracy"),
    ("rewards/margins", "Reward margin"),
    ("logps/chosen", "Log-probability of chosen"),
)

Drawn = ParamSpec("Drawn")
Svg = TypeVar("Svg")
Look = Literal["main", "plain", "before"]


class Mark(Record):
    """One line of an interval figure."""

    label: str
    """What was measured."""
    mean: float
    """Where the mark stands."""
    low: float
    """Left end of the interval."""
    high: float
    """Right end."""
    n: int
    """How many were measured; 0 draws no mark."""
    look: Look = "plain"
    """`main` is filled and large, `before` hollow: told apart without colour, too."""
    opens: bool = False
    """Whether a gap before it opens a new group."""


def _styled(draw: Callable[Drawn, Svg]) -> Callable[Drawn, Svg]:
    """The function, run under our style and no setting of the user's."""

    @wraps(draw)
    def styled(*given: Drawn.args, **named: Drawn.kwargs) -> Svg:
        import matplotlib as mpl  # slow to import, and only a report needs it

        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            return draw(*given, **named)

    return styled


@_styled
def interval_figure(
    marks: Sequence[Mark], name: str, title: str, label: str, *, share: bool, band: Mark | None
) -> str:
    """Marks with their intervals, one below the other, with the numbers at the right.

    `share` puts the axis from 0 to 100 % with a line at one half; `band` shades an interval.
    """
    place_of: list[float] = []
    for mark in marks:
        place_of.append((place_of[-1] + 1 + 0.7 * mark.opens) if place_of else 0.0)
    rows = place_of[-1] + 1.4
    figure, axes = _canvas(rows * ROW + 62, left=215, right=205, top=32, bottom=30)
    axes.set_title(title)
    axes.set_ylim(rows - 0.7, -0.7)
    axes.set_yticks(place_of, [mark.label for mark in marks], color=INK)
    axes.tick_params(axis="y", length=0, pad=12)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    _scale(axes, marks, share)
    if band is not None and band.n:
        axes.axvspan(band.low, band.high, color=BEFORE, alpha=0.14, linewidth=0)
    for mark, place in zip(marks, place_of, strict=True):
        _draw_mark(axes, mark, place, share)
    return _inline(figure, name, label)


def _scale(axes: Any, marks: Sequence[Mark], share: bool) -> None:
    if share:
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.axvline(0.5, color=INK, linewidth=1.5, linestyle=(0, (4, 3)))
    else:
        axes.set_xlim(0, 1.1 * max([mark.high for mark in marks if mark.n] or [1.0]) or 1.0)


def _draw_mark(axes: Any, mark: Mark, place: float, share: bool) -> None:
    beside = axes.get_yaxis_transform()
    if mark.n == 0:
        axes.text(1.03, place, "nothing scored", va="center", color=MUTED, transform=beside)
        return
    colour = BEFORE if mark.look == "before" else AFTER
    wide = 3 if mark.look == "main" else 2
    axes.plot([mark.low, mark.high], [place, place], color=colour, linewidth=wide)
    axes.plot(
        [mark.mean],
        [place],
        marker="D" if mark.look == "main" else "o",
        markersize=11 if mark.look == "main" else 8,
        markerfacecolor="white" if mark.look == "before" else colour,
        markeredgecolor=colour,
        markeredgewidth=2,
    )
    number = f"{mark.mean:.0%}".replace("%", " %") if share else f"{mark.mean:.1f}"
    ends = (
        f"{100 * mark.low:.0f} to {100 * mark.high:.0f}"
        if share
        else f"{mark.low:.1f} to {mark.high:.1f}"
    )
    axes.text(
        1.16, place, number, va="center", ha="right", transform=beside, weight="bold", clip_on=False
    )
    axes.text(1.19, place, ends, va="center", transform=beside, color=MUTED)
    axes.text(1.44, place, f"n {mark.n}", va="center", ha="right", transform=beside, color=MUTED)


@_styled
def training_figure(
    metrics: Sequence[Mapping[str, Any]], floor: float | None, name: str, label: str
) -> str | None:
    """Loss, reward accuracy and margin by step, as far as they were logged; None where none was.

    `floor` is the loss that soft labels leave when they are learnt perfectly.
    """
    curves = [(title, points) for key, title in CURVES if (points := _points(metrics, key))]
    if not curves:
        return None
    figure = _figure(250)
    for index, (title, points) in enumerate(curves):
        cell = WIDTH / len(curves)
        axes = figure.add_axes(
            ((index * cell + 48) / WIDTH, 52 / 250, (cell - 66) / WIDTH, 160 / 250)
        )
        axes.set_title(title)
        axes.grid(axis="y")
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, color=AFTER, marker="o", markersize=4)
        axes.margins(y=0.12)
        axes.set_xlabel("step")
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.locator_params(axis="y", nbins=5)
        if title == "Loss":
            _rule_off(axes, math.log(2), "ln 2: no preference learnt")
            if floor is not None:
                _rule_off(axes, floor, "least that soft labels allow")
        if title == "Reward accuracy":
            axes.set_ylim(-0.03, 1.05)
            _rule_off(axes, 0.5, "")
    return _inline(figure, name, label)


def _points(metrics: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """Step and value where both are finite numbers: a trainer's last line has no loss."""
    pairs = [(row.get("step"), row.get(key)) for row in metrics]
    return [
        (float(step), float(value))
        for step, value in pairs
        if isinstance(step, int | float) and isinstance(value, int | float) and math.isfinite(value)
    ]


def _rule_off(axes: Any, height: float, words: str) -> None:
    axes.axhline(height, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    beside = axes.get_yaxis_transform()
    axes.text(1, height, words, transform=beside, color=MUTED, size=10.5, ha="right", va="bottom")


@_styled
def label_figure(labels: Sequence[float], name: str, title: str, label: str) -> str | None:
    """How sure the labels are: a histogram from 0.5 to 1; None without labels."""
    if not labels:
        return None
    figure, axes = _canvas(250, left=60, right=30, top=36, bottom=52)
    edges = [0.5 + 0.025 * step for step in range(21)]
    counts, _, bars = axes.hist(labels, bins=edges, color=AFTER, rwidth=0.9)
    axes.bar_label(
        bars, [f"{count:.0f}" if count else "" for count in counts], color=MUTED, size=11
    )
    axes.set_title(title)
    axes.set_xlim(0.495, 1.005)
    axes.set_xlabel("p(chosen is better)")
    axes.set_ylabel("pairs")
    axes.locator_params(axis="y", nbins=5, integer=True)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return _inline(figure, name, label)


def _figure(height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH / 72, height / 72))


def _canvas(
    height: float, *, left: float, right: float, top: float, bottom: float
) -> tuple[Any, Any]:
    figure = _figure(height)
    wide, high = WIDTH - left - right, height - top - bottom
    axes = figure.add_axes((left / WIDTH, bottom / height, wide / WIDTH, high / height))
    return figure, axes


def _inline(figure: Any, name: str, label: str) -> str:
    """The figure as an SVG element to stand in a page, its ids led by its name."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace("#ffffff", "var(--page)")
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = re.sub(r'\sid="', rf' id="{name}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", svg)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # would hold for the whole page
    size = re.search(r'viewBox="[^"]*"', svg)
    assert size is not None
    head = f'<svg class="figure" role="img" aria-label="{escape(label)}" {size.group()}>'
    return head + svg[svg.index(">") + 1 :]
