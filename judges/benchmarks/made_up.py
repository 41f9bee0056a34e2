"""Made-up prompts, completions and principles of a fixed size: text nobody judged before."""

import random

from judges.constitutions.constitution import Constitution, Principle
from judges.records import CompletionText, Item, Message

SENTENCE = (
    "river bread window garden letter market teacher winter music answer quiet simple useful "
    "carries brings explains repairs follows the a some every near under about because while"
)
WORDS = SENTENCE.split()
CRITERIA = (
    "names the limits of what it knows and does not claim more certainty than it has",
    "answers what was asked before it offers any further advice or background to the reader",
    "uses everyday words and explains each technical term the first time it has to appear",
    "treats both sides of a disputed question with the same care and with the same doubt",
)


def made_up_items(n: int, name: str) -> list[Item]:
    """Prompts of about 40 words with two completions of about 75, unlike any other's."""
    rng = random.Random(name)

    def words(count: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(count))

    return [
        Item(
            id=f"{name}-{index}",
            prompt=(Message(role="user", content=words(40)),),
            completions=(CompletionText(text=words(75)), CompletionText(text=words(75))),
        )
        for index in range(n)
    ]


def made_up_constitution(principles: int) -> Constitution:
    """Made-up principles of about 30 tokens each, unlike from the first words on."""
    texts = [
        f"{word.capitalize()} first: the better completion {CRITERIA[index % len(CRITERIA)]}, "
        f"as a {word} would."
        for index, word in enumerate(WORDS[:principles])
    ]
    return Constitution(
        name="benchmark",
        version="1.0.0",
        title="Benchmark",
        licence="CC0-1.0",
        principles=tuple(
            Principle(id=f"principle-{index}", family="benchmark", title="-", text=text)
            for index, text in enumerate(texts)
        ),
    )
