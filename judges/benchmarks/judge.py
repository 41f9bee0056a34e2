"""Votes a second, tokens shared, and the ratio to plain vLLM on the same token ids."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson

from judges.benchmarks.made_up import made_up_constitution, made_up_items
from judges.benchmarks.own_process import measured
from judges.cost import least_tokens
from judges.errors import ConfigError
from judges.judge import Judge, settings_of
from judges.judge_files import open_judges
from judges.layout import PREFILL
from judges.models.openai import OpenAIModel
from judges.policies import model_folder
from judges.progress import progress, say
from judges.rank import ballot_of, rank
from judges.records import Item
from judges.reweigh import questions
from judges.store.vote_store import VoteStore
from judges.votes import Matter

PRINCIPLES = 16
PAIRED_PROMPTS = 50
"""Prompts whose votes are also cast by plain vLLM."""


def benchmark_judge(prompts: int) -> dict[str, Any]:
    """Votes a second with 1 and with 16 principles, tokens shared, and the ratio to plain vLLM.

    Cost: 64 votes a prompt and more, two engine starts; say a quarter of an hour on two cores.
    """
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_benchmark_judge(prompts, Path(folder)))


async def _benchmark_judge(prompts: int, folder: Path) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        judge = (await open_judges([], stack))[0]
        model = judge.model
        if not isinstance(model, OpenAIModel) or model.encoder is None:
            raise ConfigError("the benchmark needs a vLLM judge whose tokenizer is at hand")
        one = await _timed_rank(made_up_items(prompts, "one"), 1, judge, model, folder)
        say(f"1 principle: {one}")
        many = await _timed_rank(made_up_items(prompts, "many"), PRINCIPLES, judge, model, folder)
        say(f"{PRINCIPLES} principles: {many}")
        paired = made_up_items(min(PAIRED_PROMPTS, prompts), "paired")
        ours = await _timed_rank(paired, PRINCIPLES, judge, model, folder)
        ids = _token_ids(paired, PRINCIPLES, judge, model)
        options = model.encoder.option_ids(PREFILL, judge.setting("pair").options)
    plain = _plain_vllm(ids, options, folder)
    return {
        "one_principle": one,
        "sixteen_principles": many,
        "time_ratio_16_to_1": round(many["seconds"] / one["seconds"], 2),
        "paired": {"charter": ours, "plain_vllm": plain},
        "ratio_to_plain_vllm": round(plain["seconds"] / ours["seconds"], 3),
    }


async def _timed_rank(
    items: Sequence[Item], principles: int, judge: Judge, model: OpenAIModel, folder: Path
) -> dict[str, Any]:
    constitution = made_up_constitution(principles)
    ids = _token_ids(items, principles, judge, model)
    before = await model.token_counts()
    start = time.monotonic()
    with (
        VoteStore.open(f"sqlite:///{folder}/{items[0].id}-{principles}.db") as store,
        progress(f"{principles} principles", "prompts") as report,
    ):
        ranked = rank(items, constitution, [judge], store, progress=report)
        parts = [part async for part in ranked]
    seconds = time.monotonic() - start
    after = await model.token_counts()
    fresh = after.computed - before.computed
    least = least_tokens(ids)
    assert model.encoder is not None
    tails = [len(model.encoder.encode_text(p.text or "")) for p in constitution.principles]
    return {
        "prompts": len(items),
        "votes": len(ids),
        "scored": sum(line["status"] == "scored" for part in parts for line in part),
        "seconds": round(seconds, 2),
        "votes_per_second": round(len(ids) / seconds, 2),
        "prompt_tokens": sum(map(len, ids)),
        "fresh_tokens": fresh,
        "least_tokens": least,
        "fresh_to_least": round(fresh / least, 3),
        "mean_prompt_tokens": round(sum(map(len, ids)) / len(ids), 1),
        "mean_principle_tokens": round(sum(tails) / len(tails), 1),
    }


def _token_ids(
    items: Sequence[Item], principles: int, judge: Judge, model: OpenAIModel
) -> list[list[int]]:
    """The token ids of every vote, as the transport renders them, in the order asked."""
    constitution = made_up_constitution(principles)
    settings = settings_of([judge])
    matter = Matter.of(items, constitution, [judge])
    asked = (q for item in items for q in questions(ballot_of(item, settings), constitution))
    return [model.render(matter.prompt(question)) for question in asked]


def _plain_vllm(ids: list[list[int]], options: Sequence[int], folder: Path) -> dict[str, Any]:
    """The same token ids through `vllm.LLM.generate`, in a process of its own."""
    request = folder / "plain.json"
    request.write_bytes(
        orjson.dumps({"model": str(model_folder(None)), "ids": ids, "options": list(options)})
    )
    return measured("judges.benchmarks.plain_vllm", str(request))
