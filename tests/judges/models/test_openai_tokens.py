"""The token transport against a real HTTP server that fails as it is told to."""

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from judges.errors import ConfigError, ModelError
from judges.layout import PAIR_OPTIONS, pair_prompt
from judges.model import Choice, Completion, Failure, ModelPrompt, Sampling
from judges.models.openai import OpenAIModel
from judges.records import Message
from tests.judges.models.scripted_server import (
    IMPATIENT,
    Fault,
    Script,
    disconnect,
    expected,
    serve,
    stall,
    status,
    text,
)
from tests.judges.models.tiny_model import byte_level_bpe, write_model

ASK = (Message(role="user", content="What is tea?"),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny"), byte_level_bpe())


@pytest.fixture
async def script(folder: Path) -> AsyncIterator[Script]:
    async with serve(folder) as script:
        yield script


@pytest.fixture
async def model(script: Script, folder: Path) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel(
        script.url,
        "tiny",
        tokenizer=folder,
        fingerprint="tiny@1",
        prompts_per_request=4,
        requests_in_flight=2,
        retry=IMPATIENT,
    )
    await model.connect()
    script.asked.clear()
    yield model
    await model.close()


def votes(*texts: str) -> list[ModelPrompt]:
    return [pair_prompt(ASK, text, "Tea.", "Be kind.") for text in texts]


def outcomes(answers: list[Choice | Failure]) -> list[str]:
    return [a.reason if isinstance(a, Failure) else "scored" for a in answers]


async def test_the_options_raw_log_probabilities_come_back(
    model: OpenAIModel, script: Script
) -> None:
    prompts = votes(*(f"text {'a ' * i}" for i in range(10)))
    answers = await model.choose(prompts, PAIR_OPTIONS)
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = model.render(prompt)
        assert isinstance(answer, Choice)
        assert answer.logprobs == pytest.approx(expected(ids))
        assert answer.label_mass == pytest.approx(sum(map(math.exp, expected(ids))))
        assert answer.prompt_tokens == len(ids)
    assert [len(body["prompt"]) for body in script.bodies("/v1/completions")] == [4, 4, 2]
    assert script.most_at_once <= 2


async def test_prompts_are_padded_to_whole_blocks_and_end_in_the_prefill(
    model: OpenAIModel, script: Script
) -> None:
    prompt = votes("text")[0]
    await model.choose([prompt], PAIR_OPTIONS)
    sent = script.bodies("/v1/completions")[0]
    assert model.encoder is not None
    assert sent["prompt"] == [model.encoder.encode(prompt, 32)] == [model.render(prompt)]
    assert script.tokenizer.decode(sent["prompt"][0]).endswith("assistant\nAnswer:")
    assert sent["logprob_token_ids"] == sorted(model.encoder.option_ids("Answer:", PAIR_OPTIONS))


async def test_cached_tokens_are_told_of_single_prompts_only(model: OpenAIModel) -> None:
    alone = await model.choose(votes("a"), PAIR_OPTIONS)
    together = await model.choose(votes("a", "b"), PAIR_OPTIONS)
    assert [a.cached_tokens for a in (*alone, *together) if isinstance(a, Choice)] == [32, 0, 0]


async def test_choices_are_placed_by_their_index(model: OpenAIModel, script: Script) -> None:
    prompts = votes("a", "a a a a", "a a a a a a a a")
    straight = await model.choose(prompts, PAIR_OPTIONS)
    script.backwards = True
    assert await model.choose(prompts, PAIR_OPTIONS) == straight
    assert len(set(map(repr, straight))) == 3


async def test_n_prompts_with_k_failures_yield_n_minus_k_choices_in_order(
    model: OpenAIModel, script: Script
) -> None:
    script.refused = {"BAD": (400, "cannot do that"), "LONG": (400, "maximum context length is 9")}
    prompts = votes("a", "BAD", "NO OPTION", "b", "c", "x " * 400, "LONG", "d", "BAD", "e")
    assert outcomes(await model.choose(prompts, PAIR_OPTIONS)) == [
        "scored",
        "engine_error",
        "option_missing",
        "scored",
        "scored",
        "too_long",
        "too_long",
        "scored",
        "engine_error",
        "scored",
    ]


async def test_one_bad_prompt_of_many_fails_alone(model: OpenAIModel, script: Script) -> None:
    script.refused = {"BAD": (400, "cannot do that")}
    answers = await model.choose(votes("a", "b", "BAD", "c"), PAIR_OPTIONS)
    assert outcomes(answers) == ["scored", "scored", "engine_error", "scored"]
    failure = answers[2]
    assert isinstance(failure, Failure)
    assert failure.status == "error"
    assert "cannot do that" in failure.detail
    assert [len(body["prompt"]) for body in script.bodies("/v1/completions")] == [4, 2, 2, 1, 1]


async def test_a_prompt_over_the_limit_is_not_sent(model: OpenAIModel, script: Script) -> None:
    answers = await model.choose(votes("x " * 400), PAIR_OPTIONS)
    assert outcomes(answers) == ["too_long"]
    assert not script.bodies("/v1/completions")
    assert "the server takes 400" in answers[0].model_dump()["detail"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(status(500), id="internal error"),
        pytest.param(status(503), id="not ready"),
        pytest.param(status(429, **{"Retry-After": "0.01"}), id="too many requests"),
        pytest.param(disconnect, id="hung up"),
        pytest.param(stall, id="stalled"),
    ],
)
async def test_a_passing_failure_is_outlasted(
    model: OpenAIModel, script: Script, fault: Fault
) -> None:
    script.faults.append(fault)
    assert outcomes(await model.choose(votes("a", "b"), PAIR_OPTIONS)) == ["scored", "scored"]
    assert len(script.bodies("/v1/completions")) == 2


@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        pytest.param(status(500, "engine is dead"), 3, id="internal error"),
        pytest.param(disconnect, 3, id="hung up"),
        pytest.param(text("<html>proxy</html>"), 1, id="no JSON"),
        pytest.param(text("[]"), 1, id="no object"),
        pytest.param(text('{"choices": []}'), 1, id="no choices"),
        pytest.param(text('{"choices": [{"index": "x"}, 3, null]}'), 1, id="unreadable choices"),
    ],
)
async def test_a_lasting_failure_fails_its_own_prompts_only(
    model: OpenAIModel, script: Script, fault: Fault, requests: int
) -> None:
    script.faults.extend([fault] * requests)
    answers = await model.choose(votes("a", "b"), PAIR_OPTIONS)
    assert outcomes(answers) == ["engine_error", "engine_error"]
    assert {a.status for a in answers if isinstance(a, Failure)} == {"error"}
    assert outcomes(await model.choose(votes("a", "b"), PAIR_OPTIONS)) == ["scored", "scored"]


async def test_an_answer_without_log_probabilities_is_an_error_not_a_missing_option(
    model: OpenAIModel, script: Script
) -> None:
    script.no_logprobs = True
    assert outcomes(await model.choose(votes("a"), PAIR_OPTIONS)) == ["engine_error"]


async def test_a_key_that_is_refused_stops_everything(model: OpenAIModel, script: Script) -> None:
    script.faults.append(status(401, "bad key"))
    with pytest.raises(ModelError, match=r"bad key.*/v1/completions.*API key"):
        await model.choose(votes("a", "b"), PAIR_OPTIONS)


async def test_options_of_several_tokens_are_refused_before_anything_is_sent(
    model: OpenAIModel, script: Script
) -> None:
    with pytest.raises(ConfigError, match="not one token"):
        await model.choose(votes("a"), (" A", " aubergine"))
    assert not script.asked


async def test_a_conversation_that_the_template_refuses_fails_alone(
    script: Script, tmp_path: Path
) -> None:
    template = "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}"
    template += "{% endif %}{{ m.content }}{% endfor %}"
    folder = write_model(tmp_path, byte_level_bpe(), template)
    model = OpenAIModel(script.url, tokenizer=folder, fingerprint="x")
    tool = ModelPrompt(messages=(Message(role="tool", content="1"),))
    answers = await model.complete([tool, ModelPrompt(messages=ASK)], Sampling())
    await model.close()
    assert isinstance(answers[0], Failure)
    assert "no tools" in answers[0].detail
    assert isinstance(answers[1], tuple)


@pytest.mark.parametrize("quoted", ["a\x00b", "\ud800", "😀", "<|im_end|>\n<|im_start|>"])
async def test_any_text_can_be_judged_and_sampled(model: OpenAIModel, quoted: str) -> None:
    assert outcomes(await model.choose(votes(quoted), PAIR_OPTIONS)) == ["scored"]
    asked = ModelPrompt(messages=(Message(role="user", content=quoted),))
    assert isinstance((await model.complete([asked], Sampling()))[0], tuple)


async def test_completions_come_with_ids_and_log_probabilities(
    model: OpenAIModel, script: Script
) -> None:
    prompts = [ModelPrompt(messages=(Message(role="user", content=q),)) for q in ("Tea?", "Sun?")]
    script.backwards = True
    sampling = Sampling(n=3, max_tokens=5, temperature=0.5, top_p=0.9, seed=1, logprobs=True)
    answers = await model.complete(prompts, sampling)
    assert all(isinstance(group, tuple) and len(group) == 3 for group in answers)
    group = answers[0]
    assert isinstance(group, tuple)
    seed = group[0].text.split()[1]
    assert group[1] == Completion(
        text=f"seed {seed} sample 1",
        finish_reason="stop",
        tokens=3,
        token_ids=(11, 12, 13),
        logprobs=(-0.5, -0.5, -0.5),
    )
    sent = script.bodies("/v1/completions")
    assert {(b["n"], b["max_tokens"], b["temperature"], b["top_p"]) for b in sent} == {
        (3, 5, 0.5, 0.9)
    }
    # What is left out, vLLM takes from the model's generation_config.json.
    off = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    off |= {"presence_penalty": 0.0, "frequency_penalty": 0.0}
    assert all(off.items() <= body.items() for body in sent)


async def test_prompts_have_seeds_of_their_own_that_are_the_same_again(
    model: OpenAIModel, script: Script
) -> None:
    prompts = [ModelPrompt(messages=(Message(role="user", content=q),)) for q in ("Tea?", "Sun?")]
    for seed in (1, 1, 2):
        await model.complete(prompts, Sampling(seed=seed))
    seeds = [body["seed"] for body in script.bodies("/v1/completions")]
    assert sorted(seeds[:2]) == sorted(seeds[2:4])
    assert len(set(seeds)) == 4


async def test_greedy_completions_are_drawn_once_and_repeated(
    model: OpenAIModel, script: Script
) -> None:
    answers = await model.complete([ModelPrompt(messages=ASK)], Sampling(n=3, temperature=0))
    assert isinstance(answers[0], tuple)
    assert len(answers[0]) == 3
    assert [body["n"] for body in script.bodies("/v1/completions")] == [1]


@pytest.mark.parametrize(
    ("choice", "seen"),
    [
        pytest.param({"finish_reason": "abort"}, "'abort'", id="aborted"),
        pytest.param({"token_ids": None}, "ids None", id="no ids"),
        pytest.param({"logprobs": None}, "0 log-probabilities for 3", id="no log-probabilities"),
    ],
)
async def test_a_broken_completion_is_an_error(
    model: OpenAIModel, script: Script, choice: dict[str, object], seen: str
) -> None:
    script.choice = choice
    answers = await model.complete([ModelPrompt(messages=ASK)], Sampling(logprobs=True))
    assert isinstance(answers[0], Failure)
    assert (answers[0].status, answers[0].reason) == ("error", "engine_error")
    assert seen in answers[0].detail


async def test_log_probabilities_of_given_tokens(model: OpenAIModel, script: Script) -> None:
    answers = await model.prompt_logprobs(
        [[5, 6, 7, 8], [9, 10], [1] * 400], [2, 1, 1], model="adapter"
    )
    assert answers[:2] == [(-0.07, -0.08), (-0.1,)]
    assert isinstance(answers[2], Failure)
    assert answers[2].reason == "too_long"
    assert {body["model"] for body in script.bodies("/v1/completions")} == {"adapter"}
    assert script.most_at_once == 1
