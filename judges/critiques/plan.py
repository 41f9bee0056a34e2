"""Which principle is taken in which round: drawn with a seed, or each in turn."""

import random
from collections.abc import Sequence
from itertools import count, islice
from typing import Literal

from judges.canonical import digest
from judges.constitutions.constitution import Constitution, Principle
from judges.errors import ConfigError
from judges.suggest import did_you_mean

ALL = "all"
Request = Literal["critique", "revise"]


def chosen_principles(
    constitution: Constitution, names: str | None, needed: Sequence[Request]
) -> tuple[Principle, ...]:
    """The principles named, `id,id`, in that order; else all that have the requests needed.

    Raises: ConfigError for an unknown one, for one that lacks a request, and where none is left.
    """
    known = {principle.id: principle for principle in constitution.principles}
    if names not in (None, ALL):
        return tuple(
            _named(name.strip(), known, constitution, needed) for name in str(names).split(",")
        )
    able = tuple(p for p in constitution.principles if not _lacking(p, needed))
    if not able:
        raise ConfigError(
            f"{constitution.reference}: no principle has {' and '.join(needed)}; add "
            f"{' and '.join(f'`{request}: …`' for request in needed)} to one"
        )
    return able


def _named(
    name: str, known: dict[str, Principle], constitution: Constitution, needed: Sequence[Request]
) -> Principle:
    if name not in known:
        raise ConfigError(
            f"--principles: {constitution.reference} has no principle {name!r}"
            f"{did_you_mean(name, known)}; it has {', '.join(known)}"
        )
    if lacking := _lacking(known[name], needed):
        raise ConfigError(
            f"--principles: {name!r} of {constitution.reference} has no `{lacking[0]}`; add it, "
            "or leave the principle out"
        )
    return known[name]


def _lacking(principle: Principle, needed: Sequence[Request]) -> list[Request]:
    return [request for request in needed if not getattr(principle, request)]


def drawn_principles(
    principles: Sequence[Principle], rounds: int, seed: int, identity: str
) -> list[Principle]:
    """One principle for each round of one text: none comes again before all have come.

    A pure function of its arguments, and the same first rounds whatever their number.
    """
    order = (
        principle
        for cycle in count()
        for principle in random.Random(digest([seed, identity, cycle])).sample(
            list(principles), len(principles)
        )
    )
    return list(islice(order, rounds))
