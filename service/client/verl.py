"""verl's custom reward function, judged by the service: its file is this one.

    reward.custom_reward_function.path=…/service/client/verl.py
    reward.custom_reward_function.reward_kwargs.constitution=helpful-harmless@1

verl does not pass the prompt: put it into each row's `extra_info` as `prompt`, text or messages.
"""

from typing import Any, Literal

from service.client.client import AsyncClient
from service.client.trl import as_sample

_clients: dict[tuple[str | None, str | None], AsyncClient] = {}
"""One for each address, so that calls share connections: verl calls once a sample."""


class NoReward(RuntimeError):
    """The service could not judge a sample, and nothing was to stand in for a reward."""


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: dict[str, Any] | None = None,
    *,
    constitution: str,
    url: str | None = None,
    key: str | None = None,
    prompt_key: str = "prompt",
    unscored: Literal["raise", "run_mean"] = "raise",
    reward_router_address: str | None = None,  # noqa: ARG001 (what verl passes)
    reward_model_tokenizer: Any = None,  # noqa: ARG001
    **address: Any,
) -> dict[str, float]:
    """`score` and, always the same keys beside it, `charter_scored` and `charter_stop`.

    verl takes numbers only. `unscored` says what becomes of a sample without a reward: `raise`
    stops the run, `run_mean` gives the mean reward of the run so far (which needs `run`).
    Raises: KeyError without a prompt; NoReward.
    """
    if not extra_info or prompt_key not in extra_info:
        raise KeyError(
            f"extra_info has no {prompt_key!r} · data source {data_source!r} · put the prompt into "
            "each row's extra_info: verl does not pass it to reward functions"
        )
    client = _clients.setdefault((url, key), AsyncClient(url, key))
    prompt = extra_info[prompt_key]
    prompt = prompt if isinstance(prompt, str) else list(prompt)
    told = await client.rewards(
        [as_sample(prompt, solution_str, ground_truth)], constitution, **address
    )
    (reward,) = told["rewards"]
    value, scored = reward["value"], reward["value"] is not None
    if not scored and unscored == "run_mean":
        value = told["run_mean"]
    if value is None:
        raise NoReward(f"no reward: {reward['reason']} {reward['detail']}".strip())
    return {
        "score": float(value),
        "charter_scored": float(scored),
        "charter_stop": float(bool(told["stop"])),
    }
