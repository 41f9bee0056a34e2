"""Models, optimiser and sampler of a run that samples as it learns, from its recipe."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from judges.engine.command import EngineSpec
from judges.engine.lease import acquire
from judges.errors import ConfigError, ModelError
from judges.policies import model_folder
from training.ppo.accelerating import make_accelerator, sharding_of
from training.ppo.actor_critic import ActorCritic, make_actor_critic
from training.ppo.learner import Learner
from training.ppo.recipe import PpoRecipe, SamplingRecipe
from training.ppo.rollout import Drawing, Sampler, TransformersSampler
from training.ppo.server_sampler import ServerSampler
from training.ppo.settings import ValueModel
from training.runs.hardware import Hardware
from training.runs.loading import load_tokenizer, lora_config
from training.runs.run import Run


def build_learner(recipe: PpoRecipe, hardware: Hardware) -> tuple[Learner, Any]:
    """The learner of a run, and the policy's tokenizer. Raises: ModelError, ConfigError."""
    model, accelerator, tokenizer = build_models(recipe, recipe.value, hardware)
    learner = Learner(
        model, accelerator, recipe.optimisation, recipe.clipping, recipe.steps, recipe.seed
    )
    return learner, tokenizer


def build_models(
    recipe: SamplingRecipe, value: ValueModel, hardware: Hardware
) -> tuple[ActorCritic, Any, Any]:
    """Policy, reference and value model; their accelerator; the tokenizer.

    A frozen base is in bfloat16 where the hardware has it; what is trained is in float32, in which
    small steps are not rounded away.
    Raises: ModelError, ConfigError.
    """
    folder = model_folder(recipe.model)
    tokenizer = load_tokenizer(folder)
    accelerator = make_accelerator(hardware.device, bfloat16=hardware.bfloat16)
    _refuse_sharding(accelerator)
    frozen = recipe.lora is not None and hardware.bfloat16
    policy = _load_policy(folder, torch.bfloat16 if frozen else torch.float32)
    policy.to(accelerator.device)
    torch.manual_seed(recipe.seed)
    model = make_actor_critic(policy, value, lora_config(recipe.lora), recipe.rollout.temperature)
    checkpointing = recipe.gradient_checkpointing
    if hardware.device == "cuda" if checkpointing is None else checkpointing:
        _checkpoint_gradients(model)
    return model, accelerator, tokenizer


def build_sampler(
    recipe: SamplingRecipe, run: Run, learner: Learner, tokenizer: Any
) -> tuple[Sampler, ExitStack]:
    """What draws completions, and what to close after it: the engine that it uses, if any.

    Cost: up to a minute or two for an engine that is not running yet. Raises: ModelError.
    """
    stack = ExitStack()
    rollout, policy = recipe.rollout, learner.plain.policy
    drawing = Drawing(
        max_tokens=rollout.max_tokens,
        temperature=rollout.temperature,
        seed=recipe.seed,
        eos_token_ids=end_token_ids(policy, tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        batch_tokens=rollout.batch_tokens,
    )
    if rollout.by == "transformers":
        return TransformersSampler(policy, learner.accelerator, drawing), stack
    folder = model_folder(recipe.model)
    url = rollout.url or stack.enter_context(acquire(_engine(recipe, folder), run.message)).url
    adapters = run.folder.path / "rollout-adapters"
    return (
        ServerSampler(
            policy,
            learner.accelerator,
            url,
            folder,
            adapters,
            drawing,
            recipe.patience,
            run.message,
        ),
        stack,
    )


def end_token_ids(policy: Any, tokenizer: Any) -> tuple[int, ...]:
    """All tokens that end a completion: those of the generation config, and the tokenizer's."""
    told = getattr(policy.generation_config, "eos_token_id", None)
    ids = set(told if isinstance(told, list) else [told]) | {tokenizer.eos_token_id}
    return tuple(sorted(i for i in ids if i is not None))


def _refuse_sharding(accelerator: Any) -> None:
    """Completions are drawn by the whole model in each process."""
    if kind := sharding_of(accelerator):
        raise ConfigError(
            f"accelerate is set to {kind}, but the whole policy is needed in each process to draw "
            "completions; use deploy/accelerate/ddp.yaml with [lora], or a smaller model"
        )


def _engine(recipe: SamplingRecipe, folder: Path) -> EngineSpec:
    """A server whose log-probabilities are those at the temperature of drawing."""
    assert recipe.lora is not None
    return EngineSpec(
        model=folder,
        adapters=True,
        max_adapter_rank=_rank(recipe.lora.r),
        max_model_len=recipe.max_length,
        gpu_memory_utilization=recipe.rollout.gpu_memory,
        extra_flags=("--logprobs-mode", "processed_logprobs"),
    )


def _rank(r: int) -> int:
    """The least of the ranks that vLLM knows."""
    return next(rank for rank in (8, 16, 32, 64) if rank >= r)


def _load_policy(folder: Path, dtype: Any) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{folder}: this model cannot be loaded: {error}") from error


def _checkpoint_gradients(model: Any) -> None:
    for part in (model.policy, model.value):
        if part is not None:
            base = part.get_base_model() if hasattr(part, "peft_config") else part
            base.gradient_checkpointing_enable({"use_reentrant": False})
