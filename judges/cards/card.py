"""`JudgeCard`: what a judge is worth on labelled pairs, and the function that measures it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from judges.attacks.measure import AttackReport
from judges.calibration.agreement import LengthPreferences, length_preferences
from judges.calibration.estimates import Estimate
from judges.calibration.metrics import minimum_detectable_effect
from judges.canonical import digest
from judges.cards.agreement import AgreementReport, agreement_report
from judges.cards.breakdown import Breakdown, Truth, breakdown, known
from judges.cards.confidence import CardSettings, ConfidenceReport, confidence_report
from judges.cards.inversion import Inversion
from judges.cards.labelled import LabelledPair
from judges.cards.panel_report import PanelReport, panel_report
from judges.cards.voting import Cost, Judged, View
from judges.constitutions.constitution import Constitution
from judges.judge import Judge, Method, settings_of
from judges.records import Record

GateWord = Literal["ok", "above_chance_only", "chance"]


class CardSubject(Record):
    """Which judge, asked how, under what, on which pairs."""

    judges: tuple[str, ...]
    """Names of the judges; several are a panel, combined by their mean logit."""
    fingerprints: tuple[str, ...]
    """What identifies each judge's weights; `unpinned` in it: nothing does."""
    settings: tuple[str, ...]
    """Digest of how each judge is asked: rankings with the same ones are covered by the card."""
    constitution: str
    """Its reference, `name@version`."""
    constitution_digest: str
    """Digest of all of it."""
    judged_digest: str
    """Digest of what the judge reads of it."""
    data: str
    """Name of the file with the labelled pairs."""
    data_digest: str
    """Digest of the pairs used and their labels."""
    options: CardSettings
    """How the card was made."""


class JudgeCard(Record):
    """What a judge, or a panel, is worth under one constitution, on one set of labelled pairs.

    The numbers at the top are for software; each has its n and interval in the records below.
    """

    format: Literal["charter judge card"] = "charter judge card"
    """Names the file's kind."""
    n: int
    """Pairs with a verdict."""
    unscored: int
    """Pairs without."""
    unscored_reasons: dict[str, int]
    """Why, by reason."""
    accuracy: float | None
    """Share judged as people did; ties count half."""
    accuracy_low: float | None
    """Lower end of its 95 % interval."""
    accuracy_high: float | None
    """Upper end."""
    flip_rate: float | None
    """Share of pairs whose winner changes with the order shown."""
    inversion: float | None
    """Share of verdicts that turn round under the negated principles."""
    ece: float | None
    """Expected calibration error of raw probabilities."""
    brier: float | None
    """Brier score of raw probabilities."""
    nll: float | None
    """Negative log-likelihood of raw probabilities, nats a pair."""
    nulls: dict[str, float]
    """Accuracy of judges that read nothing: first, longest, shortest, random."""
    gate: GateWord
    """`ok`: above chance and above the best null; `above_chance_only`; or `chance`."""
    gate_reason: str
    """Why, in words."""
    least_detectable: float | None
    """Smallest distance of accuracy from one half that so many pairs show, at 80 % power."""
    subject: CardSubject
    """What the card is about."""
    overall: Breakdown
    """All pairs."""
    lengths: LengthPreferences | None
    """How often the longer completion wins, by the judge and by people."""
    agreement: AgreementReport
    """With people, and of people with each other."""
    confidence: ConfidenceReport
    """Calibration, and when to abstain."""
    negation: Inversion
    """The negated principles in full."""
    principles: tuple[Breakdown, ...]
    """Each principle alone, in the constitution's order."""
    slices: tuple[Breakdown, ...]
    """Each part of the data, where it has parts."""
    panel: PanelReport | None
    """The judges of a panel, alone and combined; None for one judge."""
    attacks: AttackReport | None
    """What attacks inside the worse completion achieve; None where not asked for."""
    cost: Cost
    """What the votes on the pairs cost."""

    @property
    def digest(self) -> str:
        """The sha-256 of its canonical JSON."""
        return digest(self.model_dump(mode="json"))


def make_card(
    pairs: Sequence[LabelledPair],
    constitution: Constitution,
    judges: Sequence[Judge],
    judged: Judged,
    negation: Inversion,
    *,
    method: Method | None = None,
    data: str,
    options: CardSettings | None = None,
    attacks: AttackReport | None = None,
) -> JudgeCard:
    """The card of judges that have judged the pairs. Cost: no model call; equal votes, equal card.

    The temperature is that of the judge's votes within principles, through whatever rules and
    tiers do with them; a stacker's weights are fitted on whole verdicts.
    """
    how = options or CardSettings()
    truth, seed, margin = Truth.of(pairs), how.seed, constitution.aggregate.tie_margin
    x = judged.panel.logit_B
    weights = np.array([pair.weight for pair in pairs])
    turned = negation.turned
    overall = breakdown("all pairs", judged.panel, truth, margin, turned, seed=seed)
    confidence = confidence_report(judged.panel, truth, weights, how)
    return JudgeCard(
        n=overall.n,
        unscored=overall.unscored,
        unscored_reasons=dict(sorted(Counter(r for r in judged.reasons if r).items())),
        **_headline(overall, confidence, turned),
        subject=_subject(pairs, constitution, judges, method or Method(), data, how),
        overall=overall,
        lengths=_lengths(judged.panel, truth, seed),
        agreement=agreement_report(pairs, x, truth, tie_margin=margin, seed=seed),
        confidence=confidence,
        negation=negation,
        principles=tuple(
            breakdown(name, view, truth, margin, negation.principles.get(name), seed=seed)
            for name, view in judged.principles.items()
        ),
        slices=_slices(pairs, judged.panel, truth, margin, seed),
        panel=panel_report(judged, truth, weights, tie_margin=margin, seed=seed),
        attacks=attacks,
        cost=judged.cost,
    )


def gate_of(overall: Breakdown) -> tuple[GateWord, str]:
    """Whether labels of this judge are worth having, and why, in words."""
    if overall.accuracy is None or overall.above_best_null is None:
        return "chance", "not shown to be better than chance: too few labelled pairs have a verdict"
    right, gain = overall.accuracy, overall.above_best_null
    told = (
        f"accuracy {right.value:.1%}, 95 % interval {right.low:.1%} to {right.high:.1%}, "
        f"n {right.n}"
    )
    if right.low <= 0.5:
        return "chance", f"not better than chance: {told}"
    against = (
        f"{100 * gain.value:+.1f} points against the null `{overall.best_null}`, interval "
        f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
    )
    if gain.low <= 0:
        return "above_chance_only", f"better than chance only: {told}; {against}"
    return "ok", f"better than chance and than every null: {told}; {against}"


def _headline(
    overall: Breakdown, confidence: ConfidenceReport, turned: Estimate | None
) -> dict[str, Any]:
    """The numbers at the top of a card, and its gate."""
    gate, reason = gate_of(overall)
    return {
        "accuracy": _value(overall.accuracy),
        "accuracy_low": overall.accuracy.low if overall.accuracy else None,
        "accuracy_high": overall.accuracy.high if overall.accuracy else None,
        "flip_rate": _value(overall.flip_rate),
        "inversion": _value(turned),
        "ece": _value(overall.ece),
        "brier": _value(confidence.brier),
        "nll": _value(overall.nll),
        "nulls": {name: null.value for name, null in overall.nulls.items()},
        "gate": gate,
        "gate_reason": reason,
        "least_detectable": minimum_detectable_effect(overall.n) if overall.n else None,
    }


def _value(estimate: Estimate | None) -> float | None:
    return estimate.value if estimate else None


def _subject(
    pairs: Sequence[LabelledPair],
    constitution: Constitution,
    judges: Sequence[Judge],
    method: Method,
    data: str,
    how: CardSettings,
) -> CardSubject:
    used = [
        {
            "texts": [pair.item.conversation_text, *(c.text for c in pair.item.completions)],
            "labels": [pair.preferred, *pair.annotations],
            "weight": pair.weight,
            "slice": pair.slice,
        }
        for pair in pairs
    ]
    return CardSubject(
        judges=tuple(judge.name for judge in judges),
        fingerprints=tuple(judge.model.capabilities().fingerprint for judge in judges),
        settings=settings_of(judges, method, size=2).under(constitution),
        constitution=constitution.reference,
        constitution_digest=constitution.digest,
        judged_digest=constitution.digests.judged,
        data=data,
        data_digest=digest(used),
        options=how,
    )


def _lengths(view: View, truth: Truth, seed: int) -> LengthPreferences | None:
    winner = 0.5 + 0.5 * np.sign(view.logit_B)
    y, groups = truth.label_B, truth.group_B
    return known(lambda: length_preferences(truth.length_B2, winner, y, groups, seed=seed))


def _slices(
    pairs: Sequence[LabelledPair], view: View, truth: Truth, margin: float, seed: int
) -> tuple[Breakdown, ...]:
    names = sorted({pair.slice for pair in pairs})
    if names == [""]:
        return ()
    rows = []
    for name in names:
        kept = np.array([pair.slice == name for pair in pairs])
        part = View(view.logit_B[kept], view.order_B2[kept])
        rows.append(breakdown(name or "(none)", part, truth.only(kept), margin, seed=seed))
    return tuple(rows)
