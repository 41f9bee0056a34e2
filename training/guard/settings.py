"""The `[guard]` table of a recipe: what is looked at beside the reward that is trained on.

Importing this loads no torch.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from judges.records import Record
from training.online.reward_settings import RewardSettings
from training.online.waiting import Patience

BLIND = (
    "whose mean over a prompt's completions is 0 at every look, so the guard would see nothing of "
    'it; use kind = "judge" with the same constitution'
)
"""Why a ranking cannot be looked at, and what can."""


class GuardSettings(Record):
    """How a run is watched for over-optimisation. Paths are relative to the working folder."""

    prompts: Path
    """Held-out prompts, JSONL; the same at every look. 64 or more see a fall of a third of the
    spread."""
    held_out: Annotated[tuple[RewardSettings, ...], Field(min_length=1)]
    """What the policy is not trained on, each looked at alone: other reward models, a judge,
    rules. The first of them says which look was best."""
    proxy: tuple[RewardSettings, ...] = ()
    """What is trained on; absent: the run's own [[rewards]], unless one of them is a ranking."""
    safe_prompts: Path | None = None
    """Prompts labelled safe, in XSTest's format, for the share refused."""
    every: Annotated[int, Field(ge=1)] = 10
    """Steps between looks; there is one before the first step and one after the last."""
    samples: Annotated[int, Field(ge=1)] = 1
    """Completions of each prompt a look."""
    max_tokens: Annotated[int, Field(ge=1)] = 256
    """Longest completion."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of drawing, and of the KL divergence."""
    batch_tokens: Annotated[int, Field(ge=1)] = 65536
    """Most tokens, padding included, written side by side."""
    stop: bool = True
    """End the run when a held-out reward has fallen; else it is only told."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Chance of a false alarm in the whole run, over all looks and held-out rewards."""
    least_fall: Annotated[float, Field(ge=0)] = 0.1
    """A smaller fall does not matter; in standard deviations of the held-out reward among prompts
    at the first look."""
    keep_best: bool = True
    """Keep the policy of the best look, and publish it when the guard has ended the run."""
    seed: int = 0
    """Draws the guard's completions; nothing of the training is drawn by it."""
    patience: Patience = Patience()
    """How long held-out rewards are waited for."""

    @field_validator("held_out", "proxy")
    @classmethod
    def _no_rankings(cls, value: tuple[RewardSettings, ...]) -> tuple[RewardSettings, ...]:
        for place, one in enumerate(value):
            if one.kind == "ranking":
                raise ValueError(f'[{place}] is kind = "ranking", {BLIND}')
        return value
