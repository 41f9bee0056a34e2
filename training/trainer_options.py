"""Which keys a recipe's [trainer] table may hold: the fields of TRL's own config class.

They are read from the installed source, not by importing it: importing TRL takes many seconds,
and a misspelt key should be told at once, also where there is no torch.
"""

import ast
import importlib.util
from functools import cache
from pathlib import Path

CONFIG_SOURCES = {
    "DPOConfig": (
        ("trl", "trainer/dpo_config.py"),
        ("trl", "trainer/base_config.py"),
        ("transformers", "training_args.py"),
    )
}


@cache
def config_fields(config: str) -> frozenset[str]:
    """Field names of a TRL config class and its parents; empty where TRL is not installed."""
    folders = {package: _folder(package) for package, _ in CONFIG_SOURCES[config]}
    if None in folders.values():
        return frozenset()
    return frozenset(
        name
        for package, file in CONFIG_SOURCES[config]
        for name in _annotated_names((folders[package] or Path()) / file)
    )


def _folder(package: str) -> Path | None:
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent if found and found.origin else None


def _annotated_names(source: Path) -> list[str]:
    tree = ast.parse(source.read_bytes())
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return [
        line.target.id
        for node in classes
        for line in node.body
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and not line.target.id.startswith("_")
    ]
