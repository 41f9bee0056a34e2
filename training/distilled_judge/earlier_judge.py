"""An adapter to train on: its weights to start from, its votes as labels.

It must not know what is set aside. So it is taken only where its own record, the run's manifest or
the recipe that ships with it, names the same base, pairs and split.
"""

import json
from pathlib import Path
from typing import Any

import torch
from peft import set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from judges.errors import ConfigError, ModelError
from training.distilled_judge.distil import JudgeRecipe
from training.runs.manifest import Manifest

SAME = ("family", "held_out", "development", "split_seed")
RECORDS = ("manifest.json", "recipe.json")


def check_earlier(folder: Path, recipe: JudgeRecipe, manifest: Manifest) -> None:
    """Refuse an adapter that may have been trained on pairs that this run sets aside.

    Raises: ConfigError, with what differs; ModelError for a folder that cannot be read.
    """
    file = next((folder / name for name in RECORDS if (folder / name).is_file()), None)
    if file is None:
        raise ModelError(
            f"{folder}: has neither {' nor '.join(RECORDS)}; start_from is the folder of a "
            "finished `charter train judge`, or of an adapter that ships"
        )
    try:
        record = json.loads(file.read_text("utf-8"))
        was = {name: record["recipe"][name] for name in SAME}
        was["base"] = record["model_digest"]
        labelled = {Path(str(name)).name for name in record["recipe"]["labelled"]}
        data = {one["sha256"] for one in record["data"] if Path(one["path"]).name in labelled}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file}: is no record of a judge's training ({error!r})") from None
    now = {name: getattr(recipe, name) for name in SAME} | {"base": manifest.model_digest}
    for name, value in now.items():
        if was[name] != value:
            raise ConfigError(
                f"{file}: was trained with {name} = {was[name]!r}, this run has {value!r}: it may "
                "know pairs that are set aside now; set the same, or start from another"
            )
    paths = {str(path) for path in recipe.labelled}
    if data != {one.sha256 for one in manifest.data if one.path in paths}:
        raise ConfigError(
            f"{file}: was trained on other labelled files, so it may know pairs that are set aside "
            "now; take the same, or start from another"
        )


def load_earlier(model: Any, folder: Path) -> None:
    """Put an adapter's weights into the model's own, which has the same shape.

    Raises: ConfigError where it has not; ModelError for weights that cannot be read.
    """
    file = folder / "adapter_model.safetensors"
    try:
        told = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        weights = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{file}: cannot be read ({error}); did training finish?") from None
    ours: dict[str, torch.Tensor] = {
        name.replace(".default.", "."): part.detach()
        for name, part in model.named_parameters()
        if "lora_" in name
    }
    alike = {name: part.shape for name, part in weights.items()} == {
        name: part.shape for name, part in ours.items()
    }
    alpha = model.peft_config["default"].lora_alpha
    if not alike or told.get("lora_alpha") != alpha:
        raise ConfigError(
            f"{folder}: is an adapter of another shape (r = {told.get('r')}, alpha = "
            f"{told.get('lora_alpha')}, layers {told.get('layers_to_transform') or 'all'}); give "
            "[lora] and upper_layers as it was trained with"
        )
    set_peft_model_state_dict(model, weights)
