"""Votes for tests: a few by hand, any by Hypothesis, and a process that writes them."""

import math
import random
import sys
from itertools import count
from typing import Any, NamedTuple

from hypothesis import strategies as st

from judges.canonical import text_digest
from judges.records import Message, Question, Setting, Vote, conversation_text
from judges.store.vote_store import VoteStore

SETTING = Setting(kind="pair", options=(" A", " B"), template="t" * 64, judge="tiny@1")
ODD_TEXTS = {
    "empty": "",
    "nul": "before\0after",
    "lone surrogates": "\ud800 and \udfff",
    "surrogates that look like a pair": "\ud83d\ude00",
    "emoji": "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{ROCKET}",
    "100,000 characters": "lang " * 20_000,
    "quotes, newlines, backslashes": "\"\\\n\r\t'`\u2028",
    "looks like bytea": "\\x00ff",
}


class Cast(NamedTuple):
    """Votes, and every text that they name."""

    votes: list[Vote]
    bodies: list[str]


def asked(prompt: str) -> str:
    """The text of a conversation of one turn."""
    return conversation_text((Message(role="user", content=prompt),))


def cast(
    prompt: str,
    completions: tuple[str, ...] = ("one", "two"),
    principles: tuple[str, ...] = ("Be brief.",),
    **fields: Any,
) -> Cast:
    """One vote for each principle on the completions of a prompt, in the order given."""
    conversation = asked(prompt)
    sample = fields.pop("sample", 0)
    votes = [
        Vote(
            question=Question(
                setting=SETTING.digest,
                principle=text_digest(principle),
                conversation=text_digest(conversation),
                completions=tuple(map(text_digest, completions)),
                sample=sample,
            ),
            **{"status": "scored", "value": 0.5} | fields,
        )
        for principle in principles
    ]
    return Cast(votes, [SETTING.text, conversation, *completions, *principles])


def joined(*casts: Cast) -> Cast:
    """All of them as one."""
    return Cast([v for c in casts for v in c.votes], [b for c in casts for b in c.bodies])


NUMBERS = st.floats(allow_nan=False)
TEXTS = st.text(st.characters(codec=None), max_size=20)
ANSWERS = st.one_of(
    st.fixed_dictionaries(
        {
            "status": st.just("scored"),
            "value": NUMBERS,
            "logprobs": st.lists(NUMBERS, max_size=4).map(tuple),
            "label_mass": st.none() | st.floats(0, 1),
            "prompt_tokens": st.integers(0, 2**31 - 1),
            "cached_tokens": st.integers(0, 2**31 - 1),
            "provenance": st.text(max_size=9),
            "rationale": st.none() | st.text(max_size=9),
        }
    ),
    st.fixed_dictionaries(
        {
            "status": st.just("unscored"),
            "reason": st.sampled_from(["option_missing", "low_label_mass", None]),
            "value": st.none() | NUMBERS,
        }
    ),
)
_prompts = count()


@st.composite
def casts(draw: st.DrawFn) -> Cast:
    """Any votes, no question twice, on conversations that no other example has."""
    drawn = []
    for _ in range(draw(st.integers(1, 3))):
        prompt = f"{next(_prompts)} {draw(st.text(max_size=9))}"
        shown = draw(st.lists(st.lists(TEXTS, max_size=4).map(tuple), unique=True, max_size=3))
        principles = tuple(draw(st.lists(TEXTS, unique=True, min_size=1, max_size=3)))
        for completions in shown:
            for sample in range(draw(st.integers(1, 2))):
                drawn += [
                    cast(prompt, completions, (text,), sample=sample, **draw(ANSWERS))
                    for text in principles
                ]
    return joined(*drawn)


BATCH = 40
"""Votes that `main` writes in one transaction."""


def batch(number: int, value: float) -> Cast:
    """One transaction's worth of votes, all of one value."""
    principles = tuple(f"principle {k}" for k in range(BATCH))
    return cast(f"batch {number}", principles=principles, value=value)


def batch_conversation(number: int) -> str:
    """The text of the conversation that a batch is on."""
    return asked(f"batch {number}")


def main(url: str, value: str, batches: str) -> None:
    """Write batches in an order of one's own; print each one's number and what was new of it."""
    order = list(range(int(batches)))
    random.Random(value).shuffle(order)
    with VoteStore.open(url) as store:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for number in order:
            made = batch(number, float(value))
            random.Random(value).shuffle(made.votes)
            sys.stdout.write(f"{number} {store.add(*made)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    assert math.isfinite(float(sys.argv[2]))
    main(*sys.argv[1:])
