"""Intervals for shares: every number in a report comes with its n and one of these."""

import math

Z_95 = 1.959963984540054


def wilson(successes: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share, (0, 1) for n = 0; half successes (ties) are allowed.

    Source: Wilson 1927; good at small n and near 0 and 1, where the plain interval is not.
    """
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    centre = share + Z_95**2 / (2 * n)
    spread = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n))
    scale = 1 + Z_95**2 / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
