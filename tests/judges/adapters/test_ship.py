"""What ships is small, carries its card, and judges by default only where the card allows it."""

import json
from pathlib import Path
from typing import Any

import pytest

from judges.adapters import ship as shipping
from judges.adapters.ship import ship
from judges.adapters.shipped import adapters_by_default, shipped_adapters
from judges.errors import ConfigError


def write_card(folder: Path, low: float | None = 0.6, adapter: str = "+adapter-1") -> Path:
    card: dict[str, Any] = {
        "format": "charter judge card",
        "accuracy_low": low,
        "nulls": {"shortest": 0.58, "random": 0.5},
        "gate_reason": "accuracy 65.0%",
        "subject": {"fingerprints": [f"weights:0{adapter}"]},
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder / "card.json"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "adapter_model.safetensors").write_bytes(b"weights")
    config = {"base_model_name_or_path": "/home/me/models/base", "r": 16}
    (tmp_path / "run" / "adapter_config.json").write_text(json.dumps(config))
    return tmp_path / "run"


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
    assert shipped_adapters(out)[made].measured == "accuracy 65.0%"
    config = json.loads((made / "adapter_config.json").read_text())
    assert config == {"base_model_name_or_path": "embedded", "r": 16}


def test_what_must_not_ship_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_card(tmp_path, adapter="")
    with pytest.raises(ConfigError, match="is no card of an adapter"):
        ship(run, "safe", "f", base, folder=tmp_path)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ConfigError, match="is no judge card"):
        ship(run, "safe", "f", tmp_path / "other.json", folder=tmp_path)
    monkeypatch.setattr(shipping, "MOST_BYTES", 3)
    with pytest.raises(ConfigError, match="has 7 bytes, more than 3"):
        ship(run, "safe", "f", write_card(tmp_path), folder=tmp_path)
