"""Merged prompts: the same tokens, seen by the same tokens, at the same positions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.distilled_judge.token_tree import (
    TokenTree,
    attention_TT,
    join_trees,
    merge_prompts,
    prune,
)

PROMPTS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=6)


def path(tree: TokenTree, last: int) -> list[int]:
    """Indices from a first token to this one."""
    found: list[int] = []
    while last >= 0:
        found.insert(0, last)
        last = int(tree.parent_T[last])
    return found


@given(PROMPTS)
def test_each_answer_sees_exactly_its_prompt(prompts: list[list[int]]) -> None:
    tree = merge_prompts(prompts)
    sees = attention_TT(tree)
    for prompt, last in zip(prompts, tree.last_A.tolist(), strict=True):
        places = path(tree, last)
        assert tree.ids_T[places].tolist() == prompt
        assert tree.depth_T[places].tolist() == list(range(len(prompt)))
        assert np.flatnonzero(sees[last]).tolist() == places
    distinct = {tuple(prompt[: n + 1]) for prompt in prompts for n in range(len(prompt))}
    assert len(tree.ids_T) == len(distinct)


@given(PROMPTS, PROMPTS)
def test_joined_trees_do_not_see_each_other(one: list[list[int]], two: list[list[int]]) -> None:
    trees = [merge_prompts(one), merge_prompts(two)]
    sees = attention_TT(join_trees(trees))
    first = len(trees[0].ids_T)
    assert not sees[:first, first:].any() and not sees[first:, :first].any()
    assert (sees[:first, :first] == attention_TT(trees[0])).all()
    assert (sees[first:, first:] == attention_TT(trees[1])).all()
    joined = join_trees(trees)
    assert [path(joined, last) for last in joined.last_A.tolist()][len(one) :] == [
        [first + place for place in path(trees[1], last)] for last in trees[1].last_A.tolist()
    ]


@given(PROMPTS, st.data())
def test_a_pruned_tree_is_that_of_the_prompts_left(
    prompts: list[list[int]], data: st.DataObject
) -> None:
    size = len(prompts)
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)), dtype=bool)
    whole = merge_prompts(prompts)
    pruned, needed_T = prune(whole, kept)
    left = [prompt for prompt, keep in zip(prompts, kept.tolist(), strict=True) if keep]
    assert [pruned.ids_T[path(pruned, last)].tolist() for last in pruned.last_A.tolist()] == left
    assert len(pruned.ids_T) == needed_T.sum() == len(merge_prompts(left).ids_T)
    assert (pruned.ids_T == whole.ids_T[needed_T]).all()
    assert (attention_TT(pruned) == attention_TT(whole)[np.ix_(needed_T, needed_T)]).all()
