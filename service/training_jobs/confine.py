"""Recipes of tenants: their paths stay in the tenant's folder, nothing in them runs code."""

import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from judges.errors import DataError
from service.files.folder import FILE_ID

METHOD = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
REFUSED = {
    "trust_remote_code": "it runs code that comes with a model",
    "push_to_hub": "it sends what is trained elsewhere",
    "hub_token": "it sends what is trained elsewhere",
    "hub_model_id": "it sends what is trained elsewhere",
    "output": "the service gives each job a run folder of its own",
}
"""Keys that a recipe may not set here, at any depth, and why."""
DEEPEST = 8


class Confinement:
    """Where a tenant's recipe may point to: the tenant's folder, and models that all share."""

    def __init__(self, folder: Path, shared: Path | None, file: Callable[[str], Path]) -> None:
        self.folder, self.shared, self._file = folder, shared, file

    def read(self, reference: str) -> dict[str, Any]:
        """The recipe of an upload, or at a path in the tenant's folder. Raises: DataError."""
        path = self.place(reference, "recipe")
        if path is None or not path.is_file():
            raise DataError(
                f"recipe: {reference!r} is no file of yours; upload it, or send it whole"
            )
        try:
            return tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"recipe {reference!r}: not TOML: {error}") from None

    def check(self, recipe: Mapping[str, Any], where: str = "", depth: int = 0) -> dict[str, Any]:
        """The recipe with its files in place. Raises: DataError for what it may not say."""
        if depth > DEEPEST:
            raise DataError(f"recipe: {where} is nested more than {DEEPEST} deep; flatten it")
        checked: dict[str, Any] = {}
        for key, value in recipe.items():
            place = f"{where}.{key}" if where else str(key)
            if key in REFUSED:
                raise DataError(f"recipe: {place} may not be set: {REFUSED[key]}; leave it out")
            checked[key] = self._value(value, place, depth)
        return checked

    def _value(self, value: Any, place: str, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self.check(value, place, depth + 1)
        if isinstance(value, list):
            return [self._value(one, place, depth + 1) for one in value]
        if isinstance(value, str):
            path = self.place(value, place)
            return value if path is None else str(path)
        if value is None:
            raise DataError(f"recipe: {place} is null; leave it out")
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"recipe: {place} is {value}; use a finite number")
        return value

    def place(self, text: str, where: str) -> Path | None:
        """The path that a text means, if it is one. Raises: DataError for one outside."""
        if FILE_ID.fullmatch(text):
            return self._file(text)
        if "\0" in text or "://" in text or text.startswith("~"):
            raise DataError(
                f"recipe: {where} is {text[:80]!r}; use a path in your folder, or a file's id"
            )
        path = Path(text)
        inside = Path(os.path.realpath(self.folder / path))
        roots = [self.folder] if self.shared is None else [self.folder, self.shared]
        if not any(inside.is_relative_to(os.path.realpath(root)) for root in roots):
            raise DataError(
                f"recipe: {where} is {text[:80]!r}, outside your folder; upload the file and name "
                "its id, or use a path in your folder"
            )
        exists = inside.exists()
        return inside if exists or path.is_absolute() else None


def toml_text(recipe: Mapping[str, Any]) -> str:
    """A recipe as TOML."""
    return "".join(f"{_key(key)} = {_toml(value)}\n" for key, value in recipe.items())


def _key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    """A text as a basic string: JSON's, but for its pairs of surrogates and a raw delete."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    return repr(value)
