"""Each kind of reward: rules, judges, servers, functions, as recipes name them."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import TypeAdapter

from judges.constitutions.files import load_constitution
from judges.errors import ConfigError, ModelError, VerdictError
from judges.records import CompletionText, Item, Message
from training.online.background import Background
from training.online.reward_settings import RewardSettings, open_rewards
from training.online.rule_reward import RuleReward
from training.online.samples_file import SamplesFile
from training.online.server_reward import ServerReward
from training.online.waiting import Patience, RewardAway, patient_scores

SETTINGS: TypeAdapter[Any] = TypeAdapter(RewardSettings)
TEXTS = (
    "A compass shows which way is north, which helps people find their way.",
    "North.",
    "",
)
PROMPTS = [
    Item(id="p1", prompt=(Message(role="user", content="What is a compass for?"),), completions=())
] * 3
COMPLETIONS = [CompletionText(text=text) for text in TEXTS]


async def test_rules_are_weighed_as_the_constitution_weighs_them() -> None:
    scores = await RuleReward(load_constitution("plain-speech@1"))(PROMPTS, COMPLETIONS)
    assert scores[0].value == 1.0
    # One word of five, and no reason; the other rules are met: (1 + 0.2 + 4 + 0.5 + 0) / 6.75.
    assert scores[1].value == pytest.approx((1 + 0.2 + 4 + 0.5) / 6.75)
    assert scores[1].parts["says-something"] == pytest.approx(0.2)
    assert (scores[2].value or 0.0) < (scores[1].value or 0.0)


async def test_a_rule_that_needs_an_answer_leaves_a_prompt_without_one_unscored(
    tmp_path: Path,
) -> None:
    file = tmp_path / "sums.yaml"
    file.write_text(
        "name: sums\nversion: 1.0.0\ntitle: Sums\nlicence: CC0-1.0\ndescription: Right sums.\n"
        "principles:\n  - {id: right, family: maths, title: Right, tier: normal, weight: 1.0, "
        "rule: {kind: numeric_answer}}\n"
    )
    reward = RuleReward(load_constitution(str(file)))
    right = PROMPTS[0].model_copy(update={"answer": "4"})
    scores = await reward([right, right, PROMPTS[0]], [CompletionText(text=t) for t in "454"])
    assert [score.value for score in scores] == [1.0, 0.0, None]
    assert scores[2].reason == "cannot_check"


async def test_a_judge_scores_under_a_constitution_and_asks_nothing_twice(tmp_path: Path) -> None:
    settings = {"kind": "judge", "constitution": "plain-speech@1", "judges": ["fake"]}
    reward = await open_rewards([SETTINGS.validate_python(settings)], tmp_path)
    first = await reward(PROMPTS[:2], COMPLETIONS[:2])
    assert all(score.value is not None and 0 <= score.value <= 1 for score in first)
    assert "brevity" in first[0].parts and "everyday-words" in first[0].parts
    assert await reward(PROMPTS[:2], COMPLETIONS[:2]) == first
    assert (await reward(PROMPTS[2:], COMPLETIONS[2:]))[0].reason == "empty_completion"
    await reward.close()
    assert (tmp_path / "votes.db").exists()


Answer = Callable[[list[dict[str, Any]]], Any]


@pytest.fixture
async def server() -> AsyncIterator[Callable[[Answer], Any]]:
    """Starts reward servers that answer as a test says; gives their address."""
    started: list[TestServer] = []

    async def start(answer: Answer) -> str:
        async def handle(request: web.Request) -> web.StreamResponse:
            told = answer((await request.json())["items"])
            if isinstance(told, web.StreamResponse):
                return told
            return web.json_response({"scores": told})

        app = web.Application()
        app.router.add_post("/score", handle)
        started.append(TestServer(app))
        await started[-1].start_server()
        return str(started[-1].make_url("/score"))

    yield start
    for one in started:
        await one.close()


def by_length(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": item["id"], "score": len(item["completion"])} for item in items]


def shuffled(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    told = by_length(items)
    random.Random(1).shuffle(told)
    return told


async def test_scores_in_the_wrong_order_are_put_right_by_their_ids(server: Any) -> None:
    reward = ServerReward(await server(shuffled), per_request=2)
    completions = [CompletionText(text="x" * n) for n in range(7)]
    scores = await reward(PROMPTS[:1] * 7, completions)
    assert [score.value for score in scores] == [float(n) for n in range(7)]
    await reward.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(
            lambda items: [{"id": "p9#0", "score": 1} for _ in items[:1]],
            "id 'p9#0', which was not asked",
            id="an id that was not asked",
        ),
        pytest.param(lambda items: by_length(items)[:1] * 2, "an id twice", id="the same id twice"),
        pytest.param(
            lambda items: [{"id": items[0]["id"], "score": "good"}],
            "score of p1#0 is 'good'",
            id="a score that is no number",
        ),
        pytest.param(lambda _: "none", "no list `scores`", id="no list at all"),
    ],
)
async def test_answers_that_cannot_be_trusted_are_errors(
    server: Any, answer: Answer, words: str
) -> None:
    reward = ServerReward(await server(answer))
    with pytest.raises(VerdictError, match=words):
        await reward(PROMPTS[:2], COMPLETIONS[:2])
    await reward.close()


async def test_a_null_is_unscored_for_good_and_a_lacking_id_is_asked_again(server: Any) -> None:
    calls: list[list[str]] = []

    def answer(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        calls.append([item["completion"] for item in items])
        told = by_length(items)
        told[0]["score"] = None if len(calls) == 1 else told[0]["score"]
        return told[:2]

    reward = ServerReward(await server(answer))
    patience = Patience(longest_s=2, first_wait_s=0.01)
    completions = [CompletionText(text=text) for text in ("a", "bb", "ccc")]
    scores = await patient_scores(reward, PROMPTS, completions, patience, lambda _: None)
    assert [score.value for score in scores] == [None, 2.0, 3.0]
    assert calls == [["a", "bb", "ccc"], ["ccc"]]
    await reward.close()


async def test_a_server_that_is_down_and_comes_back_is_waited_for(server: Any) -> None:
    calls = 0

    def answer(items: list[dict[str, Any]]) -> Any:
        nonlocal calls
        calls += 1
        return web.Response(status=503) if calls <= 3 else by_length(items)

    reward = ServerReward(await server(answer))
    said: list[str] = []
    patience = Patience(longest_s=20, first_wait_s=0.01)
    scores = await patient_scores(reward, PROMPTS[:2], COMPLETIONS[:2], patience, said.append)
    assert [score.value for score in scores] == [70.0, 6.0]
    assert said and "503" in said[0]
    await reward.close()


async def test_a_server_that_never_was_ends_with_its_address() -> None:
    reward = ServerReward("http://127.0.0.1:9/score")
    patience = Patience(longest_s=0.1, first_wait_s=0.05)
    with pytest.raises(RewardAway, match=r"127\.0\.0\.1:9"):
        await patient_scores(reward, PROMPTS, COMPLETIONS, patience, lambda _: None)
    await reward.close()


async def test_several_rewards_are_one_sum_with_parts_that_can_be_told_apart(
    tmp_path: Path,
) -> None:
    function: dict[str, Any] = {
        "kind": "python",
        "function": "tests.training.ppo.tiny_run:count_e",
        "weight": -2,
    }
    settings = {"kind": "rules", "constitution": "plain-speech@1"}
    reward = await open_rewards(
        [SETTINGS.validate_python(one) for one in (settings, function, function)], tmp_path
    )
    [score] = await reward(PROMPTS[1:2], [CompletionText(text="He needs a reason, so that.")])
    assert {"rules", "count_e-2", "count_e-3", "rules/brevity"} <= score.parts.keys()
    e, rules = score.parts["count_e-2"], score.parts["rules"]
    assert e and rules and score.value == pytest.approx(rules - 4 * e)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "python", "function": "no.such:thing"}, "cannot be imported"),
        ({"kind": "python", "function": "tests.training.ppo.tiny_run:SWITCH"}, "is no function"),
        ({"kind": "rules", "constitution": "helpful-harmless@1"}, "no principle has a rule"),
        ({"kind": "server", "url": "http://x", "api_key_variable": "NO_KEY"}, "'NO_KEY' is not"),
        ({"kind": "model", "models": ["a", "b"], "urls": ["http://x"]}, "1 urls for 2 models"),
    ],
    ids=["module", "no function", "no rules", "key", "urls"],
)
async def test_a_reward_that_cannot_be_opened_says_why(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises((ConfigError, ModelError), match=words):
        await open_rewards([SETTINGS.validate_python(settings)], tmp_path)


def test_background_work_shares_one_loop_and_goes_on_while_this_thread_computes() -> None:
    async def where() -> tuple[int, int]:
        await asyncio.sleep(0)
        return threading.get_ident(), id(asyncio.get_running_loop())

    with Background() as background:
        started = background.start(where())
        first, second = started.result(5), background.run(where())
    assert first == second
    assert first[0] != threading.get_ident()


def test_samples_of_steps_that_are_done_again_are_cut_off(tmp_path: Path) -> None:
    samples = SamplesFile(tmp_path)
    samples.cut(3)
    samples.append([{"step": step, "completion": "x"} for step in (1, 2, 3, 4)])
    with samples.path.open("ab") as file:
        file.write(b'{"step": 5, "compl')
    samples.cut(3)
    samples.append([{"step": 4, "completion": "y"}])
    assert samples.path.read_text().count("\n") == 4
    assert '"step":4,"completion":"y"' in samples.path.read_text().replace(" ", "")
