"""Adapters merged on a CPU: named by content, made once, forgotten when there are many."""

from pathlib import Path

import pytest

from judges.engine.adapters import (
    KEPT,
    _forget_old,
    adapter_digest,
    adapter_fingerprint,
    merged_model,
)
from judges.errors import ModelError


def make_adapter(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "base"}')
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


def test_another_weight_is_another_adapter(tmp_path: Path) -> None:
    one, same = make_adapter(tmp_path / "one"), make_adapter(tmp_path / "same")
    other = make_adapter(tmp_path / "other", b"others")
    assert adapter_digest(one) == adapter_digest(same) != adapter_digest(other)


def test_votes_are_keyed_by_the_base_and_the_adapter(tmp_path: Path) -> None:
    """By their content, not by where they lie, and not by what merging made of them."""
    bases = []
    for name, weights in (("base", b"1"), ("moved", b"1"), ("trained", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(weights)
        bases.append(tmp_path / name)
    one, other = make_adapter(tmp_path / "one"), make_adapter(tmp_path / "other", b"others")
    key = adapter_fingerprint(bases[0], one)
    assert adapter_fingerprint(bases[1], one) == key
    assert len({key, adapter_fingerprint(bases[2], one), adapter_fingerprint(bases[0], other)}) == 3


def test_an_unfinished_run_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"adapter_config.json: cannot be read .* did training"):
        adapter_digest(tmp_path)


@pytest.mark.slow  # loads torch
def test_a_broken_adapter_leaves_no_merged_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTER_CACHE", str(tmp_path / "cache"))
    base = tmp_path / "base"
    base.mkdir()
    said: list[str] = []
    with pytest.raises(ModelError, match="cannot be merged into"):
        merged_model(base, make_adapter(tmp_path / "adapter"), said.append)
    assert len(said) == 1
    assert not list((tmp_path / "cache" / "merged").glob("*/*"))


def test_only_the_latest_merged_models_stay(tmp_path: Path) -> None:
    for number in range(KEPT + 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "model.safetensors").write_bytes(b"")
    names = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime)
    _forget_old(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(names[-KEPT:])
