"""Contract: the frameworks' own client functions, taken out of their published wheels, get rewards.

    pip download --no-deps openrlhf==0.11.2 llamafactory==0.9.5 verl==0.9.1 --dest wheels
    CHARTER_CLIENT_WHEELS=wheels pytest tests/service/rewards/test_own_clients.py

Their packages need GPUs to install, so only the functions are run; without the wheels the tests
are skipped, and `test_routes.py` sends the same shapes, written down by hand.
"""

import ast
import asyncio
import inspect
import json
import logging
import os
import zipfile
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from service.client import verl
from tests.service.client.conftest import served

WHEELS = os.environ.get("CHARTER_CLIENT_WHEELS")
CHAT = "<|im_start|>user\nWhat is tea?<|im_end|>\n<|im_start|>assistant\n"
GOOD, BAD = "Tea is a drink.", "Tea is a drink " + "that is, I think, quite a warm one, " * 20
PLAIN = "?constitution=plain-speech@1.0.0&run=contract"


def function(wheel: str, path: str, name: str, **names: Any) -> Any:
    """One function, or method as a function, of a file in a wheel, with what it refers to."""
    found = sorted(Path(WHEELS or "").glob(f"{wheel}-*.whl"))
    if not WHEELS or not found:
        pytest.skip(f"CHARTER_CLIENT_WHEELS names no folder with the wheel of {wheel}")
    with zipfile.ZipFile(found[-1]) as archive:
        (inside,) = [entry for entry in archive.namelist() if entry.endswith(path)]
        source = archive.read(inside).decode()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            node.decorator_list = []
            late = ast.parse("from __future__ import annotations").body
            space = dict(names)
            exec(compile(ast.Module([*late, node], []), inside, "exec"), space)
            return space[name]
    raise AssertionError(f"{inside} has no function {name}")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    from service.app import create_app
    from service.settings import Settings

    if not WHEELS:
        pytest.skip("CHARTER_CLIENT_WHEELS names no folder of wheels")
    with served(create_app(Settings(home=tmp_path / "home", judges=("fake",)))) as address:
        yield address


async def test_openrlhfs_client(url: str) -> None:
    import torch

    fetch = function(
        "openrlhf", "openrlhf/utils/agent.py", "_fetch_rewards_via_http",
        asyncio=asyncio, aiohttp=aiohttp, logger=logging.getLogger("openrlhf"),
    )  # fmt: skip
    at = f"{url}/adapters/openrlhf/get_reward{PLAIN}"
    executor = SimpleNamespace(reward_endpoints=[at], _reward_endpoint_cycle=cycle([at]))
    queries = [f"{CHAT}{text}<|im_end|>\n" for text in (GOOD, BAD)]
    (both,) = await fetch(executor, queries, [CHAT] * 2, [None] * 2)
    (one,) = await fetch(executor, queries[:1], [CHAT], ["a label"])
    assert both["rewards"][0] == one["rewards"][0] > both["rewards"][1]
    # What its samples generator does with each.
    for value in (one["rewards"], one["scores"], *one["extra_logs"].values()):
        assert torch.tensor([value]).dtype == torch.float32


def test_llama_factorys_client(url: str) -> None:
    import torch

    requests = pytest.importorskip("requests")
    fetch = function(
        "llamafactory", "train/ppo/ppo_utils.py", "get_rewards_from_server",
        requests=requests, json=json, torch=torch,
    )  # fmt: skip
    texts = [f"{CHAT}{text}<|im_end|>" for text in (GOOD, BAD)]
    scores = fetch(f"{url}/adapters/llamafactory/v1/score/evaluation{PLAIN}", texts)
    assert scores.shape == (2,) and scores[0] > scores[1]


async def test_verls_reward_manager(url: str) -> None:
    import torch

    run_single = function("verl", "reward_loop/reward_manager/naive.py", "run_single")
    merge = function("verl", "trainer/ppo/reward.py", "_call_with_kwargs_async")
    own = {"constitution": "plain-speech@1.0.0", "url": url}
    compute = partial(merge, verl.compute_score, own)
    row = {"prompt": "What is tea?"}

    class Item:
        batch = {"responses": torch.zeros(5), "attention_mask": torch.ones(9, dtype=torch.long)}  # noqa: RUF012
        non_tensor_batch = {  # noqa: RUF012
            "data_source": "own", "reward_model": {"ground_truth": "x"}, "extra_info": row,
        }  # fmt: skip

    manager = SimpleNamespace(
        loop=asyncio.get_running_loop(), compute_score=compute, reward_router_address=None,
        is_async_reward_score=inspect.iscoroutinefunction(compute),
        tokenizer=SimpleNamespace(decode=lambda *_, **__: GOOD),
    )  # fmt: skip
    told = await run_single(manager, [Item()])
    assert 0 < told["reward_score"] <= 1
    assert told["reward_extra_info"].keys() == {"score", "charter_scored", "charter_stop"}
    await verl._clients[url, None].close()
