"""Log-probabilities of given tokens, without ever holding the logits of all of them.

Only positions that predict a completion token are projected to the vocabulary, and those in
chunks, computed anew in the backward pass: with 128,000 tokens in the vocabulary, the logits of
8,192 positions alone are 4 GiB in float32.
"""

from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

CHUNK = 1024


def token_logprobs(
    hidden_ND: Any, tokens_N: Any, head: Any, temperature: float, soft_cap: float | None = None
) -> tuple[Any, Any]:
    """log p of each token, and the entropy of the distribution it was drawn from, without gradient.

    Logits are divided by the temperature at which the tokens were drawn: otherwise the policy
    whose probabilities are compared is not the one that wrote.
    Shapes: [N, D], [N] → [N], [N]. Units: nats.
    """
    parts = [
        _chunk(hidden, tokens, head, temperature, soft_cap)
        for hidden, tokens in zip(hidden_ND.split(CHUNK), tokens_N.split(CHUNK), strict=True)
    ]
    logprobs, entropies = zip(*parts, strict=True)
    return torch.cat(logprobs), torch.cat(entropies)


def _chunk(hidden: Any, tokens: Any, head: Any, temperature: float, soft_cap: float | None) -> Any:
    settings = (head, temperature, soft_cap)
    if torch.is_grad_enabled() and hidden.requires_grad:
        return checkpoint(_project, hidden, tokens, *settings, use_reentrant=False)
    return _project(hidden, tokens, *settings)


def _project(
    hidden: Any, tokens: Any, head: Any, temperature: float, soft_cap: float | None
) -> tuple[Any, Any]:
    logits = head(hidden).float()
    if soft_cap is not None:
        logits = soft_cap * torch.tanh(logits / soft_cap)
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    chosen = logprobs.gather(1, tokens[:, None])[:, 0]
    with torch.no_grad():
        entropy = -(logprobs.exp() * logprobs).sum(dim=-1)
    return chosen, entropy
