"""The embedded model on a real vLLM server: what it writes under a schema is JSON of the schema."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from jsonschema import Draft202012Validator

from judges.constitutions.files import load_constitution
from judges.critiques.check import Check
from judges.critiques.critique import CRITIQUE_SCHEMA, critique_items
from judges.critiques.layout import critique_prompt
from judges.critiques.revise import Revising, revise
from judges.engine.embedded import embedded_model
from judges.engine.lease import EngineSpec, acquire
from judges.judge import Judge
from judges.model import Sampling
from judges.models.openai import OpenAIModel
from judges.store.vote_store import VoteStore
from tests.judges.planted import item

ITEMS = [
    item("tea", "Tea is a drink made of leaves. It cures every illness, trust me.", prompt="Tea?"),
    item("sky", "The sky is blue because it mirrors the sea, as all know.", prompt="Why so blue?"),
]
SAMPLING = Sampling(max_tokens=512, seed=4)


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[str, str, Path]]:
    """Address and model name of a real vLLM server, and the embedded model's folder."""
    folder = embedded_model()
    with acquire(EngineSpec(model=folder)) as lease:
        yield lease.url, lease.model_name, folder


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_every_critique_is_json_and_every_round_is_kept(
    engine: tuple[str, str, Path], tmp_path: Path
) -> None:
    url, name, folder = engine
    model = await OpenAIModel(url, name, tokenizer=folder, fingerprint="x").connect()
    chat = OpenAIModel(url, name, fingerprint="x", transport="chat_logprobs")
    constitution = load_constitution("helpful-harmless")
    principles = [p for p in constitution.principles if p.id in ("truthful", "calibrated")]

    validator = Draft202012Validator(CRITIQUE_SCHEMA)
    drawn = SAMPLING.model_copy(update={"json_schema": CRITIQUE_SCHEMA})
    asked = [
        critique_prompt(one.prompt, one.completions[0].text, principle.critique or "")
        for one in ITEMS
        for principle in principles
    ]
    for way in (model, chat):
        for answer in await way.complete(asked, drawn):
            assert isinstance(answer, tuple)
            assert answer[0].finish_reason == "stop"
            validator.validate(orjson.loads(answer[0].text))

    parts = critique_items(ITEMS, principles, model, SAMPLING, attempts=3)
    critiqued = [line async for part in parts for line in part]
    found = [c for line in critiqued for text in line["completions"] for c in text["critiques"]]
    assert len(found) == 4
    assert {critique["reason"] for critique in found} <= {None, "quote_not_found"}

    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as store:
        how = Revising(
            constitution=constitution,
            principles=principles,
            critic=model,
            reviser=model,
            sampling=SAMPLING,
            rounds=1,
            seed=0,
            always=True,  # a model as small as this one seldom finds fault
            check=Check([Judge("embedded", model)], store),
        )
        revised = [line async for part in revise(ITEMS, how) for line in part]
    rounds = [made for line in revised for text in line["completions"] for made in text["rounds"]]
    assert len(rounds) == 2
    assert {made["reason"] for made in rounds} <= {None, "quote_not_found", "truncated"}
    assert any(made["revision"] for made in rounds)
    for made in rounds:
        assert (made["status"] in ("kept", "worse")) == (made["p"] is not None)
    told = Counter(made["status"] for made in rounds)
    sys.stderr.write(f"{orjson.dumps([found, rounds]).decode()}\n{told}\n")
    await model.close()
    await chat.close()
