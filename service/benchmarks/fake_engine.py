"""A server that stands for an engine: it answers at once, and notes every prompt it computed.

Run as `python -m service.benchmarks.fake_engine PORT LOG LATENCY_S`; made to be killed. A file
`ill` beside the log names what else goes wrong meanwhile.
"""

import asyncio
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

MODEL = "fake-engine"
ILLS = ("refuses", "hangs", "garbles", "hangs up")
"""Every answer is a 500, or comes when the engine is well again, or is half an answer, or none."""
LOOK_S = 0.1


def make_app(log: Path, latency_s: float) -> web.Application:
    """A chat server whose answer is a function of the prompt; each prompt's digest is a line."""
    noted = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    ill = log.with_name("ill")

    def illness() -> str:
        return ill.read_text() if ill.exists() else ""

    async def models(_: web.Request) -> web.Response:
        return _json({"data": [{"id": MODEL, "max_model_len": 32768}]})

    async def chat(request: web.Request) -> web.Response:
        asked = orjson.loads(await request.read())
        digest = hashlib.sha256(orjson.dumps(asked["messages"])).digest()
        await asyncio.sleep(latency_s)
        while (how := illness()) == "hangs":
            await asyncio.sleep(LOOK_S)
        if how == "refuses":
            raise web.HTTPInternalServerError
        if how == "hangs up" and request.transport is not None:
            request.transport.close()
        os.write(noted, digest.hex().encode() + b"\n")
        answer = _answer(digest)
        if how == "garbles":
            return web.Response(body=orjson.dumps(answer)[:100], content_type="application/json")
        return _json(answer)

    app = web.Application(client_max_size=2**24)
    app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", chat)])
    return app


def _answer(digest: bytes) -> dict[str, Any]:
    gap = digest[0] / 64 - 2
    masses = {"A": -3.0, "B": -3.0 - gap, "yes": -3.0, "no": -3.0 + gap}
    top = [{"token": token, "logprob": logprob} for token, logprob in masses.items()]
    first = {"token": "A", "logprob": -3.0, "top_logprobs": top}
    return {
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A"},
                "finish_reason": "length",
                "logprobs": {"content": [first]},
            }
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 1, "total_tokens": 301},
    }


def _json(body: Any) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json")


if __name__ == "__main__":
    web.run_app(
        make_app(Path(sys.argv[2]), float(sys.argv[3])),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        print=None,
    )
