"""Votes a second, tokens shared, and the ratio to plain vLLM on the same token ids."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson

from judges.ballots import ballot_maker
from judges.benchmarks.made_up import made_up_constitution, made_up_items
from judges.benchmarks.own_process import measured
from judges.engine.command import engine_build, engine_environment, resolve
from judges.errors import ConfigError
from judges.judge import Judge, Method
from judges.judge_files import open_judges
from judges.layout import PREFILL
from judges.matter import Matter
from judges.models.openai import OpenAIModel
from judges.policies import engine_for, model_folder
from judges.progress import progress, say
from judges.rank import rank
from judges.ratings import rating_form, rating_prompts
from judges.records import Item
from judges.reweigh import questions
from judges.store.vote_store import VoteStore
from judges.worded import least_tokens

PRINCIPLES = 16
PAIRED_PROMPTS = 25
"""Prompts whose votes are also cast by plain vLLM, with all principles."""
MODE_PROMPTS, MODE_PRINCIPLES = 20, 4
"""The same, for the other ways of asking."""
PAIRS = Method()
MODES: tuple[Any, ...] = ("yes_no", "point", "list")


def benchmark_judge(prompts: int) -> dict[str, Any]:
    """Votes a second with 1 and with 16 principles, tokens shared, and ratios to plain vLLM.

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
        one = await _timed_rank(made_up_items(prompts, "one"), 1, judge, folder)
        say(f"1 principle: {one}")
        many = await _timed_rank(made_up_items(prompts, "many"), PRINCIPLES, judge, folder)
        say(f"{PRINCIPLES} principles: {many}")
        runs = [("pair", made_up_items(min(PAIRED_PROMPTS, prompts), "paired"), PRINCIPLES)]
        few = min(MODE_PROMPTS, prompts)
        runs += [(kind, made_up_items(few, kind), MODE_PRINCIPLES) for kind in MODES]
        ours, plain_runs = {}, []
        for kind, items, principles in runs:
            method = Method(kind=kind)
            ours[kind] = await _timed_rank(items, principles, judge, folder, method)
            ids = _token_ids(items, principles, judge, method)
            plain_runs.append({"name": kind, "ids": ids, "options": _option_ids(judge, kind)})
    plain = _plain_vllm(plain_runs, folder)
    return {
        "one_principle": one,
        "sixteen_principles": many,
        "time_ratio_16_to_1": round(many["seconds"] / one["seconds"], 2),
        "paired": {kind: {"charter": ours[kind], "plain_vllm": plain[kind]} for kind in ours},
        "ratio_to_plain_vllm": {
            kind: round(plain[kind]["seconds"] / ours[kind]["seconds"], 3) for kind in ours
        },
    }


async def _timed_rank(
    items: Sequence[Item],
    principles: int,
    judge: Judge,
    folder: Path,
    method: Method = PAIRS,
) -> dict[str, Any]:
    model = judge.model
    assert isinstance(model, OpenAIModel) and model.encoder is not None
    constitution = made_up_constitution(principles)
    ids = _token_ids(items, principles, judge, method)
    before = await model.token_counts()
    start = time.monotonic()
    with (
        VoteStore.open(f"sqlite:///{folder}/{items[0].id}-{principles}.db") as store,
        progress(f"{principles} principles", "prompts") as report,
    ):
        ranked = rank(items, constitution, [judge], store, method=method, progress=report)
        parts = [part async for part in ranked]
    seconds = time.monotonic() - start
    after = await model.token_counts()
    fresh = after.computed - before.computed
    least = least_tokens(ids)
    votes = sum(line["usage"]["new_votes"] for part in parts for line in part)
    tails = [len(model.encoder.encode_text(p.text or "")) for p in constitution.principles]
    return {
        "prompts": len(items),
        "votes": votes,
        "prompts_sent": len(ids),
        "scored": sum(line["status"] == "scored" for part in parts for line in part),
        "seconds": round(seconds, 2),
        "votes_per_second": round(votes / seconds, 2),
        "prompt_tokens": sum(map(len, ids)),
        "fresh_tokens": fresh,
        "least_tokens": least,
        "fresh_to_least": round(fresh / least, 3),
        "mean_prompt_tokens": round(sum(map(len, ids)) / len(ids), 1),
        "mean_principle_tokens": round(sum(tails) / len(tails), 1),
    }


def _token_ids(
    items: Sequence[Item], principles: int, judge: Judge, method: Method
) -> list[list[int]]:
    """The token ids of every prompt, as the transport renders them, in the order asked."""
    constitution = made_up_constitution(principles)
    ballot = ballot_maker([judge], constitution, method)
    matter = Matter.of(items, constitution, [judge], method.kind)
    asked = [q for item in items for q in questions(ballot(item), constitution)]
    prompts = [matter.prompt(question) for question in asked]
    if method.kind == "point":
        prompts = [one for prompt in prompts for one in rating_prompts(judge.model, prompt)]
    assert isinstance(judge.model, OpenAIModel)
    return [judge.model.render(prompt) for prompt in prompts]


def _option_ids(judge: Judge, kind: Any) -> list[int]:
    assert isinstance(judge.model, OpenAIModel) and judge.model.encoder is not None
    options = judge.setting(kind, 2).options
    prefill = PREFILL
    if kind == "point":
        form = rating_form(judge.model)
        prefill, options = form.prefill, form.options
    return list(judge.model.encoder.option_ids(prefill, options))


def _plain_vllm(runs: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """The same token ids through `vllm.LLM.generate`, in a process of its own."""
    request = folder / "plain.json"
    request.write_bytes(orjson.dumps({"model": str(model_folder(None)), "runs": runs}))
    # With our engine's threads and cache: by itself, vLLM takes one thread and most of the memory.
    build = engine_build()
    environment = engine_environment(resolve(engine_for(None), build), build)
    return measured("judges.benchmarks.plain_vllm", str(request), environment=environment)
