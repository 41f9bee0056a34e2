"""LoRA adapters on a CPU: merged into their base once, since vLLM applies them slowly there.

Measured on two AVX2 cores: an engine that can load adapters writes 76 tokens/s, a merged model
196; and asking it for log-probabilities of a prompt beside other requests ends it.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from judges.engine.cache import cache_folder, locked, make_folder
from judges.engine.embedded import weights_digest
from judges.engine.python_process import python_command, run_script
from judges.errors import ModelError

KEPT = 3
"""Merged models that stay in the cache, the latest ones; each is as large as its base."""


def adapter_digest(adapter: Path) -> str:
    """The identity of an adapter: its weights and settings. Raises: ModelError without them."""
    found = hashlib.sha256()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        try:
            found.update((adapter / name).read_bytes())
        except OSError as error:
            raise ModelError(
                f"{adapter / name}: cannot be read ({error.strerror}); did training finish?"
            ) from None
    return found.hexdigest()


def adapter_fingerprint(base: Path, adapter: Path) -> str:
    """What keys the votes of an adapter on its base.

    Raises: ModelError when either is not whole.
    """
    return f"weights:{weights_digest(base)}+adapter-{adapter_digest(adapter)[:16]}"


def merged_model(base: Path, adapter: Path, progress: Callable[[str], None]) -> Path:
    """The folder of the base with the adapter merged in, made where the cache lacks it.

    Cost: some 20 s and the base's size in float32, once for each adapter.
    Raises: ModelError with the last lines when merging fails.
    """
    folder = cache_folder() / "merged" / adapter_digest(adapter)[:16] / base.name
    with locked(folder.parent.with_suffix(".lock"), lambda: progress("waiting for a merge")):
        if not folder.exists():
            progress(f"merging {adapter} into {base.name}")
            _merge(base, adapter, folder)
            _forget_old(folder.parent.parent)
    return folder


def _merge(base: Path, adapter: Path, folder: Path) -> None:
    work = make_folder(folder.parent / f".{folder.name}.{os.getpid()}")
    command = python_command("judges.engine.merge_adapter", str(base), str(adapter), str(work))
    try:
        code, tail = run_script(command)
        if code:
            raise ModelError(
                f"{adapter}: cannot be merged into {base} (exit code {code}); it needs the extra "
                f"`training`, and disk for one more model. Its last lines:\n{tail}"
            )
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _forget_old(folder: Path) -> None:
    """Keep the latest few; an engine that runs on an older one has it in memory already."""
    merged = sorted((p for p in folder.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for old in merged[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
