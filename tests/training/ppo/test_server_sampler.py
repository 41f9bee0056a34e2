"""Drawing by a vLLM server: its requests, its failures; and once a real server that adapts."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp import web

from judges.engine.command import EngineSpec
from judges.engine.lease import acquire
from judges.errors import ConfigError, ModelError
from judges.records import Item, Message
from tests.judges.models.scripted_server import Script, disconnect, serve, status
from tests.training.ppo.tiny_models import lora_config
from tests.training.tiny_policy import make_policy
from training.online.prompts import Prompt, encode_prompts
from training.online.waiting import Patience
from training.ppo.accelerating import make_accelerator
from training.ppo.actor_critic import ActorCritic, make_actor_critic
from training.ppo.batches import TokenSequence, right_padded
from training.ppo.rollout import Drawing
from training.ppo.server_sampler import ServerSampler
from training.ppo.settings import ValueModel

PATIENCE = Patience(longest_s=3.0, first_wait_s=0.01, most_wait_s=0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "model")


@pytest.fixture
async def script(folder: Path) -> AsyncIterator[Script]:
    """A server that lists the adapters it was given, as vLLM does."""
    async with serve(folder) as script:
        assert script.models is not None
        listed = script.models

        async def load(request: web.Request) -> web.Response:
            body = await request.json()
            listed.append({"id": body["lora_name"], "max_model_len": 400, "parent": "tiny"})
            assert (Path(body["lora_path"]) / "adapter_model.safetensors").exists()
            return web.Response(text="Success")

        script.paths["/v1/load_lora_adapter"] = load
        yield script


def make_model(folder: Path, base: Any = None) -> ActorCritic:
    from transformers import AutoModelForCausalLM

    base = base or AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return make_actor_critic(base, ValueModel(kind="shared"), lora_config(8), 1.0)


def make_sampler(
    model: ActorCritic, url: str, tokenizer: Path, adapters: Path, said: list[str], **changes: Any
) -> ServerSampler:
    settings = {"max_tokens": 8, "temperature": 1.0, "seed": 3, "eos_token_ids": (13, 2)}
    drawing = Drawing(**{**settings, "pad_token_id": 0, "batch_tokens": 1000, **changes})
    return ServerSampler(
        model.policy, make_accelerator(), url, tokenizer, adapters, drawing, PATIENCE, said.append
    )


def make_prompts(folder: Path, *texts: str) -> list[Prompt]:
    items = [
        Item(id=f"p{n}", prompt=(Message(role="user", content=text),), completions=())
        for n, text in enumerate(texts)
    ]
    return encode_prompts(items, folder, 300, print)[0]


async def test_each_step_loads_its_adapter_under_its_own_name_and_forgets_the_last(
    folder: Path, script: Script, tmp_path: Path
) -> None:
    sampler = make_sampler(make_model(folder), script.url, folder, tmp_path / "adapters", [])
    prompts = make_prompts(folder, "Tea?", "Milk?", "Tea?")
    written = [await sampler.draw(prompts, step) for step in (1, 2)]
    assert all(one and one.token_ids == (11, 12, 13) and one.finished for one in written[0])
    assert all(one and one.logprobs == (-0.5, -0.5, -0.5) for one in written[1])
    loaded = [body["lora_name"] for body in script.bodies("/v1/load_lora_adapter")]
    assert [name.rpartition("-")[2] for name in loaded] == ["1", "2"]
    unloaded = [body["lora_name"] for body in script.bodies("/v1/unload_lora_adapter")]
    assert unloaded == loaded[:1]
    asked = [body for body in script.bodies("/v1/completions") if body["max_tokens"] == 8]
    # Equal prompts are asked once, with two samples: they must not be one and the same.
    assert sorted(body["n"] for body in asked[:2]) == [1, 2]
    assert {body["model"] for body in asked} == set(loaded)
    seeds = [{body["seed"] for body in asked[:2]}, {body["seed"] for body in asked[2:]}]
    assert not seeds[0] & seeds[1]
    assert [path.name for path in (tmp_path / "adapters").iterdir()] == ["step-2"]
    await sampler.close()
    assert not (tmp_path / "adapters").exists()


async def test_a_server_that_is_down_is_waited_for_and_given_the_adapter_again(
    folder: Path, script: Script, tmp_path: Path
) -> None:
    said: list[str] = []
    sampler = make_sampler(make_model(folder), script.url, folder, tmp_path / "adapters", said)
    script.faults.extend([disconnect, disconnect])
    written = await sampler.draw(make_prompts(folder, "Tea?"), 1)
    assert written[0] is not None
    assert len(said) == 1 and "the vLLM server failed, asked again" in said[0]
    assert len(script.bodies("/v1/load_lora_adapter")) == 2


async def test_a_server_that_takes_no_adapters_ends_the_step_at_once_with_its_flags(
    folder: Path, script: Script, tmp_path: Path
) -> None:
    sampler = make_sampler(make_model(folder), script.url, folder, tmp_path / "adapters", [])
    script.paths["/v1/load_lora_adapter"] = status(400, "rank 64 is over 32")
    with pytest.raises(ConfigError, match=r"rank 64 is over 32 .*--enable-lora"):
        await sampler.draw(make_prompts(folder, "Tea?"), 1)


async def test_a_server_that_stays_down_ends_the_step(
    folder: Path, script: Script, tmp_path: Path
) -> None:
    said: list[str] = []
    sampler = make_sampler(make_model(folder), script.url, folder, tmp_path / "adapters", said)
    script.paths["/v1/completions"] = status(503)
    sampler._patience = Patience(longest_s=1.0, first_wait_s=0.05)
    with pytest.raises(ModelError, match="503"):
        await sampler.draw(make_prompts(folder, "Tea?"), 1)
    assert said and all("asked again" in text for text in said)


class OneOfTwo:
    """Stands for accelerate's in one of two processes, which here are threads."""

    device = "cpu"

    def __init__(self, rank: int, meet: threading.Barrier, told: dict[int, Any]) -> None:
        self.process_index, self.is_main_process = rank, rank == 0
        self._meet, self._told = meet, told

    def wait_for_everyone(self) -> None:
        self._meet.wait(20)

    def gather(self, tensor: Any) -> Any:
        self._told[self.process_index] = tensor
        self._meet.wait(20)
        both = torch.cat([self._told[0], self._told[1]])
        self._meet.wait(20)
        return both


@pytest.mark.parametrize("goes", [True, False], ids=["comes back", "stays away"])
async def test_two_processes_wait_together_for_the_server_that_fails_one_of_them(
    folder: Path, script: Script, tmp_path: Path, goes: bool
) -> None:
    model, meet = make_model(folder), threading.Barrier(2)
    told: dict[int, Any] = {}
    said: list[str] = []
    prompts = make_prompts(folder, "Tea?")
    async with serve(folder) as other:
        samplers = [
            make_sampler(model, url, folder, tmp_path / "adapters", said)
            for url in (script.url, other.url)
        ]
        for rank, sampler in enumerate(samplers):
            sampler._accelerator = OneOfTwo(rank, meet, told)
            sampler._patience = Patience(longest_s=3.0 if goes else 0.0, first_wait_s=0.01)
        assert other.models is not None
        other.models.append({"id": samplers[1]._name(1), "max_model_len": 400, "parent": "tiny"})
        other.faults.extend([disconnect, disconnect])

        def draw(sampler: ServerSampler) -> Any:
            return asyncio.run(sampler.draw(prompts, 1))

        work = (asyncio.to_thread(draw, sampler) for sampler in samplers)
        drawn = await asyncio.gather(*work, return_exceptions=True)
    if goes:
        assert [one[0].token_ids for one in drawn] == [(11, 12, 13)] * 2  # type: ignore[index]
        assert len(said) == 1
        assert len(script.bodies("/v1/load_lora_adapter")) == 2
    else:
        assert [type(one) for one in drawn] == [ModelError, type(drawn[1])]
        assert "another process of this run" in str(drawn[0])
        assert isinstance(drawn[1], ModelError) and other.url in str(drawn[1])


async def test_a_refused_prompt_is_left_out_alone_and_told(
    folder: Path, script: Script, tmp_path: Path
) -> None:
    script.refused = {"Milk": (400, "maximum context length exceeded")}
    said: list[str] = []
    sampler = make_sampler(make_model(folder), script.url, folder, tmp_path / "adapters", said)
    written = await sampler.draw(make_prompts(folder, "Tea?", "Milk?", "Milk?"), 1)
    assert [one is None for one in written] == [False, True, True]
    (told,) = said
    assert "training step 1: the vLLM server refused 1 of 2 prompts" in told
    assert "maximum context length exceeded" in told and told.endswith("prompts p1")


async def test_a_stop_that_is_no_end_of_text_of_this_model_is_an_error(
    folder: Path, script: Script, tmp_path: Path
) -> None:
    sampler = make_sampler(
        make_model(folder), script.url, folder, tmp_path / "adapters", [], eos_token_ids=(2,)
    )
    with pytest.raises(ConfigError, match="is no end of text of this model"):
        await sampler.draw(make_prompts(folder, "Tea?"), 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_real_server_draws_by_each_steps_adapter_and_tells_its_log_probabilities(
    tmp_path: Path,
) -> None:
    """On the real engine, with a tiny random model: it says of its tokens what the learner says."""
    # The engine's attention on a CPU knows no heads narrower than 32.
    folder = make_policy(tmp_path / "model", seed=1, hidden=64, heads=2)
    model = make_model(folder)
    spec = EngineSpec(
        model=folder,
        adapters=True,
        max_adapter_rank=8,
        max_model_len=256,
        dtype="float32",
        extra_flags=("--logprobs-mode", "processed_logprobs"),
    )
    prompts = make_prompts(folder, "Tea?", "Milk, or nothing at all?", "Tea?")
    with acquire(spec) as lease:
        sampler = make_sampler(model, lease.url, folder, tmp_path / "adapters", [], temperature=0.7)
        for step in (1, 2):
            written = await sampler.draw(prompts, step)
            # The learner at the temperature of drawing, with the adapter as it now is.
            model.temperature = 0.7
            assert gap(model, prompts, written) < 2e-2
            bend(model, step)
        # The adapter of step 2 is not that of the weights after it: the test can tell.
        assert gap(model, prompts, written) > 0.1
        await sampler.close()


def gap(model: ActorCritic, prompts: list[Prompt], written: list[Any]) -> float:
    """Largest difference between the server's and the learner's log-probabilities."""
    pairs = zip(prompts, written, strict=True)
    batch = right_padded([TokenSequence(p.token_ids, w.token_ids) for p, w in pairs])
    with torch.no_grad():
        learned = model(batch).logprobs_BT
    told = torch.zeros_like(learned)
    for row, one in enumerate(written):
        told[row, : len(one.logprobs)] = torch.tensor(one.logprobs)
    return float(((learned - told) * batch.mask_BT).abs().max())


def bend(model: ActorCritic, seed: int) -> None:
    """Give the adapter weights that matter."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.trained_parameters().items():
            if "lora_B" in name:
                parameter.normal_(std=1.0)
