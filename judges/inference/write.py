"""Inferred principles as a constitution file: weights, where they come from, golden tests.

A golden test is a held-out pair that the principle alone decides as it was labelled: its texts are
copied from the preferences, so that the file's licence cannot be wider than theirs.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from judges.calibration.estimates import Estimate, FloatArray
from judges.cards.labelled import LabelledPair
from judges.constitutions.constitution import Constitution, GoldenTest, Principle
from judges.constitutions.files import parse_constitution
from judges.constitutions.yaml_source import UNPRINTABLE
from judges.constitutions.yaml_text import yaml_text
from judges.errors import ConfigError, ConstitutionError
from judges.inference.candidates import Candidate
from judges.inference.select import Selection, Tested
from judges.jsonl import replacing

LICENCE = "LicenseRef-unstated"
MOST_TEST_CHARACTERS = 1200
ID_WORDS = 6
DULL = re.compile(
    r"the|an?|is|are|its?|of|to|in|on|and|or|that|completion|better|more|than|does|has|uses?"
)


class Evidence(NamedTuple):
    """The held-out pairs, and each kept candidate's votes on them."""

    pairs: Sequence[LabelledPair]
    """n pairs, none a tie."""
    votes: Mapping[str, FloatArray]
    """Candidate's id → (n,) logits, above 0 for the first completion."""


def inferred_constitution(
    name: str,
    selection: Selection,
    candidates: Mapping[str, Candidate],
    evidence: Evidence,
    *,
    how: str,
    licence: str = LICENCE,
    tests: int = 2,
) -> Constitution:
    """The kept candidates as a constitution, heaviest first, with golden tests from held-out pairs.

    Raises: ConfigError when nothing was kept.
    """
    if not selection.kept:
        raise ConfigError(
            "no candidate explains the preferences, so there is no constitution to write; give "
            "more candidates with --candidates, more pairs, or a larger judge"
        )
    kept = sorted(selection.kept, key=lambda one: (-one.weight, one.id))
    principles = added_principles(kept, candidates, evidence, how=how, tests=tests)
    found = said(selection.held_out_accuracy)
    return Constitution(
        name=name,
        version="0.1.0",
        title=f"Inferred from preferences: {name}",
        licence=licence,
        description=(
            f"{len(kept)} of {len(selection.candidates)} candidate principles, inferred from "
            f"{selection.pairs} pairs; they decide {found} of held-out pairs as labelled. They "
            f"say what these labels reward, not what is right. {how}"
        ),
        principles=tuple(principles),
    )


def added_principles(
    kept: Sequence[Tested],
    candidates: Mapping[str, Candidate],
    evidence: Evidence,
    *,
    how: str,
    tests: int = 2,
    taken: Sequence[str] = (),
) -> list[Principle]:
    """The kept candidates as principles, in order, under ids that are not taken."""
    ids = list(taken)
    principles = []
    for one in kept:
        candidate = candidates[one.id]
        ids.append(_free_id(candidate.text, ids))
        principles.append(
            Principle(
                id=ids[-1],
                family="style" if candidate.rule else "inferred",
                title=_title(candidate.text),
                text=None if candidate.rule else candidate.text,
                rule=candidate.rule,
                weight=one.weight,
                critique="Quote where the completion falls short of this, and say how: "
                + candidate.text,
                revise="Rewrite the completion so that this holds, and change nothing else: "
                + candidate.text,
                tests=golden_tests(evidence.pairs, evidence.votes[one.id], tests),
                source=_source(one, candidate, how),
            )
        )
    return principles


def golden_tests(
    pairs: Sequence[LabelledPair], votes: FloatArray, most: int
) -> tuple[GoldenTest, ...]:
    """The pairs that these votes decide as labelled, the surest of the short ones first."""
    y = np.array([pair.preferred for pair in pairs])
    right = np.nan_to_num(votes) * np.sign(y - 0.5)
    found: list[GoldenTest] = []
    seen: set[tuple[str, str]] = set()
    for index in np.argsort(-np.round(right, 6), kind="stable"):
        if right[index] <= 0 or len(found) == most:
            break
        test = _golden(pairs[int(index)])
        if test is not None and (test.better, test.worse) not in seen:
            seen.add((test.better, test.worse))
            found.append(test)
    return tuple(found)


def _golden(pair: LabelledPair) -> GoldenTest | None:
    """The pair as a test; None where it is long, blank or holds what no file may."""
    first, second = (completion.text.strip() for completion in pair.item.completions)
    better, worse = (first, second) if pair.preferred > 0.5 else (second, first)
    prompt = pair.item.prompt
    texts = [better, worse, *(message.content for message in prompt)]
    if sum(map(len, texts)) > MOST_TEST_CHARACTERS or better == worse:
        return None
    if any(not text.strip() or UNPRINTABLE.search(text) for text in texts):
        return None
    alone = len(prompt) == 1 and prompt[0].role == "user"
    return GoldenTest(prompt=prompt[0].content if alone else prompt, better=better, worse=worse)


def _source(one: Tested, candidate: Candidate, how: str) -> str:
    origin = {
        "proposed": "Proposed by a model",
        "file": "A candidate given by a person",
        "hypothesis": "A shipped hypothesis of style",
    }[candidate.origin]
    shown = one.held_out
    return (
        f"{origin}, kept by votes. Held out: speaks about {shown.covered} of {shown.n} pairs, "
        f"decides {shown.support} as labelled, {said(shown.accuracy)}. {how}"
    )


def said(estimate: Estimate | None) -> str:
    """An estimate for readers: share, interval and n."""
    if estimate is None:
        return "no share (nothing to measure on)"
    return (
        f"{estimate.value:.1%} (95 % interval {estimate.low:.1%} to {estimate.high:.1%}, "
        f"n = {estimate.n})"
    )


def _title(text: str) -> str:
    short = re.sub(r"(?i)^the (better )?completion ", "", text).rstrip(".")
    return short[:1].upper() + short[1:80]


def _free_id(text: str, taken: Sequence[str]) -> str:
    stem = slug(text, "principle")
    number, found = 2, stem
    while found in taken:
        number, found = number + 1, f"{stem}-{number}"
    return found


def slug(text: str, otherwise: str) -> str:
    """A name made of a text's telling words; `otherwise` where it has none."""
    words = [word for word in re.findall(r"[a-z0-9]+", text.lower()) if not DULL.fullmatch(word)]
    return "-".join(words[:ID_WORDS])[:56].strip("-") or otherwise


def write_constitution(constitution: Constitution, path: Path) -> None:
    """Write the file, once it has been read back as what was meant.

    Raises: ConstitutionError when it would not load.
    """
    content = yaml_text(constitution).encode()
    read = parse_constitution(content, str(path))
    if read.digest != constitution.digest:
        raise ConstitutionError(f"{path}: would not read back as it was meant; report this")
    with replacing(path) as file:
        file.write(content)
