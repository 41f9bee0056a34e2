"""A PPO run as a recipe: each detail of the method is one key, with its default and its reason.

Importing this loads no torch.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from judges.records import Record
from training.data.recipe import Share
from training.guard.settings import GuardSettings
from training.online.prompts import prompts_used, read_prompts
from training.online.reward_settings import RewardSettings
from training.online.waiting import Patience
from training.ppo.settings import (
    Clipping,
    KlControl,
    Optimisation,
    Shaping,
    ValueModel,
)
from training.runs.recipe import DataUsed, RunRecipe


class RolloutSettings(Record):
    """How completions are drawn from the policy."""

    by: Literal["transformers", "vllm"] = "transformers"
    """`generate` in this process, or a vLLM server that loads the adapter anew each step."""
    url: str | None = None
    """The vLLM server; absent, with `by = "vllm"`: charter starts one on the model."""
    logprobs: Literal["raw", "processed"] = "raw"
    """What a server at `url` tells: `processed` when it runs --logprobs-mode processed_logprobs."""
    max_tokens: Annotated[int, Field(ge=1)] = 256
    """Longest completion."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of drawing, and so of all log-probabilities; 0.7 in Huang et al. 2024."""
    batch_tokens: Annotated[int, Field(ge=1)] = 65536
    """Most tokens, padding included, that transformers writes side by side."""
    gpu_memory: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the GPU for a vLLM that charter starts beside the training."""


class SamplingRecipe(RunRecipe):
    """A run that samples from its policy step by step. Paths are relative to the working folder."""

    MEMORY_ADVICE: ClassVar[str] = "a [lora] table"
    """What needs less memory and is told where memory is full."""

    prompts: Path
    """Prompts as `charter sample` takes them, or a file in any format that training reads, of
    which each conversation is taken once, up to where the policy answers."""
    max_dropped: Share = 0.05
    """Largest share of prompts that may be left out as too long for max_length."""
    rewards: Annotated[tuple[RewardSettings, ...], Field(min_length=1)]
    """What is rewarded; several are added up by their weights."""
    steps: Annotated[int, Field(ge=1)]
    """Steps: draw, score, reward, update."""
    prompts_per_step: Annotated[int, Field(ge=1)] = 64
    """Prompts a step and process; each comes once before any comes twice."""
    samples_per_prompt: Annotated[int, Field(ge=1)] = 1
    """Completions of each prompt a step."""
    save_steps: Annotated[int, Field(ge=1)] = 10
    """A checkpoint every so many steps."""
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    """Checkpoints that stay, the latest."""
    samples_kept: Annotated[int, Field(ge=0)] = 4
    """Completions a step written to samples.jsonl, for people to read."""
    constant_steps: Annotated[int, Field(ge=0)] = 10
    """Steps in a row with one and the same reward for all that stop the run; 0: never."""
    gradient_checkpointing: bool | None = None
    """Compute activations anew in the backward pass; absent: on a GPU."""
    rollout: RolloutSettings = RolloutSettings()
    optimisation: Optimisation = Optimisation()
    patience: Patience = Patience()
    guard: GuardSettings | None = None
    """Looks for over-optimisation while training; absent: none."""

    def data_used(self) -> tuple[DataUsed, ...]:
        """The prompts file."""
        return (prompts_used(self.prompts, read_prompts(self.prompts)),)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.trainer:
            raise ValueError(
                f"[trainer] holds {', '.join(self.trainer)}, but this method is charter's own: "
                "its settings are [optimisation], [rollout] and the other tables of its recipes"
            )
        if self.max_length <= self.rollout.max_tokens:
            raise ValueError(
                f"max_length is {self.max_length}, which rollout.max_tokens "
                f"({self.rollout.max_tokens}) fills; leave room for the prompt"
            )
        return self

    @model_validator(mode="after")
    def _check_server(self) -> Self:
        rollout = self.rollout
        if rollout.by == "transformers":
            if rollout.url is not None:
                raise ValueError('rollout.url needs rollout.by = "vllm"')
            return self
        if self.lora is None:
            raise ValueError(
                'rollout.by is "vllm", but without [lora] all weights change each step, and a '
                'server loads adapters only; add [lora], or set rollout.by = "transformers"'
            )
        if self.lora.r > 64:
            raise ValueError(f"lora.r is {self.lora.r}; a server loads adapters of rank 64 at most")
        if rollout.url and rollout.temperature != 1.0 and rollout.logprobs == "raw":
            raise ValueError(
                f"rollout.temperature is {rollout.temperature}, but a server tells raw "
                "log-probabilities, those at temperature 1; start it with --logprobs-mode "
                'processed_logprobs and set rollout.logprobs = "processed", or use 1.0'
            )
        return self


class PpoRecipe(SamplingRecipe):
    """A run of proximal policy optimisation. Paths are relative to the working folder."""

    METHOD: ClassVar[str] = "ppo"
    MEMORY_ADVICE: ClassVar[str] = 'value.kind = "shared", or a [lora] table'

    centre_rewards: bool = False
    """Take the mean reward of the first step, drawn from the reference, off all rewards."""
    value: ValueModel = ValueModel()
    kl: KlControl = KlControl()
    shaping: Shaping = Shaping()
    clipping: Clipping = Clipping()

    @model_validator(mode="after")
    def _check_ranking(self) -> Self:
        if self.samples_per_prompt == 1 and any(one.kind == "ranking" for one in self.rewards):
            raise ValueError(
                'samples_per_prompt is 1, but a reward of kind = "ranking" compares the '
                "completions of a prompt with each other; set it to 2 or more"
            )
        return self
