"""Which judges there are: `judges.toml`, the environment, the embedded model, the fake.

Looked for as CHARTER_JUDGES, then `judges.toml` in the working folder. A table for each judge:

    [strict]
    url = "http://localhost:8000"
    model = "my/model"
    revision = "2026-11-01"        # or votes are keyed as unpinned
    tokenizer = "path/to/folder"   # with it, many prompts a request and inert special tokens
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from judges.adapters.shipped import EMBEDDED, FOLDER, adapters_by_default
from judges.budget import Prices
from judges.calibration.scaling import read_calibration
from judges.errors import ConfigError
from judges.items import first_problem
from judges.judge import Judge, Reasoning
from judges.model import ChatModel
from judges.models.fake import FakeModel, FakeSettings
from judges.models.openai import OpenAIModel
from judges.precedents import read_precedents
from judges.records import Probability, Record
from judges.rewards.judge import open_reward_model
from judges.suggest import did_you_mean

JUDGES_FILE = "judges.toml"
OWN = ("auto", "token_ids")
"""Transports of an engine that charter starts itself."""


class JudgeDefinition(Record):
    """One table of `judges.toml`."""

    url: str | None = None
    """Base address of an OpenAI-compatible server; without one, charter starts vLLM itself."""
    model: str | None = None
    """The model's name at the server; or, without a url, the folder of a model, or of an adapter as
    `charter train judge` writes one (else the embedded model)."""
    revision: str | None = None
    """What pins the weights at a url; part of every vote key."""
    tokenizer: Path | None = None
    """Folder with the model's tokenizer files, for the `token_ids` transport."""
    transport: Literal["auto", "token_ids", "chat_logprobs", "sampled", "reward", "fake"] = "auto"
    """How questions travel; `auto` takes token ids where a tokenizer is at hand, never samples."""
    reward_model: Path | None = None
    """Folder of an exported reward model, with `transport = "reward"`: a vote is r(a) - r(b)."""
    samples: Annotated[int, Field(ge=1, le=128)] | None = None
    """Answers drawn for each question, with `transport = "sampled"`; 8 where nothing is said."""
    api_key_variable: str | None = None
    """Name of the environment variable that holds the server's key."""
    minimum_label_mass: Probability = 0.01
    """Answers with less probability on the options are unscored."""
    reasoning: Reasoning | None = None
    """A table: how the judge thinks before it votes. Without one it does not."""
    precedents: Path | None = None
    """JSONL of labelled cases shown before each pair: `prompt`, `chosen`, `rejected`."""
    nearest: Annotated[int, Field(ge=1)] | None = None
    """Show only so many precedents, those whose prompts are most like the one judged."""
    criteria: bool = False
    """Have the judge first write what a good completion of the prompt does."""
    reference: bool = False
    """Have the judge first answer the prompt itself, to compare with."""
    calibration: Path | None = None
    """calibration.json, as `charter judge-card` writes it: applied when votes are tallied."""
    clamp: Annotated[float, Field(gt=0.5, le=1)] | None = None
    """Hold probabilities within [1 - clamp, clamp]; Bai et al. 2022 use 0.6 after reasoning."""
    price: Prices | None = None
    """A table of what a million tokens cost: `prompt`, `cached`, `completion`."""
    adapters: dict[str, Path] | None = None
    """A table of adapters that vote on pairs in the model's place: a family of principles, and the
    folder of the adapter trained for it. The embedded model has those that ship, and none when
    this is `{}`."""
    fake: FakeSettings | None = None
    """What is planted, with `transport = "fake"`."""


def read_judges() -> dict[str, JudgeDefinition]:
    """All judges by name: `default`, `fake`, and those of the judges file, which may redefine them.

    Raises: ConfigError naming file, judge and key.
    """
    defined = {
        "default": JudgeDefinition(
            url=os.environ.get("CHARTER_JUDGE_URL"), model=os.environ.get("CHARTER_JUDGE_MODEL")
        ),
        "fake": JudgeDefinition(transport="fake"),
    }
    named = os.environ.get("CHARTER_JUDGES")
    path = Path(named or JUDGES_FILE)
    if named or path.exists():
        defined |= {name: _parse(path, name, table) for name, table in _tables(path).items()}
    return defined


def _tables(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None


def _parse(path: Path, name: str, table: Any) -> JudgeDefinition:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {name!r} is no table; write `[{name}]` above a judge's keys")
    _refuse_unknown(f"{path}: [{name}]", table, JudgeDefinition)
    for key, record in (("fake", FakeSettings), ("reasoning", Reasoning), ("price", Prices)):
        if isinstance(table.get(key), dict):
            _refuse_unknown(f"{path}: [{name}]", table[key], record, f"{key}.")
    try:
        definition = JudgeDefinition.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{path}: [{name}]: {first_problem(error)}") from None
    _check_sampled(f"{path}: [{name}]", definition)
    _check_reward(f"{path}: [{name}]", definition)
    if definition.adapters and (definition.url or definition.transport not in OWN):
        raise ConfigError(
            f"{path}: [{name}]: adapters are loaded into charter's own engine only; remove url and "
            "transport, or name the adapter as a model of that server in a table of its own"
        )
    return definition


def _check_sampled(where: str, definition: JudgeDefinition) -> None:
    if definition.transport == "sampled" and definition.url is None:
        raise ConfigError(
            f"{where}: transport is 'sampled' without a url; name the server, or leave transport "
            "out: the engine that charter starts tells log-probabilities"
        )
    if definition.transport != "sampled" and definition.samples is not None:
        raise ConfigError(
            f"{where}: samples is {definition.samples}, but transport is "
            f'{definition.transport!r}; remove it, or set transport = "sampled"'
        )


def _check_reward(where: str, definition: JudgeDefinition) -> None:
    if (definition.transport == "reward") != (definition.reward_model is not None):
        raise ConfigError(
            f"{where}: transport is {definition.transport!r} and reward_model is "
            f"{str(definition.reward_model)!r}; a reward model needs both, other judges neither"
        )
    if definition.transport != "reward":
        return
    if definition.reasoning or definition.criteria or definition.reference:
        raise ConfigError(
            f"{where}: a reward model writes nothing; remove reasoning, criteria and reference"
        )


def _refuse_unknown(
    where: str, table: Mapping[str, Any], record: type[Record], inside: str = ""
) -> None:
    for key in table:
        if key not in record.model_fields:
            hint = did_you_mean(key, record.model_fields)
            raise ConfigError(f"{where}: unknown key {inside + key!r}{hint}")


def find_judges(names: Sequence[str]) -> list[tuple[str, JudgeDefinition]]:
    """The definitions of the named judges.

    Raises: ConfigError for a name not defined, or there twice: its votes would count twice.
    """
    defined = read_judges()
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ConfigError(f"--judge {name} is given twice; name each judge of a panel once")
        if name not in defined:
            raise ConfigError(
                f"no judge called {name!r}{did_you_mean(name, defined)}; defined are "
                f"{', '.join(sorted(defined))}. Add [{name}] to {JUDGES_FILE}"
            )
    return [(name, defined[name]) for name in names]


async def open_judges(names: Sequence[str], stack: AsyncExitStack) -> list[Judge]:
    """Connect to the named judges, starting vLLM where one has no url; closed with the stack."""
    judges = []
    for name, definition in find_judges(names or ["default"]):
        families = await _families(definition, stack)
        model = await _open(definition, stack)
        stack.push_async_callback(model.close)
        if isinstance(model, OpenAIModel):
            await model.connect()
        judges.append(replace(_judge(name, model, definition), families=families))
    return judges


def adapters_of(definition: JudgeDefinition, folder: Path = FOLDER) -> Mapping[str, Path]:
    """The adapters that vote in a model's place, by family: those named, else those that ship.

    Those that ship are of the embedded model, and trained on plain questions.
    """
    if definition.adapters is not None:
        return definition.adapters
    own = definition.url is None and definition.transport in OWN
    aided = definition.reasoning or definition.criteria or definition.reference
    if not own or aided or definition.precedents or definition.model not in (None, EMBEDDED):
        return {}
    return adapters_by_default(folder)


async def _families(
    definition: JudgeDefinition, stack: AsyncExitStack
) -> tuple[tuple[str, ChatModel], ...]:
    """Each family's adapter, whose engine starts when it is first asked."""
    from judges.policies import adapter_on_demand

    found: list[tuple[str, ChatModel]] = []
    for family, folder in sorted(adapters_of(definition).items()):
        model = await adapter_on_demand(folder)
        stack.push_async_callback(model.close)
        found.append((family, model))
    return tuple(found)


def _judge(name: str, model: ChatModel, definition: JudgeDefinition) -> Judge:
    """The judge with what it is shown, how it thinks and how it is calibrated."""
    named, fitted = definition.precedents, definition.calibration
    return Judge(
        name,
        model,
        definition.minimum_label_mass,
        reasoning=definition.reasoning,
        precedents=read_precedents(named, definition.nearest) if named else None,
        criteria=definition.criteria,
        reference=definition.reference,
        calibration=read_calibration(fitted) if fitted else None,
        clamp=definition.clamp,
    )


async def _open(definition: JudgeDefinition, stack: AsyncExitStack) -> ChatModel:
    if definition.transport == "fake":
        return FakeModel(definition.fake or FakeSettings())
    from judges.policies import open_model

    if definition.transport == "sampled":
        return _sampled(definition)
    if definition.transport == "reward":
        return await _reward(definition, stack)
    return await open_model(
        definition.url,
        definition.model,
        stack,
        revision=definition.revision,
        tokenizer=definition.tokenizer,
        transport=definition.transport,
        api_key_variable=definition.api_key_variable,
        adapters=bool(adapters_of(definition)),
    )


async def _reward(definition: JudgeDefinition, stack: AsyncExitStack) -> ChatModel:
    from judges.policies import _secret

    assert definition.reward_model is not None
    return await open_reward_model(
        definition.reward_model,
        stack,
        url=definition.url,
        model=definition.model,
        api_key=_secret(definition.api_key_variable),
    )


def _sampled(definition: JudgeDefinition) -> ChatModel:
    from judges.models.openai import OpenAIModel
    from judges.models.openai_sampled import SAMPLES
    from judges.policies import _secret

    assert definition.url is not None
    return OpenAIModel(
        definition.url,
        definition.model,
        tokenizer=definition.tokenizer,
        fingerprint=f"{definition.model or definition.url}@{definition.revision or 'unpinned'}",
        transport="sampled",
        api_key=_secret(definition.api_key_variable),
        samples=definition.samples or SAMPLES,
    )
