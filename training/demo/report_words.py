"""The report's words: the finding as far as its interval goes, and numbers as people read them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from judges.constitutions.constitution import Principle
from training.evaluation.evaluate import Evaluation

MOST_SANITY_LOST = 0.05
"""A sane share that falls by more than this means that the model was damaged."""
EXCERPT = 600
"""Characters of a completion that are shown."""
REASONS = {
    "tie": "too close to one half to call",
    "identical": "both completions say the same",
    "duplicate": "the same pair was already there",
    "empty": "a completion is empty",
    "unscored": "the pair has no verdict",
    "unscored_item": "whole rankings without a verdict",
}
# Control characters have no place in HTML, lone surrogates none in UTF-8: both are made visible.
VISIBLE = (
    {code: 0x2400 + code for code in range(32) if code not in (9, 10)}
    | {0x7F: 0x2421}
    | dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], 0xFFFD)
)


def headline(evaluation: Evaluation, title: str) -> str:
    """What was found, in one sentence that its interval allows."""
    win = evaluation.win_rate
    if win.n == 0:
        return f"Nothing can be said: the judge gave no verdict on {win.unscored} comparisons."
    if win.low > 0.5:
        found = f"Training made the model follow “{title}” better"
    elif win.high < 0.5:
        found = f"Training made the model follow “{title}” worse"
    else:
        found = f"No change can be shown in how the model follows “{title}”"
    return (
        f"{found}: on {evaluation.prompts} prompts it was not trained on, its answer was "
        f"preferred in {percent(win.rate)} of comparisons (95\u00a0% interval {span(win)}, "
        f"n\u00a0{win.n})."
    )


def stayed_sane(evaluation: Evaluation) -> bool:
    """Whether the share of sane completions fell by no more than is allowed."""
    before, after = evaluation.against_text.sane.mean, evaluation.policy_text.sane.mean
    return after >= before - MOST_SANITY_LOST


def rule_share(principles: Sequence[Principle]) -> float:
    """The share of all weights that code checks."""
    ruled = sum(principle.weight for principle in principles if principle.rule is not None)
    return ruled / sum(principle.weight for principle in principles)


def label_entropy(labels: Sequence[float]) -> float | None:
    """Mean entropy of the labels in nats: the least loss that training on them can reach."""
    if not labels:
        return None
    return sum(_entropy(p) for p in labels) / len(labels)


def _entropy(p: float) -> float:
    return -sum(share * math.log(share) for share in (p, 1 - p) if share > 0)


def percent(share: float) -> str:
    """A share in whole percent, which is as far as the samples of a demo reach."""
    return f"{100 * share:.0f}\u00a0%"


def span(interval: Any, digits: int | None = None) -> str:
    """The ends of an interval: in percent, or with DIGITS decimals."""
    if digits is None:
        return f"{100 * interval.low:.0f} to {percent(interval.high)}"
    return f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def excerpt(text: str) -> str:
    """A text, cut where it is very long, which is then said."""
    if len(text) <= EXCERPT:
        return text
    return f"{text[:EXCERPT]}… ({len(text) - EXCERPT} more characters)"


def question(principle: Principle) -> str:
    """What is asked of a completion: the principle's text, or its rule in one line."""
    if principle.rule is None:
        return str(principle.text)
    stated = principle.rule.model_dump(mode="json", exclude_defaults=True)
    kind, value = stated.pop("kind"), stated.pop("value", None)
    more = "".join(f" ({key}: {_plain(one).lower()})" for key, one in stated.items())
    return f"{kind}{more}" if value is None else f"{kind}: {_plain(value)}{more}"


def _plain(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def flat(tree: Mapping[str, Any], lead: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a tree of digests with dotted names; what is not set is left out."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{lead}{key}.")
        elif value is not None:
            yield f"{lead}{key}", _plain(value)
