"""What `charter sample` does: read prompts, open the policy, draw what is lacking."""

import argparse
import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from judges.items import load_prompts
from judges.jsonl import Journal
from judges.model import Sampling
from judges.policies import open_policy
from judges.progress import progress
from judges.records import Item
from judges.sample import drawn_alike, sample
from judges.verbs import refuse_same, say_resumed


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
    async with AsyncExitStack() as stack:
        model = await open_policy(policy, stack)
        drawn = {
            "policy": model.capabilities().fingerprint,
            "system": system,
            **sampling.model_dump(mode="json"),
        }
        journal = stack.enter_context(Journal(output, drawn_alike(prompts, drawn)))
        left = [item for item in prompts if item.id not in journal]
        say_resumed(len(journal), len(prompts), output)
        with progress("sampling", "prompts") as report:
            async for lines in sample(left, model, sampling, system=system, progress=report):
                for line in lines:
                    line["metadata"] = {**line["metadata"], "sampled": drawn}
                journal.append(lines)
        journal.finish(item.id for item in prompts)
