"""Bradley–Terry strengths from soft pairwise probabilities, many small tournaments at once.

Maximises Σ p·log σ(sᵢ - sⱼ) + (1 - p)·log σ(sⱼ - sᵢ) by Newton's method from the least-squares
solution on the logits, which is already exact when the probabilities are consistent.
Source: Bradley and Terry 1952; Hunter 2004 for soft counts.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LARGEST_LOGIT = 15.0
"""Probabilities are read as if no surer than this: one certain pair must not set the scale."""
ITERATIONS = 20


def fit_bradley_terry(p_RNN: Floats) -> Floats:
    """Zero-mean strengths, in logits; 0 for a completion with no observed pair.

    Shapes: (R, N, N) with NaN for unobserved pairs → (R, N). The observed pairs must connect
    the completions they touch.
    """
    seen = ~np.isnan(p_RNN) & ~np.eye(p_RNN.shape[-1], dtype=bool)
    bound = 1 / (1 + np.exp(LARGEST_LOGIT))
    p = np.clip(np.where(seen, p_RNN, 0.5), bound, 1 - bound)
    strength = _solve(seen.astype(float), np.where(seen, np.log(p) - np.log1p(-p), 0.0).sum(2))
    if p.shape[-1] > 2:
        strength = _newton(p, seen, strength)
    touched = seen.any(2)
    mean = (strength * touched).sum(1) / np.maximum(touched.sum(1), 1)
    return np.where(touched, strength - mean[:, None], 0.0)


def _newton(p: Floats, seen: npt.NDArray[np.bool_], strength: Floats) -> Floats:
    for _ in range(ITERATIONS):
        expected = 0.5 * (1 + np.tanh(0.5 * (strength[:, :, None] - strength[:, None, :])))
        gradient = np.where(seen, p - expected, 0.0).sum(2)
        step = _solve(np.where(seen, expected * (1 - expected), 0.0), gradient)
        strength = strength + np.clip(step, -2.0, 2.0)
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
    return strength


def _solve(weight: Floats, right: Floats) -> Floats:
    """Solve the weighted Laplacian system; the tiny ridge fixes the free constant of each part."""
    n = weight.shape[-1]
    laplacian = weight.sum(2)[:, :, None] * np.eye(n) - weight
    ridge = 1e-9 * np.eye(n) * (1.0 + weight.sum((1, 2)))[:, None, None]
    return np.asarray(np.linalg.solve(laplacian + ridge, right[..., None])[..., 0])
