"""Which judges there are, and what is said about a definition that cannot be used."""

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from judges.adapters.shipped import adapters_by_default
from judges.calibration.scaling import fit_temperature, write_calibration
from judges.errors import ConfigError, ModelError
from judges.judge import Reasoning
from judges.judge_files import JudgeDefinition, adapters_of, find_judges, open_judges, read_judges
from judges.models.fake import FakeModel
from judges.models.openai import OpenAIModel

EVERY_KEY = """
[strict]
url = "http://localhost:8000"
model = "my/model"
revision = "2026-11-01"
tokenizer = "tokenizer"
transport = "token_ids"
api_key_variable = "MY_KEY"
minimum_label_mass = 0.2
precedents = "cases.jsonl"
nearest = 4
criteria = true
reference = true
calibration = "calibration.json"
clamp = 0.6
reasoning = {max_tokens = 64, samples = 3}
price = {prompt = 2.0, completion = 10}

[ours]
adapters = {harmlessness = "runs/judge-harmlessness"}

[counted]
url = "https://elsewhere"
transport = "sampled"
samples = 16

[trained]
transport = "reward"
reward_model = "runs/reward-model"

[biased]
transport = "fake"
fake = {position_bias = 50, failure_rates = {refused = 0.1}}
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_a_file_there_are_default_and_fake() -> None:
    judges = read_judges()
    assert sorted(judges) == ["default", "fake"]
    assert judges["default"].url is None


def test_the_environment_defines_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTER_JUDGE_URL", "http://judge:8000")
    monkeypatch.setenv("CHARTER_JUDGE_MODEL", "m")
    ((_, default),) = find_judges(["default"])
    assert (default.url, default.model) == ("http://judge:8000", "m")


def test_every_key_of_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "judges.toml").write_text(EVERY_KEY)
    judges = read_judges()
    assert sorted(judges) == [
        "biased", "counted", "default", "fake", "ours", "strict", "trained"
    ]  # fmt: skip
    assert judges["ours"].adapters == {"harmlessness": Path("runs/judge-harmlessness")}
    assert (judges["counted"].transport, judges["counted"].samples) == ("sampled", 16)
    strict = judges["strict"].model_dump(exclude={"fake", "samples", "reward_model", "adapters"})
    assert judges["trained"].reward_model == Path("runs/reward-model")
    assert strict == {
        "url": "http://localhost:8000",
        "model": "my/model",
        "revision": "2026-11-01",
        "tokenizer": Path("tokenizer"),
        "transport": "token_ids",
        "api_key_variable": "MY_KEY",
        "minimum_label_mass": 0.2,
        "precedents": Path("cases.jsonl"),
        "nearest": 4,
        "criteria": True,
        "reference": True,
        "calibration": Path("calibration.json"),
        "clamp": 0.6,
        "reasoning": Reasoning(max_tokens=64, samples=3).model_dump(),
        "price": {"prompt": 2.0, "cached": 0.0, "completion": 10.0},
    }
    planted = judges["biased"].fake
    assert planted is not None
    assert planted.position_bias == 50


def test_the_file_may_lie_elsewhere_and_define_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text('[default]\nurl = "http://x"\nmodel = "m"\n')
    monkeypatch.setenv("CHARTER_JUDGES", str(other))
    assert read_judges()["default"].url == "http://x"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("[a\n", "judges.toml: cannot be read as TOML", id="no TOML"),
        pytest.param(b"\xff", "judges.toml: cannot be read as TOML", id="no UTF-8"),
        pytest.param(
            '[a]\nmodle = "x"', "[a]: unknown key 'modle' (did you mean 'model'?)", id="a key"
        ),
        pytest.param('model = "x"', "'model' is no table; write `[model]`", id="no table"),
        pytest.param(
            "[a]\nminimum_label_mass = 2", "[a]: minimum_label_mass: Input", id="out of range"
        ),
        pytest.param(
            '[a]\ntransport = "pigeon"', "[a]: transport: Input should be", id="transport"
        ),
        pytest.param(
            '[a]\nurl = "http://x"\nadapters = {f = "runs/f"}',
            "[a]: adapters are loaded into charter's own engine only",
            id="adapters elsewhere",
        ),
        pytest.param("[a]\nsamples = 4", "[a]: samples is 4, but transport is 'auto'", id="unused"),
        pytest.param(
            '[a]\ntransport = "sampled"',
            "'sampled' without a url; name the server",
            id="own engine",
        ),
        pytest.param(
            '[a]\ntransport = "sampled"\nsamples = 0', "[a]: samples: Input", id="no samples"
        ),
        pytest.param(
            "[a]\nfake = {stength = 1}",
            "[a]: unknown key 'fake.stength' (did you mean 'strength'?)",
            id="a key inside",
        ),
    ],
)
def test_a_broken_file_is_named_with_judge_and_key(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    (tmp_path / "judges.toml").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    with pytest.raises(ConfigError) as caught:
        read_judges()
    assert message in str(caught.value)


def test_a_file_that_is_named_but_absent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTER_JUDGES", "no-such.toml")
    with pytest.raises(ConfigError, match=r"no-such\.toml: cannot be read"):
        read_judges()


def test_a_judge_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="--judge fake is given twice"):
        find_judges(["fake", "default", "fake"])


def test_an_unknown_judge_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no judge called 'fakee' .did you mean 'fake'"):
        find_judges(["fakee"])
    with pytest.raises(ConfigError, match="defined are default, fake"):
        find_judges(["zzz"])


def ship(folder: Path, by_default: bool = True) -> Path:
    made = folder / "safe"
    made.mkdir(parents=True)
    told = {"family": "harmlessness", "by_default": by_default, "measured": "well"}
    (made / "adapter.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize(
    ("definition", "uses"),
    [
        pytest.param({}, True, id="the embedded model"),
        pytest.param({"model": "embedded"}, True, id="the embedded model by name"),
        pytest.param({"adapters": {}}, False, id="turned off"),
        pytest.param({"model": "runs/mine"}, False, id="another model"),
        pytest.param({"url": "http://x"}, False, id="a server"),
        pytest.param({"transport": "fake"}, False, id="the fake"),
        pytest.param({"reasoning": {}}, False, id="a way of asking it was not trained on"),
    ],
)
def test_adapters_that_ship_serve_the_plainly_asked_embedded_model(
    tmp_path: Path, definition: dict[str, object], uses: bool
) -> None:
    ships = ship(tmp_path / "ships")
    found = adapters_of(JudgeDefinition.model_validate(definition), ships)
    assert found == ({"harmlessness": ships / "safe"} if uses else {})


def test_an_adapter_that_was_not_shown_to_be_better_ships_unused(tmp_path: Path) -> None:
    assert adapters_of(JudgeDefinition(), ship(tmp_path, by_default=False)) == {}
    (tmp_path / "safe" / "adapter.json").write_text("{}")
    with pytest.raises(ModelError, match=r"adapter\.json: cannot be read"):
        adapters_by_default(tmp_path / "safe" / "..")


async def test_a_panel_is_opened_in_order_and_told_apart(tmp_path: Path) -> None:
    (tmp_path / "judges.toml").write_text(EVERY_KEY)
    async with AsyncExitStack() as stack:
        judges = await open_judges(["biased", "fake"], stack)
    assert [judge.name for judge in judges] == ["biased", "fake"]
    assert all(isinstance(judge.model, FakeModel) for judge in judges)
    assert len({judge.setting("pair").digest for judge in judges}) == 2


async def test_a_planted_taste_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    (tmp_path / "judges.toml").write_text(
        '[a]\ntransport = "fake"\nfake = {preferences = {x = "louder"}}\n'
    )
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match="'louder'"):
            await open_judges(["a"], stack)


async def test_a_sampling_judge_is_opened_with_its_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(model: OpenAIModel) -> OpenAIModel:
        return model

    monkeypatch.setattr(OpenAIModel, "connect", connect)
    (tmp_path / "judges.toml").write_text(EVERY_KEY)
    async with AsyncExitStack() as stack:
        (judge,) = await open_judges(["counted"], stack)
        assert isinstance(judge.model, OpenAIModel)
        assert judge.model.samples == 16


async def test_a_judge_is_opened_with_all_that_it_is_shown(tmp_path: Path) -> None:
    write_calibration(tmp_path / "calibration.json", fit_temperature([1.0, -2.0], [1, 0]))
    (tmp_path / "cases.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    (tmp_path / "judges.toml").write_text(
        '[wise]\ntransport = "fake"\nprecedents = "cases.jsonl"\nnearest = 1\nclamp = 0.6\n'
        'calibration = "calibration.json"\nreasoning = {samples = 2}\ncriteria = true\n'
    )
    async with AsyncExitStack() as stack:
        (wise,) = await open_judges(["wise"], stack)
    assert wise.precedents is not None and wise.precedents.k == 1
    assert wise.reasoning is not None and wise.reasoning.samples == 2
    assert wise.adjustment is not None and wise.adjustment.clamp == 0.6
    assert wise.setting("pair").reference == "criteria"
