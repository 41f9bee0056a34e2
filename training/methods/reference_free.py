"""Losses of pairs that need no reference model: CPO, SimPO, AlphaPO, ORPO. Half DPO's memory.

Without a reference nothing but the learning rate holds the policy near where it started.
"""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from training.methods.loss_settings import LossSettings
from training.methods.pairs import FIXED_BY_CHARTER, PairRecipe, train_pairs

__all__ = ["AlphaPoRecipe", "CpoRecipe", "OrpoRecipe", "SimpoRecipe", "train_pairs"]

NO_EFFECT = (*FIXED_BY_CHARTER, "beta", "precompute_ref_log_probs", "sync_ref_model")


class ReferenceFreeRecipe(PairRecipe):
    """What the methods without a reference model share."""

    @model_validator(mode="after")
    def _check_trainer(self) -> Self:
        for key in NO_EFFECT:
            if key in self.trainer:
                raise ValueError(
                    f"trainer.{key} has no effect in {self.METHOD}; its constants are keys of the "
                    "recipe itself, above [trainer]"
                )
        return self


class CpoRecipe(ReferenceFreeRecipe):
    """Contrastive preference optimisation (Xu et al. 2024, arXiv:2401.08417)."""

    METHOD: ClassVar[str] = "cpo"

    beta: Annotated[float, Field(gt=0)] = 0.1
    """Scale of the difference of log-probabilities."""
    nll_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the better side's negative log-likelihood; part of the published loss."""

    def loss_settings(self) -> LossSettings:
        """CPO's loss."""
        return LossSettings(name="cpo", beta=self.beta, nll_weight=self.nll_weight)


class SimpoRecipe(ReferenceFreeRecipe):
    """SimPO: the mean log-probability of a token as reward, and a margin to reach (2405.14734)."""

    METHOD: ClassVar[str] = "simpo"

    beta: Annotated[float, Field(gt=0)] = 2.0
    """Scale of the reward; the paper's best are 2 to 10."""
    gamma: Annotated[float, Field(ge=0)] = 1.0
    """Target margin, on the scale of the gap; the paper's best are 0.1 to 0.8 times beta."""
    nll_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the better side's negative log-likelihood: CPO-SimPO."""

    def loss_settings(self) -> LossSettings:
        """SimPO's loss."""
        return LossSettings(
            name="simpo", beta=self.beta, gamma=self.gamma, nll_weight=self.nll_weight
        )


class AlphaPoRecipe(SimpoRecipe):
    """AlphaPO: SimPO with the reward's shape as one more constant (arXiv:2501.03884)."""

    METHOD: ClassVar[str] = "alphapo"

    alpha: float = 0.25
    """Shape of the reward; 0 is SimPO, above it a falling likelihood is punished sooner."""

    def loss_settings(self) -> LossSettings:
        """AlphaPO's loss."""
        return LossSettings(
            name="alphapo",
            beta=self.beta,
            gamma=self.gamma,
            alpha=self.alpha,
            nll_weight=self.nll_weight,
        )


class OrpoRecipe(ReferenceFreeRecipe):
    """ORPO: the better side's likelihood, and the odds ratio of the two (arXiv:2403.07691).

    The likelihood is of the completion alone; TRL's own trainer counts the prompt as well.
    """

    METHOD: ClassVar[str] = "orpo"

    odds_weight: Annotated[float, Field(gt=0)] = 0.1
    """The paper's λ: weight of the odds ratio's loss."""
    nll_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the better side's negative log-likelihood."""

    def loss_settings(self) -> LossSettings:
        """ORPO's loss."""
        return LossSettings(
            name="orpo", beta=1.0, pair_weight=self.odds_weight, nll_weight=self.nll_weight
        )
