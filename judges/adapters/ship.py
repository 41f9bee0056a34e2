"""Put a trained adapter and its cards in the folder of those that ship.

    python -m judges.adapters.ship RUN --name N --family F --card after.json [--before before.json]

It judges by default only where its own card shows it above the best judge that reads nothing. A
card holds no text of any pair. The adapter ships byte for byte as its run left it: cards and votes
know it by the digest of its bytes.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from judges.adapters.shipped import CARD, EMBEDDED, FOLDER, MANIFEST, RECIPE, ShippedAdapter
from judges.engine.adapters import adapter_digest
from judges.errors import ConfigError
from judges.jsonl import replacing

MOST_BYTES = 10 * 10**6
"""An adapter that ships is no larger: it travels with every installation."""
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MADE_BY = ("method", "recipe", "model_digest", "data", "git_commit", "versions")
"""What ships of the manifest of its run, and of the run before it, if it went on from one."""


def ship(
    run: Path, name: str, family: str, card: Path, before: Path | None = None, folder: Path = FOLDER
) -> Path:
    """The folder written.

    `before`: the card of the base on the same pairs, kept beside it.
    Raises: ConfigError for an adapter that is too large, of another base or family, or another's
    card; ModelError for a run that is not finished.
    """
    after = _read_card(card)
    _check_card(card, after, adapter_digest(run))
    weights, config = (run / WEIGHTS).read_bytes(), (run / CONFIG).read_bytes()
    if len(weights) > MOST_BYTES:
        raise ConfigError(
            f"{run / WEIGHTS}: has {len(weights)} bytes, more than {MOST_BYTES}; train fewer "
            "layers, or with a smaller r"
        )
    base = json.loads(config).get("base_model_name_or_path")
    if base != EMBEDDED:
        raise ConfigError(
            f"{run / CONFIG}: is an adapter of {base!r}; train one with model = {EMBEDDED!r}, "
            "which is what comes along"
        )
    made_by = _read_manifest(run / "manifest.json", family)
    if (earlier := made_by["recipe"].get("start_from")) is not None:
        made_by["started_from"] = _read_earlier(Path(earlier), family)
    made_by = _without_folders(made_by)
    told = ShippedAdapter(
        family=family, by_default=is_shown_better(after), measured=_in_words(after)
    )
    made = folder / name
    made.mkdir(parents=True, exist_ok=True)
    _write(made / WEIGHTS, weights)
    _write(made / CONFIG, config)
    _write(made / RECIPE, _json(made_by))
    _write(made / MANIFEST, _json(told.model_dump()))
    _write(made / CARD, _json(after))
    if before is not None:
        _write(made / "card-of-the-base.json", _json(_read_card(before)))
    return made


def is_shown_better(card: dict[str, Any]) -> bool:
    """Whether the 95 % interval of a card's accuracy lies above the best null's accuracy."""
    low = card["accuracy_low"]
    return low is not None and low > max(card["nulls"].values())


def _in_words(card: dict[str, Any]) -> str:
    """What a card shows, and whether the judge reads what it is asked."""
    inversion = card.get("inversion")
    turned = "not measured" if inversion is None else f"{inversion:.1%} of verdicts"
    return f"{card['gate_reason']}; turned round by a negated principle: {turned}"


def _read_card(file: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(file.read_text("utf-8"))
    if card.get("format") != "charter judge card":
        raise ConfigError(f"{file}: is no judge card; write it with `charter judge-card`")
    return card


def _check_card(file: Path, card: dict[str, Any], adapter: str) -> None:
    judged_by = card["subject"]["fingerprints"]
    if not all("+adapter-" in one for one in judged_by):
        raise ConfigError(f"{file}: is no card of an adapter; make it with the adapter as `model`")
    if not all(one.endswith(f"+adapter-{adapter[:16]}") for one in judged_by):
        raise ConfigError(
            f"{file}: is another's card: of {', '.join(judged_by)}, not of adapter-{adapter[:16]}; "
            "make one with the run folder as `model`"
        )


def _read_earlier(folder: Path, family: str) -> dict[str, Any]:
    """What made the adapter that a run went on from: a run's manifest, or the recipe that ships."""
    shipped = folder / RECIPE
    return _read_manifest(shipped if shipped.is_file() else folder / "manifest.json", family)


def _read_manifest(file: Path, family: str) -> dict[str, Any]:
    """What a run is made of."""
    try:
        manifest = json.loads(file.read_text("utf-8"))
        made_by: dict[str, Any] = {name: manifest[name] for name in MADE_BY}
        trained_for = made_by["recipe"]["family"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{file}: names no recipe of a judge ({error!r}); ship a run folder of "
            "`charter train judge`"
        ) from None
    if trained_for != family:
        raise ConfigError(f"{file}: was trained for {trained_for!r}, not {family!r}; ship it so")
    return made_by


def _without_folders(value: Any) -> Any:
    """The same with names of files in place of absolute paths."""
    if isinstance(value, dict):
        return {name: _without_folders(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_folders(part) for part in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


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
