"""Made-up judges of a known temperature: the truth that calibration must find again."""

import numpy as np
from scipy.special import expit

from judges.calibration.estimates import FloatArray


def judged_pairs(n: int, temperature: float, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Raw logits of an over- or underconfident judge, and labels drawn from the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 1.5, n)
    return truth * temperature, (rng.random(n) < expit(truth)).astype(np.float64)


def judged_panel(
    n: int, spreads: tuple[float, ...], seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Judges that see the truth through noise of their own spread. Shapes: (J, n), (n,)."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 2, n)
    labels = (rng.random(n) < expit(truth)).astype(np.float64)
    return np.stack([truth + rng.normal(0, spread, n) for spread in spreads]), labels
