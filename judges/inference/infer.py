"""From labelled pairs to a weighted set of principles: propose, cluster, vote, select.

Prompts are parted in three: some are shown to the model that proposes, some select, some are only
measured on. A pair is in one part, with all other pairs of its prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from judges.calibration.estimates import FloatArray
from judges.cards.labelled import LabelledPair
from judges.cards.voting import judge_pairs, uncalibrated
from judges.errors import DataError
from judges.inference.candidates import Candidate, ballot_constitution, hypotheses
from judges.inference.chance import Masks, part_pairs
from judges.inference.cluster import NEAR, Cluster, cluster
from judges.inference.propose import Proposals, Proposing, propose
from judges.inference.select import Selection, SelectionSettings, select
from judges.inference.write import Evidence
from judges.judge import Judge, Method
from judges.model import ChatModel
from judges.rank import Progress
from judges.records import Record
from judges.store.vote_store import VoteStore

GroupedBy = Literal["prompt", "pair"]


class Inferring(Record):
    """How principles are inferred."""

    selection: SelectionSettings = SelectionSettings()
    """How candidates are tested."""
    proposing: Proposing = Proposing()
    """How candidates are asked for."""
    propose_from: Annotated[float, Field(gt=0, lt=0.8)] = 0.2
    """Share of the prompts, held-out ones aside, that are shown to the model that proposes."""
    near: Annotated[float, Field(ge=0, le=1)] = NEAR
    """Cosine distance up to which two candidates are one."""
    hypotheses: bool = True
    """Whether the shipped hypotheses of style are candidates too."""
    grouped_by: GroupedBy = "prompt"
    """What is kept in one part; by `pair`, figures hold for these prompts only."""


@dataclass(frozen=True)
class Inferred:
    """What was inferred, and from what."""

    selection: Selection
    """Kept and dropped candidates, their figures and weights."""
    candidates: dict[str, Candidate]
    """By id, the representatives that were voted on."""
    clusters: list[Cluster]
    """What each of them stands for."""
    proposals: Proposals | None
    """What the model proposed; None: no model was asked."""
    evidence: Evidence
    """The held-out pairs and the votes on them."""
    new_votes: int
    """Votes cast now; 0 when all were in the store."""


def groups_of(pairs: Sequence[LabelledPair], by: GroupedBy = "prompt") -> list[str]:
    """What groups each pair: its prompt, or nothing but itself."""
    return [pair.item.conversation_text if by == "prompt" else pair.item.id for pair in pairs]


def decided(pairs: Sequence[LabelledPair]) -> list[LabelledPair]:
    """The pairs with a preference; ties explain nothing. Raises: DataError when none is left."""
    left = [pair for pair in pairs if pair.preferred != 0.5]
    if not left:
        raise DataError("every pair is a tie; principles explain preferences")
    return left


async def infer(
    pairs: Sequence[LabelledPair],
    judges: Sequence[Judge],
    store: VoteStore,
    how: Inferring,
    *,
    proposer: ChatModel | None = None,
    given: Sequence[Candidate] = (),
    progress: Progress | None = None,
) -> Inferred:
    """The principles that explain the pairs' preferences, ties aside.

    Cost: `propose` on some of the pairs; two votes for each candidate that a judge reads and pair
    of the rest, less what the store holds: a rerun is free.
    Raises: DataError for too few prompts, or no candidate.
    """
    pairs = decided(pairs)
    held_out = _held_out(pairs, how)
    shown = np.zeros(len(pairs), dtype=bool)
    if proposer is not None:
        shown = _shown(pairs, held_out, how)
    proposals = None
    if proposer is not None:
        seen = [pair for pair, one in zip(pairs, shown, strict=True) if one]
        proposals = await propose(seen, proposer, how.proposing)
    fit = [pair for pair, out in zip(pairs, held_out, strict=True) if not out]
    clusters = gathered(fit, proposals, given, how)
    left = [pair for pair, one in zip(pairs, shown, strict=True) if not one]
    candidates = [one.representative for one in clusters]
    votes, new = await candidate_votes(left, candidates, judges, store, progress)
    return concluded(left, held_out[~shown], clusters, proposals, votes, new, how)


def _held_out(pairs: Sequence[LabelledPair], how: Inferring) -> Masks:
    groups, settings = groups_of(pairs, how.grouped_by), how.selection
    return part_pairs(groups, len(pairs), held_out=settings.held_out, seed=settings.seed)


def _shown(pairs: Sequence[LabelledPair], held_out: Masks, how: Inferring) -> Masks:
    """Which pairs the proposer sees: whole prompts, none of them held out."""
    fit = np.flatnonzero(~held_out)
    groups = groups_of([pairs[k] for k in fit], how.grouped_by)
    shown = np.zeros(len(pairs), dtype=bool)
    seed = how.selection.seed + 1
    if len(set(groups)) >= 10:
        shown[fit] = part_pairs(groups, len(fit), held_out=how.propose_from, seed=seed)
    else:
        shown[fit[: max(1, len(fit) // 5)]] = True
    return shown


def gathered(
    fit: Sequence[LabelledPair],
    proposals: Proposals | None,
    given: Sequence[Candidate],
    how: Inferring,
) -> list[Cluster]:
    """All candidates as clusters. Raises: DataError when there is none."""
    found = [*given, *(proposals.candidates if proposals else ())]
    found += hypotheses(fit) if how.hypotheses else []
    if not found:
        raise DataError(
            "there is no candidate: the model proposed nothing usable; give --candidates, or a "
            "larger model with --policy"
        )
    return cluster(found, how.near)


async def candidate_votes(
    pairs: Sequence[LabelledPair],
    candidates: Sequence[Candidate],
    judges: Sequence[Judge],
    store: VoteStore,
    progress: Progress | None = None,
) -> tuple[FloatArray, int]:
    """Each candidate's logit on each pair, both orders averaged, and the votes cast now. (C, n)"""
    ballot = ballot_constitution(candidates)
    judged = await judge_pairs(pairs, ballot, uncalibrated(judges), store, Method(), progress)
    rows = [judged.principles[candidate.id].logit_B for candidate in candidates]
    return np.stack(rows), judged.new_votes


def concluded(
    pairs: Sequence[LabelledPair],
    held_out: Masks,
    clusters: list[Cluster],
    proposals: Proposals | None,
    votes: FloatArray,
    new_votes: int,
    how: Inferring,
    base: FloatArray | None = None,
) -> Inferred:
    """The selection on votes, with what it rests on."""
    ids = [one.representative.id for one in clusters]
    labels = np.array([pair.preferred for pair in pairs])
    selection = select(
        ids, votes, labels, groups_of(pairs, how.grouped_by), how.selection, held_out, base
    )
    out = [pair for pair, one in zip(pairs, held_out, strict=True) if one]
    rows = {name: row[held_out] for name, row in zip(ids, votes, strict=True)}
    return Inferred(
        selection=selection,
        candidates={one.representative.id: one.representative for one in clusters},
        clusters=clusters,
        proposals=proposals,
        evidence=Evidence(out, rows),
        new_votes=new_votes,
    )
