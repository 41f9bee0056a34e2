"""The run folder: refused unless empty or resumed, never deleted, gone on with after a kill.

It holds manifest.json (written first), metrics.jsonl (a line a step), checkpoints/, and once the
run is done the trained model itself and summary.json; resumed.jsonl, where it was gone on with
elsewhere than it was begun.
"""

import fcntl
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from judges.errors import ConfigError, DataError
from judges.jsonl import dump_line, read_jsonl, replacing
from training.runs.manifest import Manifest

SAME_ON_RESUME = ("method", "recipe", "model_digest", "seed")
DECIDES_LOSSES = ("processes", "hardware", "trainer", "versions")
"""What a run may be resumed with other values of, at the price of other losses."""


class RunFolder:
    """A claimed run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self.summary = path / "summary.json"

    @classmethod
    @contextmanager
    def claim(cls, path: Path, manifest: Manifest, *, resume: bool) -> Iterator[Self]:
        """The folder for this process alone, with the manifest in it.

        Raises: DataError for a folder that is not empty and not resumed, or is in use;
        ConfigError for resuming with another recipe, model or data.
        """
        with _locked(path):
            run = cls(path)
            held = sorted(entry.name for entry in path.iterdir() if entry.name[0] != ".")
            if held and not resume:
                raise DataError(
                    f"{path}: the run folder is not empty (it holds {', '.join(held[:3])}); go on "
                    "with that run by `--resume`, or name another `output`"
                )
            if held:
                _check_same(path, manifest)
            else:
                with replacing(path / "manifest.json") as file:
                    file.write(manifest.model_dump_json(indent=2).encode())
            yield run

    def last_checkpoint(self, message: Callable[[str], None]) -> tuple[int, Path] | None:
        """Step and folder of the newest complete checkpoint.

        Half-written ones are renamed out of the trainer's way, with a message. trainer_state.json
        is the last file written; after a power cut the ones before it may still be cut short.
        """
        complete = []
        for folder in sorted(self.checkpoints.glob("checkpoint-*")):
            step = _complete_step(folder)
            if step is None:
                aside = _free_name(folder.with_name(f"half-written-{folder.name.split('-')[1]}"))
                folder.rename(aside)
                message(f"{folder}: half-written and ignored; it is {aside.name} now, delete it")
            else:
                complete.append((step, folder))
        return max(complete, default=None)

    def note_changes(self, manifest: Manifest, step: int) -> dict[str, tuple[Any, Any]]:
        """What now decides the losses otherwise than when the run was begun, before and now.

        It is kept in resumed.jsonl, with the step that was gone on from.
        """
        changed = _changes(json.loads((self.path / "manifest.json").read_bytes()), manifest)
        if changed:
            with (self.path / "resumed.jsonl").open("ab") as file:
                file.write(dump_line({"step": step, "changed": changed}))
        return changed

    def cut_metrics(self, step: int) -> None:
        """Drop metrics of steps after a checkpoint: they are about to be made again."""
        if not self.metrics.exists():
            return
        kept = [line for line in _whole_lines(self.metrics) if line["step"] <= step]
        with replacing(self.metrics) as file:
            file.writelines(dump_line(line) for line in kept)

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add one step's metrics."""
        with self.metrics.open("ab") as file:
            file.write(dump_line(line))

    def read_metrics(self) -> list[dict[str, Any]]:
        """The metrics of all steps so far."""
        return [line for _, line in read_jsonl(self.metrics)] if self.metrics.exists() else []

    def last_whole_step(self) -> int | None:
        """Step of the newest complete checkpoint, nothing renamed."""
        steps = map(_complete_step, self.checkpoints.glob("*"))
        return max((step for step in steps if step is not None), default=None)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / ".lock").open("a")
    except OSError as error:
        raise DataError(
            f"{path}: this run folder cannot be made ({error.strerror}); name another `output`"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"{path}: another process is training here; wait for it, or name another `output`"
            ) from None
        yield


def _check_same(path: Path, manifest: Manifest) -> None:
    try:
        old = json.loads((path / "manifest.json").read_bytes())
        digests = {used["path"]: used["sha256"] for used in old["data"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{path}: not empty, but without a readable manifest.json, so it is no run to resume; "
            "name another `output`"
        ) from None
    new = manifest.model_dump(mode="json")
    for name in SAME_ON_RESUME:
        if old.get(name) != new[name]:
            raise ConfigError(
                f"{path}: this run was started with another {_difference(name, old, new)}; resume "
                "with the same, or name another `output`"
            )
    for used in manifest.data:
        if digests.get(used.path) != used.sha256:
            raise ConfigError(
                f"{used.path}: changed since the run in {path} was started; restore it, or name "
                "another `output`"
            )


def _changes(old: dict[str, Any], manifest: Manifest) -> dict[str, tuple[Any, Any]]:
    """Each value told apart, such as `trainer.bf16`; what an old manifest lacks is passed over."""
    new = manifest.model_dump(mode="json")
    pairs: dict[str, tuple[Any, Any]] = {}
    for name in filter(old.__contains__, DECIDES_LOSSES):
        before, now = old[name], new[name]
        if isinstance(now, dict):
            keys = sorted({*before, *now})
            pairs |= {f"{name}.{key}": (before.get(key), now.get(key)) for key in keys}
        else:
            pairs[name] = (before, now)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _difference(name: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    if name != "recipe":
        return f"{name} ({old.get(name)!r}, now {new[name]!r})"
    before, now = old.get(name) or {}, new[name]
    key = next(key for key in {**now, **before} if before.get(key) != now.get(key))
    return f"{key} ({before.get(key)!r}, now {now.get(key)!r})"


def _complete_step(folder: Path) -> int | None:
    try:
        step = json.loads((folder / "trainer_state.json").read_bytes())["global_step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = folder.name == f"checkpoint-{step}" and all(map(_is_whole, folder.iterdir()))
    return step if whole else None


def _is_whole(file: Path) -> bool:
    """Whether a file of weights or of the optimiser has all its bytes, as its own index says."""
    if file.suffix in (".pt", ".pth", ".bin"):
        return zipfile.is_zipfile(file)
    if file.suffix != ".safetensors":
        return True
    with file.open("rb") as stream:
        try:
            size = int.from_bytes(stream.read(8), "little")
            index = json.loads(stream.read(min(size, file.stat().st_size)))
            ends = [index[name]["data_offsets"][1] for name in index if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, IndexError):
            return False
    return file.stat().st_size == 8 + size + max(ends, default=0)


def _free_name(path: Path) -> Path:
    names = [path, *(path.with_name(f"{path.name}.{count}") for count in range(1, 1000))]
    return next(name for name in names if not name.exists())


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return  # the line a kill left half-written is the last one
