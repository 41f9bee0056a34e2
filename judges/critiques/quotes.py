"""Finding a quote in the text it is from: verbatim, or but for its white space."""

import re


def find_quote(quote: str, text: str) -> tuple[int, int] | None:
    """Where a text says a quote first, as start and end offsets; None where it does not.

    Runs of white space match each other, since models re-wrap lines. An empty quote is nowhere.
    """
    words = quote.split()
    if not words:
        return None
    start = text.find(quote)
    if start >= 0:
        return start, start + len(quote)
    found = re.search(r"\s+".join(map(re.escape, words)), text)
    return found.span() if found else None
