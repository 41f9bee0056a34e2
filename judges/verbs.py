"""What the judging verbs do: read files, open judges, call one function, say what came of it."""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from judges.canonical import text_digest
from judges.errors import ConfigError
from judges.items import load_prompts
from judges.jsonl import Journal, read_text
from judges.model import Sampling
from judges.progress import progress, say
from judges.records import Item
from judges.store.exchange import export_votes, merge_votes
from judges.store.upkeep import erase_text, store_stats
from judges.store.vote_store import VoteStore

EXIT_UNSCORED = 3


def emit(text: str) -> None:
    """One line of result, on stdout."""
    sys.stdout.write(f"{text}\n")


def refuse_same(source: Path, output: Path) -> None:
    """Raises: ConfigError when the output would replace what it is made from."""
    if output.exists() and output.samefile(source):
        raise ConfigError(f"--output {output} is the input itself; name another file")


def run_sample(options: argparse.Namespace) -> int:
    """`charter sample`"""
    prompts = load_prompts(options.prompts)
    refuse_same(options.prompts, options.output)
    sampling = Sampling(
        n=options.n,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=options.seed,
    )
    asyncio.run(sample_file(prompts, options.policy, sampling, options.output, options.system))
    return 0


async def sample_file(
    prompts: list[Item], policy: str | None, sampling: Sampling, output: Path, system: str | None
) -> None:
    """Sample to a file; a second run draws only what is lacking."""
    from judges.policies import open_policy
    from judges.sample import sample

    async with AsyncExitStack() as stack:
        model = await open_policy(policy, stack)
        drawn = {
            "policy": model.capabilities().fingerprint,
            "system": system,
            **sampling.model_dump(mode="json"),
        }
        asked = {item.id: [m.model_dump() for m in item.prompt] for item in prompts}

        def keep(row: Mapping[str, Any]) -> bool:
            metadata = row.get("metadata")
            same = isinstance(metadata, dict) and metadata.get("sampled") == drawn
            return same and asked.get(str(row["id"])) == row.get("prompt")

        journal = stack.enter_context(Journal(output, keep))
        left = [item for item in prompts if item.id not in journal]
        say_resumed(len(journal), len(prompts), output)
        with progress("sampling", "prompts") as report:
            async for lines in sample(left, model, sampling, system=system, progress=report):
                for line in lines:
                    line["metadata"] = {**line["metadata"], "sampled": drawn}
                journal.append(lines)
        journal.finish(item.id for item in prompts)


def say_resumed(done: int, total: int, output: Path) -> None:
    """Tell how much of an output was already there."""
    if done:
        say(f"{output}: {done} of {total} are done already")


def run_stats(options: argparse.Namespace) -> int:
    """`charter votes stats`"""
    with VoteStore.open(options.store) as store:
        emit(store_stats(store).model_dump_json(indent=2))
    return 0


def run_export(options: argparse.Namespace) -> int:
    """`charter votes export`"""
    with VoteStore.open(options.store) as store:
        say(f"{options.output}: {export_votes(store, options.output)} votes")
    return 0


def run_merge(options: argparse.Namespace) -> int:
    """`charter votes merge`"""
    with VoteStore.open(options.store) as store:
        say(f"{merge_votes(store, options.source)} new votes taken over from {options.source}")
    return 0


def run_erase(options: argparse.Namespace) -> int:
    """`charter votes erase`"""
    text = options.text
    if text is None:
        text = read_text(options.file)
    with VoteStore.open(options.store) as store:
        emit(erase_text(store, text).model_dump_json(indent=2))
    say(f"erased the text with digest {text_digest(text)}")
    return 0
