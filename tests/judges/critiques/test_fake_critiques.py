"""The fake finds what offends its taste, mends it, and goes wrong as often as was planted."""

import json
from collections import Counter

import pytest

from judges.critiques.critique import CRITIQUE_SCHEMA
from judges.critiques.layout import Finding, critique_prompt, revision_prompt
from judges.model import Completion, Failure, ModelPrompt, Sampling
from judges.models.fake import FakeModel, FakeSettings
from judges.models.fake_critiques import FakeCritiques
from judges.records import Message

ASK = (Message(role="user", content="What is tea?"),)
SCHEMA = Sampling(json_schema=CRITIQUE_SCHEMA, seed=1)
FINDING = Finding(quote="x", comment="y", severity="minor")
LONG = "Tea is a drink. " * 8 + "And so on."


async def texts(
    prompts: list[ModelPrompt], sampling: Sampling, planted: FakeCritiques | None = None
) -> list[str]:
    model = FakeModel(FakeSettings(critiques=planted or FakeCritiques()))
    answers = await model.complete(prompts, sampling)
    assert not any(isinstance(answer, Failure) for answer in answers)
    return [answer[0].text for answer in answers if not isinstance(answer, Failure)]


@pytest.mark.parametrize(
    ("request_text", "completion", "quote", "severity"),
    [
        pytest.param('Avoid "tea".', "Green Tea.", "Tea", "major", id="says what it should avoid"),
        pytest.param('Avoid "tea".', "Water.", "", "none", id="avoids it"),
        pytest.param('Mention "tea".', "Hot. Wet.", "Hot.", "major", id="does not say it"),
        pytest.param("Be brief.", LONG, "And so on.", "minor", id="too long"),
        pytest.param("Be brief.", "Tea.", "", "none", id="brief"),
        pytest.param("Be thorough.", "Tea. Hot.", "Hot.", "minor", id="too short"),
    ],
)
async def test_a_critique_quotes_what_offends_the_taste(
    request_text: str, completion: str, quote: str, severity: str
) -> None:
    (text,) = await texts([critique_prompt(ASK, completion, request_text)], SCHEMA)
    assert json.loads(text)["quote"] == quote
    assert json.loads(text)["severity"] == severity


@pytest.mark.parametrize(
    ("request_text", "completion", "revision"),
    [
        pytest.param('Avoid "tea".', "Green Tea.\nHot.", "Green it.\nHot.", id="avoids"),
        pytest.param('Mention "tea".', "Hot.", "Hot. It is about tea.", id="mentions"),
        pytest.param("Be brief.", "a b, c d", "a b.", id="shorter"),
        pytest.param("Be thorough.", "a.", "a. a.", id="longer"),
    ],
)
async def test_a_revision_mends_it(request_text: str, completion: str, revision: str) -> None:
    asked = revision_prompt(ASK, completion, FINDING, request_text)
    assert await texts([asked], Sampling(seed=1)) == [revision]


async def test_shares_come_out_as_planted() -> None:
    prompts = [critique_prompt(ASK, f"Tea {k}.", 'Avoid "tea".') for k in range(400)]
    plan = FakeCritiques(invalid_json=0.25, invented_quotes=0.25)
    found: Counter[str] = Counter()
    for text in await texts(prompts, SCHEMA, plan):
        try:
            found[json.loads(text)["quote"]] += 1
        except ValueError:
            found["broken"] += 1
    assert set(found) == {"Tea", "broken", "words that nobody ever wrote"}
    assert all(60 < found[kind] < 260 for kind in found)
    assert await texts(prompts, SCHEMA, plan) == await texts(prompts, SCHEMA, plan)


async def test_without_a_schema_a_critique_is_prose_and_other_prompts_stay_as_they_were() -> None:
    (text,) = await texts([critique_prompt(ASK, "Tea.", 'Avoid "tea".')], Sampling(seed=1))
    assert text == "The completion says: Tea."
    plain = ModelPrompt(messages=ASK)
    assert await texts([plain], SCHEMA) == await texts([plain], Sampling(seed=1))


async def test_a_text_that_fits_keeps_its_white_space_and_a_longer_one_is_cut() -> None:
    asked = revision_prompt(ASK, "a\n\nb tea", FINDING, 'Avoid "tea".')
    whole = (await FakeModel().complete([asked], Sampling(max_tokens=3)))[0]
    cut = (await FakeModel().complete([asked], Sampling(max_tokens=2)))[0]
    assert whole == (Completion(text="a\n\nb it", finish_reason="stop", tokens=3),)
    assert cut == (Completion(text="a b", finish_reason="length", tokens=2),)
