"""What an existing constitution gets wrong, and which added or re-weighted principles explain it.

Candidates are asked for on the pairs that it does not decide as labelled, and tested on all pairs
beside its own principles. Tested on wrong pairs alone, whatever contradicts the constitution looks
good: there a planted principle lost to the reverses of the principles that the file had. Hard tiers
are never re-weighted: labels do not overrule them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from judges.calibration.estimates import Estimate, FloatArray, mean_estimate, share_estimate
from judges.calibration.metrics import correctness
from judges.calibration.panel import fit_stacker
from judges.cards.labelled import LabelledPair
from judges.cards.voting import Judged, judge_pairs, uncalibrated
from judges.constitutions.constitution import Constitution, Principle
from judges.constitutions.yaml_text import yaml_text
from judges.inference.candidates import Candidate
from judges.inference.chance import Masks, part_pairs
from judges.inference.infer import (
    Inferred,
    Inferring,
    candidate_votes,
    concluded,
    decided,
    gathered,
    groups_of,
)
from judges.inference.propose import propose
from judges.inference.write import added_principles, said
from judges.judge import Judge, Method
from judges.model import ChatModel
from judges.rank import Progress
from judges.store.vote_store import VoteStore

LEAST_CHANGE = 0.2
"""A weight that would change by less than this share is left as it is."""
MOST_NAMED = 20


@dataclass(frozen=True)
class Variant:
    """A constitution on the held-out pairs."""

    name: str
    accuracy: Estimate | None
    difference: Estimate | None
    """Against the constitution as it is, paired; None for that itself."""


@dataclass(frozen=True)
class Explanation:
    """What is wrong, and what would explain it."""

    constitution: Constitution
    right: int
    wrong: list[str]
    """Ids of the pairs decided against their label."""
    undecided: int
    """Ties and unscored pairs."""
    inferred: Inferred | None
    """None: nothing is wrong."""
    added: list[Principle]
    weights: dict[str, tuple[float, float]]
    """Principle → its weight now, and as fitted; 0: the labels do without it."""
    variants: list[Variant]


async def explain(
    pairs: Sequence[LabelledPair],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    how: Inferring,
    *,
    proposer: ChatModel | None = None,
    given: Sequence[Candidate] = (),
    tests: int = 2,
    progress: Progress | None = None,
) -> Explanation:
    """The pairs that a constitution gets wrong, and changes that would get them right.

    Cost: two votes for each pair and judged principle or candidate, less what the store holds;
    `propose` on the pairs it does not decide as labelled.
    """
    pairs, raw = decided(pairs), uncalibrated(judges)
    labels = np.array([pair.preferred for pair in pairs])
    groups = groups_of(pairs, how.grouped_by)
    settings = how.selection
    out = part_pairs(groups, len(pairs), held_out=settings.held_out, seed=settings.seed)
    judged = await judge_pairs(pairs, constitution, raw, store, Method(), progress)
    right = correctness(judged.panel.logit_B, labels)
    wrong = right == 0.0
    inferred, added = None, []
    missed = (right != 1.0) & ~out
    if missed.any():
        base = np.stack([judged.principles[p.id].logit_B for p in constitution.principles])
        asking = _Asking(raw, store, how, proposer, given)
        inferred = await _beside(pairs, missed, out, base, asking)
        added = added_principles(
            inferred.selection.kept,
            inferred.candidates,
            inferred.evidence,
            how=f"Adds to {constitution.reference}.",
            tests=tests,
            taken=[principle.id for principle in constitution.principles],
        )
    grown = _with(constitution, added)
    rejudged = await judge_pairs(pairs, grown, raw, store, Method())
    weights, fitted = reweighed(grown, rejudged, labels, ~out, len(constitution.principles))
    variants = {"as it is": judged}
    if added:
        variants["with the added principles"] = rejudged
    if weights:
        variants["with these and the new weights"] = await judge_pairs(
            pairs, fitted, raw, store, Method()
        )
    return Explanation(
        constitution=constitution,
        right=int((right == 1.0).sum()),
        wrong=[pair.item.id for pair, one in zip(pairs, wrong, strict=True) if one],
        undecided=int((~wrong & (right != 1.0)).sum()),
        inferred=inferred,
        added=added,
        weights=weights,
        variants=_measured(variants, labels, groups, out, settings.seed),
    )


class _Asking(NamedTuple):
    """Whom candidates and votes come from."""

    judges: Sequence[Judge]
    store: VoteStore
    how: Inferring
    proposer: ChatModel | None
    given: Sequence[Candidate]


async def _beside(
    pairs: Sequence[LabelledPair], missed: Masks, out: Masks, base: FloatArray, asking: _Asking
) -> Inferred:
    """What adds to the principles there are; the missed pairs are shown to the proposer."""
    how, proposals = asking.how, None
    if asking.proposer is not None:
        shown = [pair for pair, one in zip(pairs, missed, strict=True) if one]
        proposals = await propose(shown, asking.proposer, how.proposing)
    fit = [pair for pair, one in zip(pairs, out, strict=True) if not one]
    clusters = gathered(fit, proposals, asking.given, how)
    candidates = [one.representative for one in clusters]
    votes, new = await candidate_votes(pairs, candidates, asking.judges, asking.store)
    return concluded(pairs, out, clusters, proposals, votes, new, how, base)


def _with(constitution: Constitution, added: Sequence[Principle]) -> Constitution:
    return constitution.model_copy(update={"principles": (*constitution.principles, *added)})


def reweighed(
    grown: Constitution, judged: Judged, labels: FloatArray, fit: Masks, old: int
) -> tuple[dict[str, tuple[float, float]], Constitution]:
    """Weights that the labels would give to all principles but hard ones, and so the constitution.

    The weights of each tier's old principles keep their sum, so that only shares move. A weight
    that fits as 0 becomes the tier's smallest allowed share here; the reader decides on dropping.
    """
    free = [k for k, p in enumerate(grown.principles) if p.tier != "hard"]
    votes = np.stack([judged.principles[p.id].logit_B for p in grown.principles])[:, fit]
    voted = ~np.isnan(votes[free]).all(axis=0) if free else np.zeros(0, dtype=bool)
    if not voted.any():
        return {}, grown
    beta = np.array(fit_stacker(votes[free][:, voted], labels[fit][voted], l2=1.0).weights)
    changed: dict[str, tuple[float, float]] = {}
    principles = list(grown.principles)
    for tier in {grown.principles[k].tier for k in free}:
        mine = [(k, b) for k, b in zip(free, beta, strict=True) if principles[k].tier == tier]
        known = [(k, b) for k, b in mine if k < old] or mine
        total = sum(b for _, b in known)
        if total <= 0:
            continue
        scale = sum(principles[k].weight for k, _ in known) / total
        for k, b in mine:
            now, new = principles[k].weight, round(float(b) * scale, 3)
            if abs(new - now) > LEAST_CHANGE * now:
                changed[principles[k].id] = (now, new)
                principles[k] = principles[k].model_copy(update={"weight": max(new, 1e-3)})
    return changed, grown.model_copy(update={"principles": tuple(principles)})


def _measured(
    variants: dict[str, Judged], labels: FloatArray, groups: list[str], out: Masks, seed: int
) -> list[Variant]:
    """Each variant on held-out pairs; an unscored pair counts as a half: it is no decision."""
    held = [group for group, one in zip(groups, out, strict=True) if one]
    found: list[Variant] = []
    first: FloatArray | None = None
    for name, judged in variants.items():
        right = np.nan_to_num(correctness(judged.panel.logit_B, labels)[out], nan=0.5)
        gap = None if first is None else mean_estimate(right - first, held, seed=seed)
        first = right if first is None else first
        found.append(Variant(name, share_estimate(right, held), gap))
    return found


def explanation_text(explanation: Explanation) -> str:
    """The explanation as Markdown: what to add, which weights to move, what it would bring."""
    one = explanation
    total = one.right + len(one.wrong) + one.undecided
    lines = [
        f"# What {one.constitution.reference} gets wrong",
        "",
        f"{total} labelled pairs: {one.right} decided as labelled, {len(one.wrong)} against the "
        f"label, {one.undecided} undecided or unscored.",
        "",
        "## Principles to add",
        "",
        *_added_lines(one),
        "",
        "## Weights to move",
        "",
        *_weight_lines(one),
        "",
        "## On held-out pairs",
        "",
        "| constitution | decided as labelled | change, paired |",
        "|---|---|---|",
        *(_variant_line(variant) for variant in one.variants),
        "",
        "Adopt what you agree with: labels show what people chose, not what is right.",
        "",
        "## Pairs decided against their label",
        "",
        ", ".join(one.wrong[:MOST_NAMED]) + (" …" if len(one.wrong) > MOST_NAMED else ""),
    ]
    return "\n".join(lines) + "\n"


def _added_lines(one: Explanation) -> list[str]:
    if one.inferred is None:
        return ["None looked for: every pair that may select is decided as labelled."]
    if not one.added:
        return [f"None of {len(one.inferred.candidates)} candidates adds to what is there."]
    block = yaml_text(
        Constitution(
            name="added",
            version="0.1.0",
            title="Added",
            licence="none",
            principles=tuple(one.added),
        )
    )
    _, _, principles = block.partition("principles:\n")
    return ["```yaml", *principles.rstrip("\n").splitlines(), "```"]


def _weight_lines(one: Explanation) -> list[str]:
    if not one.weights:
        return [f"None by more than {LEAST_CHANGE:.0%}."]
    return [
        f"- `{name}`: {now:g} → {new:g}" + (" (the labels do without it)" if new == 0 else "")
        for name, (now, new) in one.weights.items()
    ]


def _variant_line(variant: Variant) -> str:
    gap = variant.difference
    change = "" if gap is None else f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
    return f"| {variant.name} | {said(variant.accuracy)} | {change} |"
