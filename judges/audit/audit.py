"""The audit: every measurement of a preference set, made and put together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from judges.audit.duplicates import DuplicateReport, find_duplicates, find_leakage
from judges.audit.favoured import Against, favoured_phrases, favoured_style
from judges.audit.features import style_features, style_signs
from judges.audit.findings import list_findings
from judges.audit.length import log_ratio_of, measure_length
from judges.audit.ngrams import ngram_signs
from judges.audit.noise import (
    NoiseEstimate,
    RankingFacts,
    expected_noise,
    measure_rankings,
    noise_of_cycles,
    noise_of_readings,
)
from judges.audit.pairs import AuditPairs
from judges.audit.position import OrderGap, all_flips, measure_position
from judges.audit.rationale import measure_rationale
from judges.audit.report import AuditReport, AuditSettings
from judges.audit.topics import topic_signs
from judges.audit.words import split_words


def audit(
    pairs: AuditPairs,
    name: str,
    settings: AuditSettings,
    rankings: Sequence[Mapping[str, Any]] | None = None,
    held_out: Mapping[str, Sequence[str]] | None = None,
    without_rationale: Sequence[Mapping[str, Any]] | None = None,
) -> AuditReport:
    """The audit of some pairs. Cost: no model call; linear in words, but for sorts of them.

    `rankings` are lines of the rankings file, `held_out` the prompts of other files by name, and
    `without_rationale` lines of the same completions judged without reasoning.
    Raises: DataError when those share no pair with the rankings.
    """
    texts = [text for pair in zip(pairs.chosen, pairs.rejected, strict=True) for text in pair]
    words = split_words(texts)
    prompts = [p for p in pairs.prompts for _ in range(2)] if settings.languages else None
    log_ratio = log_ratio_of(words.counts.astype(np.float64))
    against = Against(pairs, settings, log_ratio)
    style = favoured_style(style_signs(style_features(texts, words, prompts)), against)
    phrases, tested, favoured = favoured_phrases(ngram_signs(words), against)
    topics = favoured_style(topic_signs(words, settings.seed), against)
    duplicates = find_duplicates(pairs, words)
    position = measure_position(rankings or (), settings.seed)
    facts = None if rankings is None else measure_rankings(rankings)
    report = AuditReport(
        data=name,
        n=len(pairs),
        prompts=int(pairs.groups.max()) + 1,
        ties_left_out=pairs.left_out.counts["tie"],
        unusable=pairs.left_out.faults(name, len(pairs)),
        settings=settings,
        findings=[],
        style=style,
        phrases=phrases,
        phrases_tested=tested,
        phrases_favoured=favoured,
        topics=topics,
        length=measure_length(pairs, log_ratio),
        duplicates=duplicates,
        leakage=[find_leakage(pairs, some, file) for file, some in (held_out or {}).items()],
        expected_noise=expected_noise(pairs.p_chosen, pairs.groups),
        noise=_noise(duplicates, position, facts),
        position=position,
        rationale=[]
        if without_rationale is None
        else measure_rationale(rankings or (), without_rationale, settings.seed),
        rankings=facts,
    )
    return report.model_copy(update={"findings": list_findings(report)})


def _noise(
    duplicates: DuplicateReport, position: Sequence[OrderGap], facts: RankingFacts | None
) -> list[NoiseEstimate]:
    found = []
    if (flips := all_flips(position)) is not None:
        found.append(noise_of_readings("orders", flips))
    if duplicates.contradicting is not None:
        found.append(noise_of_readings("copies", duplicates.contradicting))
    if facts is not None and facts.cycles is not None:
        found.append(noise_of_cycles(facts.cycles))
    return found
