"""What the library's config class is given: a recipe's [trainer], and what the device asks for."""

import importlib.util
from typing import Any

from judges.errors import ConfigError
from training.runs.config_fields import config_fields
from training.runs.hardware import Hardware
from training.runs.recipe import REPORTERS, RunRecipe


def trainer_options(recipe: RunRecipe, hardware: Hardware) -> dict[str, Any]:
    """What the config class is given.

    TRL's own defaults are bfloat16 and gradient checkpointing everywhere: several times slower on
    a CPU without bfloat16, and needless where memory is plenty.
    Raises: ConfigError when the recipe asks for what the hardware or the environment lacks.
    """
    _check_number_format(recipe, hardware)
    _check_packages(recipe)
    given = {
        "bf16": hardware.bfloat16,
        "gradient_checkpointing": hardware.device == "cuda",
        "dataloader_pin_memory": hardware.device == "cuda",
        "logging_steps": 1,
        "disable_tqdm": True,
        **recipe.trainer,
        "report_to": list(recipe.report_to) or "none",
        "output_dir": str(recipe.output / "checkpoints"),
        "seed": recipe.seed,
        "use_cpu": hardware.device == "cpu",
    }
    fields = config_fields(recipe.CONFIG)
    if "max_length" in fields:
        given["max_length"] = recipe.max_length
    # Rows held out are measured after training: what fitted into memory then shall fit again.
    given.setdefault("per_device_eval_batch_size", given.get("per_device_train_batch_size", 8))
    if "run_name" in fields:
        given.setdefault("run_name", recipe.output.name)
    return given


def _check_number_format(recipe: RunRecipe, hardware: Hardware) -> None:
    loaded = (recipe.trainer.get("model_init_kwargs") or {}).get("dtype", "float32")
    if not hardware.bfloat16 and (recipe.trainer.get("bf16") or loaded == "bfloat16"):
        raise ConfigError(
            f"[trainer] asks for bfloat16, but {hardware.name} multiplies it many times slower "
            "than float32; drop bf16 and model_init_kwargs.dtype"
        )


def _check_packages(recipe: RunRecipe) -> None:
    for name in recipe.report_to:
        package = REPORTERS[name]
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"report_to holds {name!r}, but the package is not installed; run "
                f"`pip install {package}`, or drop it: metrics.jsonl is written anyway"
            )
    optimiser = str(recipe.trainer.get("optim", ""))
    if "8bit" in optimiser and importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"trainer.optim is {optimiser!r}, but bitsandbytes is not installed; run "
            "`pip install bitsandbytes`, or take adamw_torch_fused"
        )
