"""Many prompts about one pair as one sequence: what they share stands, and is computed, once.

The prompts of a pair, in both orders and under several principles, share the instructions, the
conversation and mostly the completions. Merged at equal tokens they form a tree; a token attends
to its ancestors and has its depth as position, so each prompt is computed as if it stood alone.
Measured on 679 human pairs with three principles in two orders: 0.29 of the tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TokenTree:
    """Prompts merged at their common beginnings; parents stand before their children."""

    ids_T: Ints
    """Token ids."""
    depth_T: Ints
    """Position of each token in the prompts it belongs to."""
    parent_T: Ints
    """Index of the token before it; -1 for a first token."""
    last_A: Ints
    """Index of each prompt's last token, where the answer is chosen."""


def merge_prompts(prompts: Sequence[Sequence[int]]) -> TokenTree:
    """The tree of some prompts. Shapes: T tokens in all, A prompts."""
    nodes: dict[tuple[int, int], int] = {}
    ids: list[int] = []
    depth: list[int] = []
    parent: list[int] = []
    last = []
    for prompt in prompts:
        at = -1
        for position, token in enumerate(prompt):
            found = nodes.get((at, token))
            if found is None:
                found = nodes[at, token] = len(ids)
                ids.append(token)
                depth.append(position)
                parent.append(at)
            at = found
        last.append(at)
    return TokenTree(*(np.array(part, dtype=np.int64) for part in (ids, depth, parent, last)))


def prune(tree: TokenTree, kept_A: NDArray[np.bool_]) -> tuple[TokenTree, NDArray[np.bool_]]:
    """The tree of some of its prompts, and which tokens those need. Shapes: kept_A [A], [T]."""
    needed_T = np.zeros(len(tree.ids_T), dtype=bool)
    for last in tree.last_A[kept_A].tolist():
        token = last
        while token >= 0 and not needed_T[token]:
            needed_T[token] = True
            token = int(tree.parent_T[token])
    place_T = np.cumsum(needed_T) - 1
    parent = tree.parent_T[needed_T]
    pruned = TokenTree(
        ids_T=tree.ids_T[needed_T],
        depth_T=tree.depth_T[needed_T],
        parent_T=np.where(parent < 0, -1, place_T[parent]),
        last_A=place_T[tree.last_A[kept_A]],
    )
    return pruned, needed_T


def join_trees(trees: Sequence[TokenTree]) -> TokenTree:
    """Several trees as one sequence, in which none sees another."""
    starts = np.cumsum([0, *(len(tree.ids_T) for tree in trees)])[:-1]
    return TokenTree(
        ids_T=np.concatenate([tree.ids_T for tree in trees]),
        depth_T=np.concatenate([tree.depth_T for tree in trees]),
        parent_T=np.concatenate(
            [
                np.where(tree.parent_T < 0, -1, tree.parent_T + start)
                for tree, start in zip(trees, starts, strict=True)
            ]
        ),
        last_A=np.concatenate(
            [tree.last_A + start for tree, start in zip(trees, starts, strict=True)]
        ),
    )


def attention_TT(tree: TokenTree) -> NDArray[Any]:
    """Whom each token sees: itself and its ancestors. Shapes: [T, T], bool."""
    total = len(tree.ids_T)
    sees = np.zeros((total, total), dtype=bool)
    for token, parent in enumerate(tree.parent_T.tolist()):
        if parent >= 0:
            sees[token, : parent + 1] = sees[parent, : parent + 1]
        sees[token, token] = True
    return sees
