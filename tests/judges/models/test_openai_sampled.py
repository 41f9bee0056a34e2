"""The sampled transport: counts made into probabilities, and what each server is asked."""

import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import ModelError
from judges.layout import PAIR_OPTIONS, YES_NO_OPTIONS, pair_prompt
from judges.model import Choice, Completion, Failure, ModelPrompt, Sampling
from judges.models.openai import OpenAIModel
from judges.models.openai_sampled import option_of, smoothed
from judges.records import Message
from tests.judges.models.scripted_server import IMPATIENT, Script, serve, status
from tests.judges.models.tiny_model import byte_level_bpe, write_model

PATH = "/v1/chat/completions"
ASK = (Message(role="user", content="What is tea?"),)
PROMPT = pair_prompt(ASK, "Tea.", "Leaves.", "Be kind.")


class Sayings:
    """A chat endpoint that says given things in turn, and takes what it is told to take."""

    def __init__(self) -> None:
        self.says: list[Any] = ["A"]
        self.choices = True
        """Whether `structured_outputs` is heeded."""
        self.schemas = True
        """Whether `response_format` is heeded; None refuses it."""
        self.refuses: tuple[str, ...] = ()
        """Keys of a body that it will not take."""
        self.ignores_n = self.same_luck = False
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, request: web.Request) -> web.Response:
        body = await request.json()
        for key in self.refuses:
            if key in body:
                words = f"{key} is not supported"
                return web.json_response({"error": {"message": words}}, status=400)
        n = 1 if self.ignores_n else body.get("n", 1)
        judged = len(body["messages"]) > 1
        said = [self.says[(len(self.asked) + i) % len(self.says)] for i in range(n)]
        if judged:
            self.asked.append(body)
        else:
            said = [self._probed(body, i) for i in range(n)]
        choices = [
            {"index": i, "finish_reason": "stop"}
            | (one if isinstance(one, dict) else {"message": {"content": one}})
            for i, one in enumerate(said)
        ]
        usage = {"prompt_tokens": 50, "prompt_tokens_details": {"cached_tokens": 16}}
        return web.json_response({"choices": choices, "usage": usage})

    def _probed(self, body: dict[str, Any], i: int) -> str:
        if "number" in body["messages"][0]["content"]:
            return "7" if self.same_luck else str(i)
        if "structured_outputs" in body and self.choices:
            return "A"
        if "response_format" in body and self.schemas:
            return json.dumps({"answer": "B"})
        return "I would say A."


@pytest.fixture
def sayings() -> Sayings:
    return Sayings()


@pytest.fixture
async def script(tmp_path: Path, sayings: Sayings) -> AsyncIterator[Script]:
    async with serve(write_model(tmp_path, byte_level_bpe())) as script:
        script.paths[PATH] = sayings
        yield script


@pytest.fixture
async def models(script: Script) -> AsyncIterator[Any]:
    """Makes models at the server, and closes them."""
    made = []

    def make(**changed: Any) -> OpenAIModel:
        given: dict[str, Any] = {"fingerprint": "x", "transport": "sampled", "retry": IMPATIENT}
        made.append(OpenAIModel(script.url, "tiny", **(given | changed)))
        return made[-1]

    yield make
    for model in made:
        await model.close()


async def one(model: OpenAIModel, options: tuple[str, ...] = PAIR_OPTIONS) -> Choice | Failure:
    await model.connect()
    return (await model.choose([PROMPT], options))[0]


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 9))
def test_two_options_share_what_fell_on_them_by_k_and_a_half(a: int, b: int, off: int) -> None:
    if a + b == 0:
        return
    first, second = map(math.exp, smoothed((a, b), a + b + off))
    mass = (a + b) / (a + b + off)
    assert first / (first + second) == pytest.approx((a + 0.5) / (a + b + 1))
    assert first + second == pytest.approx(mass)
    assert min(first, second) > 0
    assert smoothed((b, a), a + b + off) == smoothed((a, b), a + b + off)[::-1]


def test_more_options_take_half_a_sample_each() -> None:
    probabilities = [math.exp(logprob) for logprob in smoothed((3, 1, 0), 4)]
    assert probabilities == pytest.approx([3.5 / 5.5, 1.5 / 5.5, 0.5 / 5.5])


@pytest.mark.parametrize(
    ("said", "options", "found"),
    [
        ("A", PAIR_OPTIONS, 0),
        (" B.\n", PAIR_OPTIONS, 1),
        ("**A**", PAIR_OPTIONS, 0),
        ("(B) is kinder", PAIR_OPTIONS, 1),
        ("Answer: B", PAIR_OPTIONS, 1),
        ('{"answer": "B"}', PAIR_OPTIONS, 1),
        ('"A"', PAIR_OPTIONS, 0),
        ('{"answer": 7}', PAIR_OPTIONS, None),
        ('{"verdict": "A"}', PAIR_OPTIONS, None),
        ("a", PAIR_OPTIONS, None),
        ("Both A and B", PAIR_OPTIONS, None),
        ("", PAIR_OPTIONS, None),
        ("[1]", PAIR_OPTIONS, None),
        ("Yes, it does", YES_NO_OPTIONS, 0),
        ("yesterday", YES_NO_OPTIONS, None),
        ("NO", YES_NO_OPTIONS, 1),
    ],
)
def test_an_answer_is_its_first_word(said: str, options: tuple[str, ...], found: int) -> None:
    assert option_of(said, options, "Answer:") == found


async def test_samples_are_counted(models: Any, sayings: Sayings) -> None:
    sayings.says = ["A", "A", "A", "B", "A", "neither", "A", "A"]
    answer = await one(models())
    assert isinstance(answer, Choice)
    assert answer.label_mass == pytest.approx(7 / 8)
    assert answer.logprobs[0] - answer.logprobs[1] == pytest.approx(math.log(6.5 / 1.5))
    assert (answer.prompt_tokens, answer.cached_tokens) == (50, 16)


async def test_what_vllm_is_asked(models: Any, sayings: Sayings) -> None:
    await one(models(samples=5))
    (body,) = sayings.asked
    assert (body["n"], body["temperature"], body["top_p"], body["top_k"]) == (5, 1.0, 1.0, 0)
    assert body["structured_outputs"] == {"choice": ["A", "B"]}
    assert body["messages"][-1]["content"] == PROMPT.messages[-1].content


@pytest.mark.parametrize(
    ("engine", "setup", "constraint"),
    [
        pytest.param("vllm", {}, "choice", id="vLLM chooses among texts"),
        pytest.param("x", {}, "json_schema", id="others by JSON schema"),
        pytest.param("vllm", {"choices": False}, "none", id="an old vLLM ignores choices"),
        pytest.param("x", {"schemas": False}, "none", id="a schema that is ignored"),
        pytest.param("x", {"refuses": ("response_format",)}, "none", id="a schema that is refused"),
    ],
)
async def test_the_constraint_is_found_out_and_keys_the_vote(
    models: Any, script: Script, sayings: Sayings, engine: str, setup: Any, constraint: str
) -> None:
    script.models = [{"id": "tiny", "owned_by": engine, "max_model_len": 400}]
    vars(sayings).update(setup)
    model = models()
    assert isinstance(await one(model), Choice)
    assert model.vote_sampling() == {"samples": 8, "temperature": 1.0, "constraint": constraint}
    assert model.capabilities().transport == "sampled"
    assert model.capabilities().provenance.endswith(" sampled")
    constrained = {"structured_outputs", "response_format"} & sayings.asked[0].keys()
    wanted = {"choice": "structured_outputs", "json_schema": "response_format"}
    assert constrained == ({wanted[constraint]} if constraint in wanted else set())


@pytest.mark.parametrize("setup", [{"ignores_n": True}, {"same_luck": True}, {"refuses": ("n",)}])
async def test_a_server_without_n_independent_samples_is_asked_m_times(
    models: Any, sayings: Sayings, setup: dict[str, Any]
) -> None:
    vars(sayings).update(setup)
    answer = await one(models(samples=4))
    assert isinstance(answer, Choice)
    assert answer.prompt_tokens == 200
    assert len(sayings.asked) == 4
    assert not any("n" in body for body in sayings.asked)
    seeds = {body["seed"] for body in sayings.asked}
    assert len(seeds) == 4, "each sample has luck of its own"
    await one(models(samples=4))
    assert {body["seed"] for body in sayings.asked[4:]} == seeds, "and the same one again"


async def test_prompts_have_seeds_of_their_own(models: Any, sayings: Sayings) -> None:
    prompts = [pair_prompt(ASK, text, "Tea.", "Be kind.") for text in "abc"]
    await models().choose(prompts, PAIR_OPTIONS)
    assert len({body["seed"] for body in sayings.asked}) == 3


@pytest.mark.parametrize(
    ("said", "ends"),
    [
        pytest.param("neither", ("unscored", "option_missing"), id="no option"),
        pytest.param(
            {"message": {"refusal": "I won't."}}, ("unscored", "refused"), id="all refused"
        ),
        pytest.param(
            {"message": {"content": None}, "finish_reason": "length"},
            ("unscored", "truncated"),
            id="still reasoning",
        ),
        pytest.param({"message": None}, ("error", "engine_error"), id="unreadable"),
        pytest.param({"message": {}, "index": 9}, ("error", "engine_error"), id="lacking"),
    ],
)
async def test_what_has_no_option_is_a_failure_with_its_reason(
    models: Any, sayings: Sayings, said: Any, ends: tuple[str, str]
) -> None:
    sayings.says = [said]
    answer = await one(models())
    assert isinstance(answer, Failure)
    assert (answer.status, answer.reason) == ends


async def test_one_lacking_sample_is_not_made_up_for(models: Any, sayings: Sayings) -> None:
    sayings.says = [*["A"] * 7, {"message": None}]
    answer = await one(models())
    assert isinstance(answer, Failure)
    assert answer.status == "error"


async def test_a_refused_prompt_fails_alone(models: Any, script: Script, sayings: Sayings) -> None:
    async def refuse_long(request: web.Request) -> web.Response:
        if "LONG" in await request.text():
            words = "maximum context length is 9 tokens"
            return web.json_response({"error": {"message": words}}, status=400)
        return await sayings(request)

    script.paths[PATH] = refuse_long
    sayings.ignores_n = True
    prompts = [pair_prompt(ASK, text, "Tea.", "Be kind.") for text in ("a", "LONG", "b")]
    answers = await models().choose(prompts, PAIR_OPTIONS)
    assert [a.reason if isinstance(a, Failure) else "scored" for a in answers] == [
        "scored",
        "too_long",
        "scored",
    ]


async def test_control_tokens_are_broken_up_and_counted(models: Any, sayings: Sayings) -> None:
    await models().connect()
    prompt = pair_prompt(ASK, "<|im_end|>", "</s>", "Be kind.")
    answer = (await models().choose([prompt], PAIR_OPTIONS))[0]
    assert isinstance(answer, Choice)
    assert answer.altered == 2
    assert "<|im_end|>" not in sayings.asked[0]["messages"][-1]["content"]


async def test_it_completes_as_any_chat(models: Any) -> None:
    answer = (await models().complete([ModelPrompt(messages=ASK)], Sampling(n=1)))[0]
    assert isinstance(answer, tuple)
    assert isinstance(answer[0], Completion)


@pytest.mark.parametrize("transport", ["auto", "chat_logprobs", "token_ids"])
async def test_it_is_never_taken_unasked(models: Any, tmp_path: Path, transport: str) -> None:
    model = await models(transport=transport, tokenizer=tmp_path).connect()
    assert model.capabilities().transport != "sampled"
    assert model.vote_sampling() == {}


async def test_a_server_that_refuses_chats_is_told_of(models: Any, script: Script) -> None:
    script.paths[PATH] = status(422, "no chats here")
    with pytest.raises(ModelError, match="transport sampled: chats are refused"):
        await models().connect()


async def test_a_server_that_says_nothing_readable_is_told_of(models: Any, script: Script) -> None:
    script.paths[PATH] = lambda _: web.json_response({"choices": []})
    with pytest.raises(ModelError, match="transport sampled: the server's answer has no choice"):
        await models().connect()
    assert len(script.bodies(PATH)) == 3


async def test_without_log_probabilities_the_way_out_is_named(
    models: Any, script: Script, tmp_path: Path
) -> None:
    script.no_logprobs = True
    with pytest.raises(ModelError, match="sampled where the server has no log-probabilities"):
        await models(transport="token_ids", tokenizer=tmp_path).connect()
