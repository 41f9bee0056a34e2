"""What a population agrees on as a weighted constitution, with the support of each principle."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from judges.calibration.estimates import Estimate
from judges.collective.consensus import Consensus, Population
from judges.collective.votes import Statement
from judges.constitutions.constitution import Constitution, Principle
from judges.errors import DataError
from judges.inference.write import said, slug


class Adopting(NamedTuple):
    """Which statements become principles."""

    least: float = 0.5
    """Geometric mean over groups of the probability to agree."""
    most: int = 20
    least_seen: int = 5
    """Participants of each group who must have seen the statement."""


def adopted(population: Population, how: Adopting) -> tuple[list[Consensus], dict[str, str]]:
    """The statements that become principles, most agreed on first; why each other does not."""
    kept: list[Consensus] = []
    dropped: dict[str, str] = {}
    for one in population.statements:
        fewest = min(group.n for group in one.groups)
        if fewest < how.least_seen:
            dropped[one.statement] = f"only {fewest} of a group saw it"
        elif one.per_group.value < how.least:
            dropped[one.statement] = f"consensus {one.per_group.value:.3f} is below {how.least:g}"
        elif len(kept) == how.most:
            dropped[one.statement] = f"beyond the first {how.most}"
        else:
            kept.append(one)
    return kept, dropped


def collective_constitution(
    name: str,
    population: Population,
    statements: Sequence[Statement],
    how: Adopting,
    *,
    licence: str,
) -> Constitution:
    """The adopted statements as principles; a weight is the consensus per group, from 0 to 1.

    Raises: DataError for a statement without a text, or when none is adopted.
    """
    kept, dropped = adopted(population, how)
    if not kept:
        raise DataError(
            f"none of {len(dropped)} statements is adopted; lower --least or --least-seen"
        )
    texts = {one.id: one for one in statements}
    ids: list[str] = []
    principles = [_principle(one, texts, ids) for one in kept]
    sizes = ", ".join(map(str, population.sizes))
    return Constitution(
        name=name,
        version="0.1.0",
        title=f"Agreed on by a group: {name}",
        licence=licence,
        description=(
            f"{len(kept)} of {len(population.statements)} statements, by group-informed consensus "
            f"of {population.participants} participants in opinion groups of {sizes}; "
            f"{population.ungrouped} with too few votes are in none. Who took part decides whose "
            "values these are."
        ),
        principles=tuple(principles),
    )


def _principle(one: Consensus, texts: Mapping[str, Statement], ids: list[str]) -> Principle:
    if one.statement not in texts:
        raise DataError(
            f"statement {one.statement!r} has votes, but no text; add it to the statements file"
        )
    statement = texts[one.statement]
    stem = slug(statement.text, "statement")
    ids.append(stem if stem not in ids else f"{stem}-{len(ids) + 1}")
    return Principle(
        id=ids[-1],
        family=slug(statement.family or "collective", "collective"),
        title=statement.text[:80],
        text=statement.text,
        weight=max(round(one.per_group.value, 4), 1e-4),
        critique=f"Quote where the completion falls short of this, and say how: {statement.text}",
        revise=f"Rewrite the completion so that this holds, and change nothing else: "
        f"{statement.text}",
        source=_source(one),
    )


def _source(one: Consensus) -> str:
    groups = "; ".join(
        f"group {number} {_share(group.share)}" for number, group in enumerate(one.groups, start=1)
    )
    per = one.per_group
    return (
        f"Statement {one.statement}, agreed to by {_share(one.overall.share)}; {groups}. "
        f"Group-informed consensus {one.consensus:.3f}, per group {per.value:.3f} (95 % interval "
        f"{per.low:.3f} to {per.high:.3f}, n = {per.n})."
    )


def _share(share: Estimate | None) -> str:
    return said(share)
