"""Put a trained adapter and its cards in the folder of those that ship.

    python -m judges.adapters.ship RUN --name harmlessness --card after.json [--before before.json]

It judges by default only where its own card shows it above the best judge that reads nothing. A
card holds no text of any pair.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from judges.adapters.shipped import CARD, EMBEDDED, FOLDER, MANIFEST, ShippedAdapter
from judges.errors import ConfigError
from judges.jsonl import replacing

MOST_BYTES = 10 * 2**20
"""An adapter that ships is no larger: it travels with every installation."""
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def ship(
    run: Path, name: str, family: str, card: Path, before: Path | None = None, folder: Path = FOLDER
) -> Path:
    """The folder written. Raises: ConfigError for an adapter that is too large, or another's card.

    `before`: the card of the base on the same pairs, kept beside it.
    """
    weights = (run / WEIGHTS).read_bytes()
    if len(weights) > MOST_BYTES:
        raise ConfigError(
            f"{run / WEIGHTS}: has {len(weights)} bytes, more than {MOST_BYTES}; train fewer "
            "layers, or with a smaller r"
        )
    after = _read_card(card)
    if not all("+adapter-" in one for one in after["subject"]["fingerprints"]):
        raise ConfigError(f"{card}: is no card of an adapter; make it with the adapter as `model`")
    config = json.loads((run / CONFIG).read_text("utf-8")) | {"base_model_name_or_path": EMBEDDED}
    told = ShippedAdapter(
        family=family, by_default=is_shown_better(after), measured=after["gate_reason"]
    )
    made = folder / name
    made.mkdir(parents=True, exist_ok=True)
    _write(made / WEIGHTS, weights)
    _write(made / CONFIG, _json(config))
    _write(made / MANIFEST, _json(told.model_dump()))
    _write(made / CARD, _json(after))
    if before is not None:
        _write(made / "card-of-the-base.json", _json(_read_card(before)))
    return made


def is_shown_better(card: dict[str, Any]) -> bool:
    """Whether the 95 % interval of a card's accuracy lies above the best null's accuracy."""
    low = card["accuracy_low"]
    return low is not None and low > max(card["nulls"].values())


def _read_card(file: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(file.read_text("utf-8"))
    if card.get("format") != "charter judge card":
        raise ConfigError(f"{file}: is no judge card; write it with `charter judge-card`")
    return card


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()


def _write(file: Path, body: bytes) -> None:
    with replacing(file) as stream:
        stream.write(body)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m judges.adapters.ship")
    parser.add_argument("run", type=Path, help="run folder of `charter train judge`")
    parser.add_argument("--name", required=True, help="the folder's name, among those that ship")
    parser.add_argument("--family", required=True, help="the family that it judges")
    parser.add_argument("--card", type=Path, required=True, help="its judge card, on other pairs")
    parser.add_argument("--before", type=Path, help="the base's card on the same pairs")
    return parser.parse_args()


if __name__ == "__main__":
    asked = _parse()
    ship(asked.run, asked.name, asked.family, asked.card, asked.before)
