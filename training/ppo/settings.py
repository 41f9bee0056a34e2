"""What can be set of PPO, each with its default and its source; no torch here.

Source of defaults: Huang et al. 2024, arXiv:2403.17031, and TRL's PPOConfig (0.05, 0.95, 0.2, 0.1).
"""

from typing import Annotated, Literal

from pydantic import Field

from judges.records import Record


class ValueModel(Record):
    """What predicts the return."""

    kind: Literal["separate", "shared"] = "separate"
    """A model of its own, or a head on the policy's hidden states: one forward pass for both."""
    model: str | None = None
    """Reward model to start from, a folder with one label, as `charter reward export` writes one
    whose values are then standardised as its rewards are; absent: the policy's own weights."""


class Shaping(Record):
    """How a score becomes the reward of tokens, and those an advantage."""

    missing_eos_penalty: Annotated[float, Field(ge=0)] = 1.0
    """Taken off the score of a completion that was cut off; 0: nothing is."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Discount of a token's reward for each token before it."""
    lam: Annotated[float, Field(ge=0, le=1)] = 0.95
    """GAE's lambda: 1 trusts sampled returns only, 0 the value model only."""
    whiten_rewards: bool = False
    """Divide token rewards by their standard deviation over the step; their mean stays."""
    whiten_advantages: bool = True
    """Shift and scale advantages to mean 0 and deviation 1, over each minibatch."""
    importance_cap: Annotated[float, Field(ge=1)] = 2.0
    """Largest weight of a token that a server drew: learner's probability over server's."""


class Clipping(Record):
    """How far one update may go."""

    policy: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The ratio of new to old probability counts between 1 - clip and 1 + clip."""
    value: Annotated[float, Field(gt=0)] = 0.2
    """A value counts within this of what it was at rollout."""
    value_weight: Annotated[float, Field(gt=0)] = 0.1
    """Weight of the value loss beside the policy's."""


class KlControl(Record):
    """The KL penalty's coefficient, `beta` of the papers."""

    coefficient: Annotated[float, Field(ge=0)] = 0.05
    """Weight of a nat of KL in the reward; the first one, where it is adapted."""
    target: Annotated[float, Field(gt=0)] | None = None
    """Nats a completion to steer the KL towards; absent: the coefficient stays as it is."""
    gain: Annotated[float, Field(gt=0)] = 0.1
    """How strongly the coefficient answers to the KL: times 1 + gain * error, each step."""


class Optimisation(Record):
    """How a step updates the weights."""

    learning_rate: Annotated[float, Field(gt=0)] = 3e-6
    """Of the policy, and of the value model unless it has its own; falls to 0 in a line."""
    value_learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Of the value model and its head."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which the rate first rises from 0."""
    decay: bool = True
    """Whether the rate falls to 0 over the run; false: it stays."""
    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-5
    """Larger than Adam's own 1e-8, which lets tiny gradients make whole steps."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay."""
    epochs: Annotated[int, Field(ge=1)] = 4
    """Passes over what a step drew."""
    minibatches: Annotated[int, Field(ge=1)] = 1
    """Optimiser steps a pass."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are scaled down to this norm."""
    micro_batch_tokens: Annotated[int, Field(ge=1)] = 8192
    """Most tokens, padding included, in one forward and backward pass: what memory allows."""
