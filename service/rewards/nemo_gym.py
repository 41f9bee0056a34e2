"""NeMo-Gym's resources server: `/verify` for one rollout, `/compare` for a group.

The body of `/verify` comes back with a reward. A sample without one bears Gym's own mark,
`_ng_failure_class`, by which its collector files the rollout with the failures, to be repeated,
and never with the scored ones; `reward` must be a number in the body, and counts for nothing there.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from judges.constitutions.constitution import Constitution, Principle
from judges.errors import DataError
from judges.items import first_problem
from judges.records import Message
from service.rewards.samples import Reward, Sample
from service.rewards.slime import read_messages

ROLLOUT = ("_ng_task_index", "_ng_rollout_index", "_ng_attempt_index")
"""What names a rollout in Gym's bodies."""
FAILED: dict[str, Any] = {"_ng_failure_class": "judge_failed", "mask_sample": True}
Body = Mapping[str, Any]


class GroupComparison(BaseModel):
    """What Gym's group comparison sends."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    conversation_history: list[dict[str, Any]]
    """The turns before the answers."""
    response_objs: list[dict[str, Any]]
    """One object of OpenAI's Responses shape for each answer."""
    principle: str | None = None
    """A principle to judge by, in place of the constitution's."""


def read_verify(body: Body) -> Sample:
    """The sample of a `/verify` call. Raises: DataError for a body of another shape."""
    asked = body.get("responses_create_params")
    if not isinstance(asked, Mapping) or "input" not in asked:
        raise DataError("responses_create_params: no `input` in it; send the request as Gym does")
    if not isinstance(body.get("response"), Mapping):
        raise DataError("response: missing, or no object; send OpenAI's Responses object")
    rollout = [body[key] for key in ROLLOUT if body.get(key) is not None]
    answer = body.get("expected_answer")
    return Sample(
        prompt=_conversation(asked["input"], asked.get("instructions")),
        completion=response_text(body["response"]),
        answer=answer if isinstance(answer, str) else None,
        identity="/".join(map(str, rollout)) or None,
    )


def read_compare(request: GroupComparison) -> tuple[tuple[Message, ...], list[str]]:
    """The conversation and the answers of a `/compare` call. Raises: DataError."""
    prompt = _conversation(request.conversation_history, None)
    return prompt, [response_text(one) for one in request.response_objs]


def response_text(response: Mapping[str, Any]) -> str:
    """What an object of OpenAI's Responses shape says, its reasoning and calls left out."""
    said = []
    for item in response.get("output") or []:
        if isinstance(item, Mapping) and item.get("type", "message") == "message":
            said.append(_text(item.get("content")))
    return "\n".join(text for text in said if text)


def write_verify(body: Body, reward: Reward, stop: bool) -> dict[str, Any]:
    """The reply to `/verify`: the same body, with a reward or Gym's mark of a failure."""
    kept = {key: value for key, value in body.items() if not key.startswith("_ng_failure")}
    told = {"reward": reward.value or 0.0, "reward_components": dict(reward.principles)}
    told["charter_stop"] = float(stop)
    if reward.value is None:
        why = f"{reward.reason}: {reward.detail}" if reward.detail else str(reward.reason)
        told |= {**FAILED, "failure_reason": why}
    return kept | told


def write_compare(rewards: Sequence[float], p: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    """The reply to `/compare`, from rewards and the probability that each beats each."""
    pairs = [
        (i, j, shown)
        for i, j in combinations(range(len(rewards)), 2)
        if (shown := p[i][j]) is not None and shown == shown  # NaN where nothing was decided
    ]
    return {
        "rewards": list(rewards),
        "comparison_results": [_result(i, j, shown) for i, j, shown in pairs],
        "metrics": {"pairs": float(len(pairs))},
    }


def with_principle(constitution: Constitution, text: str) -> Constitution:
    """The constitution's arithmetic over one principle of the request's own.

    Raises: DataError for a text that no principle can be.
    """
    try:
        principle = Principle.model_validate(
            {"id": "asked", "family": "asked", "title": "As the request says", "text": text}
        )
    except ValidationError as error:
        raise DataError(f"principle: {first_problem(error)}") from None
    return constitution.model_copy(update={"principles": (principle,)})


def _result(i: int, j: int, p: float) -> dict[str, Any]:
    """One pair on Gym's scales: scores from 1 to 5, a ranking from 1, the first, to 6."""
    return {
        "response_i": i,
        "response_j": j,
        "judge_idx": 0,
        "score_1": 1 + 4 * p,
        "score_2": 1 + 4 * (1 - p),
        "ranking": 6 - 5 * p,
    }


def _conversation(given: Any, instructions: Any) -> tuple[Message, ...]:
    lead = [{"role": "system", "content": instructions}] if isinstance(instructions, str) else []
    if isinstance(given, str):
        return read_messages([*lead, {"role": "user", "content": given}], "input")
    if not isinstance(given, list):
        raise DataError(f"input is a {type(given).__name__}; send text or a list of messages")
    turns = [_turn(one) for one in given if isinstance(one, Mapping)]
    return read_messages([*lead, *(turn for turn in turns if turn)], "input")


def _turn(item: Mapping[str, Any]) -> dict[str, Any]:
    """One item of a Responses input as a turn; what a tool was asked and said is kept as text."""
    if item.get("type") == "function_call":
        call = f"{item.get('name')}({item.get('arguments')})"
        return {"role": "assistant", "content": call}
    if item.get("type") == "function_call_output":
        return {"role": "tool", "content": str(item.get("output"))}
    if "role" not in item:
        return {}
    role = "system" if item["role"] == "developer" else item["role"]
    return {"role": role, "content": _text(item.get("content"))}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = [part for part in content or [] if isinstance(part, Mapping)]
    return "".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str))
