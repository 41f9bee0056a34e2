"""From rankings to preference rows that trainers read: who was preferred, and how surely.

Ties, repeated pairs, completions equal to each other and unscored pairs are left out and counted.
The columns are TRL's (`prompt`, `chosen`, `rejected`, always message lists) and charter's
(`p_chosen`, `logit_gap`, `principles`, `digests`). No column is called `margin`: TRL's
RewardTrainer would subtract it from the reward gap.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from judges.canonical import digest
from judges.cards.gate import CardMark, card_lines, mark_in
from judges.errors import DataError
from judges.jsonl import read_jsonl, replacing, write_jsonl
from judges.records import Record

Pairing = Literal["all", "best-worst"]
NEEDED = ("id", "status", "prompt", "completions", "p", "ranking", "principles", "digests")
DEFAULT_MINIMUM_MARGIN = 0.05


class PairingSettings(Record):
    """Which pairs of a ranking become preference rows."""

    pairing: Pairing = "all"
    """Every scored pair, or the best against the worst completion only."""
    minimum_margin: Annotated[float, Field(ge=0, le=0.5)] = DEFAULT_MINIMUM_MARGIN
    """Pairs with |p - 0.5| below this are dropped as ties; an exact tie always is."""


class PreferenceCounts(Record):
    """What became of the pairs."""

    kept: int
    """Preference rows written."""
    dropped: dict[str, int]
    """Pairs left out, by reason; `unscored_item` counts whole rankings."""
    rankings: int
    """Rankings read."""


def preference_rows(
    rankings: Iterable[Mapping[str, Any]], settings: PairingSettings, dropped: Counter[str]
) -> Iterator[dict[str, Any]]:
    """The preference rows of some ranking lines, surest direction first written as chosen.

    `dropped` is counted up by reason: unscored_item, unscored, tie, identical, empty, duplicate.
    """
    seen: set[str] = set()
    for ranking in rankings:
        if ranking["status"] != "scored":
            dropped["unscored_item"] += 1
            continue
        for i, j in _pairs(ranking, settings.pairing):
            reason = _why_not(ranking, i, j, settings.minimum_margin)
            if reason is None:
                texts = sorted(ranking["completions"][k] for k in (i, j))
                key = digest([ranking["prompt"], texts])
                reason = "duplicate" if key in seen else None
                seen.add(key)
            if reason is None:
                yield _row(ranking, i, j)
            else:
                dropped[reason] += 1


def _pairs(ranking: Mapping[str, Any], pairing: Pairing) -> Iterable[tuple[int, int]]:
    if pairing == "all":
        return combinations(range(len(ranking["completions"])), 2)
    return [(ranking["ranking"][0], ranking["ranking"][-1])]


def _why_not(ranking: Mapping[str, Any], i: int, j: int, minimum_margin: float) -> str | None:
    first, second = ranking["completions"][i], ranking["completions"][j]
    if not first.strip() or not second.strip():
        return "empty"
    if first.strip() == second.strip():
        return "identical"
    p = ranking["p"][i][j]
    if p is None:
        return "unscored"
    # As the other side sees it too: next to 0.5, 1 - p may be 0.5 itself.
    return "tie" if max(p, 1 - p) == 0.5 or abs(p - 0.5) < minimum_margin else None


def _row(ranking: Mapping[str, Any], i: int, j: int) -> dict[str, Any]:
    better, worse = (i, j) if ranking["p"][i][j] > 0.5 else (j, i)
    p = max(ranking["p"][i][j], ranking["p"][j][i])
    inside = min(p, 1 - 1e-9)
    return {
        "id": f"{ranking['id']}:{better}>{worse}",
        "prompt": ranking["prompt"],
        "chosen": [{"role": "assistant", "content": ranking["completions"][better]}],
        "rejected": [{"role": "assistant", "content": ranking["completions"][worse]}],
        "p_chosen": p,
        "logit_gap": round(math.log(inside / (1 - inside)), 6),
        "principles": {
            name: votes["p"][better][worse] for name, votes in ranking["principles"].items()
        },
        "digests": ranking["digests"],
    }


def read_rankings(path: Path) -> Iterator[dict[str, Any]]:
    """The ranking lines of a file. Raises: DataError naming line and key."""
    for number, line in read_jsonl(path):
        absent = [key for key in NEEDED if key not in line]
        if absent:
            raise DataError(
                f"{path}:{number}: no `{absent[0]}`; this is no ranking line, make it with "
                "`charter rank`"
            )
        yield line


def write_preferences(
    rankings: Iterable[Mapping[str, Any]], output: Path, settings: PairingSettings
) -> PreferenceCounts:
    """Write preference rows and a dataset card; returns what was kept and dropped.

    `output` is a folder, which `datasets.load_dataset(folder)` then reads, or a `.jsonl` file,
    which gets its card beside it. Raises: DataError when no row is left.
    """
    dropped: Counter[str] = Counter()
    read: Counter[str] = Counter()
    digests: dict[str, dict[str, Any]] = {}
    cards: dict[str, CardMark] = {}

    def watched() -> Iterator[Mapping[str, Any]]:
        for ranking in rankings:
            read["rankings"] += 1
            digests[digest(ranking["digests"])] = ranking["digests"]
            key = digest([ranking["digests"].get("judge"), ranking.get("card")])
            if key not in cards:
                cards[key] = mark_in(ranking)
            yield ranking

    def rows() -> Iterator[dict[str, Any]]:
        for row in preference_rows(watched(), settings, dropped):
            read["kept"] += 1
            yield row
        if not read["kept"]:  # raised while writing, so that an earlier file stays as it is
            raise DataError(
                f"{output}: no preference is left of {read['rankings']} rankings "
                f"({dict(dropped)}); lower --minimum-margin, or sample more varied completions"
            )

    data, card = _places(output)
    kept = write_jsonl(data, rows())
    counts = PreferenceCounts(
        kept=kept, dropped=dict(sorted(dropped.items())), rankings=read["rankings"]
    )
    with replacing(card) as file:
        named = list(digests.values())
        file.write(dataset_card(counts, settings, named, data, list(cards.values())).encode())
    return counts


def _places(output: Path) -> tuple[Path, Path]:
    if output.suffix == ".jsonl":
        return output, output.with_suffix(".card.md")
    if output.suffix and not output.is_dir():
        raise DataError(f"{output}: writes a folder or a .jsonl file, not {output.suffix!r}")
    return output / "train.jsonl", output / "README.md"


CARD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: {data}
tags: [preference, rlaif, constitutional-ai]
---
# Preferences made by charter

{kept} preference pairs from {rankings} rankings ({pairing} pairs, minimum margin {margin}).

| left out | pairs |
|---|---|
{dropped}

Columns: `prompt`, `chosen`, `rejected` (message lists, as TRL reads them), `p_chosen` (the judge's
probability that the chosen completion is better: a soft label), `logit_gap` (its log-odds),
`principles` (the same probability under each principle alone) and `digests`.

These labels were written by a model, or by rules, not by people. What is known of the judge:

{cards}

Made under:

{digests}
"""


def dataset_card(
    counts: PreferenceCounts,
    settings: PairingSettings,
    digests: list[dict[str, Any]],
    data: Path,
    cards: list[CardMark],
) -> str:
    """The Markdown card of a preference set: its numbers, columns, judges' worth and digests."""
    return CARD.format(
        data=data.name,
        kept=counts.kept,
        rankings=counts.rankings,
        pairing=settings.pairing,
        margin=settings.minimum_margin,
        dropped="\n".join(f"| {k} | {v} |" for k, v in counts.dropped.items()) or "| none | 0 |",
        cards=card_lines(dict.fromkeys(cards)),
        digests="\n".join(
            f"- {name} `{value}`" for one in digests for name, value in one.items() if value
        ),
    )
