"""Topics: completions that share no phrase, but speak of like things.

Words weighed by their rarity are a sparse vector a text, of which a truncated singular value
decomposition leaves few dimensions (latent semantic analysis, Deerwester et al. 1990); k-means
finds clusters there. Labels have no part in it, so a cluster is tested as a phrase is.
"""

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from judges.audit.features import Signs
from judges.audit.words import Words
from judges.calibration.estimates import FloatArray, IntArray

MOST_TOPICS = 24
TEXTS_A_TOPIC = 50
DIMENSIONS = 32
FITTED = 20_000
"""Texts that dimensions and clusters are found from, drawn by the seed; all are then told apart."""
LEAST_TEXTS = 5
MOST_SHARE = 0.2
"""Words in fewer texts, or in a larger share of them, say nothing of a topic."""
MOST_WORDS = 20_000
NAMED = 4
"""Words that a topic is named by."""


def topic_signs(words: Words, seed: int) -> Signs:
    """On which pairs one side only is of a topic. Texts are given chosen, rejected, chosen, …

    None where there are too few texts, or words, for two topics. Cost: linear in words, beside
    some seconds for finding the topics.
    """
    weighed_DV, names = _weighed(words)
    topics = min(MOST_TOPICS, len(words.counts) // TEXTS_A_TOPIC)
    told = np.flatnonzero(np.diff(weighed_DV.indptr))
    if topics < 2 or min(len(names), len(told)) <= DIMENSIONS:
        nothing = np.zeros(0, np.int64)
        return Signs([], [], nothing, nothing, nothing)
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    fitted = np.sort(np.random.default_rng(seed).permutation(told)[:FITTED])
    fitted_DV = weighed_DV[fitted]
    clusters = make_pipeline(
        TruncatedSVD(DIMENSIONS, random_state=seed),
        Normalizer(),
        KMeans(topics, n_init=1, random_state=seed),
    ).fit(fitted_DV)
    topic_D = np.full(len(words.counts), -1, np.int64)
    topic_D[told] = clusters.predict(weighed_DV[told])
    return _signs(topic_D, _named(fitted_DV, topic_D[fitted], topics, names))


def _weighed(words: Words) -> tuple[Any, list[str]]:
    """The weight of each text's words, of length 1 in all, and the words. Shapes: [D, V]."""
    from sklearn.feature_extraction.text import TfidfTransformer

    size, known = len(words.counts), max(1, len(words.vocabulary))
    ones = np.ones(len(words.numbers))
    count_DV = csr_array((ones, (words.texts, words.numbers)), shape=(size, known))
    texts_V = np.bincount(count_DV.indices, minlength=known)
    kept = np.flatnonzero((texts_V >= LEAST_TEXTS) & (texts_V <= MOST_SHARE * size))
    kept = np.sort(kept[np.argsort(-texts_V[kept], kind="stable")[:MOST_WORDS]])
    names = [words.vocabulary[number] for number in kept.tolist()]
    count_DV = count_DV[:, kept]
    return TfidfTransformer(sublinear_tf=True).fit_transform(count_DV) if names else count_DV, names


def _named(weighed_DV: Any, topic_D: IntArray, topics: int, names: list[str]) -> list[str]:
    """Each topic by the words that weigh most above all texts' mean."""
    found, mean_V = [], _mean(weighed_DV)
    for topic in range(topics):
        above_V = _mean(weighed_DV[topic_D == topic]) - mean_V
        first = np.argsort(-above_V, kind="stable")[:NAMED]
        found.append(f"topic of {', '.join(names[number] for number in first.tolist())}")
    return found


def _mean(weighed_DV: Any) -> FloatArray:
    return np.asarray(weighed_DV.mean(0)).ravel()


def _signs(topic_D: IntArray, names: list[str]) -> Signs:
    chosen, rejected = topic_D[0::2], topic_D[1::2]
    apart = np.flatnonzero(chosen != rejected)
    feature = np.concatenate([chosen[apart], rejected[apart]])
    pair, sign = np.tile(apart, 2), np.repeat([1, -1], len(apart))
    order = np.lexsort((pair, feature))
    order = order[feature[order] >= 0]
    return Signs(names, ["topic"] * len(names), feature[order], pair[order], sign[order])
