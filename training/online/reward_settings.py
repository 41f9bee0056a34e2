"""Rewards as recipes name them: `[[rewards]]`, one table a reward, added up by weight."""

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import Field

from judges.constitutions.files import load_constitution
from judges.errors import ConfigError
from judges.records import Record
from training.online.reward import FunctionReward, Reward, ScoreFunction, WeightedSum
from training.online.rule_reward import RuleReward


class _Weighted(Record):
    weight: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """Its factor in the sum of all rewards."""


class RulesSettings(_Weighted):
    """The rules of a constitution, checked by code."""

    kind: Literal["rules"]
    """This kind of reward."""
    constitution: str
    """name@version or path."""


class JudgeSettings(_Weighted):
    """Judges that score each completion under a constitution; its rules count too."""

    kind: Literal["judge"]
    """This kind of reward."""
    constitution: str
    """name@version or path."""
    judges: tuple[str, ...] = ()
    """Names from judges.toml; several make a panel; none: the default judge."""
    ask: Literal["yes-no", "rating"] = "yes-no"
    """P(yes) that a principle is followed, or the mean of a rating's distribution."""
    store: str | None = None
    """Database URL of the votes; absent: votes.db in the run folder."""


class RankingSettings(_Weighted):
    """Judges that compare a prompt's completions with each other; rules count too."""

    kind: Literal["ranking"]
    """This kind of reward."""
    constitution: str
    """name@version or path."""
    judges: tuple[str, ...] = ()
    """Names from judges.toml; several make a panel; none: the default judge."""
    pairs: Literal["all", "ring"] = "all"
    """Which pairs are judged: each with each, or n of n completions in a ring."""
    store: str | None = None
    """Database URL of the votes; absent: votes.db in the run folder."""


class ModelSettings(_Weighted):
    """Exported reward models, one or an ensemble."""

    kind: Literal["model"]
    """This kind of reward."""
    models: Annotated[tuple[Path, ...], Field(min_length=1)]
    """Folders that `charter reward export` wrote."""
    urls: tuple[str, ...] = ()
    """The server of each, in the models' order; absent: loaded into this process."""
    constitution: str | None = None
    """Weighs the heads of a model that has one for each principle."""
    combine: Literal["mean", "min", "pessimistic"] = "mean"
    """Members' mean, the least, or the mean less `penalty` times their variance."""
    penalty: Annotated[float, Field(ge=0)] = 0.1
    """Of `pessimistic`: 0.1 for PPO (Coste et al. 2024), 0.5 for best-of-n."""


class ServerSettings(_Weighted):
    """A reward server that answers by id, see training/online/server_reward.py."""

    kind: Literal["server"]
    """This kind of reward."""
    url: str
    """Where completions are posted."""
    api_key_variable: str | None = None
    """Name of the environment variable that holds its key."""
    per_request: Annotated[int, Field(ge=1)] = 32
    """Completions a request."""
    in_flight: Annotated[int, Field(ge=1)] = 8
    """Requests at once."""


class PythonSettings(_Weighted):
    """A function `f(prompts, completions) -> list[float | None]`, plain or async."""

    kind: Literal["python"]
    """This kind of reward."""
    function: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    """`module:name`, importable from the working folder."""


RewardSettings = Annotated[
    RulesSettings
    | JudgeSettings
    | RankingSettings
    | ModelSettings
    | ServerSettings
    | PythonSettings,
    Field(discriminator="kind"),
]


async def open_rewards(settings: Sequence[RewardSettings], folder: Path) -> Reward:
    """The reward of a run: the one named, or the sum of all by weight.

    Cost: starts an engine where a judge has no url; loads models without urls.
    Raises: ConfigError, ConstitutionError, ModelError.
    """
    opened: list[tuple[Reward, float]] = []
    try:
        for number, one in enumerate(settings):
            reward = await _open(one, folder)
            if sum(other.kind == one.kind for other in settings) > 1:
                reward.name = f"{reward.name}-{number + 1}"
            opened.append((reward, one.weight))
    except BaseException:
        for reward, _ in opened:
            await reward.close()
        raise
    if len(opened) == 1 and opened[0][1] == 1.0:
        return opened[0][0]
    return WeightedSum(opened)


async def _open(settings: RewardSettings, folder: Path) -> Reward:
    match settings:
        case RulesSettings():
            return RuleReward(load_constitution(settings.constitution))
        case JudgeSettings() | RankingSettings():
            return await _open_judge(settings, folder)
        case ModelSettings():
            return _open_model(settings)
        case ServerSettings():
            from training.online.server_reward import ServerReward

            return ServerReward(
                settings.url,
                _secret(settings.api_key_variable),
                per_request=settings.per_request,
                in_flight=settings.in_flight,
            )
        case PythonSettings():
            return FunctionReward(settings.function.partition(":")[2], _function(settings.function))


async def _open_judge(settings: JudgeSettings | RankingSettings, folder: Path) -> Reward:
    from judges.judge_files import open_judges
    from judges.store.vote_store import VoteStore
    from training.online.judge_reward import JudgeReward
    from training.online.ranking_reward import RankingReward

    constitution = load_constitution(settings.constitution)
    stack = AsyncExitStack()
    try:
        judges = await open_judges(settings.judges, stack)
        url = settings.store or f"sqlite:///{folder / 'votes.db'}"
        store = stack.enter_context(VoteStore.open(url))
    except BaseException:
        await stack.aclose()
        raise
    if isinstance(settings, RankingSettings):
        return RankingReward(constitution, judges, store, settings.pairs, stack)
    return JudgeReward(constitution, judges, store, settings.ask, stack)


def _open_model(settings: ModelSettings) -> Reward:
    from judges.rewards.score import Reader, Rewards, ServedModel
    from training.online.model_reward import ModelReward

    if settings.urls and len(settings.urls) != len(settings.models):
        raise ConfigError(
            f"rewards: {len(settings.urls)} urls for {len(settings.models)} models; name one "
            "server for each, or none"
        )
    readers: list[Reader]
    if settings.urls:
        pairs = zip(settings.models, settings.urls, strict=True)
        readers = [ServedModel(model, url) for model, url in pairs]
    else:
        from training.rewards.loaded import LoadedModel

        readers = [LoadedModel(model) for model in settings.models]
    constitution = load_constitution(settings.constitution) if settings.constitution else None
    rewards = Rewards(readers, constitution, how=settings.combine, penalty=settings.penalty)
    return ModelReward(rewards)


def _function(name: str) -> ScoreFunction:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"rewards: function {name!r} cannot be imported ({error}); write module:name, and run "
            "where the module can be found"
        ) from error
    if not callable(found):
        raise ConfigError(f"rewards: {name!r} is no function; name one")
    return cast(ScoreFunction, found)


def _secret(variable: str | None) -> str | None:
    if variable is None:
        return None
    if variable not in os.environ:
        raise ConfigError(f"rewards: api_key_variable {variable!r} is not set; export it")
    return os.environ[variable]
