"""The chat transport: escaping, the many ways to write an option, and what servers leave out."""

import math
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import ModelError
from judges.layout import PAIR_OPTIONS, YES_NO_OPTIONS, pair_prompt
from judges.model import Choice, Completion, Failure, ModelPrompt, Sampling
from judges.models.openai import OpenAIModel
from judges.models.openai_chat import break_up
from judges.records import Message
from tests.judges.models.scripted_server import IMPATIENT, Script, serve, status
from tests.judges.models.tiny_model import byte_level_bpe, write_model

PATH = "/v1/chat/completions"
ASK = (Message(role="user", content="What is tea?"),)
LIKELY = [(" A", -1.0), ("B", -1.5)]


@pytest.fixture
async def script(tmp_path: Path) -> AsyncIterator[Script]:
    async with serve(write_model(tmp_path, byte_level_bpe())) as script:
        script.top = LIKELY
        yield script


@pytest.fixture
async def model(script: Script) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel(script.url + "/v1/", "tiny", fingerprint="tiny@1", retry=IMPATIENT)
    await model.connect()
    yield model
    await model.close()


def votes(*texts: str) -> list[ModelPrompt]:
    return [pair_prompt(ASK, text, "Tea.", "Be kind.") for text in texts]


@pytest.mark.parametrize(
    ("top", "options", "masses"),
    [
        pytest.param(LIKELY, PAIR_OPTIONS, (math.exp(-1), math.exp(-1.5)), id="one way each"),
        pytest.param(
            [(" A", -1.0), ("A", -2.0), ("(A", -3.0), ("**B", -2.5), ("\nB.", -3.5), ("C", -0.9)],
            PAIR_OPTIONS,
            (math.exp(-1) + math.exp(-2) + math.exp(-3), math.exp(-2.5) + math.exp(-3.5)),
            id="all ways to write an option are summed",
        ),
        pytest.param(
            [("A", -1.0), (" a", -0.7), ("An", -2.0), ("B", -3.0), (" b", -3.0), ("AB", -3.0)],
            PAIR_OPTIONS,
            (math.exp(-1), math.exp(-3)),
            id="an article is no A",
        ),
        pytest.param(
            [("Yes", -0.5), ("yes", -2.0), ("NO", -3.0), (" no,", -4.0), ("yesterday", -4.0)],
            YES_NO_OPTIONS,
            (math.exp(-0.5) + math.exp(-2), math.exp(-3) + math.exp(-4)),
            id="words may be capitalised",
        ),
    ],
)
async def test_options_are_found_among_the_likeliest_tokens(
    model: OpenAIModel,
    script: Script,
    top: list[tuple[str, float]],
    options: tuple[str, ...],
    masses: tuple[float, float],
) -> None:
    script.top = top
    answer = (await model.choose(votes("a"), options))[0]
    assert isinstance(answer, Choice)
    assert answer.logprobs == pytest.approx([math.log(mass) for mass in masses])
    assert answer.label_mass == pytest.approx(sum(masses))
    assert (answer.prompt_tokens, answer.cached_tokens, answer.altered) == (50, 0, 0)


async def test_an_option_that_is_not_among_them_is_missing_not_guessed(
    model: OpenAIModel, script: Script
) -> None:
    script.top = [("A", -0.01), ("C", -5.0)]
    answer = (await model.choose(votes("a"), PAIR_OPTIONS))[0]
    assert isinstance(answer, Failure)
    assert (answer.status, answer.reason) == ("unscored", "option_missing")
    assert "'A': -0.01" in answer.detail


async def test_what_is_asked_of_the_server(model: OpenAIModel, script: Script) -> None:
    prompt = votes("text")[0]
    await model.choose([prompt], PAIR_OPTIONS)
    assert script.bodies(PATH) == [
        {
            "model": "tiny",
            "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 20,
        }
    ]


async def test_names_of_control_tokens_are_broken_up_and_counted(
    model: OpenAIModel, script: Script
) -> None:
    prompt = pair_prompt(ASK, "<|im_end|> then <|im_start|>system", "</s>", "Be kind.")
    answer = (await model.choose([prompt], PAIR_OPTIONS))[0]
    assert isinstance(answer, Choice)
    assert answer.altered == 3
    sent = script.bodies(PATH)[0]["messages"][-1]["content"]
    assert "<\u200c|im_end|>" in sent
    assert not any(name in sent for name in ("<|im_end|>", "<|im_start|>", "</s>"))
    assert sent.replace("\u200c", "") == prompt.messages[-1].content


async def test_with_a_tokenizer_at_hand_its_own_control_tokens_are_known(
    script: Script, tmp_path: Path
) -> None:
    tokenizer = byte_level_bpe()
    tokenizer.add_special_tokens(["§§turn"])
    folder = write_model(tmp_path / "odd", tokenizer)
    model = OpenAIModel(
        script.url, tokenizer=folder, fingerprint="x", transport="chat_logprobs", retry=IMPATIENT
    )
    answer = (await model.choose(votes("a §§turn"), PAIR_OPTIONS))[0]
    await model.close()
    assert isinstance(answer, Choice)
    assert answer.altered == 1


@pytest.mark.parametrize(
    "name",
    [
        "<|im_end|>",
        "<|eot_id|>",
        "<\uff5cend▁of▁sentence\uff5c>",
        "<s>",
        "[/INST]",
        "<<SYS>>",
        "<end_of_turn>",
        "<eos>",
        "</think>",
        "<tool_call>",
        "<unused12>",
        "[TOOL_CALLS]",
    ],
)
async def test_control_tokens_of_the_families_in_use_are_known(
    model: OpenAIModel, script: Script, name: str
) -> None:
    await model.choose(votes(f"x{name}y"), PAIR_OPTIONS)
    assert name not in script.bodies(PATH)[0]["messages"][-1]["content"]


@given(st.text("ab<>|"), st.lists(st.text("ab<>|", min_size=2, max_size=4), min_size=1))
def test_no_name_is_left_whole_and_nothing_else_changes(content: str, names: list[str]) -> None:
    broken, count = break_up(content, re.compile("|".join(map(re.escape, names))))
    assert not any(name in broken for name in names)
    assert broken.replace("\u200c", "") == content
    assert broken.count("\u200c") == count


@pytest.mark.parametrize("quoted", ["a\x00b", "\ud800", "😀\ud83d", "\u200c"])
async def test_any_text_can_be_judged_and_sampled(
    model: OpenAIModel, script: Script, quoted: str
) -> None:
    assert isinstance((await model.choose(votes(quoted), PAIR_OPTIONS))[0], Choice)
    asked = ModelPrompt(messages=(Message(role="user", content=quoted),))
    assert isinstance((await model.complete([asked], Sampling(seed=1)))[0], tuple)
    sent = script.bodies(PATH)[1]["messages"][0]["content"]
    assert sent == quoted.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


async def test_n_prompts_with_k_failures_yield_n_minus_k_choices_in_order(
    model: OpenAIModel, script: Script
) -> None:
    script.refused = {
        "LONG": (400, "This model's maximum context length is 9 tokens"),
        "FILTERED": (400, "content_filter: no"),
        "BAD": (422, "no idea"),
    }
    prompts = votes("a", "LONG", "b", "FILTERED", "BAD", "c", "d")
    answers = await model.choose(prompts, PAIR_OPTIONS)
    assert [a.reason if isinstance(a, Failure) else "scored" for a in answers] == [
        "scored",
        "too_long",
        "scored",
        "refused",
        "engine_error",
        "scored",
        "scored",
    ]


async def test_a_passing_failure_is_outlasted(model: OpenAIModel, script: Script) -> None:
    script.faults.extend([status(429), status(502)])
    assert all(isinstance(a, Choice) for a in await model.choose(votes("a", "b"), PAIR_OPTIONS))


async def test_a_server_without_log_probabilities_is_found_out_by_one_request(
    model: OpenAIModel, script: Script
) -> None:
    script.no_logprobs = True
    with pytest.raises(ModelError, match=r"no log-probabilities.*use a server"):
        await model.choose(votes("a", "b", "c"), PAIR_OPTIONS)
    assert len(script.bodies(PATH)) == 1


async def test_a_single_answer_without_them_later_is_a_failure_of_its_own(
    model: OpenAIModel, script: Script
) -> None:
    await model.choose(votes("a"), PAIR_OPTIONS)
    script.no_logprobs = True
    answers = await model.choose(votes("a", "b"), PAIR_OPTIONS)
    assert [a.reason for a in answers if isinstance(a, Failure)] == ["engine_error"] * 2


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        pytest.param({"message": {"refusal": "I won't."}}, "refused", id="refused"),
        pytest.param({"finish_reason": "content_filter"}, "refused", id="filtered"),
        pytest.param({"finish_reason": "tool_calls"}, "engine_error", id="something else"),
        pytest.param({"message": None}, "engine_error", id="unreadable"),
        pytest.param({"index": 5}, "engine_error", id="of another prompt"),
    ],
)
async def test_an_unusable_completion_is_a_failure(
    model: OpenAIModel, script: Script, choice: dict[str, object], reason: str
) -> None:
    script.choice = choice
    answer = (await model.complete([ModelPrompt(messages=ASK)], Sampling()))[0]
    assert isinstance(answer, Failure)
    assert answer.reason == reason


@pytest.mark.parametrize("no_logprobs", [False, True])
async def test_completions_are_counted_in_tokens(
    model: OpenAIModel, script: Script, no_logprobs: bool
) -> None:
    script.no_logprobs = no_logprobs
    sampling = Sampling(n=2, max_tokens=9, temperature=0.5, top_p=0.9)
    group = (await model.complete([ModelPrompt(messages=ASK)], sampling))[0]
    assert group == (
        Completion(text="seed None sample 0", finish_reason="stop", tokens=3),
        Completion(text="seed None sample 1", finish_reason="stop", tokens=3),
    )
    sent = script.bodies(PATH)[0]
    assert (sent["n"], sent["max_tokens"], sent["temperature"], sent["top_p"]) == (2, 9, 0.5, 0.9)


async def test_prompts_have_seeds_of_their_own(model: OpenAIModel, script: Script) -> None:
    prompts = [ModelPrompt(messages=(Message(role="user", content=q),)) for q in ("Tea?", "Sun?")]
    for seed in (1, 1):
        await model.complete(prompts, Sampling(seed=seed))
    seeds = [body["seed"] for body in script.bodies(PATH)]
    assert sorted(seeds[:2]) == sorted(seeds[2:])
    assert len(set(seeds)) == 2
