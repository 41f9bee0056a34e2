"""An item's ballot: whose votes count, and which of its pairs are judged."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Literal

from judges.active_pairs import budget_of
from judges.canonical import text_digest
from judges.constitutions.constitution import Constitution
from judges.constitutions.rules import reads_reference
from judges.judge import Judge, Method, rule_setting, settings_of
from judges.matter import group_size
from judges.pair_rounds import FewPairs
from judges.records import Item
from judges.tally import EMPTY, Ballot, Settings

Pairs = Literal["all", "ring", "chain"]
PairsOf = Mapping[str, Sequence[tuple[int, int]]]
"""Each item's pairs, by its id."""


def chosen_pairs(size: int, pairs: Pairs) -> list[tuple[int, int]]:
    """The pairs to judge among so many completions, each with i < j.

    `chain`: each completion against the next, the fewest that connect all. `ring`: the last
    against the first too, the fewest that show a cycle.
    """
    if pairs == "all":
        return list(combinations(range(size), 2))
    chain = [(i, i + 1) for i in range(size - 1)]
    return chain if pairs == "chain" or size < 3 else sorted([*chain, (0, size - 1)])


def judged_pairs(ballot: Ballot, pairs: Pairs) -> list[tuple[int, int]]:
    """The pairs to judge on a ballot: a ring passes over empty completions, and stays closed."""
    filled = [index for index, text in enumerate(ballot.completions) if text != EMPTY]
    return [(filled[i], filled[j]) for i, j in chosen_pairs(len(filled), pairs)]


def pairs_to_judge(ballot: Ballot, pairs: Pairs | PairsOf) -> Sequence[tuple[int, int]]:
    """The pairs to judge on a ballot, named for it or chosen by a rule."""
    return judged_pairs(ballot, pairs) if isinstance(pairs, str) else pairs[ballot.id]


def most_pairs(size: int, pairs: Pairs | FewPairs | PairsOf) -> int:
    """How many pairs of so many completions are judged at most."""
    if isinstance(pairs, FewPairs):
        return budget_of(size, pairs.budget)
    return len(chosen_pairs(size, pairs if isinstance(pairs, str) else "all"))


def ballot_of(item: Item, settings: Settings) -> Ballot:
    """The ballot of an item: its digests, and whose votes count."""
    return Ballot(
        id=item.id,
        conversation=text_digest(item.conversation_text),
        completions=tuple(
            text_digest(completion.text) if completion.text.strip() else EMPTY
            for completion in item.completions
        ),
        settings=settings,
    )


def ballot_maker(
    judges: Sequence[Judge], constitution: Constitution, method: Method
) -> Callable[[Item], Ballot]:
    """What makes an item's ballot.

    A group is asked about under a setting of its size; rules that compare with an item's answer
    under one that names the answer.
    """
    settings = cache(lambda size: settings_of(judges, method, size))
    compares = compares_answers(constitution)

    def make(item: Item) -> Ballot:
        asked = settings(group_size(item) if method.kind == "list" else 0)
        if compares and item.answer is not None:
            asked = asked.model_copy(update={"rule": rule_setting(item.answer).digest})
        return ballot_of(item, asked)

    return make


def compares_answers(constitution: Constitution) -> bool:
    """Whether a rule compares completions with an item's right answer."""
    return any(p.rule and reads_reference(p.rule) for p in constitution.principles)
