"""Recipes: the few settings that are ours, and [trainer], which goes to TRL as it is."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from judges.errors import ConfigError
from judges.records import Record
from judges.suggest import did_you_mean
from training.trainer_options import config_fields

OURS = {
    "output_dir": "the run folder is `output`",
    "seed": "it is a key of the recipe itself, above [trainer]",
    "max_length": "it is a key of the recipe itself, above [trainer]",
    "use_cpu": "the device is `device`",
    "resume_from_checkpoint": "resume with `--resume`",
    "fp16": "charter trains in bfloat16 where the hardware has it, else in float32",
}
SOFT_LOSSES: tuple[Any, ...] = ("sigmoid", ["sigmoid"], ["sigmoid", "sft"])
"""What soft labels are defined for; `sft` adds the chosen side's likelihood, weighted."""
FIXED_BY_SOFT_LABELS = (
    "label_smoothing",
    "f_divergence_type",
    "ld_alpha",
    "use_weighting",
)


class LoraSettings(Record):
    """The low-rank adapter that is trained; without this table all weights are."""

    r: Annotated[int, Field(ge=1)] = 16
    """Rank."""
    alpha: Annotated[int, Field(ge=1)] = 32
    """The adapter's output is scaled by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapter's input."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """Which layers get one: names of linear layers, or `all-linear` (all but the head)."""


class DpoRecipe(Record):
    """A run of direct preference optimisation. Paths are relative to the working folder."""

    model: str
    """The policy to start from, also the reference: `embedded`, or a model folder."""
    preferences: Path
    """Preference rows: a .jsonl file, or a folder that holds train.jsonl."""
    output: Path
    """The run folder; it must be empty or absent, unless the run is resumed."""
    labels: Literal["soft", "hard"] = "soft"
    """Take `p_chosen` as the label of each pair, or take chosen as certainly better."""
    seed: int = 0
    """Draws the adapter's first weights and the order of the pairs."""
    max_length: Annotated[int, Field(ge=2)] = 1024
    """Longest prompt with completion, in tokens; what is over is cut off and counted."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes the GPU where there is one."""
    lora: LoraSettings | None = None
    """Train an adapter; absent: train all weights."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Handed to trl.DPOConfig as it is."""

    @model_validator(mode="after")
    def _check_soft_labels(self) -> Self:
        if self.labels == "hard":
            return self
        if self.trainer.get("loss_type", "sigmoid") not in SOFT_LOSSES:
            raise ValueError(
                f"trainer.loss_type is {self.trainer['loss_type']!r}, but soft labels are defined "
                'for the sigmoid loss only, or ["sigmoid", "sft"]; drop it, or set labels = "hard"'
            )
        for key in FIXED_BY_SOFT_LABELS:
            if key in self.trainer:
                raise ValueError(
                    f'trainer.{key} would change the loss that labels = "soft" fixes; drop it, '
                    'or set labels = "hard"'
                )
        return self

    @model_validator(mode="after")
    def _check_dropout(self) -> Self:
        if self.lora and self.lora.dropout and self.trainer.get("disable_dropout", True):
            raise ValueError(
                f"lora.dropout is {self.lora.dropout}, but TRL turns dropout off; set "
                "trainer.disable_dropout = false, or lora.dropout = 0"
            )
        return self


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> DpoRecipe:
    """The recipe of a TOML file, with `key=value` overrides such as `trainer.max_steps=3`.

    A value that is no TOML is taken as text, so paths need no quotes.
    Raises: ConfigError naming the file and the key.
    """
    table = _read_toml(path)
    for override in overrides:
        _override(table, override)
    _check_trainer_keys(table.get("trainer", {}), path)
    try:
        return DpoRecipe.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_fault(error)}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such recipe; name a .toml file") from None
    except OSError as error:
        raise ConfigError(f"{path}: this recipe cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start + 1} is not UTF-8; convert the file to UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _override(table: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    *parents, key = (part.strip() for part in name.split("."))
    if not equals or not key:
        raise ConfigError(f"--set {override}: write KEY=VALUE, such as trainer.max_steps=3")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: `{parent}` is a value, not a table")
    table[key] = _toml_value(text.strip())


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _check_trainer_keys(trainer: Any, path: Path) -> None:
    if not isinstance(trainer, Mapping):
        raise ConfigError(f"{path}: trainer is {trainer!r}; make it a table: [trainer]")
    known = config_fields("DPOConfig")
    for key in trainer:
        if key in OURS:
            raise ConfigError(f"{path}: trainer.{key} cannot be set here: {OURS[key]}")
        if known and key not in known:
            raise ConfigError(
                f"{path}: unknown key trainer.{key}{did_you_mean(key, known)}; [trainer] takes "
                "the fields of trl.DPOConfig"
            )


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = [str(part) for part in fault["loc"]]
    if fault["type"] == "extra_forbidden":
        fields = (LoraSettings if place[0] == "lora" else DpoRecipe).model_fields
        known = ", ".join(fields)
        return f"unknown key {'.'.join(place)}{did_you_mean(place[-1], fields)}; use {known}"
    if fault["type"] == "missing":
        return f"no `{'.'.join(place)}`; set it"
    text = fault["msg"].removeprefix("Value error, ")
    return f"{'.'.join(place)} is {fault['input']!r}: {text}" if place else text
