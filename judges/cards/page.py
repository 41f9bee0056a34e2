"""A judge card as one HTML file: no script, no font and no image from elsewhere."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from judges.cards.card import JudgeCard
from judges.cards.plots import Mark, coverage_figure, interval_figure, reliability_figure

HERE = Path(__file__).parent
HEADLINES = {
    "ok": "Its labels carry information",
    "above_chance_only": "Better than chance, but not shown to beat the best null judge",
    "chance": "Not shown to be better than chance: do not label with this judge",
}
SPACES = "\t\n\r"
CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in SPACES}
CONTROLS |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd")
"""Characters that would hide or turn round what stands beside them."""


def card_page(card: JudgeCard) -> str:
    """The card's page; equal cards give equal bytes. Names in it are data, and escaped."""
    about = card.subject
    html = (
        _environment()
        .get_template("card.html.jinja")
        .render(
            card=card,
            css=Markup((HERE / "card.css").read_text("utf-8")),
            headline=HEADLINES[card.gate],
            reasons=_reasons(card),
            together=card.overall.model_copy(update={"name": "the panel"}),
            figures={name: svg and Markup(svg) for name, svg in figures(card).items()},
            judges=list(zip(about.judges, about.fingerprints, about.settings, strict=True)),
        )
    )
    html = html.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return html.translate(CONTROLS)


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


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, capitalise=_capitalise)
    return environment
