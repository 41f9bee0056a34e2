"""An online DPO run as a recipe. Importing this loads no torch."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from training.methods.loss_settings import LossSettings
from training.ppo.recipe import SamplingRecipe
from training.ppo.settings import Optimisation


class PairOptimisation(Optimisation):
    """How a step updates the weights: once through its pairs, unless told otherwise."""

    epochs: Annotated[int, Field(ge=1)] = 1
    """Passes over the pairs of a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-6
    """Of the policy; falls to 0 in a line. Adapters take about 100 times as much."""


class OnlineDpoRecipe(SamplingRecipe):
    """A run of online DPO. Paths are relative to the working folder."""

    METHOD: ClassVar[str] = "online-dpo"

    samples_per_prompt: Annotated[int, Field(ge=2)] = 4
    """Completions of each prompt a step; the best and the worst of them are a pair."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """How dearly a nat away from the reference is paid for."""
    loss: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
    """The loss of a pair; training/methods/pair_losses.py has the formulas."""
    labels: Literal["soft", "hard"] = "soft"
    """The pair's label: the probability that the better is better, or 1."""
    label_scale: Annotated[float, Field(gt=0)] = 1.0
    """Reward difference at which soft labels say e to 1: 1 where rewards are log-odds, as a
    reward model's are; 0.1 or so for a judge's or rules', between 0 and 1."""
    missing_eos_penalty: Annotated[float, Field(ge=0)] = 1.0
    """Taken off the reward of a completion that was cut off, before pairs are made; 0: nothing."""
    optimisation: PairOptimisation = PairOptimisation()

    def loss_settings(self) -> LossSettings:
        """The loss to train."""
        return LossSettings(name=self.loss, beta=self.beta)

    @model_validator(mode="after")
    def _check_value(self) -> Self:
        if self.optimisation.value_learning_rate is not None:
            raise ValueError("optimisation.value_learning_rate: online DPO has no value model")
        return self
