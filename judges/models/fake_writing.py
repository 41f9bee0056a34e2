"""What the fake model writes when it is asked for completions: short texts of a small stock."""

import random

from judges.model import Completion, Sampling

_SUBJECTS = ("rivers", "old towns", "teachers", "winter gardens", "many people", "small boats")
_VERBS = ("carry", "remember", "trade", "build", "need", "listen to")
_OBJECTS = ("warm bread", "quiet stories", "fresh water", "good tools", "each other", "new seeds")
_ENDINGS = (
    "",
    " in spring",
    " because the roads are long",
    " without much noise",
    " when it rains",
)
_OPENINGS = ("", "", "", "Certainly! ", "Great question! ", "I'm sorry, but ", "In short, ")


def write(rng: random.Random) -> str:
    """One to six sentences."""
    sentences = [_sentence(rng) for _ in range(rng.randint(1, 6))]
    return rng.choice(_OPENINGS) + " ".join(sentences)


def cut(text: str, rng: random.Random, sampling: Sampling) -> Completion:
    """A text as a completion, cut off where it is too long; a word is a token."""
    words = text.split()
    kept = words[: sampling.max_tokens]
    logprobs = tuple(-rng.expovariate(1.0) for _ in kept) if sampling.logprobs else ()
    return Completion(
        text=text if len(kept) == len(words) else " ".join(kept),
        finish_reason="stop" if len(kept) == len(words) else "length",
        tokens=len(kept),
        logprobs=logprobs,
    )


def _sentence(rng: random.Random) -> str:
    words = [rng.choice(part) for part in (_SUBJECTS, _VERBS, _OBJECTS)]
    return f"{' '.join(words).capitalize()}{rng.choice(_ENDINGS)}{rng.choice('...!?')}"
