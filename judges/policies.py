"""Opening a model by what a person writes: an address, a folder, a LoRA adapter, or nothing.

Without an address charter starts vLLM itself, or finds the one it started before. An adapter is
loaded into the engine of its base model on a GPU, and merged into it beforehand on a CPU.
"""

import asyncio
import json
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

from judges.adapters.shipped import EMBEDDED
from judges.engine.adapters import adapter_digest, adapter_fingerprint, merged_model
from judges.engine.command import engine_build
from judges.engine.embedded import embedded_model, weights_digest
from judges.engine.lease import EngineSpec, acquire
from judges.errors import ConfigError, ModelError
from judges.model import Capabilities, ChatModel
from judges.models.fake import FakeModel
from judges.models.on_demand import OnDemandModel
from judges.models.openai import OpenAIModel
from judges.progress import say

FAKE = "fake"
Transport = Literal["auto", "token_ids", "chat_logprobs"]


async def open_model(
    url: str | None,
    model: str | None,
    stack: AsyncExitStack,
    *,
    revision: str | None = None,
    tokenizer: Path | None = None,
    transport: Transport = "auto",
    api_key_variable: str | None = None,
    adapters: bool = False,
) -> ChatModel:
    """The model at an address, or on charter's own engine; the stack releases it.

    `adapters`: some will be opened beside it, which a GPU's engine then serves too.

    Cost: without an address, up to a minute or two for an engine that is not running yet.
    Raises: ConfigError, ModelError.
    """
    if url is None:
        return await _on_own_engine(model, stack, adapters)
    return OpenAIModel(
        url,
        model,
        tokenizer=tokenizer,
        fingerprint=f"{model or url}@{revision or 'unpinned'}",
        transport=transport,
        api_key=_secret(api_key_variable),
    )


async def open_policy(policy: str | None, stack: AsyncExitStack) -> ChatModel:
    """The policy a person named: a model folder, an adapter, URL[#MODEL], `embedded` or `fake`."""
    if policy == FAKE:
        return FakeModel()
    if policy and policy.startswith(("http://", "https://")):
        url, _, model = policy.partition("#")
        found = OpenAIModel(url, model or None, fingerprint=policy)
        stack.push_async_callback(found.close)
        return found
    opened = await _on_own_engine(policy, stack)
    stack.push_async_callback(opened.close)
    return opened


def _secret(variable: str | None) -> str | None:
    if variable is None:
        return None
    if variable not in os.environ:
        raise ConfigError(f"the judge's api_key_variable {variable!r} is not set; export it")
    return os.environ[variable]


def model_folder(model: str | None) -> Path:
    """The folder of a model: the embedded one's for `embedded` or nothing, else the path given."""
    if model in (None, EMBEDDED):
        return embedded_model(say)
    folder = Path(str(model))
    if not (folder / "config.json").exists():
        raise ModelError(
            f"{folder}: no config.json, so this is no model folder; give the path of one, the path "
            f"of a LoRA adapter, an http address, or {EMBEDDED!r}"
        )
    return folder


def engine_for(model: str | None, adapter: bool = False) -> EngineSpec:
    """What to start for a model: with adapters only where one is to be loaded."""
    return EngineSpec(model=model_folder(model), adapters=adapter, max_adapter_rank=64)


async def adapter_on_demand(adapter: Path) -> OnDemandModel:
    """An adapter on its base, whose engine starts with the first question put to it.

    Raises: ModelError when the adapter or its base is not whole.
    """
    base = await asyncio.to_thread(model_folder, _base_of(adapter))
    known = Capabilities(
        transport="token_ids",
        fingerprint=await asyncio.to_thread(adapter_fingerprint, base, adapter),
        max_tokens=engine_for(str(base)).max_model_len,
        provenance="not started",
    )
    return OnDemandModel(known, lambda stack: _adapter(adapter, stack))


async def _on_own_engine(
    model: str | None, stack: AsyncExitStack, adapters: bool = False
) -> OpenAIModel:
    """A model, or an adapter with its base, on charter's own engine."""
    if model and (Path(model) / "adapter_config.json").exists():
        return await _adapter(Path(model), stack)
    shared = adapters and engine_build() == "gpu"
    spec = await asyncio.to_thread(engine_for, model, shared)
    digest = await asyncio.to_thread(weights_digest, spec.model)
    return await _supervised(spec, f"weights:{digest}", stack)


async def _supervised(spec: EngineSpec, fingerprint: str, stack: AsyncExitStack) -> OpenAIModel:
    """The model of an engine that is leased as long as the stack is open."""
    lease = await asyncio.to_thread(acquire, spec, say)
    stack.callback(lease.release)
    return await OpenAIModel(
        lease.url, lease.model_name, tokenizer=spec.model, fingerprint=fingerprint
    ).connect()


async def _adapter(adapter: Path, stack: AsyncExitStack) -> OpenAIModel:
    """An adapter on its base: loaded by a GPU's engine, merged beforehand for a CPU's.

    Either way its votes are keyed by the base's weights and its own: merging is arithmetic, which
    another processor may round otherwise.
    """
    base = await asyncio.to_thread(model_folder, _base_of(adapter))
    fingerprint = await asyncio.to_thread(adapter_fingerprint, base, adapter)
    if engine_build() == "cpu":
        merged = await asyncio.to_thread(merged_model, base, adapter, say)
        return await _supervised(engine_for(str(merged)), fingerprint, stack)
    spec = engine_for(str(base), adapter=True)
    lease = await asyncio.to_thread(acquire, spec, say)
    stack.callback(lease.release)
    name = f"adapter-{adapter_digest(adapter)[:16]}"
    loader = OpenAIModel(lease.url, lease.model_name, fingerprint=fingerprint)
    await loader.load_adapter(name, adapter)
    await loader.close()
    return await OpenAIModel(
        lease.url, name, tokenizer=spec.model, fingerprint=fingerprint
    ).connect()


def _base_of(adapter: Path) -> str:
    try:
        config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
        return str(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{adapter}/adapter_config.json: names no base model ({error})") from None
