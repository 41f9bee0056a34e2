"""Pairs labelled by planted principles, and the fake judge's votes on candidates for them."""

import asyncio
from collections.abc import Sequence

import numpy as np

from judges.calibration.estimates import FloatArray
from judges.cards.labelled import LabelledPair
from judges.inference.candidates import Candidate
from judges.layout import PAIR_OPTIONS, pair_prompt
from judges.model import Choice
from judges.models.fake import FakeModel, FakeSettings
from judges.records import CompletionText, Item, Message

TOPICS = ("amber", "birch", "cedar", "dahlia", "elder", "fennel", "ginger", "hazel")
PLANTED = {
    'The better completion mentions "amber".': 3.0,
    'The better completion avoids "birch".': 2.5,
    'The better completion mentions "cedar".': 2.0,
}
"""Principle → logits that one completion following it and the other not adds to its label."""
FILLER = ("stones", "clouds", "paths", "lamps", "boats", "letters", "gardens", "songs")


def candidates() -> list[Candidate]:
    """All topics in both directions: three of sixteen are planted."""
    return [
        Candidate(text=f'The better completion {verb} "{topic}".', origin="file")
        for topic in TOPICS
        for verb in ("mentions", "avoids")
    ]


def completion(rng: np.random.Generator) -> str:
    """Some topics, and as many other words as make all completions about equally long."""
    held = [topic for topic in TOPICS if rng.random() < 0.4]
    words = held + [str(rng.choice(FILLER)) for _ in range(10 - len(held))]
    return "We speak of " + " ".join(rng.permutation(words).tolist()) + "."


def followed(principle: str, text: str) -> bool:
    """Whether a completion does what one of these principles asks."""
    topic = principle.split('"')[1]
    return (topic in text) == ("mentions" in principle)


def labelled_pairs(
    count: int, seed: int, planted: dict[str, float] | None = None
) -> list[LabelledPair]:
    """Pairs, two a prompt, whose labels are drawn by the planted principles: some are wrong."""
    rng = np.random.default_rng(seed)
    planted = PLANTED if planted is None else planted
    pairs = []
    for index in range(count):
        first, second = completion(rng), completion(rng)
        logit = sum(
            gain * (followed(text, first) - followed(text, second))
            for text, gain in planted.items()
        )
        preferred = float(rng.random() < 1 / (1 + np.exp(-logit)))
        item = Item(
            id=f"p{index}",
            prompt=(Message(role="user", content=f"Speak about subject {index // 2}."),),
            completions=(CompletionText(text=first), CompletionText(text=second)),
        )
        pairs.append(LabelledPair(item=item, preferred=preferred))
    return pairs


def fake_votes(
    pairs: Sequence[LabelledPair], of: Sequence[Candidate], **planted: float
) -> FloatArray:
    """The fake judge's logit for each candidate on each pair, both orders averaged. (C, n)"""
    model = FakeModel(FakeSettings.model_validate(planted))
    prompts = [
        pair_prompt(pair.item.prompt, texts[0], texts[1], candidate.text)
        for candidate in of
        for pair in pairs
        for texts in [[c.text for c in pair.item.completions]]
        for texts in (texts, texts[::-1])
    ]
    choices = asyncio.run(model.choose(prompts, PAIR_OPTIONS))
    gaps = [c.logprobs[0] - c.logprobs[1] for c in choices if isinstance(c, Choice)]
    both = np.array(gaps).reshape(len(of), len(pairs), 2)
    return np.asarray((both[..., 0] - both[..., 1]) / 2)
