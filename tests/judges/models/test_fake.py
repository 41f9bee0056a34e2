"""The fake model must show exactly what was planted in it."""

import asyncio
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import ConfigError
from judges.layout import PAIR_OPTIONS, YES_NO_OPTIONS, applies_prompt, pair_prompt
from judges.model import Choice, Completion, Failure, ModelPrompt, Sampling
from judges.models.fake import FakeModel, FakeSettings
from judges.records import Message

ASK = (Message(role="user", content="What is tea?"),)
SHORT, LONG = "Tea is a drink.", "Tea is a drink made of leaves. " * 6


def choose(
    model: FakeModel, prompt: ModelPrompt, options: tuple[str, ...] = PAIR_OPTIONS
) -> Choice:
    answer = asyncio.run(model.choose([prompt], options))[0]
    assert isinstance(answer, Choice), answer
    return answer


def gap(settings: FakeSettings, first: str, second: str, principle: str) -> float:
    answer = choose(FakeModel(settings), pair_prompt(ASK, first, second, principle))
    return answer.logprobs[0] - answer.logprobs[1]


@pytest.mark.parametrize(
    ("principle", "preferences", "better", "worse"),
    [
        pytest.param("Be brief.", {}, SHORT, LONG, id="brief in the text prefers shorter"),
        pytest.param("Give a DETAILED answer.", {}, LONG, SHORT, id="detailed prefers longer"),
        pytest.param('Mention "leaves".', {}, LONG, SHORT, id="mention prefers the word"),
        pytest.param('Avoid "leaves".', {}, SHORT, LONG, id="avoid prefers its absence"),
        pytest.param("Be brief.", {"brief": "longer"}, LONG, SHORT, id="a mapping wins over words"),
        pytest.param("P7", {"P7": "contains:LEAVES"}, LONG, SHORT, id="contains ignores case"),
    ],
)
def test_planted_taste_shows_in_both_orders(
    principle: str, preferences: dict[str, str], better: str, worse: str
) -> None:
    settings = FakeSettings(preferences=preferences)
    assert gap(settings, better, worse, principle) > 1
    assert gap(settings, worse, better, principle) == pytest.approx(
        -gap(settings, better, worse, principle)
    )


@given(st.text(), st.text(), st.text())
def test_swapping_negates_the_logit(first: str, second: str, principle: str) -> None:
    settings = FakeSettings(seed=3)
    assert gap(settings, first, second, principle) == pytest.approx(
        -gap(settings, second, first, principle), abs=1e-9
    )


def test_random_tastes_order_completions_without_cycles_and_differ_between_principles() -> None:
    texts = [f"answer {i}" for i in range(6)]
    rankings = set()
    for principle in ("Be kind.", "Be honest."):
        wins = Counter(
            a for a in texts for b in texts if a != b and gap(FakeSettings(), a, b, principle) > 0
        )
        assert sorted(wins[text] for text in texts) == [0, 1, 2, 3, 4, 5]
        rankings.add(tuple(sorted(texts, key=lambda text: wins[text])))
    assert len(rankings) == 2


def test_position_bias_adds_to_whichever_is_shown_first() -> None:
    biased = FakeSettings(position_bias=1.5)
    for first, second in ((SHORT, LONG), (LONG, SHORT)):
        added = gap(biased, first, second, "Be brief.") - gap(
            FakeSettings(), first, second, "Be brief."
        )
        assert added == pytest.approx(1.5)


def test_noise_is_fixed_per_prompt_and_has_the_planted_size() -> None:
    noisy = FakeSettings(noise=2.0, preferences={"P": "indifferent"})
    gaps = [gap(noisy, f"text {i}", "x", "P") for i in range(300)]
    assert gaps == [gap(noisy, f"text {i}", "x", "P") for i in range(300)]
    assert math.sqrt(sum(g * g for g in gaps) / 300) == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize(
    ("applies", "yes"),
    [
        pytest.param({}, True, id="always where nothing is planted"),
        pytest.param({"drinks": "never"}, False, id="never"),
        pytest.param({"drinks": "contains:tea"}, True, id="the conversation holds the word"),
        pytest.param({"drinks": "contains:coffee"}, False, id="the conversation lacks the word"),
    ],
)
def test_scope_votes_follow_the_plan(applies: dict[str, str], yes: bool) -> None:
    prompt = applies_prompt(ASK, "The prompt is about drinks.")
    answer = choose(FakeModel(FakeSettings(applies=applies)), prompt, YES_NO_OPTIONS)
    assert (answer.logprobs[0] > answer.logprobs[1]) is yes


@given(st.floats(min_value=1e-6, max_value=1.0), st.integers(min_value=2, max_value=7))
def test_probabilities_sum_to_the_label_mass(mass: float, options: int) -> None:
    model = FakeModel(FakeSettings(label_mass=mass))
    labels = tuple(f" {i}" for i in range(options))
    answer = choose(model, pair_prompt(ASK, SHORT, LONG, "Be kind."), labels)
    assert sum(math.exp(logprob) for logprob in answer.logprobs) == pytest.approx(mass)
    assert answer.label_mass == mass


async def test_n_prompts_with_k_failures_yield_n_minus_k_choices_in_order() -> None:
    model = FakeModel(
        FakeSettings(fail_containing={"bad": "option_missing", "off": "engine_error"})
    )
    texts = ["fine", "bad", "fine too", "off", "good"]
    answers = await model.choose([pair_prompt(ASK, t, "x", "P") for t in texts], PAIR_OPTIONS)
    kinds = [a.reason if isinstance(a, Failure) else "scored" for a in answers]
    assert kinds == ["scored", "option_missing", "scored", "engine_error", "scored"]
    assert [a.status for a in answers if isinstance(a, Failure)] == ["unscored", "error"]


async def test_failure_rates_are_met_and_fall_on_the_same_prompts_again() -> None:
    settings = FakeSettings(failure_rates={"refused": 0.2, "truncated": 0.1})
    prompts = [pair_prompt(ASK, f"text {i}", "x", "P") for i in range(1000)]
    answers = await FakeModel(settings).choose(prompts, PAIR_OPTIONS)
    assert answers == await FakeModel(settings).choose(prompts, PAIR_OPTIONS)
    reasons = Counter(a.reason for a in answers if isinstance(a, Failure))
    assert reasons["refused"] == pytest.approx(200, abs=40)
    assert reasons["truncated"] == pytest.approx(100, abs=30)


async def test_a_prompt_over_the_window_is_too_long() -> None:
    model = FakeModel(FakeSettings(max_tokens=100))
    answer = (await model.choose([pair_prompt(ASK, LONG * 9, "x", "P")], PAIR_OPTIONS))[0]
    assert isinstance(answer, Failure)
    assert (answer.status, answer.reason) == ("unscored", "too_long")


async def test_completions_are_varied_deterministic_and_cut_where_they_grow_too_long() -> None:
    prompts = [ModelPrompt(messages=(Message(role="user", content=q),)) for q in ("Tea?", "Sun?")]
    sampling = Sampling(n=8, max_tokens=12, seed=1, logprobs=True)
    answers = await FakeModel().complete(prompts, sampling)
    assert answers == await FakeModel().complete(prompts, sampling)
    flat = [c for group in answers if not isinstance(group, Failure) for c in group]
    assert len({c.text for c in flat}) > 8
    assert {c.finish_reason for c in flat} == {"stop", "length"}
    assert all(c.tokens == len(c.text.split()) == len(c.logprobs) <= 12 for c in flat)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        pytest.param({"seed": 1}, {"seed": 2}, False, id="another seed"),
        pytest.param({"seed": 1}, {"seed": 1}, True, id="the same seed"),
        pytest.param(
            {"seed": 1, "temperature": 0.0}, {"seed": 2, "temperature": 0.0}, True, id="greedy"
        ),
    ],
)
async def test_seed_and_temperature_decide_what_is_drawn(
    left: dict[str, float], right: dict[str, float], same: bool
) -> None:
    prompt = ModelPrompt(messages=ASK)
    drawn = [
        await FakeModel().complete([prompt], Sampling(n=4, **kwargs)) for kwargs in (left, right)
    ]
    assert (drawn[0] == drawn[1]) is same
    group = drawn[0][0]
    assert isinstance(group, tuple)
    assert (len({c.text for c in group}) == 1) is ("temperature" in left)


async def test_calls_and_prompts_are_counted() -> None:
    model = FakeModel()
    assert (model.calls, model.prompts) == (0, 0)
    await model.choose([pair_prompt(ASK, "a", "b", "P")] * 3, PAIR_OPTIONS)
    await model.complete([ModelPrompt(messages=ASK)], Sampling())
    assert (model.calls, model.prompts) == (2, 4)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        pytest.param({"latency_s": 0.5}, True, id="latency is no part of the judge"),
        pytest.param({"seed": 1}, False, id="the seed is"),
        pytest.param({"preferences": {"a": "longer"}}, False, id="tastes are"),
    ],
)
def test_fingerprint_names_planted_behaviour(changed: dict[str, object], same: bool) -> None:
    plain = FakeModel().capabilities().fingerprint
    other = FakeModel(FakeSettings.model_validate(changed)).capabilities().fingerprint
    assert (plain == other) is same


async def test_latency_is_paid_once_per_call() -> None:
    model = FakeModel(FakeSettings(latency_s=0.05))
    loop = asyncio.get_running_loop()
    start = loop.time()
    await model.choose([pair_prompt(ASK, "a", "b", "P")] * 5, PAIR_OPTIONS)
    assert 0.05 <= loop.time() - start < 0.25


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"preferences": {"a": "shortest"}}, id="an unknown taste"),
        pytest.param({"applies": {"a": "sometimes"}}, id="an unknown scope"),
    ],
)
def test_a_misspelt_plan_is_refused_with_the_choices(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="use"):
        FakeModel(FakeSettings.model_validate(settings))


@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_any_text_is_judged_and_completed(text: str) -> None:
    prompt = pair_prompt((Message(role="user", content=text),), text, "x", text)
    assert choose(FakeModel(), prompt).label_mass == 1
    group = asyncio.run(FakeModel().complete([prompt], Sampling()))[0]
    assert isinstance(group, tuple)
    assert isinstance(group[0], Completion)
