"""Proximal policy optimisation: prompts and any reward in, a trained policy out.

The steps are those of training/ppo/steps.py; here is what PPO's update makes of one.
"""

import statistics as arithmetic
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from judges.progress import say
from training.online.reward import Score
from training.ppo.recipe import PpoRecipe
from training.ppo.steps import Loop, SamplingSummary, train_by_steps
from training.runs.run import Message, Progress, no_progress

if TYPE_CHECKING:
    from training.ppo.checkpoint import PpoState
    from training.ppo.learner import Learner

__all__ = ["PpoRecipe", "train_ppo"]


def train_ppo(
    recipe: PpoRecipe,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
    message: Message = say,
) -> SamplingSummary:
    """Train a policy; returns its summary. A finished run is returned as it is when resumed.

    Raises: DataError for prompts or a run folder that cannot be used; ConfigError; ModelError when
    memory is full, a loss is no number, or a reward or server stays away; VerdictError when a
    reward is no number, or the same for all for many steps.
    """
    return train_by_steps(recipe, PpoLoop, resume, progress, message)


class PpoLoop(Loop[PpoRecipe]):
    """The steps of PPO."""

    def first_state(self) -> "PpoState":
        """With the recipe's KL coefficient."""
        from training.ppo.checkpoint import PpoState

        return PpoState(kl_coefficient=self.recipe.kl.coefficient)

    def build(self) -> "tuple[Learner, Any]":
        """Policy, value model and reference."""
        from training.ppo.building import build_learner

        return build_learner(self.recipe, self.run.manifest.hardware)

    def update(
        self, step: int, drawn: "Sequence[Any]", scored: Any, scores: Sequence[Score],
        outcomes: "Sequence[Any]",
    ) -> dict[str, float]:  # fmt: skip
        """Clipped steps on the scored completions; then the coefficient of the next step."""
        from training.ppo.kl_control import adapted_coefficient
        from training.ppo.outcomes import scored_values

        if self.recipe.centre_rewards and self.state.reward_centre is None:
            # The first step's completions are the reference's own.
            centre = arithmetic.fmean(scored_values(outcomes))
            self.state = self.state.model_copy(update={"reward_centre": centre})
        centre, coefficient = self.state.reward_centre or 0.0, self.state.kl_coefficient
        kept = [i for i, score in enumerate(scores) if score.value is not None]
        metrics = self.learner.improve(
            [drawn[i] for i in kept],
            scored.rows(kept),
            [float(scores[i].value or 0.0) - centre for i in kept],
            self.recipe.shaping,
            coefficient,
            step,
        )
        adapted = adapted_coefficient(coefficient, metrics["kl"], self.recipe.kl)
        self.state = self.state.model_copy(update={"kl_coefficient": adapted})
        weight = self.recipe.clipping.value_weight
        loss = metrics["loss_policy"] + weight * metrics["loss_value"]
        return {"loss": loss, "kl_coefficient": coefficient, **metrics}
