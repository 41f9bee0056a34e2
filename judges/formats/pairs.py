"""Preference pairs out of rows of every format that is about: ours and other tools'.

| format | recognised by |
|---|---|
| charter, TRL | `chosen`, `rejected`: text or messages; `prompt`, or turns that both share |
| ultrafeedback_binarized, distilabel | the same; turns of the prompt that are repeated are cut |
| hh-rlhf | `chosen`, `rejected`: transcripts of `Human:` and `Assistant:` |
| LLaMA-Factory | `instruction` or `conversations` beside `chosen` and `rejected` |
| OpenRLHF | as TRL; other names of columns by `columns` of the source |
| UltraFeedback | `instruction`, `completions` with ratings; distilabel: `generations`, `ratings` |
| rankings | `ranking`, `p`: the lines of `charter rank` |
| labelled | `completions` with `preferred_index`, and what `charter judge-card` reads |
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from types import MappingProxyType
from typing import Any, NamedTuple

from judges.cards.labelled import TIE, parse_labelled
from judges.errors import DataError
from judges.formats.messages import Messages, as_messages, as_prompt, as_turns, short, split_pair
from judges.preferences import PairingSettings, preference_rows

ALWAYS = 1.0
EVEN = 0.5
RATINGS = ("overall_score", "fine-grained_score", "rating", "score")


class RawPair(NamedTuple):
    """A pair as its row tells it."""

    prompt: Messages
    chosen: Messages
    rejected: Messages
    p_chosen: Any
    """Not checked yet; None where the row has no probability."""
    weight: Any
    """Not checked yet; None where the row has none."""
    principles: Mapping[str, Any] = MappingProxyType({})
    """What each principle voted for chosen, where a row tells it."""


def parse_pairs(
    row: Mapping[str, Any], where: str, pairing: str, dropped: Counter[str]
) -> Iterator[RawPair]:
    """The pairs of a row, in any known format; what is left out is counted by reason.

    Raises: DataError that says what, where and what to do; UnusableRowError for an empty turn.
    """
    for pair in _formatted(row, where, pairing, dropped):
        if pair.chosen == pair.rejected:
            dropped["chosen equals rejected"] += 1
        else:
            yield pair


def _formatted(
    row: Mapping[str, Any], where: str, pairing: str, dropped: Counter[str]
) -> Iterator[RawPair]:
    if "ranking" in row and "p" in row:
        yield from _ranking(row, where, pairing, dropped)
    elif "chosen" in row and "rejected" in row:
        yield _pair(row, where)
    elif "chosen" in row or "rejected" in row:
        there, absent = ("chosen", "rejected") if "chosen" in row else ("rejected", "chosen")
        raise DataError(f"{where}: no `{absent}` beside `{there}`; a pair needs both")
    elif "generations" in row and "ratings" in row:
        yield from _rated(prompt_of(row, where), _generations(row, where), where, pairing, dropped)
    elif "instruction" in row and isinstance(row.get("completions"), list):
        rated = [(one.get("response"), _rating(one, where)) for one in row["completions"]]
        yield from _rated(prompt_of(row, where), rated, where, pairing, dropped)
    else:
        yield from _labelled(row, where, dropped)


def _pair(row: Mapping[str, Any], where: str) -> RawPair:
    whole = prompt_of(row, where)
    if whole is None:
        prompt, chosen, rejected = split_pair(
            None,
            as_turns(row["chosen"], f"{where}: chosen"),
            as_turns(row["rejected"], f"{where}: rejected"),
            where,
        )
    else:
        prompt, chosen, rejected = split_pair(
            whole,
            as_messages(row["chosen"], "assistant", f"{where}: chosen"),
            as_messages(row["rejected"], "assistant", f"{where}: rejected"),
            where,
        )
    return _told(row, prompt, chosen, rejected)


def _told(
    row: Mapping[str, Any], prompt: Messages, chosen: Messages, rejected: Messages
) -> RawPair:
    """A pair with what its row says of it besides."""
    given = row.get("p_chosen"), row.get("weight"), votes_of(row)
    return RawPair(prompt, chosen, rejected, *given)


def votes_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Each principle's probability for chosen, not checked; empty where a row tells none."""
    votes = row.get("principles")
    return votes if isinstance(votes, Mapping) else {}


def probability(p: Any, where: str) -> float | None:
    """A row's `p_chosen`; None where it has none. Raises: DataError when it is no probability."""
    if p is None:
        return None
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1 or math.isnan(p):
        raise DataError(f"{where}: p_chosen is {short(p)}; use a probability from 0 to 1")
    return float(p)


def prompt_of(row: Mapping[str, Any], where: str) -> Messages | None:
    """The conversation of a row, under any tool's name of it; None where it has no such column."""
    if row.get("prompt") is not None:
        return as_prompt(row["prompt"], f"{where}: prompt")
    for column in ("conversations", "messages"):
        if isinstance(row.get(column), list):
            lead = [{"role": "system", "content": row["system"]}] if row.get("system") else []
            return as_messages([*lead, *row[column]], "user", f"{where}: {column}")
    if "instruction" not in row:
        return None
    turns = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    for asked, answered in row.get("history") or ():
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    parts = (row["instruction"], row.get("input"))
    text = "\n".join(part for part in parts if isinstance(part, str) and part)
    return as_messages([*turns, {"role": "user", "content": text}], "user", f"{where}: instruction")


def conversation_of(row: Mapping[str, Any], where: str) -> Messages | None:
    """`prompt_of`, or what both completions of a row answer; None where those are equal.

    Raises: DataError for a row in no known format.
    """
    turns = prompt_of(row, where)
    if turns is None:
        pairs = parse_pairs(row, where, "all", Counter())
        turns = next((pair.prompt for pair in pairs), None)
    return turns


def _ranking(
    row: Mapping[str, Any], where: str, pairing: str, dropped: Counter[str]
) -> Iterator[RawPair]:
    settings = PairingSettings.model_validate({"pairing": pairing, "minimum_margin": 0})
    try:
        rows = list(preference_rows([row], settings, dropped))
    except (KeyError, IndexError, TypeError) as error:
        raise DataError(
            f"{where}: no ranking line ({error!r}); make it with `charter rank`"
        ) from None
    for found in rows:
        yield _pair(found, where)


def _rated(
    prompt: Messages | None,
    rated: list[tuple[Any, float | None]],
    where: str,
    pairing: str,
    dropped: Counter[str],
) -> Iterator[RawPair]:
    if prompt is None:
        raise DataError(f"{where}: no `prompt` or `instruction` beside the ratings; add it")
    known = [
        (text, rating)
        for text, rating in rated
        if rating is not None and isinstance(text, str) and text.strip()
    ]
    dropped["unrated"] += len(rated) - len(known)
    best_first = sorted(known, key=lambda one: -one[1])
    pairs = list(combinations(best_first, 2))
    if pairing == "best-worst":
        pairs = [(best_first[0], best_first[-1])] if len(best_first) > 1 else []
    for (better, high), (worse, low) in pairs:
        if high == low:
            dropped["tie"] += 1
        else:
            chosen = as_messages(better, "assistant", where)
            yield RawPair(prompt, chosen, as_messages(worse, "assistant", where), None, None)


def _generations(row: Mapping[str, Any], where: str) -> list[tuple[Any, float | None]]:
    """distilabel's texts with their ratings, None where a judge gave none."""
    texts, ratings = row["generations"], row["ratings"]
    lists = isinstance(texts, list) and isinstance(ratings, list)
    if not lists or len(texts) != len(ratings):
        raise DataError(
            f"{where}: `generations` and `ratings` are no lists of one length; give each "
            "generation its rating, or null"
        )
    return [(text, _number(rating, where)) for text, rating in zip(texts, ratings, strict=True)]


def _number(rating: Any, where: str) -> float | None:
    """A rating, None where there is none. Raises: DataError for what is no number."""
    if rating in (None, "N/A"):
        return None
    try:
        number = float(rating)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise DataError(f"{where}: a rating is {short(rating)}; use numbers, or null for none")
    return number


def _rating(completion: Any, where: str) -> float | None:
    """UltraFeedback's overall score, or the mean of its four ratings, which are strings there."""
    if not isinstance(completion, dict):
        raise DataError(f"{where}: a completion is no object; use {{response, annotations}}")
    annotations = completion.get("annotations") or {}
    given = [completion.get(name) for name in RATINGS if completion.get(name) is not None][:1]
    given = given or [one.get("Rating") for one in annotations.values() if isinstance(one, dict)]
    found = [_number(one, where) for one in given]
    ratings = [one for one in found if one is not None]
    return sum(ratings) / len(ratings) if ratings else None


def _labelled(row: Mapping[str, Any], where: str, dropped: Counter[str]) -> Iterator[RawPair]:
    pair = parse_labelled(row, where)
    if pair.preferred == TIE:
        dropped["tie"] += 1
        return
    better, worse = pair.item.completions[:: 1 if pair.preferred > TIE else -1]
    if not better.text.strip() or not worse.text.strip():
        dropped["empty"] += 1
        return
    prompt = as_messages([turn.model_dump() for turn in pair.item.prompt], "user", where)
    chosen, rejected = (as_messages(one.text, "assistant", where) for one in (better, worse))
    yield _told(row, prompt, chosen, rejected)
