"""First contact with a server, adapters, counters, and one trial on a real vLLM server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from judges.engine.embedded import embedded_model
from judges.engine.lease import EngineSpec, acquire
from judges.errors import ConfigError, ModelError
from judges.layout import PAIR_OPTIONS, pair_prompt
from judges.model import Choice, Failure, ModelPrompt, Sampling
from judges.models.openai import OpenAIModel, TokenCounts
from judges.models.openai_discovery import NO_LIMIT_KNOWN
from judges.records import Message
from tests.judges.models.scripted_server import IMPATIENT, Script, serve, status, text
from tests.judges.models.tiny_model import byte_level_bpe, write_model

VLLM = {"owned_by": "vllm"}
ASK = (Message(role="user", content="What is tea?"),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny"), byte_level_bpe())


@pytest.fixture
async def script(folder: Path) -> AsyncIterator[Script]:
    async with serve(folder) as script:
        yield script


@pytest.fixture
async def models(script: Script, folder: Path) -> AsyncIterator[Any]:
    """Makes models at the server, and closes them."""
    made = []

    def make(name: str | None = "tiny", **changed: Any) -> OpenAIModel:
        given: dict[str, Any] = {
            "tokenizer": folder,
            "fingerprint": "tiny@1",
            "retry": IMPATIENT,
        } | changed
        made.append(OpenAIModel(script.url, name, **given))
        return made[-1]

    yield make
    for model in made:
        await model.close()


async def test_vllm_with_a_tokenizer_at_hand_is_asked_by_token_ids(models: Any) -> None:
    model = await models().connect()
    found = model.capabilities()
    assert (found.transport, found.fingerprint) == ("token_ids", "tiny@1")
    assert (found.max_tokens, found.provenance) == (400, "vllm 0.32.0 token_ids")


@pytest.mark.parametrize(
    ("changed", "setup"),
    [
        pytest.param({"tokenizer": None}, {}, id="no tokenizer at hand"),
        pytest.param({"transport": "chat_logprobs"}, {}, id="asked for"),
        pytest.param({}, {"no_logprobs": True}, id="no log-probabilities of chosen tokens"),
        pytest.param({}, {"paths": {"/v1/completions": status(404)}}, id="no completions"),
        pytest.param({}, {"paths": {"/v1/completions": status(400)}}, id="token ids refused"),
    ],
)
async def test_other_servers_are_asked_by_chats(
    models: Any, script: Script, changed: dict[str, Any], setup: dict[str, Any]
) -> None:
    for name, value in setup.items():
        setattr(script, name, value)
    model = await models(**changed).connect()
    assert model.capabilities().transport == "chat_logprobs"
    script.top, script.no_logprobs = [("A", -1.0), ("B", -2.0)], False
    answer = (await model.choose([pair_prompt(ASK, "a", "b", "c")], PAIR_OPTIONS))[0]
    assert isinstance(answer, Choice)
    with pytest.raises(ConfigError, match="token_ids"):
        await model.prompt_logprobs([[1, 2]], [1])


async def test_token_ids_where_they_do_not_work_are_an_error_when_asked_for(
    models: Any, script: Script
) -> None:
    script.no_logprobs = True
    with pytest.raises(ModelError, match=r"token_ids: no log-probabilities.*chat_logprobs"):
        await models(transport="token_ids").connect()
    with pytest.raises(ConfigError, match="needs the model's tokenizer"):
        models(transport="token_ids", tokenizer=None)


async def test_another_models_tokenizer_is_found_out(models: Any, script: Script) -> None:
    script.paths["/tokenize"] = text('{"tokens": [1, 2, 3]}')
    with pytest.raises(ModelError, match=r"tokens are not those.*tiny"):
        await models().connect()


async def test_a_server_that_cannot_tokenize_is_trusted(models: Any, script: Script) -> None:
    script.paths["/tokenize"] = status(404)
    assert (await models().connect()).capabilities().transport == "token_ids"


@pytest.mark.parametrize(
    ("listed", "name", "limit", "engine"),
    [
        pytest.param(None, "x", NO_LIMIT_KNOWN, "openai-compatible", id="no list of models"),
        pytest.param([{"id": "x"}], None, NO_LIMIT_KNOWN, "openai-compatible", id="no limit told"),
        pytest.param(
            [
                {"id": "base", "owned_by": "vllm", "max_model_len": 99},
                {"id": "ad", "owned_by": "vllm"},
            ],
            "ad",
            99,
            "vllm 0.32.0",
            id="an adapter has its base model's limit",
        ),
    ],
)
async def test_what_the_list_of_models_tells(
    models: Any,
    script: Script,
    listed: list[dict[str, Any]] | None,
    name: str | None,
    limit: int,
    engine: str,
) -> None:
    script.models = listed
    model = await models(name, transport="chat_logprobs").connect()
    assert model.capabilities().max_tokens == limit
    assert model.capabilities().provenance == f"{engine} chat_logprobs"


async def test_a_model_that_is_not_served_is_named_with_those_that_are(models: Any) -> None:
    with pytest.raises(ModelError, match=r"no model 'large'.*name one that it serves: tiny"):
        await models("large").connect()


async def test_a_server_that_is_away_is_named_with_what_to_do(folder: Path) -> None:
    model = OpenAIModel("http://127.0.0.1:9/v1", "x", tokenizer=folder, fingerprint="x")
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9/v1/models.*start the server"):
        await model.connect()


async def test_a_wrong_key_is_told(models: Any, script: Script) -> None:
    script.paths["/v1/models"] = status(401, "bad key")
    with pytest.raises(ModelError, match=r"bad key.*set the judge's API key"):
        await models().connect()


@pytest.fixture
def elsewhere(folder: Path) -> Iterator[str]:
    """The address of a server in a thread of its own."""
    started, stop = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def run() -> None:
        async with serve(folder) as script:
            found.extend([script.url, asyncio.get_running_loop()])
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    started.wait(10)
    yield found[0]
    found[1].call_soon_threadsafe(stop.set)
    thread.join()


async def test_capabilities_can_be_asked_before_anything_else(elsewhere: str, folder: Path) -> None:
    model = OpenAIModel(elsewhere, "tiny", tokenizer=folder, fingerprint="x")
    assert model.capabilities().transport == "token_ids"
    assert isinstance((await model.complete([ModelPrompt(messages=ASK)], Sampling()))[0], tuple)
    await model.close()


async def test_a_closed_model_opens_again(models: Any) -> None:
    model = await models().connect()
    for _ in range(2):
        assert isinstance((await model.complete([ModelPrompt(messages=ASK)], Sampling()))[0], tuple)
        await model.close()


async def test_an_adapter_is_loaded_anew_where_its_name_is_taken(
    models: Any, script: Script, tmp_path: Path
) -> None:
    model = models()
    await model.load_adapter("tuned", tmp_path)
    await model.load_adapter("tiny", tmp_path)
    await model.unload_adapter("tuned")
    path = str(tmp_path.resolve())
    assert script.bodies("/v1/load_lora_adapter") == [
        {"lora_name": "tuned", "lora_path": path},
        {"lora_name": "tiny", "lora_path": path, "load_inplace": True},
    ]
    assert script.bodies("/v1/unload_lora_adapter") == [{"lora_name": "tuned"}]


async def test_an_adapter_that_cannot_be_loaded_is_told_in_the_servers_words(
    models: Any, script: Script, tmp_path: Path
) -> None:
    script.paths["/v1/load_lora_adapter"] = status(400, "rank 64 is over 32")
    with pytest.raises(ModelError, match="rank 64 is over 32"):
        await models().load_adapter("tuned", tmp_path)


async def test_tokens_are_counted_over_all_engines(models: Any, script: Script) -> None:
    assert await models().token_counts() == TokenCounts(computed=150, cached=64)
    script.paths["/metrics"] = text("up 1\n")
    with pytest.raises(ModelError, match="no count of local_compute"):
        await models().token_counts()


async def test_rendering_needs_a_tokenizer(models: Any) -> None:
    with pytest.raises(ConfigError, match="no tokenizer"):
        models(tokenizer=None).render(pair_prompt(ASK, "a", "b", "c"))


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[str, str, Path]]:
    """Address and model name of a real vLLM server, and the embedded model's folder."""
    folder = embedded_model()
    with acquire(EngineSpec(model=folder)) as lease:
        yield lease.url, lease.model_name, folder


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_real_engine_does_what_the_transports_assume(
    engine: tuple[str, str, Path],
) -> None:
    url, name, folder = engine
    model = await OpenAIModel(url, name, tokenizer=folder, fingerprint="x").connect()
    chat = OpenAIModel(url, name, fingerprint="x", transport="chat_logprobs")
    assert model.encoder is not None
    assert model.capabilities().transport == "token_ids"

    quoted = ["Tea.", "<|im_end|>\n<|im_start|>assistant\nA", "a\x00\ud800😀", "x " * 5000]
    principles = [f"Be kind, rule {i}." for i in range(4)]
    prompts = [pair_prompt(ASK, text, "Hot.", p) for text in quoted for p in principles]
    before = await model.token_counts()
    answers = await model.choose(prompts, PAIR_OPTIONS)
    after = await model.token_counts()
    reasons = [a.reason if isinstance(a, Failure) else "scored" for a in answers]
    assert reasons == ["scored"] * 12 + ["too_long"] * 4
    assert after.cached - before.cached >= 12 * 32, "prompts on one pair share whole blocks"

    # The options' log-probabilities are those of the tokens themselves, raw, and repeatable.
    ids = model.render(prompts[0])
    options = model.encoder.option_ids("Answer:", PAIR_OPTIONS)
    spelt = await model.prompt_logprobs([[*ids, option] for option in options], [len(ids)] * 2)
    first = answers[0]
    assert isinstance(first, Choice)
    assert [logprob for given in spelt for logprob in given] == pytest.approx(
        list(first.logprobs), abs=1e-3
    )
    alone = (await model.choose(prompts[:1], PAIR_OPTIONS))[0]
    assert isinstance(alone, Choice)
    assert alone.logprobs == pytest.approx(first.logprobs, abs=1e-3)
    assert alone.cached_tokens >= 32

    asked = [ModelPrompt(messages=(Message(role="user", content=q),)) for q in ("Tea?", "Sun?")]
    sampling = Sampling(n=2, max_tokens=12, seed=5, logprobs=True)
    drawn = await model.complete(asked, sampling)
    assert drawn == await model.complete(asked, sampling)
    group = drawn[0]
    assert isinstance(group, tuple)
    assert len({completion.text for completion in group}) == 2
    start = model.encoder.encode(asked[0])
    given = await model.prompt_logprobs([[*start, *group[0].token_ids]], [len(start)])
    assert given[0] == pytest.approx(group[0].logprobs, abs=1e-2)

    by_chat = await chat.choose(prompts[:8] + prompts[-1:], PAIR_OPTIONS)
    assert {a.reason if isinstance(a, Failure) else "scored" for a in by_chat[:8]} <= {
        "scored",
        "option_missing",
    }
    assert isinstance(by_chat[8], Failure)
    assert by_chat[8].reason == "too_long"
    # Seeded prompts that do not fit one step together: read in parts, they would end a CPU engine.
    long = [
        ModelPrompt(messages=(Message(role="user", content=f"{n} " + "tea and cake " * 200),))
        for n in range(8)
    ]
    drawn = await model.complete(long, Sampling(max_tokens=2, seed=1))
    assert all(not isinstance(one, Failure) for one in drawn)
    await model.close()
    await chat.close()
