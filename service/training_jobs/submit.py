"""From a request to a job's folder: the recipe confined, its files shared, its overrides set."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from judges.errors import DataError
from judges.jsonl import replacing
from service.context import Service
from service.files.folder import FileFolder
from service.jobs.lifecycle import new_id, submit
from service.jobs.records import Job, Submission
from service.training_jobs.beside import has_gpu
from service.training_jobs.confine import METHOD, Confinement, toml_text
from service.training_jobs.run import CPU, GPU, JobFolder, job_folder, tenant_folder
from service.training_jobs.view import TrainingRequest


def submit_training(service: Service, tenant: str, asked: TrainingRequest, key: str | None) -> Job:
    """The job, queued. Raises: DataError for what a recipe may not say."""
    if not METHOD.fullmatch(asked.method):
        raise DataError(f"method is {asked.method[:40]!r}; name one of `charter train --help`")
    queue = _queue(service, asked)
    job = new_id("train_")
    folder = job_folder(service, tenant, job)
    confined = Confinement(
        tenant_folder(service, tenant),
        service.settings.training_models,
        lambda file: _shared_input(service, tenant, file, folder),
    )
    folder.path.mkdir(parents=True)
    raw = asked.recipe if isinstance(asked.recipe, dict) else confined.read(asked.recipe)
    raw = {key: value for key, value in raw.items() if key != "output"}
    recipe = confined.check(_overridden(raw, asked.overrides))
    recipe |= {"output": str(folder.run)}
    with replacing(folder.recipe) as file:
        file.write(toml_text(recipe).encode("utf-8", "replace"))
    spec = asked.model_dump(mode="json")
    submission = Submission(
        id=job, tenant=tenant, queue=queue, spec=spec, planned=False, idempotency_key=key
    )
    made, _ = submit(service.database, submission)
    return made


def _queue(service: Service, asked: TrainingRequest) -> str:
    gpu = has_gpu() and service.settings.training_gpu_slots > 0
    if asked.device == "gpu" and not gpu:
        raise DataError("device is 'gpu', but this machine has none to train on; use 'cpu'")
    on_gpu = asked.device == "gpu" or (asked.device == "auto" and gpu)
    if not on_gpu and not service.settings.training_cpu_slots:
        raise DataError("this machine has no slot to train on its CPU (CHARTER_TRAINING_CPU_SLOTS)")
    return GPU if on_gpu else CPU


def _shared_input(service: Service, tenant: str, file: str, folder: JobFolder) -> Path:
    """An uploaded file under a name that says what it is, kept for the job alone."""
    files = FileFolder(service.database, service.files_folder)
    found = files.find(tenant, file)
    if found is None:
        raise DataError(f"recipe: file {file!r} is not there; upload it first")
    folder.inputs.mkdir(parents=True, exist_ok=True)
    kept = folder.inputs / f"{file}{Path(found.filename).suffix or '.jsonl'}"
    if not kept.exists():
        os.link(files.path(tenant, file), kept)
    return kept


def _overridden(recipe: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with `a.b.c` set. Raises: DataError where that is no table."""
    changed = dict(recipe)
    for name, value in overrides.items():
        *parents, last = name.split(".")
        table = changed
        for parent in parents:
            inner = table.get(parent, {})
            if not isinstance(inner, Mapping):
                raise DataError(f"overrides: {name}: {parent!r} is a value, not a table")
            table[parent] = table = dict(inner)
        table[last] = value
    return changed
