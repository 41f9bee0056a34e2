"""Rows that are not trained on: counted, the first one named, and bounded."""

from collections.abc import Sequence

from judges.errors import DataError


def tell_left_out(
    places: Sequence[str], total: int, what: str, most: float | None = None
) -> list[str]:
    """What is said of the rows at these places, out of so many; nothing where there are none.

    Raises: DataError where they are a larger share than `most`, the recipe's `max_dropped`.
    """
    if not places:
        return []
    told = f"{len(places)} of {total} {what}; the first: {places[0]}"
    if most is not None and len(places) > most * total:
        raise DataError(f"{told}: more than max_dropped = {most:g} allows; raise it, or mend them")
    return [f"{told}; left out"]
