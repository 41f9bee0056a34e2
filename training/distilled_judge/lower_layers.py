"""The layers below the adapter, computed once: nothing in them changes while the upper ones train.

On a slow machine they are most of the work of a step. What they say of each tree is kept in a file,
in bfloat16, named by all that it depends on: a killed run goes on from those that are there, and
runs with other labels, rates or seeds share them.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from judges.canonical import digest
from judges.errors import ConfigError
from training.distilled_judge.token_tree import TokenTree, attention_TT

NAME = "hidden"
APART = 0.05
"""Log-probabilities that bfloat16 may move by; a model that is fed wrongly is off by far more."""


class PassThrough(nn.Module):
    """A layer that is computed already."""

    def forward(self, hidden_BTD: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """The same hidden states."""
        return hidden_BTD


class _ReachedError(Exception):
    """The layer that was waited for is about to run."""


def layers_of(model: Any) -> nn.ModuleList:
    """A language model's layers. Raises: ConfigError where they cannot be found."""
    layers = getattr(model.get_decoder(), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise ConfigError(
            f"{type(model).__name__} keeps its layers where charter does not find them; leave "
            "upper_layers out, so that all are trained"
        )
    return layers


def attending(tree: TokenTree, device: Any) -> dict[str, torch.Tensor]:
    """How a model is told of a tree. Shapes: mask [1, 1, T, T], bool; positions [1, T]."""
    return {
        "attention_mask": torch.from_numpy(attention_TT(tree)).to(device)[None, None],
        "position_ids": torch.from_numpy(tree.depth_T).to(device)[None],
    }


def answers(model: Any, tree: TokenTree, states_TD: torch.Tensor | None = None) -> torch.Tensor:
    """Logits of each prompt's answer, from token ids or from the lower layers' states.

    Shapes: [A, V].
    """
    inner = getattr(model, "module", model)  # several devices wrap it
    device = inner.device
    if states_TD is None:
        fed = {"input_ids": torch.from_numpy(tree.ids_T).to(device)[None]}
    else:
        fed = {"inputs_embeds": states_TD.to(device, inner.dtype)[None]}
    kept = torch.from_numpy(tree.last_A).to(device)
    seen = model(**fed, **attending(tree, device), logits_to_keep=kept, use_cache=False)
    logits: torch.Tensor = seen.logits[0]
    return logits


def state_files(
    folder: Path, model_digest: str, lower: int, trees: Sequence[TokenTree]
) -> list[Path]:
    """Where the states of each tree are kept, of these weights, below this layer."""
    names = (
        digest([model_digest, lower, tree.ids_T.tolist(), tree.parent_T.tolist()]) for tree in trees
    )
    return [folder / f"{name[:32]}.safetensors" for name in names]


def keep_lower_states(
    model: Any,
    trees: Sequence[TokenTree],
    lower: int,
    files: Sequence[Path],
    progress: Callable[[int, int], None],
) -> None:
    """Write what the lower layers say of each tree, then put nothing in those layers' place.

    Cost: one pass through the lower layers for each tree that is not there yet.
    Raises: ConfigError for a model that does not answer the same when it is fed so.
    """
    layers = layers_of(model)
    with torch.no_grad():
        for number, (tree, file) in enumerate(zip(trees, files, strict=True), start=1):
            if not file.exists():
                write_states(file, lower_states(model, tree, [layers[lower]])[0])
            progress(number, len(trees))
        expected = answers(model, trees[0]).log_softmax(-1)
        for index in range(lower):
            layers[index] = PassThrough()
        found = answers(model, trees[0], read_states(files[0])).log_softmax(-1)
    likely = expected.topk(2).indices
    if (expected - found).gather(1, likely).abs().max() > APART:
        raise ConfigError(
            f"{type(model).__name__} does not take hidden states in the place of embeddings; drop "
            "lower_states"
        )


def lower_states(model: Any, tree: TokenTree, entered: Sequence[nn.Module]) -> list[torch.Tensor]:
    """The hidden states that enter some layers, in their order; none after the last is computed.

    Shapes: [T, D] each, bfloat16.
    """
    states: list[torch.Tensor] = []

    def note(layer: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        states.append(arguments[0][0].to(torch.bfloat16).contiguous())
        if layer is entered[-1]:
            raise _ReachedError

    hooks = [layer.register_forward_pre_hook(note) for layer in entered]
    try:
        answers(model, tree)
    except _ReachedError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return states


def write_states(file: Path, states_TD: torch.Tensor) -> None:
    """Write a tree's states, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}")  # several processes may compute the same
    try:
        save_file({NAME: states_TD}, unfinished)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def read_states(file: Path) -> torch.Tensor:
    """What the lower layers said of a tree. Shapes: [T, D]."""
    return load_file(file)[NAME]
