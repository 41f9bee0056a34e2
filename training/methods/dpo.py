"""Direct preference optimisation: a recipe and preference rows in, a trained policy out."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from training.methods.loss_settings import LossSettings
from training.methods.pairs import FIXED_BY_CHARTER, PairRecipe, train_pairs

__all__ = ["DpoRecipe", "train_dpo"]

train_dpo = train_pairs
DEFAULT_BETA = 0.1


class DpoRecipe(PairRecipe):
    """A run of direct preference optimisation. Paths are relative to the working folder."""

    METHOD: ClassVar[str] = "dpo"

    loss: Literal["sigmoid", "robust", "ipo", "hinge", "trl"] = "sigmoid"
    """The loss of a pair; `trl` takes TRL's own, as [trainer] says, on hard labels."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Share of labels taken to be wrong: cDPO with sigmoid, the unbiased loss with robust."""
    nll_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the better side's negative log-likelihood, which keeps it likely (2404.19733)."""

    def loss_settings(self) -> LossSettings | None:
        """The loss to train; None for TRL's own."""
        if self.loss == "trl":
            return None
        return LossSettings(
            name=self.loss,
            beta=self.trainer.get("beta", DEFAULT_BETA),
            label_smoothing=self.label_smoothing,
            nll_weight=self.nll_weight,
        )

    @model_validator(mode="after")
    def _check_loss(self) -> Self:
        if self.loss == "trl":
            if self.labels != "hard" or self.label_smoothing or self.nll_weight:
                raise ValueError(
                    'loss = "trl" knows hard labels only, and takes its constants from [trainer]; '
                    'set labels = "hard", and drop label_smoothing and nll_weight'
                )
            return self
        for key in FIXED_BY_CHARTER:
            if key in self.trainer:
                raise ValueError(
                    f"trainer.{key} would change TRL's loss, but charter's {self.loss} loss is "
                    'trained; use loss, label_smoothing and nll_weight, or set loss = "trl" and '
                    'labels = "hard"'
                )
        if self.loss == "robust" and not self.label_smoothing:
            raise ValueError(
                'loss = "robust" needs label_smoothing, the share of labels that are wrong; '
                "`charter audit` estimates it"
            )
        return self
