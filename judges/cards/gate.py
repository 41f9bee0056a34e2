"""Is this judge's worth known? Cards found for the judges of a ranking, and what is said of it.

Cards lie in `CHARTER_HOME/cards/`, one folder for each way of asking each set of judges.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from judges.adapters.shipped import FOLDER, shipped_cards
from judges.canonical import digest
from judges.constitutions.constitution import Constitution
from judges.errors import ConfigError, DataError
from judges.jsonl import read_text, replacing
from judges.progress import say
from judges.records import Record

Gate = Literal["missing", "chance", "above_chance_only", "ok", "rules_only"]
COMMAND = (
    "charter judge-card --data LABELLED --constitution {constitution}{judges} --output card.json"
)


GOOD = ("ok", "rules_only")
NO_CARD = "no judge card was found"


class CardHeadSubject(BaseModel):
    """Of what the card is about, what the gate reads."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    judges: tuple[str, ...]
    settings: tuple[str, ...]
    constitution: str
    judged_digest: str


class CardHead(BaseModel):
    """What the gate reads of a card; whatever else later versions put there is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal["charter judge card"]
    subject: CardHeadSubject
    n: int
    gate: Literal["ok", "above_chance_only", "chance"]
    gate_reason: str


class CardMark(Record):
    """What a ranking line says of its judges' card."""

    gate: Gate
    """`missing`: no card; `rules_only`: no judge labels, so none is needed; else the card's."""
    digest: str | None = None
    """Of the card."""
    constitution: str | None = None
    """What the card was measured under, where that is not what the ranking is made under."""
    told: str = ""
    """The gate in words."""


def cards_folder() -> Path:
    """`cards` in `CHARTER_HOME`."""
    home = os.environ.get("CHARTER_HOME") or Path.home() / ".local" / "share" / "charter"
    return Path(home) / "cards"


def keep_card(card: dict[str, Any]) -> Path:
    """Keep a card where rankings look for it; a newer one of the same judge replaces it."""
    subject = card["subject"]
    path = cards_folder() / _key(subject["settings"]) / f"{subject['judged_digest'][:32]}.json"
    with replacing(path) as file:
        file.write(orjson.dumps(card, option=orjson.OPT_INDENT_2))
    return path


def find_card(
    settings: Sequence[str],
    judged: str | None,
    file: Path | None = None,
    adapters: Path = FOLDER,
) -> CardMark:
    """The mark of the card that covers judges asked in these ways, `missing` when there is none.

    Cards lie where `keep_card` puts them, and beside the adapters that ship, in `adapters`.
    `judged` is the digest of the texts that labels are made under, where it is known: a card
    measured under the same is taken before others, then the one with the most pairs. `file` names
    the card to use.
    Raises: ConfigError when `file` is no card, or the card of another judge.
    """
    if file is not None:
        head, name = _read(file)
        if sorted(head.subject.settings) != sorted(settings):
            raise ConfigError(
                f"{file}: is the card of {', '.join(head.subject.judges)}, asked in another way or "
                "with other weights; make one with `charter judge-card` for this judge"
            )
        return _mark(head, name, judged)
    kept = sorted((cards_folder() / _key(settings)).glob("*.json"))
    shipped = [_read(path) for path in shipped_cards(adapters)]
    found = [_read(path) for path in kept]
    found += [one for one in shipped if sorted(one[0].subject.settings) == sorted(settings)]
    if not found:
        parts = [head for head, _ in shipped if set(head.subject.settings) <= set(settings)]
        told = [f"its adapter under {one.subject.constitution}: {one.gate_reason}" for one in parts]
        return CardMark(gate="missing", told="; ".join([NO_CARD, *told]))
    head, name = max(found, key=lambda one: (one[0].subject.judged_digest == judged, one[0].n))
    return _mark(head, name, judged)


def mark_in(line: Mapping[str, Any]) -> CardMark:
    """The mark that a ranking line carries, else that of the card kept for its judges.

    Raises: DataError for a mark that is none.
    """
    told = line.get("card")
    if isinstance(told, dict):
        try:
            return CardMark.model_validate(told)
        except ValidationError as error:
            raise DataError(
                f"ranking {line.get('id')!r}: `card` is no mark of a judge card "
                f"({error.errors()[0]['msg']}); make the file with `charter rank`"
            ) from None
    return find_card(str(line["digests"].get("judge")).split("+"), None)


def check_card(
    names: Sequence[str],
    settings: Sequence[str],
    constitution: Constitution,
    *,
    file: Path | None = None,
    require: bool = False,
) -> CardMark:
    """The mark of the judges' card, said loudly on stderr where it is no good one.

    Raises: ConfigError when a card is required and missing, or no better than chance.
    """
    if all(principle.rule is not None for principle in constitution.principles):
        return CardMark(gate="rules_only", told="rules alone decide, no judge")
    mark = find_card(settings, constitution.digests.judged, file)
    warning = warning_of(mark, names, constitution.reference)
    if warning and require and mark.gate in ("missing", "chance"):
        raise ConfigError(f"--require-card: {warning}")
    if warning:
        say(f"WARNING: {warning}")
    return mark


def warning_of(mark: CardMark, names: Sequence[str], constitution: str) -> str:
    """What a person must know before trusting these labels; empty for a good card."""
    who = ", ".join(names)
    flags = "".join(f" --judge {name}" for name in names)
    command = COMMAND.format(constitution=constitution, judges=flags)
    if mark.gate == "missing":
        return (
            f"judge {who} has no judge card: nothing shows that its labels are better than "
            f"chance{mark.told.removeprefix(NO_CARD)}; measure it: {command}"
        )
    if mark.gate == "chance":
        return f"judge {who} is {mark.told}; use another judge, or measure on more pairs: {command}"
    if mark.gate == "above_chance_only":
        return f"judge {who} is {mark.told}; labels may say no more than that null does"
    if mark.constitution is not None:
        return (
            f"judge {who} has a good card, but under {mark.constitution}: how it judges "
            f"{constitution} is not known; measure it: {command}"
        )
    return ""


def card_lines(marks: Iterable[CardMark]) -> str:
    """What a dataset card says of the judges' cards, as a Markdown list."""
    lines = []
    for mark in marks:
        if mark.gate == "missing":
            lines.append(
                "- **The judge has no judge card: nothing shows that these labels are better than "
                "chance.** Measure it with `charter judge-card`."
            )
            continue
        under = f"; measured under {mark.constitution}" if mark.constitution else ""
        card = f" (card `{mark.digest}`)" if mark.digest else ""
        told = f"{mark.gate}: {mark.told}{under}"
        lines.append(f"- {told}{card}" if mark.gate in GOOD else f"- **{told}**{card}")
    return "\n".join(lines) or "- no ranking"


def _key(settings: Sequence[str]) -> str:
    return digest(sorted(settings))[:32]


def _read(path: Path) -> tuple[CardHead, str]:
    """A card's head, and the digest of all of it."""
    text = read_text(path)
    try:
        return CardHead.model_validate_json(text), digest(orjson.loads(text))
    except (ValidationError, ValueError):
        raise ConfigError(
            f"{path}: is no judge card; write it anew with `charter judge-card`"
        ) from None


def _mark(head: CardHead, name: str, judged: str | None) -> CardMark:
    same = judged in (None, head.subject.judged_digest)
    return CardMark(
        gate=head.gate,
        digest=name,
        constitution=None if same else head.subject.constitution,
        told=head.gate_reason,
    )
