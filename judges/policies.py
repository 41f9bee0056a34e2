"""Opening a model by what a person writes: an address, a folder, a LoRA adapter, or nothing.

Without an address charter starts vLLM itself, or finds the one it started before. An adapter is
loaded into the engine of its base model, so a policy and its base share one engine.
"""

import asyncio
import hashlib
import json
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

from judges.engine.embedded import embedded_model, weights_digest
from judges.engine.lease import EngineSpec, acquire
from judges.errors import ConfigError, ModelError
from judges.model import ChatModel
from judges.models.openai import OpenAIModel
from judges.progress import say

EMBEDDED = "embedded"
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
) -> ChatModel:
    """The model at an address, or on charter's own engine; the stack releases it.

    Cost: without an address, up to a minute or two for an engine that is not running yet.
    Raises: ConfigError, ModelError.
    """
    if url is None:
        return await _supervised(model, stack)
    return OpenAIModel(
        url,
        model,
        tokenizer=tokenizer,
        fingerprint=f"{model or url}@{revision or 'unpinned'}",
        transport=transport,
        api_key=_secret(api_key_variable),
    )


async def open_policy(policy: str | None, stack: AsyncExitStack) -> OpenAIModel:
    """The policy a person named: `embedded` or nothing, URL[#MODEL], a model folder, an adapter."""
    if policy and policy.startswith(("http://", "https://")):
        url, _, model = policy.partition("#")
        found = OpenAIModel(url, model or None, fingerprint=policy)
        stack.push_async_callback(found.close)
        return found
    if policy and (Path(policy) / "adapter_config.json").exists():
        opened = await _adapter(Path(policy), stack)
    else:
        opened = await _supervised(policy, stack)
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
    """What to start for a model; the embedded one's engine always takes adapters too.

    A second engine would cost a minute and 3.6 GB; being able to load adapters costs no time that
    could be measured on a CPU (9.8 votes/s either way).
    """
    return EngineSpec(
        model=model_folder(model),
        adapters=adapter or model in (None, EMBEDDED),
        max_adapter_rank=64,
    )


async def _supervised(
    model: str | None, stack: AsyncExitStack, adapter: Path | None = None
) -> OpenAIModel:
    spec = await asyncio.to_thread(engine_for, model, adapter is not None)
    lease = await asyncio.to_thread(acquire, spec, say)
    stack.callback(lease.release)
    folder = spec.model
    fingerprint = f"weights:{await asyncio.to_thread(weights_digest, folder)}"
    name = lease.model_name
    opened = OpenAIModel(lease.url, name, tokenizer=folder, fingerprint=fingerprint)
    if adapter is None:
        return opened
    digest = hashlib.sha256((adapter / "adapter_model.safetensors").read_bytes()).hexdigest()
    await opened.load_adapter(f"adapter-{digest[:16]}", adapter)
    await opened.close()
    return OpenAIModel(
        lease.url,
        f"adapter-{digest[:16]}",
        tokenizer=folder,
        fingerprint=f"{fingerprint}+adapter:{digest}",
    )


async def _adapter(adapter: Path, stack: AsyncExitStack) -> OpenAIModel:
    try:
        config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
        base = config["base_model_name_or_path"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{adapter}/adapter_config.json: names no base model ({error})") from None
    return await _supervised(base, stack, adapter)
