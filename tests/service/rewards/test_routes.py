"""Adapters of a running service: real shapes over HTTP, groups, policies, hang-ups, the watch."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.rewards.cohorts import CohortLimits
from tests.service.conftest import Open

PLAIN = {"constitution": "plain-speech@1.0.0"}
JUDGED = {"constitution": "helpful-harmless"}
CHAT = "<|im_start|>user\nWhat is tea?<|im_end|>\n<|im_start|>assistant\n"
GOOD, BAD = "Tea is a drink.", "Tea is a drink " + "that is, I think, quite a warm one, " * 20
FAILS = """
[fake]
transport = "fake"
[fake.fake]
fail_containing = {UNJUDGEABLE = "truncated", AWAY = "engine_error"}
"""


def rlhf(*texts: str) -> dict[str, Any]:
    """What OpenRLHF's client posts."""
    queries = [f"{CHAT}{text}<|im_end|>\n" for text in texts]
    return {"query": queries, "prompts": [CHAT] * len(texts), "labels": [None] * len(texts)}


async def openrlhf(client: httpx.AsyncClient, *texts: str, **more: Any) -> httpx.Response:
    return await client.post(
        "/adapters/openrlhf/get_reward", json=rlhf(*texts), params=PLAIN | more
    )


async def test_openrlhf_gets_numbers_in_order_and_nothing_for_nothing(
    client: httpx.AsyncClient,
) -> None:
    answer = (await openrlhf(client, GOOD, BAD, GOOD)).json()
    first, second, third = answer["rewards"]
    assert first == third > second
    assert answer["scores"] == answer["rewards"]
    assert answer["extra_logs"] == {"charter_stop": [0.0] * 3}
    assert (await openrlhf(client)).json()["rewards"] == []


async def test_an_unscored_sample_is_503_for_openrlhf_and_never_a_number(
    opened: Open, judges: Callable[[str], None]
) -> None:
    judges(FAILS)
    async with opened() as client:
        answer = await openrlhf(client, "UNJUDGEABLE", **JUDGED)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unscored")
        assert "Retry-After" in answer.headers
        mean = (await openrlhf(client, GOOD, "UNJUDGEABLE", unscored="mean", **JUDGED)).json()[
            "rewards"
        ]
        assert mean[0] == mean[1]
        null = await openrlhf(client, GOOD, unscored="null")
        assert null.status_code == 422


async def test_slime_gets_the_number_itself(opened: Open, judges: Callable[[str], None]) -> None:
    judges(FAILS)
    async with opened() as client:
        body = {"prompt": CHAT, "response": GOOD, "label": None}
        at = "/adapters/slime"
        number = (await client.post(at, json=body, params=PLAIN)).json()
        assert isinstance(number, float)
        whole = await client.post(at, json=body, params=PLAIN | {"reply": "object"})
        assert whole.json() == {"score": number, "charter_stop": 0.0}
        failed = body | {"response": "UNJUDGEABLE"}
        assert (await client.post(at, json=failed, params=JUDGED)).status_code == 503
        null = await client.post(at, json=failed, params=JUDGED | {"unscored": "null"})
        assert null.json() is None


async def test_llama_factory_reads_scores_of_whole_texts(client: httpx.AsyncClient) -> None:
    body = {"model": "model", "messages": [f"{CHAT}{GOOD}<|im_end|>", f"{CHAT}{BAD}<|im_end|>"]}
    answer = await client.post(
        "/adapters/llamafactory/v1/score/evaluation", json=body, params=PLAIN
    )
    good, bad = answer.json()["scores"]
    assert good > bad


async def test_nemo_gym_gets_its_body_back_and_a_mark_where_judging_failed(
    opened: Open, judges: Callable[[str], None]
) -> None:
    judges(FAILS)

    def rollout(text: str) -> dict[str, Any]:
        said = {"type": "message", "content": [{"type": "output_text", "text": text}]}
        asked = {"input": [{"role": "user", "content": "What is tea?"}]}
        return {"responses_create_params": asked, "response": {"output": [said]}, "own": 1}

    async with opened() as client:
        at = "/adapters/nemo-gym/verify"
        good = (await client.post(at, json=rollout(GOOD), params=PLAIN)).json()
        assert good["own"] == 1
        assert 0 < good["reward"] <= 1
        assert good["reward_components"]["brevity"] == 1.0
        bad = (await client.post(at, json=rollout("AWAY"), params=JUDGED)).json()
        assert (bad["_ng_failure_class"], bad["mask_sample"]) == ("judge_failed", True)
        compared = await client.post(
            "/adapters/nemo-gym/compare",
            params=PLAIN,
            json={
                "conversation_history": [{"role": "user", "content": "What is tea?"}],
                "response_objs": [rollout(GOOD)["response"], rollout(BAD)["response"]],
            },
        )
        first, second = compared.json()["rewards"]
        assert first > second
        assert (await client.post("/adapters/nemo-gym/seed_session", json={})).json() == {}


async def test_a_group_is_ranked_though_each_sample_comes_in_its_own_call(
    client: httpx.AsyncClient,
) -> None:
    texts = [GOOD, BAD, GOOD + " It is old.", BAD + " It is old."]
    answers = await asyncio.gather(
        *(openrlhf(client, text, group=4, group_timeout=20, run="r") for text in texts)
    )
    rewards = [answer.json()["rewards"][0] for answer in answers]
    assert sum(rewards) / 4 == pytest.approx(0.5, abs=1e-3)
    assert min(rewards[0], rewards[2]) > max(rewards[1], rewards[3])


async def test_a_group_that_stays_partial_follows_its_policy(client: httpx.AsyncClient) -> None:
    slow = {"group": 4, "group_timeout": 0.2}
    some = await asyncio.gather(*(openrlhf(client, text, **slow) for text in (GOOD, BAD)))
    assert some[0].json()["rewards"][0] > 0.5 > some[1].json()["rewards"][0]
    alone = await openrlhf(client, "Alone.", **slow, run="other", partial="unscored")
    assert alone.status_code == 503
    assert "cohort_incomplete" in alone.json()["error"]["message"]


async def test_one_call_may_hold_more_than_may_wait_at_once(opened: Open) -> None:
    async with opened(max_waiting=300) as client:
        samples = [{"prompt": f"Tea {k}?", "completion": f"Tea is {k}."} for k in range(700)]
        answer = await client.post("/v1/rewards", json={"samples": samples}, params=PLAIN)
        assert answer.status_code == 200, answer.text
        assert all(one["value"] is not None for one in answer.json()["rewards"])


async def test_a_call_that_cannot_wait_leaves_nobody_waiting(client: httpx.AsyncClient) -> None:
    cohorts = client.app.state.service.rewards.cohorts  # type: ignore[attr-defined]
    cohorts.limits = CohortLimits(waiting=3)
    samples = [{"prompt": f"Tea {k}?", "completion": "Tea."} for k in range(5)]
    at = PLAIN | {"group": "2"}
    answer = await client.post("/v1/rewards", json={"samples": samples}, params=at)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_waiting")
    await asyncio.sleep(0.05)
    assert len(cohorts) == cohorts.waiting == 0


async def test_a_service_told_to_stop_answers_groups_that_wait(client: httpx.AsyncClient) -> None:
    waiting = [
        asyncio.create_task(openrlhf(client, text, group=8, group_timeout=60))
        for text in (GOOD, BAD)
    ]
    await asyncio.sleep(0.3)
    assert not any(one.done() for one in waiting)
    client.app.state.service.draining = True  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        first, second = await asyncio.gather(*waiting)
    assert first.json()["rewards"][0] > 0.5 > second.json()["rewards"][0]


async def test_any_framework_gets_reasons_beside_rewards(
    opened: Open, judges: Callable[[str], None]
) -> None:
    judges(FAILS)
    async with opened() as client:
        samples = [
            {"prompt": "What is tea?", "completion": text} for text in (GOOD, "UNJUDGEABLE", " ")
        ]
        answer = await client.post("/v1/rewards", json={"samples": samples}, params=JUDGED)
        first, failed, empty = answer.json()["rewards"]
        assert first["value"] is not None
        assert all(0 <= p <= 1 for p in first["principles"].values())
        assert failed["value"] is None and failed["reason"] == "truncated"
        assert empty["value"] is None and empty["reason"] == "empty_completion"


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"constitution": "no-such"}, 404, "unknown_constitution"),
        ({}, 422, "invalid_request"),
        (PLAIN | {"judge": "nobody"}, 422, "unknown_judge"),
        (PLAIN | {"group": 1000}, 422, "invalid_request"),
        (PLAIN | {"unscored": "zero"}, 422, "invalid_request"),
    ],
)
async def test_what_an_address_may_not_say(
    client: httpx.AsyncClient, params: dict[str, Any], status: int, code: str
) -> None:
    answer = await client.post("/adapters/openrlhf/get_reward", json=rlhf(GOOD), params=params)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
