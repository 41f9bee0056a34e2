"""Online DPO: draw n completions a prompt, reward them, learn from the best against the worst.

The steps are PPO's: seeded by recipe and step, rewarded while the models score, resumable. The
reference is frozen, so the optimum is that of RLHF with the same beta (Guo et al. 2024,
arXiv:2402.04792; Rafailov et al. 2023, equation 4), where labels are the reward's own odds.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from judges.progress import say
from training.online.reward import Score
from training.online_dpo.pairs import make_pairs
from training.online_dpo.recipe import OnlineDpoRecipe
from training.ppo.steps import Loop, SamplingSummary, train_by_steps
from training.runs.run import Message, Progress, no_progress

if TYPE_CHECKING:
    from training.online_dpo.learner import PairLearner
    from training.ppo.checkpoint import PpoState

__all__ = ["OnlineDpoRecipe", "train_online_dpo"]


def train_online_dpo(
    recipe: OnlineDpoRecipe,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
    message: Message = say,
) -> SamplingSummary:
    """Train a policy; returns its summary. Raises: as `train_ppo`."""
    return train_by_steps(recipe, OnlineDpoLoop, resume, progress, message)


class OnlineDpoLoop(Loop[OnlineDpoRecipe]):
    """The steps of online DPO."""

    learner: "PairLearner"

    def first_state(self) -> "PpoState":
        """The weight of the KL divergence is beta, and stays."""
        from training.ppo.checkpoint import PpoState

        return PpoState(kl_coefficient=self.recipe.beta)

    def build(self) -> "tuple[PairLearner, Any]":
        """Policy and reference; a value head that nothing trains costs next to nothing."""
        from training.online_dpo.learner import PairLearner
        from training.ppo.building import build_models
        from training.ppo.settings import Clipping, ValueModel

        recipe = self.recipe
        model, accelerator, tokenizer = build_models(
            recipe, ValueModel(kind="shared"), self.run.manifest.hardware
        )
        model.value_head.requires_grad_(False)
        learner = PairLearner(
            model, accelerator, recipe.optimisation, Clipping(), recipe.steps, recipe.seed
        )
        return learner, tokenizer

    def update(
        self, step: int, drawn: Sequence[Any], scored: Any, scores: Sequence[Score],
        outcomes: Sequence[Any],  # noqa: ARG002
    ) -> dict[str, float]:  # fmt: skip
        """A DPO step on the pairs there are; prompts without one are counted."""
        recipe = self.recipe
        pairing = make_pairs(
            [(one.prompt_id, tuple(one.sequence.prompt)) for one in drawn],
            self._rewards(drawn, scores),
            recipe.label_scale,
            recipe.labels == "soft",
        )
        metrics = self.learner.improve_pairs(
            drawn, scored, pairing.pairs, recipe.loss_settings(), step
        )
        counts = {
            "pairs": len(pairing.pairs),
            "pairs_equal": pairing.equal,
            "pairs_lacking": pairing.lacking,
        }
        return metrics | {name: self._total(count) for name, count in counts.items()}

    def _rewards(self, drawn: Sequence[Any], scores: Sequence[Score]) -> list[float | None]:
        """What pairs are made by: a completion that was cut off has less, the unscored nothing."""
        penalty = self.recipe.missing_eos_penalty
        return [
            None if score.value is None else score.value - (0.0 if one.finished else penalty)
            for one, score in zip(drawn, scores, strict=True)
        ]

    def _total(self, count: int) -> float:
        import torch

        value = torch.tensor(float(count), device=self.learner.accelerator.device)
        return float(self.learner.total(value))
