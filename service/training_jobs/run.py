"""What a worker does with a training job: start it or find it again, watch it to its end."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.context import Service
from service.jobs.lifecycle import settle_end
from service.jobs.records import Claim, Job, Outcome
from service.jobs.worker import Settle
from service.training_jobs.child import Child

QUEUE = "training"
CPU, GPU = f"{QUEUE}-cpu", f"{QUEUE}-gpu"
LOOK_EVERY_S = 0.25
GRACE_S = 30.0
MOST_LOSSES = 5
LONGEST_NOTE = 500
SHELL_WORDS = ("Killed", "Terminated")
"""What the shell around the command says of its end, which the exit code says too."""


class JobFolder:
    """The folder of one training job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.toml"
        self.inputs = path / "inputs"
        self.run = path / "run"
        self.metrics = path / "run" / "metrics.jsonl"

    @property
    def child(self) -> Child:
        """The process that trains."""
        return Child(self.path)


def tenant_folder(service: Service, tenant: str) -> Path:
    """Where a tenant's recipes and data may lie, and its jobs do."""
    return service.settings.home / "training" / tenant


def job_folder(service: Service, tenant: str, job: str) -> JobFolder:
    """Where a training job lies."""
    return JobFolder(tenant_folder(service, tenant) / "jobs" / job)


class TrainingRunner:
    """Does training jobs: one of its tasks lasts as long as the training."""

    def __init__(self, service: Service, *, grace_s: float = GRACE_S) -> None:
        self.service, self.grace_s = service, grace_s
        self.engine = service.database

    async def __call__(self, held: Claim) -> Settle:
        """Train, or end what was cancelled; and say how to commit it."""
        folder = job_folder(self.service, held.job.tenant, held.job.id)
        if held.phase == "finish":
            await asyncio.to_thread(folder.child.end, self.grace_s)
            return lambda: settle_end(self.engine, held, self._result(folder))
        code = await self._watch(held, folder)
        if code == 0:
            return self._over(held, folder, "completed", None)
        return self._over(held, folder, "failed", reason_of(folder.child, code))

    async def _watch(self, held: Claim, folder: JobFolder) -> int | None:
        """How the training ended; one begun before, by whomever, is gone on with.

        One that vanished with no word, as when the machine did, is resumed, but not for ever.
        """
        child = folder.child
        vanished = child.started() and not child.running() and child.exit_code() is None
        if not child.started() or (vanished and held.losses < MOST_LOSSES):
            await asyncio.to_thread(self._start, held.job, folder)
        while child.running():
            await asyncio.sleep(LOOK_EVERY_S)
        return child.exit_code()

    def _start(self, job: Job, folder: JobFolder) -> None:
        child = folder.child
        child.sweep()
        command = [sys.executable, "-m", "charter", "train", job.spec["method"]]
        command += ["--config", str(folder.recipe)]
        if (folder.run / "manifest.json").exists():
            command.append("--resume")
        place = tenant_folder(self.service, job.tenant)
        child.start(command, place, training_environment(os.environ, gpu=job.queue == GPU))

    def _over(self, held: Claim, folder: JobFolder, outcome: Outcome, note: str | None) -> Settle:
        return lambda: settle_end(
            self.engine, held, self._result(folder), outcome=outcome, note=note
        )

    def _result(self, folder: JobFolder) -> dict[str, Any]:
        try:
            summary = json.loads((folder.run / "summary.json").read_bytes())
        except (OSError, ValueError):
            summary = None
        return {"summary": summary}


def training_environment(environ: Mapping[str, str], *, gpu: bool) -> dict[str, str]:
    """What a training process sees of ours: without a GPU of its own it finds none."""
    told = dict(environ) | {"PYTHONPATH": str(Path(__file__).parents[2])}
    if not gpu:
        told["CUDA_VISIBLE_DEVICES"] = ""
    return told


def reason_of(child: Child, code: int | None) -> str:
    """Why a training failed, in one line: what charter said, else the last that was said."""
    lines = [line.strip() for line in child.tail().splitlines()]
    lines = [line for line in lines if line and line not in SHELL_WORDS]
    ours = [line for line in lines if line.startswith("charter: ")]
    said = (ours or lines or ["it said nothing"])[-1].removeprefix("charter: ")
    if code is None:
        return f"killed, perhaps for lack of memory; it last said: {said}"[:LONGEST_NOTE]
    ended = f"killed by signal {code - 128}: " if code > 128 else ""
    return f"{ended}{said}"[:LONGEST_NOTE]
