"""Where the opinion groups of a population agree: exact arithmetic on votes, no model.

Participants are placed by principal components of their votes and parted into opinion groups by
k-means, k by the silhouette. A statement's group-informed consensus is the product over groups of
the Laplace-smoothed probability that a member agrees: a large group cannot outvote a small one.
Source: Small, Bjorkegren, Erkkilä, Shaw and Megill 2021, Polis, section 3.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from judges.calibration.estimates import Estimate, FloatArray, IntArray
from judges.errors import DataError
from judges.intervals import wilson
from judges.records import Probability, Record

COMPONENTS = 2
RESAMPLES = 1000


class ConsensusSettings(Record):
    """How groups are found and agreement is measured."""

    least_votes: Annotated[int, Field(ge=1)] = 7
    """Participants with fewer votes (or fewer than on all statements) join no group."""
    most_groups: Annotated[int, Field(ge=1)] = 5
    """Most opinion groups that are tried; 1 takes all participants as one."""
    least_members: Annotated[int, Field(ge=1)] = 3
    """A number of groups that makes a smaller one is not chosen."""
    seed: int = 0
    """Of k-means and the bootstrap."""


class Support(Record):
    """How some people voted on a statement."""

    agree: int
    """Participants who agree."""
    disagree: int
    """Participants who disagree."""
    n: int
    """Participants who saw it: those who agree, disagree or pass."""
    share: Estimate | None
    """Those who agree as a share of those who saw it, Wilson interval; None: nobody saw it."""
    smoothed: Probability
    """(agree + 1) / (n + 2), Laplace's rule."""


class Consensus(Record):
    """What a population thinks of one statement."""

    statement: str
    """Its id."""
    overall: Support
    """All participants, those in no group too."""
    groups: tuple[Support, ...]
    """By opinion group."""
    consensus: Probability
    """Product over groups of the smoothed probability to agree."""
    per_group: Estimate
    """Its geometric mean, which compares across numbers of groups; bootstrap interval within
    groups."""


class Population(Record):
    """The opinion groups and what they agree on."""

    participants: int
    """All who voted."""
    sizes: tuple[int, ...]
    """Members of each opinion group, the largest first."""
    silhouette: float | None
    """Of the groups found; None: there is one group only."""
    ungrouped: int
    """Participants with too few votes to be placed."""
    statements: tuple[Consensus, ...]
    """Every statement, most agreed on first."""


def find_consensus(
    statements: tuple[str, ...], votes: FloatArray, settings: ConsensusSettings | None = None
) -> Population:
    """The opinion groups, and every statement's consensus among them. Shapes: (S,), (P, S).

    Raises: DataError when nobody has enough votes to be placed.
    """
    settings = settings or ConsensusSettings()
    group_P, silhouette = opinion_groups(votes, settings)
    return measure_consensus(statements, votes, group_P, silhouette, settings.seed)


def measure_consensus(
    statements: tuple[str, ...],
    votes: FloatArray,
    group_P: IntArray,
    silhouette: float | None = None,
    seed: int = 0,
) -> Population:
    """Every statement's consensus among known groups; -1 is in none. Shapes: (S,), (P, S), (P,)."""
    count = int(group_P.max(initial=-1)) + 1
    if count == 0:
        raise DataError("no participant is in a group; there is no consensus to measure")
    members = [votes[group_P == g] for g in range(count)]
    smoothed_GS = np.stack([smoothed(of) for of in members])
    drawn_RS = _resampled(members, seed)
    found = []
    for s, name in enumerate(statements):
        mean = float(np.exp(np.log(smoothed_GS[:, s]).mean()))
        low, high = np.quantile(drawn_RS[:, s], (0.025, 0.975))
        seen = int((~np.isnan(votes[group_P >= 0, s])).sum())
        found.append(
            Consensus(
                statement=name,
                overall=support(votes[:, s]),
                groups=tuple(support(of[:, s]) for of in members),
                consensus=float(smoothed_GS[:, s].prod()),
                per_group=Estimate(
                    value=mean, low=min(mean, float(low)), high=max(mean, float(high)), n=seen
                ),
            )
        )
    return Population(
        participants=len(votes),
        sizes=tuple(len(of) for of in members),
        silhouette=silhouette,
        ungrouped=int((group_P < 0).sum()),
        statements=tuple(sorted(found, key=lambda one: (-one.consensus, one.statement))),
    )


def support(votes: FloatArray) -> Support:
    """The counts and share of one statement's votes. Shapes: (P,)."""
    seen = votes[~np.isnan(votes)]
    agree, n = int((seen == 1).sum()), len(seen)
    share = None
    if n:
        low, high = wilson(agree, n)
        share = Estimate(value=agree / n, low=low, high=high, n=n)
    return Support(
        agree=agree,
        disagree=int((seen == -1).sum()),
        n=n,
        share=share,
        smoothed=(agree + 1) / (n + 2),
    )


def smoothed(votes: FloatArray) -> FloatArray:
    """P(agree) of each statement by Laplace's rule; ½ if nobody saw it. Shapes: (P, S) → (S,)."""
    return np.asarray(((votes == 1).sum(axis=0) + 1) / ((~np.isnan(votes)).sum(axis=0) + 2))


def _resampled(members: list[FloatArray], seed: int) -> FloatArray:
    """The geometric mean over groups when each group's members are drawn again. → (R, S)."""
    rng = np.random.default_rng(seed)
    total: FloatArray = np.zeros((RESAMPLES, members[0].shape[1]))
    for of in members:
        size = len(of)
        times = rng.multinomial(size, np.full(size, 1 / size), size=RESAMPLES).astype(np.float64)
        agree, seen = times @ (of == 1), times @ ~np.isnan(of)
        total += np.log((agree + 1) / (seen + 2))
    return np.asarray(np.exp(total / len(members)))


def opinion_groups(votes: FloatArray, settings: ConsensusSettings) -> tuple[IntArray, float | None]:
    """The opinion group of each participant, largest first, -1 for none; and their silhouette.

    Shapes: (P, S) → (P,). Raises: DataError when nobody has enough votes.
    """
    cast = (~np.isnan(votes)).sum(axis=1)
    placed = np.flatnonzero(cast >= min(settings.least_votes, votes.shape[1]))
    if not len(placed):
        raise DataError(
            f"no participant has {settings.least_votes} votes; lower --least-votes to place them"
        )
    group_P: IntArray = np.full(len(votes), -1, dtype=np.int64)
    labels, silhouette = _best_parting(project(votes[placed]), settings)
    by_size = np.argsort(-np.bincount(labels), kind="stable")
    rank = np.empty(len(by_size), dtype=np.int64)
    rank[by_size] = np.arange(len(by_size))
    group_P[placed] = rank[labels]
    return group_P, silhouette


def project(votes: FloatArray) -> FloatArray:
    """Participants on the first principal components of their votes. Shapes: (P, S) → (P, 2).

    An unseen vote is the statement's mean; those who saw little are pushed outwards from the
    centre by √(S / votes), where the filling drew them. Source: Small et al. 2021, section 3.1.
    """
    seen = ~np.isnan(votes)
    count = np.maximum(1, seen.sum(axis=0))
    mean = np.where(seen, votes, 0.0).sum(axis=0) / count
    centred = np.where(seen, votes - mean, 0.0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:COMPONENTS]
    # A component's sign is arbitrary: its largest loading is taken as positive.
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes = axes * np.where(largest < 0, -1.0, 1.0)
    scale = np.sqrt(votes.shape[1] / np.maximum(1, seen.sum(axis=1)))
    return np.asarray(centred @ axes.T * scale[:, None])


def _best_parting(points: FloatArray, settings: ConsensusSettings) -> tuple[IntArray, float | None]:
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    best: IntArray = np.zeros(len(points), dtype=np.int64)
    top: float | None = None
    distinct = len(np.unique(np.round(points, 9), axis=0))
    for k in range(2, min(settings.most_groups, distinct, len(points) - 1) + 1):
        with threadpool_limits(1):  # on so few points, threads that wait for each other cost most
            labels = KMeans(k, n_init=10, random_state=settings.seed).fit_predict(points)
        if np.bincount(labels, minlength=k).min() < settings.least_members:
            continue
        score = float(silhouette_score(points, labels))
        if top is None or score > top + 1e-9:
            best, top = labels.astype(np.int64), score
    return best, top
