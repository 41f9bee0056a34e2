"""What each principle of a constitution does in a labelled run; a pure function of stored votes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from judges.aggregate import SCOPE_FLOOR, Floats, scheme_of
from judges.calibration.agreement import cohen_kappa
from judges.calibration.estimates import Estimate
from judges.constitutions.constitution import Constitution, Principle, Tier
from judges.diagnostics.column_estimates import difference_estimates, mean_estimates, share_of
from judges.diagnostics.contributions import certainty, contributions, shares
from judges.diagnostics.coverage import Coverage, coverage, gap_pairs
from judges.diagnostics.examples import Example, one_a_prompt, read_examples
from judges.diagnostics.golden_votes import (
    GoldenCount,
    golden_count,
    golden_results,
    usual_settings,
)
from judges.diagnostics.leave_one_out import LeftOut, agreement, leave_one_out
from judges.diagnostics.pair_votes import TIE, PairVerdicts, PairVotes, decide, gather_votes, sides
from judges.diagnostics.people import labels_of
from judges.diagnostics.relations import Margins, Relation, relations
from judges.diagnostics.run_files import Run
from judges.records import Record
from judges.store.vote_store import VoteStore

EXAMPLES = 6
Share = Annotated[float, Field(ge=0, le=1)]


class Bounds(Record):
    """When a principle is called dead or redundant, and a pair a gap."""

    dead: Share = 0.01
    """Dead: the upper end of the share of pairs it decides is below this."""
    correlation: Share = 0.9
    """Redundant: its correlation with another has its lower end at this or above …"""
    flips: Share = 0.02
    """… and the upper end of the share of labels that flip without it is below this."""
    near: Share = 0.1
    """A gap: |p - 0.5| of every active principle is below this."""


class PrincipleDiagnosis(Record):
    """One principle in the run."""

    id: str
    """The principle's id."""
    tier: Tier
    """Its tier."""
    weight: float
    """Its weight within the tier."""
    votes: int
    """Pairs on which it has a vote and is in scope."""
    decides: Estimate | None
    """Share of scored pairs whose winner turns, or is lost in a tie, without it."""
    share: Estimate | None
    """Mean part of what made up the deciding logit, for or against; sums to 1 over principles."""
    certainty: Estimate | None
    """Mean |2p - 1| of it alone, 0 unsure to 1 sure."""
    position_gap: Estimate | None
    """Logits a completion gains by being shown first; None for rules and where not both shown."""
    activity: Estimate | None
    """Mean P(applies) over prompts."""
    flips_without: Estimate | None
    """Share of scored pairs whose label changes in any way without it."""
    alone: Estimate | None
    """Its own agreement with people, ties a half."""
    agreement_without: Estimate | None
    """The constitution's agreement with people without it."""
    agreement_change: Estimate | None
    """That less the agreement with it, on the same pairs: above 0, it does harm."""
    golden: GoldenCount
    """Its golden tests, by stored votes."""
    dead: bool
    """It decides almost nothing, shown at 95 %."""
    redundant_beside: tuple[str, ...]
    """Principles that say the same, while leaving it out changes next to nothing."""


class Diagnosis(Record):
    """What `charter constitution diagnose` found."""

    constitution: str
    """Reference of the constitution."""
    constitution_digest: str
    """Its digest."""
    rankings: str
    """Name of the rankings file."""
    prompts: int
    """Different prompts: what intervals resample."""
    pairs: int
    """Pairs of different, filled completions."""
    scored: int
    """Of these, with a verdict."""
    labelled: int
    """Of these, with a label of people."""
    ties: Estimate | None
    """Share of scored pairs that are ties."""
    agreement: Estimate | None
    """Agreement with people, ties a half; None without labels."""
    kappa: Estimate | None
    """Cohen's, with people."""
    bounds: Bounds
    """What is called dead, redundant, a gap."""
    seed: int
    """Of the resamples."""
    principles: tuple[PrincipleDiagnosis, ...]
    """Each principle, in the constitution's order."""
    relations: tuple[Relation, ...]
    """Every two principles."""
    coverage: Coverage
    """What no principle tells apart."""
    gap_examples: tuple[Example, ...]
    """Gaps, those first on which people do prefer a side."""


@dataclass(frozen=True)
class _Measured:
    """A run under one constitution, and what people say of it."""

    votes: PairVotes
    verdicts: PairVerdicts
    left: LeftOut
    label_B: Floats


def diagnose(
    run: Run,
    constitution: Constitution,
    store: VoteStore,
    *,
    labels: Path | None = None,
    bounds: Bounds | None = None,
    slice_column: str = "subset",
    seed: int = 0,
) -> Diagnosis:
    """What each principle does in the run. Cost: no model call; one aggregation a principle.

    Raises: DataError when labels are given and none is of a pair of the run.
    """
    bounds = bounds or Bounds()
    votes = gather_votes(run.ballots, constitution, store)
    scheme = scheme_of(constitution)
    verdicts = decide(votes, scheme)
    label_B = labels_of(votes, run.ballots, labels, slice_column)
    measured = _Measured(votes, verdicts, leave_one_out(votes, verdicts, scheme), label_B)
    related = relations(votes, Margins(scheme.tie_margin, scheme.decisive), seed=seed)
    scored, group_B = verdicts.scored_B, votes.group_B
    matched = scored & ~np.isnan(label_B)
    return Diagnosis(
        constitution=constitution.reference,
        constitution_digest=constitution.digest,
        rankings=run.path.name,
        prompts=len(np.unique(votes.group_R)),
        pairs=len(scored),
        scored=int(scored.sum()),
        labelled=int(matched.sum()),
        ties=share_of(verdicts.side_B == TIE, scored, group_B),
        agreement=share_of(agreement(verdicts.side_B, label_B), matched, group_B),
        kappa=kappa_with_people(verdicts.side_B, label_B, votes, seed),
        bounds=bounds,
        seed=seed,
        principles=_principles(measured, constitution, related, run, store, bounds, seed),
        relations=tuple(related),
        coverage=coverage(votes, label_B, slices_of(run, votes), near=bounds.near),
        gap_examples=_gap_examples(run, measured, bounds.near),
    )


def slices_of(run: Run, votes: PairVotes) -> list[str]:
    """The part of the data that each pair belongs to."""
    return [run.slices[ranking] for ranking in votes.ranking_B.tolist()]


def kappa_with_people(
    side_B: Floats, label_B: Floats, votes: PairVotes, seed: int
) -> Estimate | None:
    """Agreement with people beyond chance; None without labels, or where only one side occurs."""
    known = ~np.isnan(side_B) & ~np.isnan(label_B)
    if not known.any():
        return None
    groups = votes.group_B[known].tolist()
    return cohen_kappa(side_B[known].tolist(), label_B[known].tolist(), groups, seed=seed)


def _principles(
    measured: _Measured,
    constitution: Constitution,
    related: Sequence[Relation],
    run: Run,
    store: VoteStore,
    bounds: Bounds,
    seed: int,
) -> tuple[PrincipleDiagnosis, ...]:
    votes, left = measured.votes, measured.left
    group_B, scored = votes.group_B, measured.verdicts.scored_B
    put_in = shares(contributions(votes, measured.verdicts, scheme_of(constitution)))
    means = mean_estimates(np.hstack([put_in, certainty(votes)]), group_B, seed=seed)
    gaps = mean_estimates(votes.gap_RP, votes.group_R, seed=seed)
    active = mean_estimates(_activity(votes), votes.group_R, seed=seed)
    golden = golden_results(constitution, usual_settings(run.ballots), store)
    by_people = _by_people(measured, constitution, seed)
    found = []
    for k, principle in enumerate(constitution.principles):
        decides = share_of(left.decided_BP[:, k], scored & left.scored_BP[:, k], group_B)
        flips = share_of(left.flipped_BP[:, k], left.scored_BP[:, k], group_B)
        found.append(
            PrincipleDiagnosis(
                id=principle.id,
                tier=principle.tier,
                weight=principle.weight,
                votes=int(votes.active_BP[:, k].sum()),
                decides=decides,
                share=means[k],
                certainty=means[len(votes.names) + k],
                position_gap=gaps[k],
                activity=active[k],
                flips_without=flips,
                golden=golden_count([one for one in golden if one.principle == principle.id]),
                dead=decides is not None and decides.high < bounds.dead,
                redundant_beside=_redundant_beside(principle, flips, related, bounds),
                **by_people[k],
            )
        )
    return tuple(found)


def _by_people(
    measured: _Measured, constitution: Constitution, seed: int
) -> list[dict[str, Estimate | None]]:
    """Each principle's agreement with people, and the constitution's without it."""
    votes, left, label_B1 = measured.votes, measured.left, measured.label_B[:, None]
    without = agreement(left.side_BP, label_B1)
    with_all = agreement(left.side_B[:, None], label_B1)
    alone = agreement(_sides_alone(votes, constitution), label_B1)
    change = difference_estimates(without - with_all, votes.group_B, seed=seed)
    return [
        {
            "alone": share_of(alone[:, k], ~np.isnan(alone[:, k]), votes.group_B),
            "agreement_without": share_of(without[:, k], ~np.isnan(without[:, k]), votes.group_B),
            "agreement_change": change[k],
        }
        for k in range(len(votes.names))
    ]


def _activity(votes: PairVotes) -> Floats:
    """P(applies) of each ranking; NaN where it has no pair or no vote. Shapes: → (R, P)."""
    applies_RP = np.full(votes.gap_RP.shape, np.nan)
    applies_RP[votes.ranking_B] = votes.applies_BP
    return np.where(applies_RP < SCOPE_FLOOR, 0.0, applies_RP)


def _sides_alone(votes: PairVotes, constitution: Constitution) -> Floats:
    p_BP = 0.5 + 0.5 * np.tanh(np.where(votes.active_BP, votes.logit_BP, np.nan) / 2)
    return sides(p_BP, constitution.aggregate.tie_margin)


def _redundant_beside(
    principle: Principle, flips: Estimate | None, related: Sequence[Relation], bounds: Bounds
) -> tuple[str, ...]:
    if flips is None or flips.high >= bounds.flips:
        return ()
    return tuple(
        one.second if one.first == principle.id else one.first
        for one in related
        if principle.id in (one.first, one.second)
        and one.correlation is not None
        and one.correlation.low >= bounds.correlation
    )


def _gap_examples(run: Run, measured: _Measured, near: float) -> tuple[Example, ...]:
    gaps = np.flatnonzero(gap_pairs(measured.votes, near)[0])
    strength = np.nan_to_num(np.abs(measured.label_B[gaps] - 0.5), nan=-1.0)
    chosen = one_a_prompt(measured.votes, gaps[np.argsort(-strength, kind="stable")], EXAMPLES)
    return read_examples(run, measured.votes, chosen, measured.verdicts.p_B, measured.label_B)
