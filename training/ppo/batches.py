"""Completions as tensors: padded at the left to be written, at the right to be learned from.

A causal model never looks to the right, so learning needs no attention mask: right padding cannot
reach a real token, and positions count from 0 by themselves. Only writing needs left padding, with
positions counted from each prompt's first token.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch


class TokenSequence(NamedTuple):
    """One prompt with one completion, as token ids."""

    prompt: Sequence[int]
    completion: Sequence[int]


class LeftPadded(NamedTuple):
    """Prompts that end in the same column."""

    input_ids: Any
    """[B, P]"""
    attention_mask: Any
    """[B, P]; 0 on padding."""
    position_ids: Any
    """[B, P]; 0 on each prompt's first token."""


class Batch(NamedTuple):
    """Sequences ready for one forward pass."""

    input_ids: Any
    """[B, P + T]: prompt, completion, padding."""
    before_BT: Any
    """[B, T]: the position from which each completion token is predicted: the one before it."""
    tokens_BT: Any
    """[B, T]: completion tokens, 0 on padding."""
    mask_BT: Any
    """[B, T]: true on completion tokens."""


def left_padded(prompts: Sequence[Sequence[int]], pad_token_id: int) -> LeftPadded:
    """Prompts padded at the left, so that all of them go on in the next column."""
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad_token_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return LeftPadded(ids, mask, (mask.cumsum(dim=1) - 1).clamp(min=0))


def right_padded(sequences: Sequence[TokenSequence], device: Any = None) -> Batch:
    """Sequences side by side, each from column 0 on."""
    longest = max(len(s.prompt) + len(s.completion) for s in sequences)
    most = max(len(s.completion) for s in sequences)
    ids = torch.zeros((len(sequences), longest), dtype=torch.long)
    tokens = torch.zeros((len(sequences), most), dtype=torch.long)
    before, mask = torch.zeros_like(tokens), torch.zeros_like(tokens, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(sequences):
        start, length = len(prompt), len(completion)
        ids[row, : start + length] = torch.tensor([*prompt, *completion])
        tokens[row, :length] = torch.tensor(completion)
        before[row, :length] = torch.arange(start - 1, start - 1 + length)
        mask[row, :length] = True
    return Batch(*(part.to(device) for part in (ids, before, tokens, mask)))


def by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices in groups of like length, each at most `tokens` large with its padding.

    A sequence longer than that is a group of its own. The longest come first: what will not fit
    into memory then fails at once, not in the last minute of a step.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    groups: list[list[int]] = []
    for i in order:
        # The first of a group is its longest, so it says how wide the group is.
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= tokens:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
