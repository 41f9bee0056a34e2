"""What the library's config class is given: a recipe's [trainer], and what the device asks for.

The fields of config classes are read from the installed source, not by importing it: importing
TRL takes many seconds, and a misspelt key should be told at once, also where there is no torch.
"""

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from judges.errors import ConfigError
from training.runs.hardware import Hardware
from training.runs.recipe import REPORTERS, RunRecipe

CONFIG_FILES = {
    "trl": ("trainer/*_config.py", "experimental/*/*_config.py"),
    "transformers": ("training_args.py",),
}


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


@cache
def config_fields(config: str) -> frozenset[str]:
    """Field names of a config class and its parents; empty where the library is not installed."""
    for source in _sources():
        text = source.read_text("utf-8")
        if f"class {config}(" in text or f"class {config}:" in text:
            return _fields_in(text, config)
    return frozenset()


def _fields_in(text: str, config: str) -> frozenset[str]:
    tree = ast.parse(text)
    node = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == config)
    own = frozenset(
        line.target.id
        for line in node.body
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and not line.target.id.startswith("_")
    )
    parents = (base.id for base in node.bases if isinstance(base, ast.Name))
    return own.union(*(config_fields(parent) for parent in parents))


def _sources() -> Iterator[Path]:
    for package, patterns in CONFIG_FILES.items():
        found = importlib.util.find_spec(package)
        if found and found.origin:
            for pattern in patterns:
                yield from sorted(Path(found.origin).parent.glob(pattern))
