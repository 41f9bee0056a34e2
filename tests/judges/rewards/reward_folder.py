"""The folder of a reward model that has no weights, and a server that answers for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from judges.canonical import text_digest
from judges.rewards.description import Canary, Head, RewardDescription, write_description
from tests.judges.models.scripted_server import Fault
from tests.judges.models.tiny_model import byte_level_bpe, write_model

KIND, BRIEF = "Be kind.", "Be brief."
SCOPE = "Is it about tea?"


def whole() -> tuple[Head, ...]:
    """One reward."""
    return (Head(name="reward", mean=1.0, std=2.0),)


def principled() -> tuple[Head, ...]:
    """Two principles, one of them with a scope."""
    return (
        Head(name="kind", kind="principle", words=text_digest(KIND), std=2.0),
        Head(name="brief", kind="principle", words=text_digest(BRIEF), mean=-1.0),
        Head(name="kind", kind="applies", words=text_digest(SCOPE)),
    )


def outputs(ids: Sequence[int], heads: int) -> tuple[float, ...]:
    """What the model makes of a text: its tokens decide, each head its own way."""
    return tuple(((sum(ids) * (head + 3)) % 41) / 10 - 2 for head in range(heads))


def make_folder(folder: Path, heads: tuple[Head, ...], **changes: Any) -> Path:
    """A reward model's folder: tokenizer and description, canaries included."""
    write_model(folder, byte_level_bpe())
    texts = [(5, 6, 7), (30, 31, 32, 33)]
    canaries = tuple(Canary(ids=ids, outputs=outputs(ids, len(heads))) for ids in texts)
    told = {"heads": heads, "weights": "w" * 64, "max_length": 200, "canaries": canaries}
    write_description(folder, RewardDescription.model_validate({**told, **changes}))
    return folder


def classify(heads: int, *, off: float = 0.0, refuse: str | None = None) -> Fault:
    """The reply of vLLM's /classify, in another order than asked, from other weights if `off`."""

    async def reply(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if refuse:
            return web.json_response({"error": {"message": refuse}}, status=404)
        assert body["use_activation"] is False
        data = [
            {"index": i, "probs": [one + off for one in outputs(ids, heads)], "num_classes": heads}
            for i, ids in enumerate(body["input"])
        ]
        return web.json_response({"data": data[::-1]})

    return reply
