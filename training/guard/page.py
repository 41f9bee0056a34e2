"""The guard's page: proxy and held-out rewards against √KL, and what else has moved."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment

from judges.calibration.estimates import Estimate
from judges.cards.plots import Curve, curve_figure
from judges.pages import page_environment, percent, render_page
from training.guard.observation import PROXY, Observation, best_of
from training.guard.scaling_law import Form, ScalingLaw, fit_law

HERE = Path(__file__).parent
FIT_POINTS = 40


def guard_page(looks: Sequence[Observation], title: str, form: Form = "learned") -> str:
    """One HTML file, no script and nothing from elsewhere; equal looks give equal bytes."""
    laws = {name: law_of(looks, name, form) for name in (PROXY, *looks[-1].held_out)}
    return render_page(
        _environment(),
        "guard.html.jinja",
        {"rewards": _rewards(looks, laws), "others": _others(looks)},
        title=title,
        looks=looks,
        names=list(looks[-1].held_out),
        best=best_of(looks),
        headline=headline(looks),
        laws={name: law for name, law in laws.items() if law is not None},
    )


def headline(looks: Sequence[Observation]) -> str:
    """What the looks say, in one sentence that the test allows."""
    last, best = looks[-1], best_of(looks)
    if last.stopped:
        return last.stopped
    fallen = [name for name, fall in last.falls.items() if fall.shown]
    if fallen:
        return f"Over-optimised at step {last.step}: {', '.join(fallen)} fell"
    if best is None:
        return "Nothing can be said: no completion has a held-out reward"
    return f"No fall of a held-out reward is shown; highest at step {best.step}"


def law_of(looks: Sequence[Observation], name: str, form: Form) -> ScalingLaw | None:
    """The curve of Gao et al. through one reward; None without KL or for too few looks."""
    placed = [(x, one.value) for x, one in _along_kl(looks, name)]
    if not placed or looks[0].kl is None:
        return None
    start = _reward(looks[0], name)
    return None if start is None else fit_law([(x, v - start.value) for x, v in placed], form)


def _reward(look: Observation, name: str) -> Estimate | None:
    return look.proxy if name == PROXY else look.held_out[name]


def _along_kl(looks: Sequence[Observation], name: str) -> list[tuple[float, Estimate]]:
    return [
        (_root(look.kl), one)
        for look in looks
        if look.kl is not None and (one := _reward(look, name)) is not None
    ]


def _root(kl: Estimate) -> float:
    return math.sqrt(max(0.0, kl.value))


def _rewards(looks: Sequence[Observation], laws: dict[str, ScalingLaw | None]) -> str | None:
    best = best_of(looks)
    marked = _root(best.kl) if best is not None and best.kl is not None else None
    curves = [
        Curve(name, points, name == PROXY, marked, _fitted(points, looks, name, laws[name]))
        for name in laws
        if (points := _along_kl(looks, name))
    ]
    if not curves:
        return None
    across = "square root of KL(policy || reference), nats a completion"
    return curve_figure(curves, "rewards", "What is trained on, and what is not", across)


def _fitted(
    points: Sequence[tuple[float, Estimate]],
    looks: Sequence[Observation],
    name: str,
    law: ScalingLaw | None,
) -> list[tuple[float, float]]:
    start = _reward(looks[0], name)
    if law is None or start is None:
        return []
    end = max(x for x, _ in points)
    places = [end * number / FIT_POINTS for number in range(FIT_POINTS + 1)]
    return [(x, start.value + law.at(x)) for x in places]


def _others(looks: Sequence[Observation]) -> str:
    told: tuple[tuple[str, Callable[[Observation], Estimate | None]], ...] = (
        ("words", lambda look: look.words),
        ("sane share", lambda look: look.sane),
        ("repeated share", lambda look: look.repeated),
        ("safe prompts refused", lambda look: look.refused),
        ("ensemble variance", lambda look: look.variance),
        ("KL, nats", lambda look: look.kl),
    )
    curves = []
    for label, read in told:
        points = [(float(look.step), one) for look in looks if (one := read(look)) is not None]
        if points:
            curves.append(Curve(label, points, main=False))
    return curve_figure(curves, "others", "What else has moved", "step")


def _told(one: Estimate | None) -> str:
    return "–" if one is None else f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


@cache
def _environment() -> Environment:
    environment = page_environment(HERE)
    environment.filters.update(told=_told, percent=percent)
    return environment
