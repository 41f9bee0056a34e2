"""The fields of a library's config class, read from the installed source, not by importing it.

Importing TRL takes many seconds, and a misspelt key should be told at once, also where there is no
torch.
"""

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CONFIG_FILES = {
    "trl": ("trainer/*_config.py", "experimental/*/*_config.py"),
    "transformers": ("training_args.py",),
}


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
