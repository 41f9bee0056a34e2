"""What can be told of a completion without a judge: its length, and whether it refuses."""

import re
from dataclasses import dataclass

import msgspec
import numpy as np

from judges.aggregate import Floats
from judges.diagnostics.pair_votes import PairVotes
from judges.diagnostics.run_files import Run
from judges.errors import DataError

OPENING = 240
"""Characters within which a refusal is looked for: what follows is mostly an answer."""
REFUSAL = re.compile(
    r"\b(?:i|we)(?: am|'m| are|'re)? ?(?:sorry,? (?:but )?(?:i|we) )?(?:really |simply |just )?"
    r"(?:can't|cannot|can not|could not|couldn't|won't|will not|must decline|have to decline|"
    r"decline to|refuse to|not able to|unable to|not comfortable|not going to)"
    r"(?: (?:to|in|with|in good conscience))?"
    r"(?: \w+ly)? ?(?:help|assist|provide|give|offer|share|write|create|generate|produce|answer|"
    r"comply|fulfil|fulfill|do that|do this|discuss|engage|support|continue|participate|say|tell|"
    r"respond|recommend|advise|explain|describe|teach|that request|this request)?\b"
    r"|\bas an ai\b[^.]{0,80}\b(?:can't|cannot|unable|not able)\b"
    r"|^(?:no\.|sorry,? (?:but )?no\b|i refuse\b|i must decline\b)"
)


class _Texts(msgspec.Struct):
    completions: list[str] = []


@dataclass(frozen=True)
class PairTexts:
    """Both completions of every pair."""

    words_B2: Floats
    """Words of each."""
    refuses_B2: Floats
    """1 for one that refuses, else 0."""


def refuses(text: str) -> bool:
    """Whether a completion opens with a refusal, in English, by its wording alone.

    Looks for "I can't help", "I am unable to", "as an AI … cannot" and the like within the first
    sentences. An apology alone is none. Misses a refusal in other words or another language, and
    one that comes late; takes "I can't recommend it enough" for one.
    """
    opening = text[:OPENING].lower().replace("\u2019", "'").strip()
    return REFUSAL.search(opening) is not None


def pair_texts(run: Run, votes: PairVotes) -> PairTexts:
    """Words and refusals of every pair's completions. Raises: DataError where a line has none."""
    words: list[int] = []
    refused: list[bool] = []
    starts = []
    for (number, line), ballot in zip(run.lines(), run.ballots, strict=True):
        texts = _decode(line).completions
        if len(texts) != len(ballot.completions):
            raise DataError(
                f"{run.path}:{number}: {len(texts)} texts for {len(ballot.completions)} "
                "completions; use the file as `charter rank` wrote it"
            )
        starts.append(len(words))
        words += [len(text.split()) for text in texts]
        refused += [refuses(text) for text in texts]
    place_B2 = np.array(starts, int)[votes.ranking_B][:, None] + votes.side_B2
    return PairTexts(np.array(words, float)[place_B2], np.array(refused, float)[place_B2])


_decode = msgspec.json.Decoder(_Texts).decode
