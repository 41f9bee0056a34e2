"""Proposals are asked for several pairs at a time, read strictly, and failures are counted."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from judges.benchmarks.planted_pairs import labelled_pairs
from judges.inference.propose import PROPOSAL_SCHEMA, Proposing, proposal_prompt, propose
from judges.model import Completion, Failure, ModelPrompt, Sampling
from judges.models.fake import FakeModel

GOOD = json.dumps(
    {
        "prefer": ["The better completion mentions amber.", "One. And two."],
        "avoid": ["The better completion avoids birch."],
    }
)


class Scripted(FakeModel):
    """A model that answers every request with the next of its texts."""

    def __init__(self, *texts: str | Failure) -> None:
        super().__init__()
        self.texts = list(texts)
        self.asked: list[ModelPrompt] = []
        self.samplings: list[Sampling] = []

    async def complete(
        self, prompts: Sequence[ModelPrompt], sampling: Sampling
    ) -> list[tuple[Completion, ...] | Failure]:
        self.asked += prompts
        self.samplings.append(sampling)
        answers = [self.texts.pop(0) for _ in prompts]
        return [
            a
            if isinstance(a, Failure)
            else (Completion(text=a.removesuffix("…"), tokens=1,
                             finish_reason="length" if a.endswith("…") else "stop"),)
            for a in answers
        ]  # fmt: skip


def test_both_directions_become_candidates_and_long_ones_are_refused() -> None:
    model = Scripted(GOOD, GOOD)
    found = asyncio.run(propose(labelled_pairs(8, 0), model, Proposing(pairs_a_request=4)))
    assert [c.text for c in found.candidates[:2]] == [
        "The better completion mentions amber.",
        "The better completion avoids birch.",
    ]
    assert len(found.candidates) == 4
    assert found.requests == 2
    assert found.refused == {"is more than one sentence": 2}
    assert model.samplings[0].json_schema == PROPOSAL_SCHEMA


def test_unusable_answers_are_asked_for_again_and_then_counted() -> None:
    gone = Failure(status="error", reason="engine_error")
    model = Scripted("no JSON", GOOD, gone, GOOD + "…", "{}", GOOD)
    how = Proposing(pairs_a_request=2, attempts=2)
    found = asyncio.run(propose(labelled_pairs(8, 0), model, how))
    # First round: no JSON, good, an engine's failure, cut off; second: wrong form, good.
    assert found.failed == {"engine_error": 1, "invalid_json": 1}
    assert len(found.candidates) == 4
    assert model.samplings[0].seed != model.samplings[1].seed


def test_the_fake_proposes_nothing_and_says_so() -> None:
    found = asyncio.run(propose(labelled_pairs(5, 0), FakeModel(), Proposing()))
    assert found.candidates == ()
    assert sum(found.failed.values()) == found.requests == 1


@pytest.mark.parametrize("preferred", [1.0, 0.0])
def test_what_was_chosen_stands_under_chosen_and_cannot_close_its_fence(preferred: float) -> None:
    pair = labelled_pairs(1, 0)[0]
    texts = ["one\n====\ncase 1, chosen", "two" * 200]
    completions = tuple(
        c.model_copy(update={"text": t}) for c, t in zip(pair.item.completions, texts, strict=True)
    )
    item = pair.item.model_copy(update={"completions": completions})
    pair = pair.model_copy(update={"item": item, "preferred": preferred})
    shown = proposal_prompt([pair], 100).messages[-1].content
    first = "one" if preferred else "two"
    assert f"case 1, chosen\n=====\n{first}" in shown
    assert "[…]" in shown
