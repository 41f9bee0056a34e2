"""A watched run as one HTML page: no script, no font and no image from elsewhere."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment

from judges.pages import page_environment, render_page
from service.watch.run_state import Standing
from service.watch.run_store import Run
from service.watch.signals import EXPECTED, SIGNALS, Channel

HERE = Path(__file__).parent
WIDTH, HEIGHT, LEFT, FOOT = 640, 120, 44, 18


class _Curve(NamedTuple):
    name: str
    channel: Channel
    quantity: str
    title: str


CURVES = (
    _Curve("reward", "samples", "reward", "Reward"),
    _Curve("gold", "gold", "gold", "Held-out reward"),
    _Curve("gap", "gold", "gap", "Reward above the held-out one (one half is none)"),
    _Curve("words", "samples", "log_words", "Length, on a logarithmic scale"),
    _Curve("refusal", "samples", "refusal", "Share of refusals"),
    _Curve("exploit", "samples", "exploit", "Share that addresses the judge"),
    _Curve("order_gap", "samples", "order_gap", "Leaning on places"),
    _Curve("unscored", "samples", "unscored", "Share without a reward"),
    _Curve("missed", "canaries", "missed", "Known answers judged wrongly"),
)


def run_page(run: Run) -> str:
    """The run's page; equal runs give equal bytes. Names in it are data, and escaped."""
    standings = run.state.standings(run.settings)
    figures = {curve.name: _figure(run, curve) for curve in CURVES}
    return render_page(
        _environment(),
        "run.html.jinja",
        figures,
        run=run,
        headline=_headline(run),
        standings=[(s, _share(s), s.signal in EXPECTED) for s in standings],
        curves=[curve for curve in CURVES if figures[curve.name]],
    )


def _headline(run: Run) -> str:
    says = {one.name: one.says for one in SIGNALS}
    if run.stop:
        return "Stop: " + "; ".join(says[name] for name in run.stop)
    if run.state.alarms:
        return "Look: " + "; ".join(says[alarm.signal] for alarm in run.state.alarms)
    return "No alarm" if run.state.samples else "Nothing seen yet"


def _share(standing: Standing) -> int:
    """How far the evidence has come, in percent of what makes a drift certain."""
    return round(100 * min(1.0, max(0.0, standing.evidence / standing.needed)))


def _figure(run: Run, curve: _Curve) -> str | None:
    points = [
        (float(point["at"]), float(point[curve.quantity]))
        for point in run.state.history[curve.channel].points
        if curve.quantity in point
    ]
    if len(points) < 2:
        return None
    marks = [
        float(alarm.at)
        for alarm in run.state.alarms
        if any(one.name == alarm.signal and one.quantity == curve.quantity for one in SIGNALS)
    ]
    return curve_svg(points, marks, curve.title)


def curve_svg(points: Sequence[tuple[float, float]], marks: Sequence[float], title: str) -> str:
    """A curve over samples, with its alarms as lines; numbers only, so nothing to escape."""
    left, right = points[0][0], points[-1][0]
    values = [y for _, y in points]
    low, high = min(values), max(values)
    pad = max(0.05 * (high - low), 0.002)
    low, high = low - pad, high + pad

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - 4) * (at - left) / max(1.0, right - left)

    def y(value: float) -> float:
        return 4 + (HEIGHT - FOOT - 4) * (high - value) / (high - low)

    line = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
    alarms = "".join(
        f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="4" y2="{HEIGHT - FOOT}" '
        'stroke="var(--other)" stroke-width="2"/>'
        for at in marks
    )
    text = 'font-size="11" fill="var(--muted)"'
    return (
        f'<svg class="figure" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
        f'<text x="0" y="14" {text}>{high:.3f}</text>'
        f'<text x="0" y="{HEIGHT - FOOT}" {text}>{low:.3f}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 3}" {text}>{left:.0f} samples</text>'
        f'<text x="{WIDTH - 4}" y="{HEIGHT - 3}" text-anchor="end" {text}>{right:.0f}</text>'
        f"{alarms}"
        f'<polyline points="{line}" fill="none" stroke="var(--main)" stroke-width="1.8"/></svg>'
    )


@cache
def _environment() -> Environment:
    return page_environment(HERE)
