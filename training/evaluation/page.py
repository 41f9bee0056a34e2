"""An evaluation as one HTML file: no script, no font and no image from elsewhere."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment

from judges.calibration.estimates import Estimate
from judges.cards.plots import Mark, interval_figure
from judges.pages import page_environment, percent, render_page
from training.evaluation.changes import Change
from training.evaluation.evaluate import Evaluation
from training.evaluation.refusals import Refusals
from training.evaluation.unanswered import Unanswered
from training.evaluation.win_rates import WinRate

HERE = Path(__file__).parent
STYLE = """
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0; font: inherit; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .9rem; }
.pair > div { background: var(--panel); border-radius: .5rem; padding: .7rem 1rem; }
.pair > div.won { outline: 2px solid var(--main); }
article { border-top: 1px solid var(--line); padding: .8rem 0; }
@media (max-width: 40rem) { .pair { grid-template-columns: 1fr; } }
"""


def evaluation_page(found: Evaluation) -> str:
    """The evaluation's page; equal input gives equal bytes. Texts in it are data, and escaped."""
    return render_page(
        _environment(),
        "evaluation.html.jinja",
        figures(found),
        more_style=STYLE,
        found=found,
        headline=headline(found.win_rate),
        warnings=warnings(found),
        missing=missing(found.unanswered),
        rates=_rates(found),
    )


def figures(found: Evaluation) -> dict[str, str | None]:
    """The page's figures by name; None where there is nothing to draw."""
    wins = [Mark(name, _estimate(rate)) for name, rate in _rates(found).items()]
    wins.append(Mark("noise floor", _estimate(found.noise_floor), main=False))
    level = [Mark(name, rate.length_controlled) for name, rate in _rates(found).items()]
    return {
        "wins": interval_figure(wins, "wins", "Share of comparisons won"),
        "level": interval_figure(level, "level", "The same, were both answers equally long")
        if any(mark.estimate for mark in level)
        else None,
        "refusals": _before_and_after("refusals", "Share refused", _refused(found.refusals)),
        "variety": _before_and_after("variety", "Variety of answers", _variety(found)),
        "known": _before_and_after(
            "known",
            "Questions answered rightly",
            {"questions": found.capability.accuracy if found.capability else None},
        ),
        "follows": _before_and_after("follows", "Share that follows the user", _follows(found)),
    }


def headline(win: WinRate) -> str:
    """What was found, in one sentence that its interval allows."""
    if win.n == 0:
        return f"Nothing can be said: the judge gave no verdict on {win.unscored} comparisons"
    found = (
        "The policy follows the constitution better"
        if win.low > 0.5
        else "The policy follows the constitution worse"
        if win.high < 0.5
        else "No difference can be shown"
    )
    return (
        f"{found}: it wins {percent(win.rate)} of comparisons (95\u00a0% interval "
        f"{percent(win.low)} to {percent(win.high)}, n\u00a0{win.n})"
    )


def warnings(found: Evaluation) -> list[str]:
    """What the policy paid for its win rate, as far as intervals show it, a sentence each."""
    told = []
    win, level = found.win_rate, found.win_rate.length_controlled
    if level and win.low > 0.5 >= level.low:
        told.append(
            f"At equal length the win is not shown: {percent(level.value)} "
            f"({percent(level.low)} to {percent(level.high)})."
        )
    if found.policy_text.sane.high < found.against_text.sane.low:
        told.append("Fewer answers are finished sentences than before.")
    told += _lost(found)
    return told


def missing(found: Unanswered | None) -> str:
    """What the policies did not answer, in words; nothing where all was answered."""
    if found is None:
        return ""
    told = ""
    if found.pairs:
        told = (
            f"Of {found.asked} answers asked of each, {found.against} are missing before and "
            f"{found.policy} after, so {found.pairs} pairs are not compared: where a policy fails, "
            "it neither wins nor loses. "
        )
    if found.kl:
        told += f"The distance between the policies is measured without {found.kl} completions."
    return told.strip()


def _lost(found: Evaluation) -> list[str]:
    variety, refusals, known = found.diversity, found.refusals, found.capability
    follows = found.sycophancy
    watched: tuple[tuple[Change | None, int, str], ...] = (
        (refusals.over_refusal if refusals else None, 1, "It refuses more prompts that are safe"),
        (refusals.refusal if refusals else None, -1, "It refuses fewer prompts that are unsafe"),
        (variety.within if variety else None, -1, "Its answers to one prompt are more alike"),
        (
            variety.boilerplate if variety else None,
            1,
            "More answers share whole sentences with others",
        ),
        (known.nats if known else None, 1, "Right answers became less likely, in nats a token"),
        (known.accuracy if known else None, -1, "It answers fewer questions rightly"),
        (
            follows.sided_with_both if follows else None,
            1,
            "It tells both sides of more disputes that they are right",
        ),
        (follows.gave_in if follows else None, 1, "It gives in to more wrong claims of its user"),
    )
    told = [
        f"{words}: {_signed(change.difference)}."
        for change, worse, words in watched
        if change and min(worse * change.difference.low, worse * change.difference.high) > 0
    ]
    for one in found.benchmarks:
        gap = one.change.difference
        down, up = gap.high < 0, gap.low > 0
        if (down and one.higher_is_better is True) or (up and one.higher_is_better is False):
            told.append(f"{one.task} is worse by {one.metric}: {_signed(gap)}.")
    return told


def _rates(found: Evaluation) -> dict[str, WinRate]:
    parts = {
        "all principles": found.win_rate,
        "rules only": found.win_rate_rules,
        "judged only": found.win_rate_judged,
        **found.principles,
    }
    return {name: rate for name, rate in parts.items() if rate is not None}


def _estimate(rate: WinRate) -> Estimate | None:
    if rate.n == 0:
        return None
    return Estimate(value=rate.rate, low=rate.low, high=rate.high, n=rate.n)


def _refused(found: Refusals | None) -> dict[str, Change | None]:
    if found is None:
        return {}
    return {"safe prompts": found.over_refusal, "unsafe prompts": found.refusal, **found.types}


def _variety(found: Evaluation) -> dict[str, Change | None]:
    variety = found.diversity
    if variety is None:
        return {}
    return {
        "two answers apart": variety.within,
        "with stock sentences": variety.boilerplate,
    }


def _follows(found: Evaluation) -> dict[str, Change | None]:
    told = found.sycophancy
    if told is None:
        return {}
    gave_in = {f"gives in: {kind}": change for kind, change in told.kinds.items()}
    return {"sides with both": told.sided_with_both, **gave_in}


def _before_and_after(name: str, title: str, changes: Mapping[str, Change | None]) -> str | None:
    marks = []
    for label, change in changes.items():
        if change is not None:
            marks.append(Mark(f"{label}, before", change.before, main=False))
            marks.append(Mark("after", change.after))
    return interval_figure(marks, name, title) if marks else None


def _signed(one: Estimate) -> str:
    return f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f}, n\u00a0{one.n})"


@cache
def _environment() -> Environment:
    environment = page_environment(HERE)
    environment.filters.update(percent=percent, signed=_signed)
    return environment
