"""A reward server: completions with ids go out, scores come back by id, in whatever order.

POST URL {"items": [{"id", "prompt": [messages], "completion"}]}
→ {"scores": [{"id", "score": number or null, "reason"?}]}
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from judges.errors import VerdictError
from judges.models.http_retry import HttpClient, RetryPolicy
from judges.records import CompletionText, Item
from training.online.reward import Score

ATTEMPTS = 2
"""Tries of one request; beyond them the step waits, with longer pauses."""


class ServerReward:
    """Scores by a server. Ids are ours and tell apart two completions of one prompt."""

    name = "server"

    def __init__(
        self, url: str, api_key: str | None = None, *, per_request: int = 32, in_flight: int = 8
    ) -> None:
        self.url, self._api_key = url, api_key
        self._per_request, self._slots = per_request, asyncio.Semaphore(in_flight)
        self._client: HttpClient | None = None

    async def __call__(
        self, prompts: Sequence[Item], completions: Sequence[CompletionText]
    ) -> list[Score]:
        """A score for each completion. Cost: one request for each `per_request` of them.

        Raises: ModelError when the server is away; VerdictError when ids or numbers are wrong.
        """
        items = [
            {
                "id": f"{prompt.id}#{number}",
                "prompt": [message.model_dump() for message in prompt.prompt],
                "completion": completion.text,
            }
            for number, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
        ]
        starts = range(0, len(items), self._per_request)
        parts = await asyncio.gather(
            *(self._ask(items[start : start + self._per_request]) for start in starts)
        )
        return [score for part in parts for score in part]

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()
        self._client = None

    async def _ask(self, items: Sequence[Mapping[str, Any]]) -> list[Score]:
        if self._client is None:
            # Within the loop that uses it. One that is away at first may come, so it is waited for.
            policy = RetryPolicy(attempts=ATTEMPTS)
            self._client = HttpClient(self.url, self._api_key, policy, reached=True)
        async with self._slots:
            answer = await self._client.json("POST", "", {"items": list(items)})
        return _by_id(answer, [str(item["id"]) for item in items], self.url)


def _by_id(answer: Mapping[str, Any], asked: Sequence[str], url: str) -> list[Score]:
    """The scores in the order asked, whatever order they came in."""
    told = answer.get("scores")
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        raise VerdictError(
            f"{url}: the answer has no list `scores` of objects; answer "
            '{"scores": [{"id": …, "score": …}]}'
        )
    found = {str(one.get("id")): one for one in told}
    strange = next((name for name in found if name not in asked), None)
    if strange is not None or len(found) != len(told):
        what = f"id {strange!r}, which was not asked" if strange is not None else "an id twice"
        raise VerdictError(
            f"{url}: the answer holds {what}; give each score the id of its completion"
        )
    return [_score(found.get(name), name, url) for name in asked]


def _score(told: Mapping[str, Any] | None, name: str, url: str) -> Score:
    if told is None:
        return Score(
            value=None, reason="missing_vote", detail=f"{url}: no score for {name}", retry=True
        )
    value = told.get("score")
    if value is None:
        return Score(value=None, reason="missing_vote", detail=str(told.get("reason", "")))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise VerdictError(f"{url}: the score of {name} is {value!r}; use a number or null")
    return Score(value=float(value))
