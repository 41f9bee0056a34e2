"""Adapters that ship with charter: a folder each, with what it was trained for and its card.

One is used by default only where its own `adapter.json` says so; its `card.json` is what was
measured of it, on pairs that it was not trained on, its `recipe.json` what made it.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from judges.errors import ModelError
from judges.records import Record

FOLDER = Path(__file__).parent
EMBEDDED = "embedded"
"""The name of the model that comes along, as policies and adapters name it."""
MANIFEST = "adapter.json"
CARD = "card.json"
RECIPE = "recipe.json"


class ShippedAdapter(Record):
    """What an adapter's `adapter.json` says."""

    family: str
    """It votes on pairs under principles of this `family`, asked plainly, of the embedded model."""
    by_default: bool
    """Whether it does so where nothing else is said."""
    measured: str
    """What it reaches on pairs that it was not trained on, in words."""


@lru_cache(maxsize=8)
def shipped_adapters(folder: Path = FOLDER) -> dict[Path, ShippedAdapter]:
    """Every adapter that ships, by its folder. Raises: ModelError for a broken installation."""
    return dict(_read(file) for file in sorted(folder.glob(f"*/{MANIFEST}")))


def adapters_by_default(folder: Path = FOLDER) -> dict[str, Path]:
    """The folder of each family's adapter that judges where nothing else is said."""
    found = shipped_adapters(folder).items()
    return {adapter.family: path for path, adapter in found if adapter.by_default}


def shipped_cards(folder: Path = FOLDER) -> Iterator[Path]:
    """The judge card of each adapter that ships."""
    yield from (path / CARD for path in shipped_adapters(folder))


def _read(file: Path) -> tuple[Path, ShippedAdapter]:
    try:
        return file.parent, ShippedAdapter.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(f"{file}: cannot be read ({error}); install charter anew") from None
