"""First contact with a server: which model, how long a prompt, and which transport it can do."""

from typing import Any, Literal

from judges.errors import ModelError
from judges.models.chat_template import PromptEncoder
from judges.models.http_retry import HttpClient, RequestRefused, ServerUnavailable
from judges.models.openai_sampled import SampledWay, find_way
from judges.records import Record

Transport = Literal["auto", "token_ids", "chat_logprobs", "sampled"]
NO_LIMIT_KNOWN = 1_000_000_000
_SAMPLE_TEXT = "Which completion follows the principle better, A or B? 12 cafés, “tea”."
_SHARED_END = 8
"""Tokens at the end of the sample that must agree; the start may differ by a space put in front."""


class Found(Record):
    """What a server turned out to be."""

    model: str
    """The model's name there."""
    transport: Literal["token_ids", "chat_logprobs", "sampled"]
    """How questions will travel."""
    way: SampledWay | None = None
    """How samples are drawn, by that transport."""
    max_tokens: int
    """Longest prompt plus answer, in tokens."""
    engine: str
    """What runs the model, with its version where it says so."""


async def discover(
    client: HttpClient, model: str | None, encoder: PromptEncoder | None, transport: Transport
) -> Found:
    """What the server is and can do; `auto` takes token ids where they work, and never samples.

    Cost: one token; for `sampled`, a few small requests. Raises: ModelError when it is away, lacks
    the model or what the transport needs, or has another tokenizer.
    """
    try:
        listed = await list_models(client)
        name, entry = _our_model(client, model, listed)
        engine = await _engine(client, entry)
        way = await find_way(client, name, engine) if transport == "sampled" else None
        lacking = None if way else await _lacking_for_token_ids(client, name, encoder)
    except ServerUnavailable as error:
        raise ModelError(
            f"no usable answer: {error} · start the server, correct its address, or unset "
            "CHARTER_JUDGE_URL to use the embedded model"
        ) from error
    if lacking and transport == "token_ids":
        raise ModelError(
            f"transport token_ids: {lacking} · {client.root}, {engine} · use vLLM, or "
            "chat_logprobs; or sampled where the server has no log-probabilities"
        )
    limits = [e["max_model_len"] for e in (entry, *listed) if e.get("max_model_len")]
    return Found(
        model=name,
        transport="sampled" if way else "chat_logprobs" if lacking else "token_ids",
        way=way,
        max_tokens=limits[0] if limits else NO_LIMIT_KNOWN,
        engine=engine,
    )


async def list_models(client: HttpClient) -> list[dict[str, Any]]:
    """What the server says of its models; nothing where it has no such list."""
    try:
        data = (await client.json("GET", "/v1/models")).get("data")
    except RequestRefused as error:
        if error.status in (401, 403):
            raise
        return []
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def _our_model(
    client: HttpClient, model: str | None, listed: list[dict[str, Any]]
) -> tuple[str, dict[str, Any]]:
    """The model's name, the first listed if none was given, and its entry."""
    names = [str(entry.get("id")) for entry in listed]
    name = model or next(iter(names), None)
    if name is None or (names and name not in names):
        raise ModelError(
            f"no model {name!r} · {client.root}/v1/models · "
            f"name one that it serves: {', '.join(names) or 'it lists none'}"
        )
    return name, listed[names.index(name)] if names else {}


async def _engine(client: HttpClient, entry: dict[str, Any]) -> str:
    if entry.get("owned_by") != "vllm":
        return "openai-compatible"
    try:
        return f"vllm {(await client.json('GET', '/version')).get('version', '')}".strip()
    except (RequestRefused, ServerUnavailable):
        return "vllm"


async def _lacking_for_token_ids(
    client: HttpClient, model: str, encoder: PromptEncoder | None
) -> str | None:
    """What the transport lacks here, by one small question; None when it has all.

    Raises: ModelError when the server's tokenizer is another: each vote would be about garbled
    text.
    """
    if encoder is None:
        return "no tokenizer at hand"
    ids = encoder.encode_text(_SAMPLE_TEXT)
    body = {"model": model, "prompt": [ids], "max_tokens": 1, "temperature": 0, "logprobs": 0}
    wanted = {"logprob_token_ids": ids[:2], "return_tokens_as_token_ids": True}
    try:
        answer = await client.json("POST", "/v1/completions", body | wanted)
    except RequestRefused as error:
        return f"token ids are refused (HTTP {error.status}: {error.text})"
    try:
        given = set(answer["choices"][0]["logprobs"]["top_logprobs"][0])
    except (KeyError, IndexError, TypeError):
        given = set()
    if not given >= {f"token_id:{i}" for i in ids[:2]}:
        return "no log-probabilities of chosen tokens come back"
    await _check_tokenizer(client, model, ids)
    return None


async def _check_tokenizer(client: HttpClient, model: str, ids: list[int]) -> None:
    body = {"model": model, "prompt": _SAMPLE_TEXT, "add_special_tokens": False}
    try:
        theirs = (await client.json("POST", "/tokenize", body)).get("tokens")
    except RequestRefused:
        return
    if not isinstance(theirs, list) or theirs[-_SHARED_END:] != ids[-_SHARED_END:]:
        raise ModelError(
            f"the server's tokens are not those of the tokenizer at hand · {client.root}, {model} "
            "· name the folder of the very model that it serves"
        )
