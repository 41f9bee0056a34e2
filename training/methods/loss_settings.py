"""Which loss of preference pairs, with which constants: what a recipe fixes and a trainer needs."""

from typing import Annotated, Literal

from pydantic import Field

from judges.records import Record

LossName = Literal["sigmoid", "robust", "hinge", "ipo", "cpo", "simpo", "alphapo", "orpo"]
REFERENCE_FREE = ("cpo", "simpo", "alphapo", "orpo")


class LossSettings(Record):
    """A loss of preference pairs; `training.methods.pair_losses` has the formulas."""

    name: LossName
    """Gap and shape."""
    beta: float
    """Scale of the gap; in ipo, the regularisation."""
    gamma: float = 0.0
    """Target margin of simpo and alphapo, on the scale of the gap."""
    alpha: float = 0.0
    """Shape of alphapo's reward; 0 is simpo."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Share of labels taken to be wrong: cDPO with sigmoid, the unbiased loss with robust."""
    pair_weight: float = 1.0
    """Weight of the pair's loss: ORPO's λ."""
    nll_weight: float = 0.0
    """Weight of the better side's negative log-likelihood a token, beside the pair's loss."""

    @property
    def needs_reference(self) -> bool:
        """Whether it compares the policy with the model it started from."""
        return self.name not in REFERENCE_FREE
