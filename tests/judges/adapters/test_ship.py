"""What ships is small, carries its card, and judges by default only where the card allows it."""

import json
from pathlib import Path
from typing import Any

import pytest

from judges.adapters import ship as shipping
from judges.adapters.ship import ship
from judges.adapters.shipped import adapters_by_default, shipped_adapters
from judges.engine.adapters import adapter_digest
from judges.errors import ConfigError

RECIPE = {"family": "harmlessness", "labelled": ["/home/me/pairs.jsonl"], "wordings": ["Be kind."]}


def write_card(folder: Path, low: float | None = 0.6, adapter: str | None = None) -> Path:
    if adapter is None:
        adapter = f"+adapter-{adapter_digest(folder / 'run')[:16]}"
    card: dict[str, Any] = {
        "format": "charter judge card",
        "accuracy_low": low,
        "nulls": {"shortest": 0.58, "random": 0.5},
        "gate_reason": "accuracy 65.0%",
        "inversion": 0.048,
        "subject": {"fingerprints": [f"weights:0{adapter}"]},
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder / "card.json"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "adapter_model.safetensors").write_bytes(b"weights")
    write_base(tmp_path / "run", "embedded")
    manifest = {
        "method": "judge",
        "recipe": RECIPE,
        "trainer": {"output_dir": "/home/me/runs"},
        "model_digest": "0",
        "data": [{"path": "/home/me/pairs.jsonl", "sha256": "1"}],
        "git_commit": None,
        "versions": {},
    }
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path / "run"


def write_base(run: Path, base: str) -> None:
    """As `publish` writes it."""
    config = {"base_model_name_or_path": base, "r": 16}
    (run / "adapter_config.json").write_text(json.dumps(config, indent=2))


@pytest.mark.parametrize(
    ("low", "judges"),
    [
        pytest.param(0.59, True, id="above the best null by its interval"),
        pytest.param(0.57, False, id="above chance only"),
        pytest.param(None, False, id="nothing measured"),
    ],
)
def test_the_card_decides_whether_it_judges(
    run: Path, tmp_path: Path, low: float | None, judges: bool
) -> None:
    out = tmp_path / "ships"
    made = ship(run, "safe", "harmlessness", write_card(tmp_path, low), folder=out)
    assert adapters_by_default(out) == ({"harmlessness": made} if judges else {})
    assert shipped_adapters(out)[made].measured == (
        "accuracy 65.0%; turned round by a negated principle: 4.8% of verdicts"
    )


def test_what_ships_is_what_its_card_names(run: Path, tmp_path: Path) -> None:
    """Rankings find a card by how its judge is asked, and that holds the adapter's digest."""
    card = write_card(tmp_path)
    made = ship(run, "safe", "harmlessness", card, folder=tmp_path / "ships")
    told = json.loads((made / "card.json").read_text())["subject"]["fingerprints"]
    assert told == [f"weights:0+adapter-{adapter_digest(made)[:16]}"]
    made_by = json.loads((made / "recipe.json").read_text())
    assert made_by["recipe"] == RECIPE | {"labelled": ["pairs.jsonl"]}
    assert made_by["data"] == [{"path": "pairs.jsonl", "sha256": "1"}]
    assert "/home" not in (made / "recipe.json").read_text()


def test_the_run_before_it_ships_too(run: Path, tmp_path: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "manifest.json").write_text(json.dumps(manifest | {"git_commit": "f"}))
    manifest["recipe"] = RECIPE | {"start_from": str(tmp_path / "first")}
    (run / "manifest.json").write_text(json.dumps(manifest))
    made = ship(run, "safe", "harmlessness", write_card(tmp_path), folder=tmp_path / "ships")
    made_by = json.loads((made / "recipe.json").read_text())
    assert made_by["recipe"]["start_from"] == "first"
    assert made_by["started_from"]["git_commit"] == "f"
    assert made_by["started_from"]["data"] == [{"path": "pairs.jsonl", "sha256": "1"}]


def test_what_must_not_ship_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_card(tmp_path, adapter="")
    with pytest.raises(ConfigError, match="is no card of an adapter"):
        ship(run, "safe", "f", base, folder=tmp_path)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ConfigError, match="is no judge card"):
        ship(run, "safe", "f", tmp_path / "other.json", folder=tmp_path)
    with pytest.raises(ConfigError, match=r"is another's card: of weights:0\+adapter-1, not"):
        ship(run, "safe", "f", write_card(tmp_path, adapter="+adapter-1"), folder=tmp_path)
    with pytest.raises(ConfigError, match="was trained for 'harmlessness', not 'f'"):
        ship(run, "safe", "f", write_card(tmp_path), folder=tmp_path)
    monkeypatch.setattr(shipping, "MOST_BYTES", 3)
    with pytest.raises(ConfigError, match="has 7 bytes, more than 3"):
        ship(run, "safe", "f", write_card(tmp_path), folder=tmp_path)


def test_an_adapter_of_another_base_does_not_ship(run: Path, tmp_path: Path) -> None:
    write_base(run, "/home/me/models/base")
    with pytest.raises(ConfigError, match="is an adapter of '/home/me/models/base'; train one"):
        ship(run, "safe", "harmlessness", write_card(tmp_path), folder=tmp_path)


def test_a_run_that_does_not_tell_what_made_it_does_not_ship(run: Path, tmp_path: Path) -> None:
    (run / "manifest.json").write_text('{"method": "dpo"}')
    with pytest.raises(ConfigError, match="names no recipe of a judge"):
        ship(run, "safe", "harmlessness", write_card(tmp_path), folder=tmp_path)
