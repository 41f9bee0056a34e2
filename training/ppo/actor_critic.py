"""The four models of PPO in as little memory as the recipe allows.

With adapters, the policy and the value model are two sets of adapters over one frozen base, and
the reference is that base alone: four models for the memory of one. Trained whole, the value model
and the reference are copies. Dropout is off in all of them.
"""

import copy
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from judges.errors import ConfigError, ModelError
from judges.rewards.description import REWARD_FILE, read_description
from training.ppo.batches import Batch
from training.ppo.settings import ValueModel
from training.ppo.token_logprobs import token_logprobs


class TokenOutputs(NamedTuple):
    """What one forward pass says of each completion token; zero on padding."""

    logprobs_BT: Any
    """Log-probability of the token under the policy, at the sampling temperature."""
    entropy_BT: Any
    """Entropy of what it was drawn from; no gradient."""
    values_BT: Any
    """Predicted return before the token is drawn."""


class ActorCritic(nn.Module):  # type: ignore[misc, unused-ignore]
    """Policy and value model under one forward pass, so that one wrapper shards or copies both."""

    def __init__(
        self,
        policy: Any,
        value: Any | None,
        value_head: Any,
        reference: Any | None,
        temperature: float,
    ) -> None:
        """`value` None: the head sits on the policy. `reference` None: the policy's base is it."""
        super().__init__()
        self.policy, self.value, self.value_head = policy, value, value_head
        # In a list, so that it is neither trained, saved nor wrapped with the rest.
        self._reference = [reference]
        self.temperature = temperature

    def forward(self, batch: Batch) -> TokenOutputs:
        """Log-probabilities, entropies and values of completion tokens. Shapes: [B, T]."""
        hidden_ND = _hidden(self.policy, batch)
        logprobs_N, entropy_N = self._logprobs(self.policy, hidden_ND, batch)
        if self.value is not None:
            hidden_ND = _hidden(self.value, batch)
        with torch.autocast(hidden_ND.device.type, enabled=False):
            # In float32: returns differ by less than bfloat16 can tell apart.
            values_N = self.value_head(hidden_ND.float())[:, 0]
        return TokenOutputs(
            *(_unflatten(part, batch.mask_BT) for part in (logprobs_N, entropy_N, values_N))
        )

    def reference_logprobs(self, batch: Batch) -> Any:
        """Log-probabilities under the reference. Shape: [B, T]."""
        with torch.no_grad():
            model = self._reference[0]
            with nullcontext() if model is not None else self.policy.disable_adapter():
                model = self.policy if model is None else model
                logprobs_N, _ = self._logprobs(model, _hidden(model, batch), batch)
            return _unflatten(logprobs_N, batch.mask_BT)

    @property
    def reference(self) -> Any | None:
        """The model that the policy is held to; None where it is the policy's own base."""
        return self._reference[0]

    def trained_parameters(self) -> dict[str, Any]:
        """What the optimiser moves, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def _logprobs(self, model: Any, hidden_ND: Any, batch: Batch) -> Any:
        causal = _causal(model)
        return token_logprobs(
            hidden_ND,
            batch.tokens_BT[batch.mask_BT],
            causal.get_output_embeddings(),
            self.temperature,
            getattr(causal.config, "final_logit_softcapping", None),
        )


def make_actor_critic(
    policy: Any, value: ValueModel, lora: Any | None, temperature: float
) -> ActorCritic:
    """The models of a run, from a loaded policy; `lora` is peft's config, or None to train all.

    Memory: with adapters the base once; whole, with a value model and a reference of their own,
    three times the policy, and optimiser states for two.
    Raises: ModelError for a value model that cannot be loaded; ConfigError for a policy whose
    log-probabilities cannot be computed from its last hidden states.
    """
    disable_dropout(policy)
    _check_projection(policy)
    if value.kind == "shared" and value.model is not None:
        raise ConfigError(
            f'value.model is {value.model!r}, but value.kind = "shared" is a head on the policy; '
            'drop value.model, or set value.kind = "separate"'
        )
    trunk, head = None, _zero_head(policy)
    if value.kind == "separate":
        trunk, head = _value_model(policy, value.model, share=lora is not None)
    reference = None if lora is not None else copy.deepcopy(policy).requires_grad_(False).eval()
    if lora is not None:
        from peft import get_peft_model

        if trunk is not None:
            # No language model, so of no task that peft knows. A copy: peft fills in names.
            of_trunk = copy.deepcopy(lora)
            of_trunk.task_type = None
            trunk = get_peft_model(trunk, of_trunk)
        policy = get_peft_model(policy, copy.deepcopy(lora))
    return ActorCritic(policy, trunk, head, reference, temperature)


def disable_dropout(model: Any) -> None:
    """Turn dropout off for good: with it, one policy would give a token two probabilities.

    Attention dropout is a plain number on attention modules; `Module.eval` alone would also turn
    gradient checkpointing off.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def _value_model(policy: Any, folder: str | None, *, share: bool) -> tuple[Any, Any]:
    if folder is None:
        # Frozen weights are the same object in both models: the base is in memory once.
        shared = {id(p): p for p in policy.parameters()} if share else {}
        return copy.deepcopy(policy.base_model, shared), _zero_head(policy)
    from transformers import AutoModelForSequenceClassification

    try:
        if not (Path(folder) / "config.json").exists():
            raise OSError("no config.json in it")
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=1, dtype=policy.dtype, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{folder}: cannot be loaded as a reward model with one label ({error}); correct "
            "value.model, or drop it to start from the policy's weights"
        ) from error
    disable_dropout(model)
    return model.base_model, _standardised(model.score, Path(folder))


def _standardised(head: Any, folder: Path) -> Any:
    """A reward model's head on the scale of its reward: charter's own are standardised."""
    mean, std = 0.0, 1.0
    if (folder / REWARD_FILE).exists():
        (told,) = read_description(folder).heads
        mean, std = told.mean, told.std
    scaled = nn.Linear(head.in_features, 1, device=head.weight.device, dtype=torch.float32)
    with torch.no_grad():
        scaled.weight.copy_(head.weight / std)
        scaled.bias.copy_(((0.0 if head.bias is None else head.bias) - mean) / std)
    return scaled


def _zero_head(policy: Any) -> Any:
    """A head that predicts 0 everywhere at first: values then do not disturb the first step."""
    config = policy.config.get_text_config()
    head = nn.Linear(config.hidden_size, 1, dtype=torch.float32)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head.to(policy.device)


def _causal(model: Any) -> Any:
    """The model under peft's wrapper, adapters in place; a plain model as it is."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def _hidden(model: Any, batch: Batch) -> Any:
    """Last hidden states where completion tokens are predicted. Shape: [N, D]."""
    # The trunk of a language model; a value model is one already.
    trunk = _causal(model).base_model
    hidden_BLD = trunk(input_ids=batch.input_ids, use_cache=False).last_hidden_state
    rows = torch.arange(len(hidden_BLD), device=hidden_BLD.device)[:, None]
    return hidden_BLD[rows, batch.before_BT][batch.mask_BT]


def _unflatten(values_N: Any, mask_BT: Any) -> Any:
    full_BT = torch.zeros(mask_BT.shape, dtype=values_N.dtype, device=values_N.device)
    return full_BT.masked_scatter(mask_BT, values_N)


def _check_projection(policy: Any) -> None:
    """Refuse a model that does more to its hidden states than its head and a soft cap."""
    with torch.no_grad():
        size = policy.get_input_embeddings().num_embeddings
        ids = (torch.arange(1, 5, device=policy.device) % size)[None]
        logits_TV = policy(input_ids=ids, use_cache=False).logits[0, :-1].float()
        expected = torch.log_softmax(logits_TV, -1).gather(1, ids[0, 1:, None])[:, 0]
        hidden_TD = policy.base_model(input_ids=ids, use_cache=False).last_hidden_state[0, :-1]
        soft_cap = getattr(policy.config, "final_logit_softcapping", None)
        head = policy.get_output_embeddings()
        found, _ = token_logprobs(hidden_TD, ids[0, 1:], head, 1.0, soft_cap)
        if not torch.allclose(found, expected, atol=1e-2, rtol=1e-2):
            raise ConfigError(
                f"{policy.config.model_type}: its logits are not its head applied to its last "
                "hidden states, which PPO here relies on; use another model"
            )


def save_policy(model: ActorCritic, folder: Path) -> None:
    """Write the policy alone: an adapter folder, or a whole model folder."""
    model.policy.save_pretrained(str(folder))
