"""Do the principles that labels were drawn by come back, and how well do they tell the rest?"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judges.benchmarks.planted_pairs import PLANTED, candidates, followed, labelled_pairs
from judges.cards.labelled import LabelledPair
from judges.inference.infer import Inferring, infer
from judges.inference.select import SelectionSettings
from judges.judge import Judge
from judges.models.fake import FakeModel, FakeSettings
from judges.store.vote_store import VoteStore


def benchmark_infer(pairs: int, noise: float, seed: int) -> dict[str, Any]:
    """What is found among planted and idle candidates, on pairs labelled by the planted ones.

    The fake judge reads each candidate rightly, but for noise. No accuracy can reach 1, as labels
    are drawn; `ceiling` is the share of all pairs labelled as the planted weights say.
    Cost: two fake votes a pair and candidate.
    """
    labelled = labelled_pairs(pairs, seed)
    how = Inferring(selection=SelectionSettings(seed=seed), hypotheses=True)
    judge = Judge("fake", FakeModel(FakeSettings(noise=noise, seed=seed)))
    with (
        tempfile.TemporaryDirectory() as folder,
        VoteStore.open(f"sqlite:///{Path(folder) / 'votes.db'}") as store,
    ):
        found = asyncio.run(infer(labelled, [judge], store, how, given=candidates()))
    kept = {found.candidates[one.id].text: one.weight for one in found.selection.kept}
    return {
        "pairs": pairs,
        "prompts": len({pair.item.conversation_text for pair in labelled}),
        "noise": noise,
        "seed": seed,
        "candidates": len(found.candidates),
        "planted": PLANTED,
        "recovered": {text: weight for text, weight in kept.items() if text in PLANTED},
        "false_finds": {text: weight for text, weight in kept.items() if text not in PLANTED},
        "ceiling": _ceiling(labelled),
        "held_out_accuracy": accuracy.model_dump()
        if (accuracy := found.selection.held_out_accuracy)
        else None,
        "held_out_pairs": found.selection.held_out_pairs,
        "new_votes": found.new_votes,
    }


def _ceiling(pairs: Sequence[LabelledPair]) -> float:
    """How often labels are those that the planted principles make likelier, a tie a half."""
    right = 0.0
    for pair in pairs:
        first, second = (completion.text for completion in pair.item.completions)
        logit = sum(
            gain * (followed(text, first) - followed(text, second))
            for text, gain in PLANTED.items()
        )
        right += 0.5 if logit == 0 else float((logit > 0) == (pair.preferred == 1))
    return round(right / len(pairs), 4)
