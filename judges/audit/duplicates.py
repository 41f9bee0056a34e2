"""Pairs met twice, pairs that contradict each other, pairs without a difference, and leaks."""

from collections.abc import Sequence

import numpy as np

from judges.audit.copies import copy_numbers
from judges.audit.pairs import AuditPairs
from judges.audit.words import Words
from judges.calibration.estimates import Estimate, IntArray, share_estimate
from judges.records import Record

EXAMPLES = 5


class Found(Record):
    """How many pairs have a fault, and some of them."""

    pairs: int
    """Pairs with the fault."""
    examples: list[str]
    """Ids of the first few."""


class DuplicateReport(Record):
    """Copies among pairs; near copies include exact ones."""

    repeated: Found
    """Pairs that say again what an earlier one said, word for word."""
    near_repeated: Found
    """The same, in nearly the same words."""
    contradictory: Found
    """Pairs that say the opposite of the first pair on the same texts, word for word."""
    near_contradictory: Found
    """The same, in nearly the same words."""
    identical: Found
    """Pairs whose chosen and rejected completions are the same text, spaces aside."""
    near_identical: Found
    """The same, in nearly the same words: few words decide, which may be meant so."""
    contradicting: Estimate | None
    """Of pairs whose texts an earlier pair has, nearly: the share that says the opposite."""


class Leakage(Record):
    """Prompts that stand in a file held out, too."""

    against: str
    """The file held out."""
    prompts: int
    """Prompts read from it."""
    exact: Found
    """Pairs whose prompt stands there word for word."""
    near: Found
    """Pairs whose prompt stands there, in nearly the same words."""
    held_out_exact: int
    """Prompts of it that are trained on, word for word."""


def find_duplicates(pairs: AuditPairs, words: Words | None = None) -> DuplicateReport:
    """Copies and contradictions among pairs. Cost: linear in words.

    `words` are those of the completions, chosen and rejected in turn, where split already.
    """
    prompt_exact, prompt_near = copy_numbers(pairs.prompts)
    texts = [text for pair in zip(pairs.chosen, pairs.rejected, strict=True) for text in pair]
    exact, near = copy_numbers(texts, words)
    again, against = _met_before(prompt_exact, exact[0::2], exact[1::2])
    near_again, near_against = _met_before(prompt_near, near[0::2], near[1::2])
    met = near_again | near_against
    return DuplicateReport(
        repeated=_found(pairs.ids, again),
        near_repeated=_found(pairs.ids, near_again),
        contradictory=_found(pairs.ids, against),
        near_contradictory=_found(pairs.ids, near_against),
        identical=_found(pairs.ids, exact[0::2] == exact[1::2]),
        near_identical=_found(pairs.ids, near[0::2] == near[1::2]),
        contradicting=share_estimate(near_against[met].astype(np.float64)) if met.any() else None,
    )


def _met_before(
    prompt: IntArray, chosen: IntArray, rejected: IntArray
) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs repeat, and which contradict, the first pair on the same texts."""
    low, high = np.minimum(chosen, rejected), np.maximum(chosen, rejected)
    keys = np.column_stack([prompt, low, high])
    _, first, number = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    leader = first[number.reshape(-1)]
    later = (leader != np.arange(len(prompt))) & (low != high)
    same = chosen == chosen[leader]
    return later & same, later & ~same


def find_leakage(pairs: AuditPairs, held_out: Sequence[str], name: str) -> Leakage:
    """Which pairs have a prompt that a held-out file has. Cost: linear in words."""
    n = len(pairs)
    exact, near = copy_numbers([*pairs.prompts, *held_out])
    return Leakage(
        against=name,
        prompts=len(held_out),
        exact=_found(pairs.ids, np.isin(exact[:n], exact[n:])),
        near=_found(pairs.ids, np.isin(near[:n], near[n:])),
        held_out_exact=int(np.isin(exact[n:], exact[:n]).sum()),
    )


def _found(ids: Sequence[str], hit: np.ndarray) -> Found:
    at = np.flatnonzero(hit)
    return Found(pairs=len(at), examples=[ids[index] for index in at[:EXAMPLES]])
