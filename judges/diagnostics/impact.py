"""What an edited constitution would change in a run, before anything is judged again.

Both constitutions read the same stored votes. A principle of the new one without a single vote
cannot speak yet: it is left out of the preview, and its price is told instead.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from judges.aggregate import Bools, Floats, scheme_of
from judges.calibration.estimates import IntArray
from judges.constitutions.constitution import Constitution
from judges.cost import JudgeEstimate
from judges.diagnostics.column_estimates import difference_estimates, mean_estimates, share_of
from judges.diagnostics.contributions import contributions
from judges.diagnostics.coverage import slice_shares
from judges.diagnostics.diagnosis import kappa_with_people, slices_of
from judges.diagnostics.examples import Example, one_a_prompt, read_examples
from judges.diagnostics.golden_votes import (
    golden_count,
    golden_results,
    usual_settings,
)
from judges.diagnostics.impact_report import Change, Flips, GoldenChange, Impact, MovedBy
from judges.diagnostics.leave_one_out import agreement
from judges.diagnostics.needed_votes import needed_votes, only, silent_principles
from judges.diagnostics.pair_votes import TIE, PairVerdicts, PairVotes, decide, gather_votes
from judges.diagnostics.people import labels_of
from judges.diagnostics.run_files import Run
from judges.diagnostics.texts import PairTexts, pair_texts
from judges.errors import DataError
from judges.store.vote_store import VoteStore

EXAMPLES = 8


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
    slice_column: str = "subset",
    seed: int = 0,
) -> Impact:
    """What changes from one constitution to the other on a run's votes. Cost: no model call.

    Raises: DataError when labels are given and none is of a pair of the run, or when no principle
    of the new constitution has a vote.
    """
    votes = gather_votes(run.ballots, after, store)
    silent = silent_principles(votes)
    needs = needed_votes(run.ballots, after, silent, store)
    heard = [k for k, name in enumerate(votes.names) if name not in silent]
    if not heard:
        raise DataError(
            f"{run.path}: not one vote of {after.reference} is stored; it needs "
            f"{sum(one.votes for one in needs)} votes, which `charter rank` casts"
        )
    old = _judge(gather_votes(run.ballots, before, store), before)
    new = _judge(votes.only(heard), only(after, [votes.names[k] for k in heard]))
    label_B = labels_of(votes, run.ballots, labels, slice_column)
    ids = [{one.id for one in constitution.principles} for constitution in (before, after)]
    return Impact(
        before=before.reference,
        after=after.reference,
        digests=(before.digest, after.digest),
        rankings=run.path.name,
        seed=seed,
        needs=tuple(needs),
        cost=cost,
        added=tuple(sorted(ids[1] - ids[0])),
        dropped=tuple(sorted(ids[0] - ids[1])),
        golden=_golden(run, before, after, store),
        **_measured(run, old, new, label_B, seed),
    )


def _measured(run: Run, old: _Judged, new: _Judged, label_B: Floats, seed: int) -> dict[str, Any]:
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
        "flips": _flips(old, new),
        "slices": slice_shares(flipped, both, slices_of(run, votes), votes.group_B),
        "moved_by": _moved_by(names, mover_B, flipped, votes),
        "agreement": _agreement(old, new, label_B, seed),
        "kappa_before": kappa_with_people(np.where(both, was, np.nan), label_B, votes, seed),
        "kappa_after": kappa_with_people(np.where(both, now, np.nan), label_B, votes, seed),
        "words": _words(old, new, texts, seed),
        "refusals": _refusals(old, new, texts, seed),
        "examples": _examples(run, old, new, label_B, [names[k] for k in mover_B.tolist()]),
    }


def _judge(votes: PairVotes, constitution: Constitution) -> _Judged:
    scheme = scheme_of(constitution)
    verdicts = decide(votes, scheme)
    return _Judged(votes, verdicts, contributions(votes, verdicts, scheme))


def _flips(old: _Judged, new: _Judged) -> Flips:
    was, now = old.verdicts.side_B, new.verdicts.side_B
    both = ~np.isnan(was) & ~np.isnan(now)
    changed = both & (was != now)
    return Flips(
        share=share_of(changed, both, old.votes.group_B),
        turned=int((changed & (was != TIE) & (now != TIE)).sum()),
        to_tie=int((changed & (now == TIE)).sum()),
        from_tie=int((changed & (was == TIE)).sum()),
        lost=int((~np.isnan(was) & np.isnan(now)).sum()),
        gained=int((np.isnan(was) & ~np.isnan(now)).sum()),
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
    names: list[str],
    mover_B: IntArray,
    flipped: Bools,
    votes: PairVotes,
) -> tuple[MovedBy, ...]:
    told = [
        MovedBy(principle=name, share=share_of(mover_B == k, flipped, votes.group_B))
        for k, name in enumerate(names)
    ]
    return tuple(sorted(told, key=lambda one: -(one.share.value if one.share else 0.0)))


def _agreement(old: _Judged, new: _Judged, label_B: Floats, seed: int) -> Change:
    was, now = (agreement(one.verdicts.side_B, label_B) for one in (old, new))
    return _share_change(was, now, old.votes, seed)


def _words(old: _Judged, new: _Judged, texts: PairTexts, seed: int) -> Change:
    was, now = (_of_winner(texts.words_B2, one.verdicts.side_B) for one in (old, new))
    both = ~np.isnan(was) & ~np.isnan(now)
    columns = np.column_stack([was, now, now - was])[both]
    before, after, difference = mean_estimates(columns, old.votes.group_B[both], seed=seed)
    return Change(before=before, after=after, difference=difference)


def _refusals(old: _Judged, new: _Judged, texts: PairTexts, seed: int) -> Change:
    was, now = (_of_winner(texts.refuses_B2, one.verdicts.side_B) for one in (old, new))
    return _share_change(was, now, old.votes, seed)


def _of_winner(value_B2: Floats, side_B: Floats) -> Floats:
    return np.asarray(side_B * value_B2[:, 0] + (1 - side_B) * value_B2[:, 1])


def _share_change(was: Floats, now: Floats, votes: PairVotes, seed: int) -> Change:
    both = ~np.isnan(was) & ~np.isnan(now)
    (difference,) = difference_estimates((now - was)[:, None], votes.group_B, seed=seed)
    return Change(
        before=share_of(was, both, votes.group_B),
        after=share_of(now, both, votes.group_B),
        difference=difference,
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
