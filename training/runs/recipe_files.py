"""Recipe files: TOML in, a checked recipe out, each fault with its file, key and remedy."""

import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from judges.errors import ConfigError
from judges.suggest import did_you_mean
from training.runs.config_fields import config_fields
from training.runs.recipe import RunRecipe

R = TypeVar("R", bound=RunRecipe)

OURS = {
    "output_dir": "the run folder is `output`",
    "seed": "it is a key of the recipe itself, above [trainer]",
    "max_length": "it is a key of the recipe itself, above [trainer]",
    "report_to": "it is a key of the recipe itself, above [trainer]",
    "use_cpu": "the device is `device`",
    "resume_from_checkpoint": "resume with `--resume`",
    "save_only_model": "a run resumes from optimiser and random state too, to the same losses",
    "ignore_data_skip": "a resumed run goes on with the rows that come next",
    "fp16": "charter trains in bfloat16 where the hardware has it, else in float32",
}


def load_recipe(path: Path, kind: type[R], overrides: Sequence[str] = ()) -> R:
    """The recipe of a TOML file, with `key=value` overrides such as `trainer.max_steps=3`.

    A value that is no TOML is taken as text, so paths need no quotes.
    Raises: ConfigError naming the file and the key.
    """
    table = _read_toml(path)
    for override in overrides:
        _override(table, override)
    _check_trainer_keys(table.get("trainer", {}), kind.CONFIG, path)
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_fault(error, kind)}") from None


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


def _check_trainer_keys(trainer: Any, config: str, path: Path) -> None:
    if not isinstance(trainer, Mapping):
        raise ConfigError(f"{path}: trainer is {trainer!r}; make it a table: [trainer]")
    known = config_fields(config)
    for key in trainer:
        if key in OURS:
            raise ConfigError(f"{path}: trainer.{key} cannot be set here: {OURS[key]}")
        if known and key not in known:
            raise ConfigError(
                f"{path}: unknown key trainer.{key}{did_you_mean(key, known)}; [trainer] takes "
                f"the fields of {config}"
            )


def _first_fault(error: ValidationError, kind: type[BaseModel]) -> str:
    fault = error.errors()[0]
    place = [str(part) for part in fault["loc"]]
    if fault["type"] == "extra_forbidden":
        fields = list(_record_at(kind, place[:-1]).model_fields)
        near = did_you_mean(place[-1], fields)
        return f"unknown key {'.'.join(place)}{near}; use {', '.join(fields)}"
    if fault["type"] == "missing":
        return f"no `{'.'.join(place)}`; set it"
    text = fault["msg"].removeprefix("Value error, ")
    return f"{'.'.join(place)} is {fault['input']!r}: {text}" if place else text


def _record_at(kind: type[BaseModel], place: Sequence[str]) -> type[BaseModel]:
    """The record in which a key at this place would stand."""
    for name in place:
        if name in kind.model_fields:
            kind = next(_records_in(kind.model_fields[name].annotation), kind)
    return kind


def _records_in(annotation: Any) -> typing.Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _records_in(part)
