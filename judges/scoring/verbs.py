"""What `charter score` does: read files, open judges, score, say what came of it."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from judges.canonical import digest
from judges.constitutions.constitution import Constitution
from judges.constitutions.files import load_constitution
from judges.items import load_items
from judges.jsonl import Journal
from judges.judge import Judge, Method, settings_of
from judges.judge_files import open_judges
from judges.progress import progress, say
from judges.propositions.weights import PropositionWeights, read_weights, write_weights
from judges.records import Item
from judges.scoring.rewards import fit_to_rankings, rewards
from judges.scoring.score import ASKS, Ask, score
from judges.store.vote_store import VoteStore
from judges.verbs import EXIT_UNSCORED, emit, refuse_same, say_resumed


def run_score(options: argparse.Namespace) -> int:
    """`charter score`"""
    constitution = load_constitution(options.constitution)
    items = load_items(options.input)
    refuse_same(options.input, options.output)
    ask = ASKS if options.ask == "both" else (options.ask,)
    weights = read_weights(options.weights) if options.weights else None

    async def run() -> Counter[str]:
        async with AsyncExitStack() as stack:
            judges = await open_judges(options.judge, stack)
            return await score_file(
                items, constitution, judges, store, options.output, ask, weights
            )

    with VoteStore.open(options.store) as store:
        status = asyncio.run(run())
    say(f"{options.output}: " + ", ".join(f"{n} {name}" for name, n in sorted(status.items())))
    lost = sum(status.values()) - status["scored"]
    if lost > options.max_unscored * len(items):
        say(f"{lost} of {len(items)} items are not scored, more than --max-unscored allows")
        return EXIT_UNSCORED
    return 0


def run_fit_statements(options: argparse.Namespace) -> int:
    """`charter fit-statements`"""
    fitted = fit_to_rankings(options.scores, options.rankings, options.seed)
    write_weights(options.output, fitted)
    for name, weight in sorted(
        zip(fitted.names, fitted.weights, strict=True), key=lambda pair: -abs(pair[1])
    ):
        emit(f"{weight:8.3f}  {name}")
    held = fitted.held_out_accuracy
    told = f", {held.value:.3f} ({held.low:.3f} to {held.high:.3f}) held out" if held else ""
    say(
        f"{options.output}: {fitted.pairs} pairs of {fitted.prompts} prompts, "
        f"{fitted.accuracy.value:.3f} ranked right{told}, {fitted.frac_clipped.value:.3f} with the "
        "whole margin"
    )
    return 0


async def score_file(
    items: Sequence[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    output: Path,
    ask: Sequence[Ask] = ASKS,
    weights: PropositionWeights | None = None,
) -> Counter[str]:
    """Score to a file; returns how many items have each status.

    A second run takes only items that are new, changed, or ended in an error; votes that the
    store holds are not cast again.
    """
    settings = [settings_of(judges, Method(kind=kind)) for kind in ("yes_no", "point")]
    used = [s.model_dump(mode="json") for s in settings]
    asked = digest([list(ask), constitution.digest, used, weights and weights.digest])
    texts = {item.id: digest(item.model_dump(mode="json")) for item in items}

    def keep(row: Mapping[str, Any]) -> bool:
        same = row.get("asked") == {"how": asked, "item": texts.get(str(row["id"]))}
        return same and row.get("status") != "error"

    with Journal(output, keep) as journal:
        left = [item for item in items if item.id not in journal]
        say_resumed(len(journal), len(items), output)
        with progress("scoring", "prompts") as report:
            async for lines in score(left, constitution, judges, store, ask=ask, progress=report):
                for line in lines:
                    line["asked"] = {"how": asked, "item": texts[line["id"]]}
                    if weights is not None:
                        line["rewards"] = rewards(line, weights)
                        line["digests"]["weights"] = weights.digest
                journal.append(lines)
        status = Counter(str(row["status"]) for row in journal.rows())
        details = Counter(row["detail"] for row in journal.rows() if "detail" in row)
        for detail, count in details.most_common(1):
            say(f"the judge failed on {count} items: {detail}; run again to ask for these only")
        journal.finish(item.id for item in items)
    return status
