"""What `charter best-of` does: read files, ask the reward, write what it likes."""

import argparse
import asyncio

from judges.items import load_items
from judges.jsonl import write_jsonl
from judges.progress import progress, say
from judges.verbs import emit
from training.online.best_of import Chosen, best_rows, choose, pair_row, read_settings, summarise
from training.online.reward_settings import open_rewards


def run_best_of(options: argparse.Namespace) -> int:
    """`charter best-of`"""
    settings = read_settings(options.rewards)
    items = load_items(options.input)

    async def run() -> list[Chosen]:
        reward = await open_rewards(settings.rewards, options.output.parent)
        found: list[Chosen] = []
        try:
            with progress("scoring", "prompts") as report:
                async for chosen in choose(items, reward, settings.patience, say):
                    found.append(chosen)
                    report(len(found), len(items))
        finally:
            await reward.close()
        return found

    found = asyncio.run(run())
    summary = summarise(found)
    kept = write_jsonl(
        options.output,
        (row for one in found for row in best_rows(one, options.keep, options.at_least)),
    )
    if options.pairs:
        pairs = (row for one in found if (row := pair_row(one)) is not None)
        say(f"{options.pairs}: {write_jsonl(options.pairs, pairs)} pairs")
    say(f"{options.output}: {kept} completions of {summary.prompts} prompts")
    emit(summary.model_dump_json(indent=2))
    return 0
