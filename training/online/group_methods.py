"""GRPO and RLOO through TRL, with any reward of ours: groups of completions to one prompt.

Dr. GRPO, DAPO's loss, GSPO and per-reward normalisation are settings of [trainer]:
training/online/README.md names them.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from judges.constitutions.files import load_constitution
from judges.policies import model_folder
from judges.progress import say
from judges.records import Item
from training.data.recipe import Share
from training.guard.guard import Guard
from training.guard.settings import GuardSettings
from training.online.background import Background
from training.online.prompts import Prompt, encode_prompts, prompts_used, read_prompts
from training.online.reward_settings import (
    JudgeSettings,
    RewardSettings,
    RulesSettings,
    open_rewards,
)
from training.online.waiting import Patience
from training.runs.loading import building_trainer, load_tokenizer, lora_config
from training.runs.recipe import DataUsed, RunRecipe
from training.runs.run import Message, Progress, Run, RunSummary, no_progress, open_run


class GroupRecipe(RunRecipe):
    """A run of a method that compares completions of one prompt with each other."""

    prompts: Path
    """Prompts as `charter sample` takes them, or a file in any format that training reads, of
    which each conversation is taken once, up to where the policy answers."""
    max_dropped: Share = 0.05
    """Largest share of prompts that may be left out as too long for max_length."""
    rewards: Annotated[tuple[RewardSettings, ...], Field(min_length=1)]
    """What is rewarded; several are added up by their weights."""
    patience: Patience = Patience()
    """How long a step waits for its reward."""
    dynamic_sampling: Annotated[int, Field(ge=0)] = 0
    """How often groups whose rewards are all equal are drawn again, from other prompts (DAPO)."""
    constant_steps: Annotated[int, Field(ge=0)] = 10
    """Steps in a row, no prompt's completions told apart, that stop the run; 0: never."""
    guard: GuardSettings | None = None
    """Looks for over-optimisation while training; absent: none."""

    def data_used(self) -> tuple[DataUsed, ...]:
        """The prompts file."""
        return (prompts_used(self.prompts, read_prompts(self.prompts)),)


class GrpoRecipe(GroupRecipe):
    """A run of group relative policy optimisation."""

    METHOD: ClassVar[str] = "grpo"
    CONFIG: ClassVar[str] = "GRPOConfig"

    separate: bool = False
    """Normalise each reward, or each principle of a single one, by itself in its group (GDPO)."""

    @model_validator(mode="after")
    def _check_separate(self) -> Self:
        if self.separate:
            part_weights(self.rewards)
            for key in ("reward_weights", "multi_objective_aggregation"):
                if key in self.trainer:
                    raise ValueError(f"trainer.{key} is what separate = true sets; drop one")
        return self


class RlooRecipe(GroupRecipe):
    """A run of REINFORCE with the rest of the group as baseline."""

    METHOD: ClassVar[str] = "rloo"
    CONFIG: ClassVar[str] = "RLOOConfig"


class GroupSummary(RunSummary):
    """What came of a run."""

    first_reward: float | None
    """Mean reward of the first step."""
    last_reward: float | None
    """Mean reward of the last step."""
    unscored: int = 0
    """Completions left out for want of a reward."""


def part_weights(rewards: Sequence[RewardSettings]) -> dict[str, float]:
    """The parts that are normalised apart, with their weights.

    Several rewards are parts; of a single one of rules or judges, the principles are.
    Raises: ValueError for a single reward without parts, or with a weight of its own.
    """
    if len(rewards) > 1:
        kinds = [one.kind for one in rewards]
        if len(set(kinds)) < len(kinds) or "python" in kinds:
            raise ValueError("separate = true needs rewards of different kinds, none of python")
        return {one.kind: one.weight for one in rewards if one.weight}
    only = rewards[0]
    if not isinstance(only, RulesSettings | JudgeSettings):
        raise ValueError(
            f'separate = true, but a reward of kind "{only.kind}" has no parts; name several '
            "rewards, or a constitution's rules or judge"
        )
    if only.weight != 1:
        raise ValueError(
            f"separate = true, and a single reward with weight {only.weight:g}, which has nothing "
            "to be weighed against; drop it, and weigh principles in the constitution"
        )
    principles = load_constitution(only.constitution).principles
    counted = [p for p in principles if p.weight > 0 and (p.rule or only.kind == "judge")]
    return {principle.id: principle.weight for principle in counted}


def train_grpo(
    recipe: GrpoRecipe,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
    message: Message = say,
) -> GroupSummary:
    """Train a policy by GRPO; returns its summary.

    Raises: DataError, ConfigError; RewardAway when the reward stays away (the last checkpoint can
    be resumed); VerdictError for a reward that is no number, or always the same; ModelError.
    """
    return _train(recipe, resume, progress, message)


def train_rloo(
    recipe: RlooRecipe,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
    message: Message = say,
) -> GroupSummary:
    """Train a policy by RLOO; returns its summary. Raises: as `train_grpo`."""
    return _train(recipe, resume, progress, message)


def _train(
    recipe: GrpoRecipe | RlooRecipe, resume: bool, progress: Progress, message: Message
) -> GroupSummary:
    items = read_prompts(recipe.prompts)
    used = prompts_used(recipe.prompts, items)
    with open_run(recipe, [used], resume=resume, progress=progress, message=message) as run:
        if (done := run.finished(GroupSummary)) is not None:
            return done
        from training.online.constant_reward import ConstantReward
        from training.online.last_step import leaving_checkpoint
        from training.online.never_ending import NeverEnding

        longest = recipe.max_length - run.manifest.trainer.get("max_completion_length", 256)
        folder = model_folder(recipe.model)
        prompts, dropped = encode_prompts(items, folder, longest, message, recipe.max_dropped)
        with Background() as background:
            reward = background.run(open_rewards(recipe.rewards, run.folder.path))
            try:
                trainer = _make_trainer(recipe, prompts, run, reward, background)
                with closing(
                    Guard(recipe.guard, recipe, run, background, reward, recipe.rewards)
                ) as guard:
                    guard.watch(trainer)
                    trainer.add_callback(ConstantReward(recipe.constant_steps, run.message))
                    trainer.add_callback(NeverEnding(run.message))
                    with leaving_checkpoint(trainer):
                        run.train(trainer)
            finally:
                background.run(reward.close())
        run.publish(trainer)
        lines = run.folder.read_metrics()
        rewards = [line["reward"] for line in lines if "reward" in line]
        return run.finish(
            GroupSummary,
            rows=len(prompts),
            rows_dropped=dropped,
            first_reward=rewards[0] if rewards else None,
            last_reward=rewards[-1] if rewards else None,
            unscored=round(sum(line.get("unscored", 0) for line in lines)),
        )


def _make_trainer(
    recipe: GrpoRecipe | RlooRecipe,
    prompts: Sequence[Prompt],
    run: Run,
    reward: Any,
    background: Background,
) -> Any:
    from datasets import Dataset

    from training.online.dynamic_sampling import with_dynamic_sampling
    from training.online.scored_only import with_scored_only
    from training.online.trl_reward import TrlReward

    folder = model_folder(recipe.model)
    tokenizer = load_tokenizer(folder)
    items: list[Item] = [prompt.item for prompt in prompts]
    rows = [
        {"prompt": [m.model_dump() for m in item.prompt], "row": row}
        for row, item in enumerate(items)
    ]
    options = dict(run.manifest.trainer)
    weights: dict[str, float] = {}
    if isinstance(recipe, GrpoRecipe) and recipe.separate:
        weights = part_weights(recipe.rewards)
        options["reward_weights"] = list(weights.values())
        options["multi_objective_aggregation"] = "normalize_then_sum"
    eos = (tokenizer.eos_token_id,)
    asked = TrlReward(reward, items, eos, recipe.patience, background, run.message, list(weights))
    trainer, config = _trl_classes("GRPO" if isinstance(recipe, GrpoRecipe) else "RLOO")
    trainer = with_scored_only(trainer)
    named: dict[str, Any] = {}
    if recipe.dynamic_sampling:
        trainer = with_dynamic_sampling(trainer)
        named = {"redraws": recipe.dynamic_sampling, "asked": asked}
    with building_trainer(folder):
        return trainer(
            model=str(folder),
            reward_funcs=asked.functions(),
            args=config(**options),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=lora_config(recipe.lora),
            **named,
        )


def _trl_classes(name: str) -> tuple[Any, Any]:
    """Trainer and config class, imported without TRL's notice on vLLM versions."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TRL currently supports vLLM versions")
        import trl

        return getattr(trl, f"{name}Trainer"), getattr(trl, f"{name}Config")
