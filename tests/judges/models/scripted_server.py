"""A small real HTTP server in the shape of vLLM's, with failures that a test writes down."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from tokenizers import Tokenizer

from judges.models.http_retry import RetryPolicy

IMPATIENT = RetryPolicy(attempts=3, first_wait_s=0.01, longest_wait_s=0.02, timeout_s=1.0)
LOGPROBS = (-0.25, -1.75)
"""What every prompt's two options get, less a little that its tokens decide."""

Reply = web.StreamResponse
Fault = Callable[[web.Request], Any]


def status(code: int, message: str = "scripted", **headers: str) -> Fault:
    """Answer with an error in OpenAI's shape."""

    def reply(_: web.Request) -> Reply:
        return web.json_response({"error": {"message": message}}, status=code, headers=headers)

    return reply


def text(content: str) -> Fault:
    """Answer 200 with something else than what was asked for."""
    return lambda _: web.Response(text=content)


def disconnect(request: web.Request) -> Reply:
    """Hang up without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def stall(_: web.Request) -> Reply:
    """Answer later than anybody waits."""
    await asyncio.sleep(4)
    return web.Response()


@dataclass
class Script:
    """What the server does, and what it was asked."""

    tokenizer: Tokenizer
    faults: deque[Fault] = field(default_factory=deque)
    """Taken one by one by requests for answers; when there are none left, it answers."""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    """Path and body of every request."""
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Text in a prompt → the status and words with which its whole request is refused."""
    option_missing: str = "NO OPTION"
    """Text in a prompt of which the server names other tokens than were asked about."""
    no_logprobs: bool = False
    backwards: bool = False
    """Choices in reverse, told apart by their index only."""
    top: list[tuple[str, float]] = field(default_factory=list)
    """The likeliest tokens of every chat's answer."""
    choice: dict[str, Any] = field(default_factory=dict)
    """What every choice has over and above."""
    models: list[dict[str, Any]] | None = field(
        default_factory=lambda: [{"id": "tiny", "owned_by": "vllm", "max_model_len": 400}]
    )
    paths: dict[str, Fault] = field(default_factory=dict)
    """Paths answered otherwise, always."""
    at_once: int = 0
    most_at_once: int = 0
    url: str = ""

    def bodies(self, path: str) -> list[Any]:
        """What was asked at a path, in order."""
        return [body for asked, body in self.asked if asked == path]


@asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[Script]:
    """A server for the model in a folder, on a free port."""
    script = Script(Tokenizer.from_file(str(folder / "tokenizer.json")))
    app = web.Application(client_max_size=2**26)

    async def handle(request: web.Request) -> Reply:
        body = await request.json() if request.can_read_body else None
        script.asked.append((request.path, body))
        script.at_once += 1
        script.most_at_once = max(script.most_at_once, script.at_once)
        try:
            return await _reply(script, request, body)
        finally:
            script.at_once -= 1

    app.router.add_route("*", "/{path:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    script.url = str(server.make_url("")).rstrip("/")
    try:
        yield script
    finally:
        await server.close()


async def _reply(script: Script, request: web.Request, body: Any) -> Reply:
    path = request.path
    if path in script.paths:
        reply = script.paths[path](request)
    elif path.endswith("completions") and script.faults:
        reply = script.faults.popleft()(request)
    else:
        reply = _ANSWERS[path](script, body) if path in _ANSWERS else web.Response(status=404)
    answered: Reply = await reply if asyncio.iscoroutine(reply) else reply
    await asyncio.sleep(0.001)
    return answered


def _models(script: Script, _: Any) -> Reply:
    if script.models is None:
        return web.Response(status=404)
    return web.json_response({"data": script.models})


def _tokenize(script: Script, body: Any) -> Reply:
    return web.json_response({"tokens": script.tokenizer.encode(body["prompt"]).ids})


def _completions(script: Script, body: Any) -> Reply:
    texts = [script.tokenizer.decode(p, skip_special_tokens=False) for p in body["prompt"]]
    for sign, (code, words) in script.refused.items():
        if any(sign in prompt for prompt in texts):
            return web.json_response({"error": {"message": words}}, status=code)
    choices = [
        _token_choice(script, body, i * body.get("n", 1) + j, ids, prompt)
        for i, (ids, prompt) in enumerate(zip(body["prompt"], texts, strict=True))
        for j in range(body.get("n", 1))
    ]
    usage = {
        "prompt_tokens": sum(map(len, body["prompt"])),
        "prompt_tokens_details": {"cached_tokens": 32},
    }
    if script.backwards:
        choices.reverse()
    return web.json_response({"choices": choices, "usage": usage})


def _token_choice(
    script: Script, body: Any, index: int, ids: list[int], prompt: str
) -> dict[str, Any]:
    wanted = body.get("logprob_token_ids") or []
    if script.option_missing in prompt:
        wanted = [*wanted[:-1], 7]
    given = {f"token_id:{t}": expected(ids)[k % 2] for k, t in enumerate(wanted)}
    sampled = [11, 12, 13][: body["max_tokens"]]
    choice: dict[str, Any] = {
        "index": index,
        "text": f"seed {body.get('seed')} sample {index}",
        "finish_reason": "stop",
        "logprobs": {"token_logprobs": [-0.5] * len(sampled), "top_logprobs": [given]},
        "token_ids": sampled,
    }
    if "logprobs" not in body or script.no_logprobs:
        choice["logprobs"] = None
    if "prompt_logprobs" in body:
        choice["prompt_logprobs"] = [None] + [
            {str(t): {"logprob": -t / 100, "rank": 1}} for t in ids[1:]
        ]
    return choice | script.choice


def expected(ids: list[int]) -> tuple[float, float]:
    """The log-probabilities that a prompt's options get."""
    less = sum(ids) % 997 / 1000
    return LOGPROBS[0] - less, LOGPROBS[1] - less


def _chat(script: Script, body: Any) -> Reply:
    prompt = json.dumps(body["messages"], ensure_ascii=False)
    for sign, (code, words) in script.refused.items():
        if sign in prompt:
            return web.json_response({"error": {"message": words}}, status=code)
    top = [{"token": token, "logprob": logprob} for token, logprob in script.top]
    tokens = [{"token": "x", "logprob": -0.5, "top_logprobs": top}] * min(3, body["max_tokens"])
    choices = [
        {
            "index": i,
            "message": {"content": f"seed {body.get('seed')} sample {i}"},
            "finish_reason": "stop",
            "logprobs": None if script.no_logprobs else {"content": tokens},
        }
        | script.choice
        for i in range(body.get("n", 1))
    ]
    usage = {"prompt_tokens": 50, "completion_tokens": 6, "prompt_tokens_details": None}
    return web.json_response({"choices": choices, "usage": usage})


METRICS = """# HELP vllm:prompt_tokens_by_source_total Prompt tokens
vllm:prompt_tokens_by_source_total{engine="0",model_name="tiny",source="local_compute"} 120.0
vllm:prompt_tokens_by_source_total{engine="1",model_name="tiny",source="local_compute"} 30.0
vllm:prompt_tokens_by_source_total{engine="0",model_name="tiny",source="local_cache_hit"} 64.0
vllm:prompt_tokens_by_source_created{engine="0",source="local_compute"} 1.7e+09
"""

_ANSWERS: dict[str, Callable[[Script, Any], Reply]] = {
    "/v1/models": _models,
    "/version": lambda _, __: web.json_response({"version": "0.32.0"}),
    "/tokenize": _tokenize,
    "/v1/completions": _completions,
    "/v1/chat/completions": _chat,
    "/v1/load_lora_adapter": lambda _, __: web.Response(text="Success"),
    "/v1/unload_lora_adapter": lambda _, __: web.Response(text="Success"),
    "/metrics": lambda _, __: web.Response(text=METRICS),
}
