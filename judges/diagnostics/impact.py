"""What an edited constitution would change in a run, before the run is judged again.

Both constitutions read the same stored votes. A principle of the new one that lacks its votes
cannot speak yet: it is left out and its price is told, unless a sample of prompts was judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from judges.aggregate import Bools, Floats, scheme_of
from judges.calibration.estimates import IntArray
from judges.constitutions.constitution import Constitution, Principle
from judges.cost import JudgeEstimate
from judges.diagnostics.contributions import contributions
from judges.diagnostics.coverage import slice_shares
from judges.diagnostics.diagnosis import slices_of
from judges.diagnostics.examples import Example, one_a_prompt, read_examples
from judges.diagnostics.golden_votes import (
    golden_count,
    golden_results,
    usual_settings,
)
from judges.diagnostics.impact_report import (
    Flips,
    GoldenChange,
    Impact,
    MovedBy,
    PairedChange,
)
from judges.diagnostics.leave_one_out import agreement
from judges.diagnostics.needed_votes import needed_votes, only, silent_principles
from judges.diagnostics.pair_votes import TIE, PairVerdicts, PairVotes, decide, gather_votes
from judges.diagnostics.people import labels_of
from judges.diagnostics.population import Population, StratifiedSample, WholeRun
from judges.diagnostics.rejudge import Rejudged
from judges.diagnostics.run_files import Run
from judges.diagnostics.texts import pair_texts
from judges.errors import DataError
from judges.store.vote_store import VoteStore

EXAMPLES = 8
Lacked = Mapping[str, int]
"""Votes that principles of the new constitution lack, by id."""


@dataclass(frozen=True)
class _Judged:
    """A run under one constitution."""

    votes: PairVotes
    verdicts: PairVerdicts
    contribution_BP: Floats


def preview(
    run: Run,
    before: Constitution,
    after: Constitution,
    store: VoteStore,
    *,
    labels: Path | None = None,
    cost: tuple[JudgeEstimate, ...] = (),
    lacking: Lacked | None = None,
    sample: Rejudged | None = None,
    slice_column: str = "subset",
    seed: int = 0,
) -> Impact:
    """What changes from one constitution to the other on a run's votes. Cost: no model call.

    `lacking` says which votes the edit lacks; a principle without is left out. With a sample, its
    prompts that were judged, the estimates are for the whole run.
    Raises: DataError when labels are given and none is of a pair of the run, or when no principle
    of the new constitution has a vote.
    """
    told = run
    if sample is not None:
        told = run.only(np.flatnonzero(np.isin(run.groups, sample.done)).tolist())
    union = _union(before, after)
    votes = gather_votes(told.ballots, union, store)
    silent = [] if sample else _silent(votes, after, union, lacking)
    needs = needed_votes(run.ballots, after, silent, store, lacking)
    heard = [one for one in after.principles if one.id not in silent]
    if not heard:
        raise DataError(
            f"{run.path}: not one vote of {after.reference} is stored; it needs "
            f"{sum(one.votes for one in needs)} votes, which `charter rank` casts"
        )
    old = _judge(_columns(votes, union, before.principles), before)
    new = _judge(_columns(votes, union, heard), only(after, [one.id for one in heard]))
    label_B = labels_of(old.votes, told.ballots, labels, slice_column)
    of: Population = WholeRun(votes.group_B, seed)
    if sample is not None:
        of = _sampled(sample, told, votes.ranking_B)
    ids = [{one.id for one in constitution.principles} for constitution in (before, after)]
    return Impact(
        before=before.reference,
        after=after.reference,
        digests=(before.digest, after.digest),
        rankings=run.path.name,
        seed=seed,
        sample=sample.told if sample else None,
        needs=tuple(needs),
        cost=cost,
        added=tuple(sorted(ids[1] - ids[0])),
        dropped=tuple(sorted(ids[0] - ids[1])),
        golden=_golden(run, before, after, store),
        **_measured(told, old, new, label_B, of),
    )


def _union(before: Constitution, after: Constitution) -> Constitution:
    """All that either asks, once each, so that votes are read once."""
    kept = {_asked(one): one for one in (*before.principles, *after.principles)}
    named = {f"p{n}": one for n, one in enumerate(kept.values())}
    principles = tuple(one.model_copy(update={"id": name}) for name, one in named.items())
    return after.model_copy(update={"principles": principles})


def _asked(principle: Principle) -> tuple[str, ...]:
    """What a principle's votes are keyed by."""
    return tuple(principle.question_text(kind) for kind in principle.question_kinds)


def _columns(votes: PairVotes, union: Constitution, principles: Sequence[Principle]) -> PairVotes:
    """The votes of some principles, by their own names."""
    place = {_asked(one): k for k, one in enumerate(union.principles)}
    chosen = votes.only([place[_asked(one)] for one in principles])
    return replace(chosen, names=tuple(one.id for one in principles))


def _silent(
    votes: PairVotes, after: Constitution, union: Constitution, lacking: Lacked | None
) -> list[str]:
    """Principles of the new constitution without votes to speak of."""
    silent = silent_principles(_columns(votes, union, after.principles))
    return silent + [name for name in (lacking or {}) if name not in silent]


def _sampled(sample: Rejudged, told: Run, ranking_B: IntArray) -> StratifiedSample:
    """The population that the judged prompts of a sample stand for."""
    taken = np.sort(sample.done)
    unit_R = np.searchsorted(taken, sample.drawn.unit_R[list(told.places)])
    return StratifiedSample(sample.drawn.stratum_U, taken, unit_R[ranking_B])


def _measured(
    run: Run, old: _Judged, new: _Judged, label_B: Floats, of: Population
) -> dict[str, Any]:
    """What the pairs say, by the names of the report's fields."""
    votes, was, now = old.votes, old.verdicts.side_B, new.verdicts.side_B
    both = ~np.isnan(was) & ~np.isnan(now)
    flipped = both & (was != now)
    texts = pair_texts(run, votes)
    names, mover_B = _movers(old, new)
    return {
        "prompts": len(np.unique(votes.group_R)),
        "pairs": len(both),
        "both": int(both.sum()),
        "labelled": int((both & ~np.isnan(label_B)).sum()),
        "flips": _flips(was, now, of),
        "slices": slice_shares(flipped, both, slices_of(run, votes), of.share),
        "moved_by": _moved_by(names, mover_B, flipped, of),
        "agreement": _change(of, *(agreement(side, label_B) for side in (was, now))),
        "kappa_before": of.kappa(np.where(both, was, np.nan), label_B),
        "kappa_after": of.kappa(np.where(both, now, np.nan), label_B),
        "words": _words(of, *(_of_winner(texts.words_B2, side) for side in (was, now))),
        "refusals": _change(of, *(_of_winner(texts.refuses_B2, side) for side in (was, now))),
        "examples": _examples(run, old, new, label_B, [names[k] for k in mover_B.tolist()]),
    }


def _judge(votes: PairVotes, constitution: Constitution) -> _Judged:
    scheme = scheme_of(constitution)
    verdicts = decide(votes, scheme)
    return _Judged(votes, verdicts, contributions(votes, verdicts, scheme))


def _flips(was: Floats, now: Floats, of: Population) -> Flips:
    both = ~np.isnan(was) & ~np.isnan(now)
    changed = both & (was != now)
    return Flips(
        share=of.share(changed, both),
        turned=of.count(changed & (was != TIE) & (now != TIE)),
        to_tie=of.count(changed & (now == TIE)),
        from_tie=of.count(changed & (was == TIE)),
        lost=of.count(~np.isnan(was) & np.isnan(now)),
        gained=of.count(np.isnan(was) & ~np.isnan(now)),
    )


def _movers(old: _Judged, new: _Judged) -> tuple[list[str], IntArray]:
    """All principles' names, and which of them moved each pair's verdict most.

    That is the one whose part of the deciding logit changed most in the direction the verdict
    changed, so a principle whose weight stayed can move a pair when another's share shrinks.
    """
    names = list(dict.fromkeys((*old.votes.names, *new.votes.names)))
    change = np.zeros((len(old.verdicts.p_B), len(names)))
    for sign, one in ((-1.0, old), (1.0, new)):
        change[:, [names.index(name) for name in one.votes.names]] += sign * np.nan_to_num(
            one.contribution_BP
        )
    direction = np.sign(new.verdicts.p_B - old.verdicts.p_B)
    return names, np.argmax(change * np.nan_to_num(direction)[:, None], axis=1)


def _moved_by(
    names: list[str], mover_B: IntArray, flipped: Bools, of: Population
) -> tuple[MovedBy, ...]:
    told = [
        MovedBy(principle=name, share=of.share(mover_B == k, flipped))
        for k, name in enumerate(names)
    ]
    return tuple(sorted(told, key=lambda one: -(one.share.value if one.share else 0.0)))


def _words(of: Population, was: Floats, now: Floats) -> PairedChange:
    change = np.column_stack([was, now, now - was])
    change[np.isnan(change).any(1)] = np.nan
    before, after, difference = of.means(change)
    return PairedChange(before=before, after=after, difference=difference)


def _of_winner(value_B2: Floats, side_B: Floats) -> Floats:
    return np.asarray(side_B * value_B2[:, 0] + (1 - side_B) * value_B2[:, 1])


def _change(of: Population, was: Floats, now: Floats) -> PairedChange:
    """Shares before and after, over the pairs where both are known."""
    both = ~np.isnan(was) & ~np.isnan(now)
    (difference,) = of.differences((now - was)[:, None])
    return PairedChange(
        before=of.share(was, both), after=of.share(now, both), difference=difference
    )


def _golden(run: Run, before: Constitution, after: Constitution, store: VoteStore) -> GoldenChange:
    settings = usual_settings(run.ballots)
    counts = {
        f"{how}_{when}": golden_count(
            golden_results(constitution, settings, store, whole=how == "whole")
        )
        for how in ("alone", "whole")
        for when, constitution in (("before", before), ("after", after))
    }
    return GoldenChange(**counts)


def _examples(
    run: Run, old: _Judged, new: _Judged, label_B: Floats, mover_B: list[str]
) -> tuple[Example, ...]:
    was, now = old.verdicts, new.verdicts
    change = np.abs(now.p_B - was.p_B)
    flipped = np.flatnonzero(~np.isnan(change) & (was.side_B != now.side_B))
    turned = np.abs(now.side_B - was.side_B)[flipped] == 1
    order = flipped[np.lexsort((-change[flipped], ~turned))]
    chosen = one_a_prompt(old.votes, order, EXAMPLES)
    return read_examples(
        run, old.votes, chosen, was.p_B, label_B,
        after_B=now.p_B, moved_by=[mover_B[pair] for pair in chosen],
    )  # fmt: skip
