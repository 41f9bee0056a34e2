"""A judge card as one HTML file: no script, no font and no image from elsewhere."""

from functools import cache
from pathlib import Path

from jinja2 import Environment

from judges.cards.card import JudgeCard
from judges.cards.plots import Mark, coverage_figure, interval_figure, reliability_figure
from judges.pages import page_environment, percent, render_page

HERE = Path(__file__).parent
HEADLINES = {
    "ok": "Its labels carry information",
    "above_chance_only": "Better than chance, but not shown to beat the best null judge",
    "chance": "Not shown to be better than chance: do not label with this judge",
}


def card_page(card: JudgeCard) -> str:
    """The card's page; equal cards give equal bytes. Names in it are data, and escaped."""
    about = card.subject
    return render_page(
        _environment(),
        "card.html.jinja",
        figures(card),
        card=card,
        headline=HEADLINES[card.gate],
        reasons=_reasons(card),
        together=card.overall.model_copy(update={"name": "the panel"}),
        judges=list(zip(about.judges, about.fingerprints, about.settings, strict=True)),
    )


def figures(card: JudgeCard) -> dict[str, str | None]:
    """The page's figures by name; None where there is nothing to draw."""
    overall, trust = card.overall, card.confidence
    nulls = [Mark("the judge", overall.accuracy)]
    nulls += [Mark(f"null: {name}", null, main=False) for name, null in overall.nulls.items()]
    parts = [Mark(row.name, row.accuracy) for row in card.slices]
    return {
        "nulls": interval_figure(nulls, "nulls", "Accuracy"),
        "slices": interval_figure(parts, "slices", "Accuracy") if parts else None,
        "reliability": reliability_figure(trust.reliability, trust.reliability_after, "reliability")
        if trust.reliability
        else None,
        "coverage": coverage_figure(trust.coverage, trust.abstention, "coverage")
        if trust.coverage
        else None,
    }


def _reasons(card: JudgeCard) -> str:
    told = ", ".join(f"{n} {reason}" for reason, n in card.unscored_reasons.items())
    return f" ({told})" if told else ""


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


@cache
def _environment() -> Environment:
    environment = page_environment(HERE)
    environment.filters.update(percent=percent, capitalise=_capitalise)
    return environment
