"""What is done to a judge's raw logits when votes are tallied: never to what is stored."""

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from judges.aggregate import Floats
from judges.calibration.scaling import Calibration
from judges.canonical import canonical_json, text_digest
from judges.records import Record


class Adjustment(Record):
    """A calibration, and how sure a judge may be at most."""

    calibration: Calibration | None = None
    """The fitted map; none: raw logits."""
    clamp: Annotated[float, Field(gt=0.5, le=1)] | None = None
    """Probabilities are held within [1 - clamp, clamp]. Source: Bai et al. 2022, section 4.3."""

    @property
    def text(self) -> str:
        """Its canonical text, as the vote store interns it."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The sha-256 of its text: what rankings name."""
        return text_digest(self.text)

    def apply(self, logits: Floats) -> Floats:
        """The adjusted logits, of the same shape; NaN stays NaN."""
        if self.calibration is not None:
            logits = self.calibration.apply(logits)
        if self.clamp is not None and self.clamp < 1:
            bound = math.log(self.clamp) - math.log1p(-self.clamp)
            logits = np.clip(logits, -bound, bound)
        return logits
