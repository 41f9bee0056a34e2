"""Near-equal candidates as one: TF-IDF cosine, complete linkage, the medoid speaks for its cluster.

Sentences that differ by a negation or an opposite share most of their words and mean the reverse;
they are held apart, whatever their cosine.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from judges.calibration.estimates import FloatArray
from judges.inference.candidates import Candidate
from judges.records import Record

NEAR = 0.5
"""Cosine distance up to which two candidates say the same."""
NEGATIONS = re.compile(
    r"(?i)\b(not|no|never|without|avoids?|avoiding|omits?|refrains?|lacks?|less|fewer|least|"
    r"does without|free of|instead of|rather than|\w+n't)\b"
)
OPPOSITES = (
    ("short shorter brief briefer concise terse", "long longer detailed thorough verbose"),
    ("more most", "less fewer least"),
    ("formal", "informal casual"),
    ("simple simpler plain", "complex technical sophisticated"),
    ("helps helpful answers complies", "refuses declines refusal"),
    ("certain confident assertive", "uncertain hedged hedges cautious"),
    ("serious", "funny humorous playful"),
    ("polite friendly warm", "rude cold blunt curt"),
    ("general", "specific concrete"),
    ("first", "last"),
    ("accurate true correct", "inaccurate false incorrect wrong"),
)  # fmt: skip


class Cluster(Record):
    """Candidates that say the same."""

    representative: Candidate
    """The candidate nearest to all others."""
    members: tuple[str, ...]
    """All their wordings, in order."""
    proposed: Annotated[int, Field(ge=1)]
    """How often one of them was proposed."""


def cluster(candidates: Sequence[Candidate], near: float = NEAR) -> list[Cluster]:
    """The clusters of candidates, by what their medoids say; rules are only freed of repeats.

    Deterministic, whatever the order of the candidates.
    """
    times = Counter(candidate.id for candidate in candidates)
    unique = {candidate.id: candidate for candidate in candidates}
    judged = sorted((c for c in unique.values() if c.rule is None), key=lambda c: c.text)
    clusters = [
        Cluster(representative=c, members=(c.text,), proposed=times[c.id])
        for c in unique.values()
        if c.rule is not None
    ]
    if judged:
        distance = distances([candidate.text for candidate in judged])
        for members in _grouped(distance, near):
            clusters.append(_cluster(members, judged, distance, times))
    return sorted(clusters, key=lambda one: (one.representative.text, one.representative.id))


def distances(texts: Sequence[str]) -> FloatArray:
    """Cosine distances of TF-IDF over words and pairs of words; 1 for opposites. → (n, n)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b")
    vectors = vectorizer.fit_transform(texts)
    distance = 1.0 - np.asarray((vectors @ vectors.T).todense())
    against = [directions(text) for text in texts]
    for i, one in enumerate(against):
        for j in range(i):
            if one != against[j]:
                distance[i, j] = distance[j, i] = 1.0
    np.fill_diagonal(distance, 0.0)
    return np.clip(distance, 0.0, 1.0)


def directions(text: str) -> tuple[bool, tuple[bool, ...], tuple[str, ...]]:
    """What two sentences must share to say the same.

    The parity of negations, which sides of known opposites are named, and what is quoted.
    """
    words = set(re.findall(r"\w+", text.casefold()))
    sides = tuple(bool(words & set(side.split())) for pair in OPPOSITES for side in pair)
    quoted = tuple(re.findall(r'["“]([^"”]+)["”]', text.casefold()))
    return len(NEGATIONS.findall(text)) % 2 == 1, sides, quoted


def _grouped(distance: FloatArray, near: float) -> list[list[int]]:
    from sklearn.cluster import AgglomerativeClustering

    if len(distance) == 1:
        return [[0]]
    model = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="complete", distance_threshold=near
    )
    labels = model.fit_predict(distance)
    return [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]


def _cluster(
    members: list[int],
    judged: Sequence[Candidate],
    distance: FloatArray,
    times: Counter[str],
) -> Cluster:
    """Of equally central members the one proposed most often speaks, then the first by letters."""
    weight = np.array([times[judged[k].id] for k in members], dtype=np.float64)
    spread = np.round(distance[np.ix_(members, members)] @ weight, 9)
    best = min(range(len(members)), key=lambda k: (spread[k], -weight[k], judged[members[k]].text))
    return Cluster(
        representative=judged[members[best]],
        members=tuple(judged[k].text for k in members),
        proposed=int(weight.sum()),
    )
