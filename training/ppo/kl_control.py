"""How much the KL penalty weighs: fixed, or steered towards a target."""

from training.ppo.settings import KlControl

LARGEST_ERROR = 0.2


def adapted_coefficient(coefficient: float, kl: float, control: KlControl) -> float:
    """The next step's coefficient: up when the KL of this one was above the target.

    Source: Ziegler et al. 2019, arXiv:1909.08593, section 2.2 (error clipped to 0.2, K = 0.1).
    """
    if control.target is None:
        return coefficient
    error = min(LARGEST_ERROR, max(-LARGEST_ERROR, kl / control.target - 1))
    return coefficient * (1 + control.gain * error)
