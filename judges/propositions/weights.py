"""Fitted weights of statements as a record and a file: what turns phi into a reward."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from judges.calibration.estimates import Estimate, FloatArray
from judges.canonical import digest
from judges.errors import DataError
from judges.items import first_problem
from judges.jsonl import read_text, replacing
from judges.propositions.reward import weighted_sum
from judges.records import Record


class PropositionWeights(Record):
    """Fitted weights, and how well they rank prompts that they were not fitted on."""

    names: tuple[str, ...]
    """The statements, in the order of the weights."""
    weights: tuple[Annotated[float, Field(allow_inf_nan=False)], ...]
    """What one more unit of P(yes) adds to the score; a margin is the unit."""
    margin: float
    """How far the better completion should be ahead."""
    l2: float
    """Strength of the penalty l2·|w|²/2 beside the mean loss of a pair."""
    with_base_reward: bool
    """Fitted on top of another reward: scores need it too."""
    pairs: int
    """Ordered pairs that were fitted."""
    pairs_unscored: int
    """Pairs left out because an answer is missing."""
    prompts: int
    """Prompts that the pairs come from."""
    loss: float
    """Mean hinge loss over the fitted pairs."""
    gap: float
    """The penalised loss is at most this far above the least possible."""
    frac_clipped: Estimate
    """Share of fitted pairs that have the whole margin, and so no loss."""
    accuracy: Estimate
    """Share of fitted pairs ranked right, a tie a half."""
    held_out_frac_clipped: Estimate | None
    """The same by weights fitted without the pair's prompt; none with a single prompt."""
    held_out_accuracy: Estimate | None
    """The same by weights fitted without the pair's prompt; none with a single prompt."""
    folds: int
    """Parts that were held out in turn; 0 with a single prompt."""
    seed: int
    """What put the prompts into folds."""

    @model_validator(mode="after")
    def _one_weight_a_name(self) -> Self:
        if len(self.names) != len(self.weights) or len(set(self.names)) != len(self.names):
            raise ValueError(f"{len(self.weights)} weights for {len(self.names)} distinct names")
        return self

    @property
    def digest(self) -> str:
        """The sha-256 of what scoring reads, names and weights: what a dataset made by it names."""
        read = {"weights": dict(zip(self.names, self.weights, strict=True))}
        return digest(read | {"with_base_reward": self.with_base_reward})

    def score(
        self, phi_NF: FloatArray, base_N: FloatArray | None = None, min_weight: float = 1.0
    ) -> FloatArray:
        """base + Σ w·phi of each completion; NaN where unscored. Columns in the order of `names`.

        Raises: DataError when a base reward is lacking or comes though none was fitted.
        """
        if self.with_base_reward != (base_N is not None):
            wanted = "with" if self.with_base_reward else "without"
            raise DataError(f"these weights were fitted {wanted} a base reward; score them so too")
        return weighted_sum(phi_NF, self.weights, base_N, min_weight)


def read_weights(path: Path) -> PropositionWeights:
    """The weights in a JSON file. Raises: DataError when it is absent or none."""
    try:
        return PropositionWeights.model_validate_json(read_text(path))
    except ValidationError as error:
        raise DataError(f"{path}: no proposition weights: {first_problem(error)}") from None


def write_weights(path: Path, weights: PropositionWeights) -> None:
    """Write the weights as a JSON file, whole or not at all. Raises: DataError."""
    with replacing(path) as file:
        file.write(weights.model_dump_json(indent=2).encode() + b"\n")
