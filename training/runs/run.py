"""A run from claim to summary: the frame in which every method trains.

    with open_run(recipe, data, resume=resume, progress=progress, message=message) as run:
        if (done := run.finished(RunSummary)) is not None:
            return done
        trainer = …                       # the method's own work
        run.train(trainer)                # resumes from the last checkpoint, by itself
        run.publish(trainer)
        return run.finish(RunSummary, rows=…)

The folder is claimed, the manifest is written before anything else, and a full disk, full memory
or a number that is none end as errors that say what to do.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from judges.errors import ConfigError
from judges.jsonl import replacing
from judges.progress import say
from judges.records import Record
from training.runs.manifest import Manifest, make_manifest
from training.runs.processes import Processes
from training.runs.recipe import DataUsed, RunRecipe
from training.runs.run_folder import RunFolder
from training.runs.stops import clear_stops

Progress = Callable[[int, int, float], None]
"""Called after each step with its number, how many there will be, and its loss."""
Message = Callable[[str], None]
"""Called with what a person should know."""

ENVIRONMENT = {
    # Threads that spin while they wait make a step several times slower on shared cores.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def no_progress(_step: int, _total: int, _loss: float) -> None:
    """Progress that nobody watches."""


class RunSummary(Record):
    """What came of a run; summary.json in its folder, beside the model."""

    output: Path
    """The run folder, which is also the model's."""
    steps: int
    """Optimiser steps done, over all the times the run was resumed."""
    rows: int
    """Rows trained on."""
    rows_dropped: int = 0
    """Rows left out: nothing of their completion fits in max_length."""
    rows_cut: int = 0
    """Rows with a completion cut off at max_length."""
    first_loss: float | None
    """Loss of the first step."""
    last_loss: float | None
    """Loss of the last step."""
    held_out_loss: float | None = None
    """Loss of the rows held out, after the last step; null where there are none."""
    seconds: float
    """Time since this run was started, or last resumed."""


S = TypeVar("S", bound=RunSummary)


class Run:
    """A claimed run: where its model goes, and from which checkpoint it goes on."""

    def __init__(
        self,
        manifest: Manifest,
        folder: RunFolder,
        progress: Progress,
        message: Message,
        processes: Processes | None = None,
    ) -> None:
        self.manifest = manifest
        self.folder = folder
        self.processes = processes or Processes(manifest.hardware.device)
        self.progress = progress
        self.message = message if self.processes.is_main else _nobody_listens
        self.checkpoint: tuple[int, Path] | None = None
        """Step and folder of the checkpoint to go on from."""
        self.held_out_loss: float | None = None
        self.better: Path | None = None
        """Folder of the policy to publish in place of the last one, such as a guard's best."""
        self.steps_done = 0
        self._watchers: list[Callable[[int, dict[str, Any]], None]] = []
        self._start = time.monotonic()

    def find_checkpoint(self) -> None:
        """Find the last whole checkpoint, and drop the metrics of what came after it."""
        if self.processes.is_main:
            self.checkpoint = self.folder.last_checkpoint(self.message)
            step = self.checkpoint[0] if self.checkpoint else 0
            self.folder.cut_metrics(step)
            if changed := self.folder.note_changes(self.manifest, step):
                self.message(f"{self.folder.path}: {_other_losses(changed, step)}")
        self.checkpoint = self.processes.share(self.checkpoint)
        if self.checkpoint:
            step = self.checkpoint[0]
            self.message(f"{self.folder.path}: going on from the checkpoint of step {step}")

    def finished(self, kind: type[S]) -> S | None:
        """The summary of a run that is done already; None while there is work left."""
        if not self.folder.summary.exists():
            return None
        self.message(f"{self.folder.path}: this run is finished already")
        return kind.model_validate_json(self.folder.summary.read_bytes())

    def log(self, step: int, total: int, metrics: dict[str, Any]) -> None:
        """One line of metrics.jsonl, and progress when it holds the loss of a step."""
        if not self.processes.is_main:
            return
        self.folder.append_metrics({"step": step, **metrics})
        for watch in self._watchers:
            watch(step, metrics)
        if "loss" in metrics:
            self.progress(step, total, float(metrics["loss"]))

    def watch(self, watcher: Callable[[int, dict[str, Any]], None]) -> None:
        """Show each step and its metrics to something that looks for trouble."""
        self._watchers.append(watcher)

    def train(self, trainer: Any) -> None:
        """Train with a trainer of transformers or TRL, from the last checkpoint where there is one.

        A resumed run has the same losses as if it had never stopped (metrics averaged over several
        steps excepted: `logging_steps` above 1), on the same hardware with as many processes.
        """
        from transformers import PrinterCallback

        from training.runs.metrics import MetricsCallback, NothingLeftCallback, NothingLeftError

        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(MetricsCallback(self))
        self._restore_token_count(trainer)
        trainer.add_callback(NothingLeftCallback())
        with suppress(NothingLeftError):
            trainer.train(
                resume_from_checkpoint=str(self.checkpoint[1]) if self.checkpoint else None
            )
        trainer.is_in_train = False
        self.steps_done = trainer.state.global_step
        self.held_out_loss = _held_out_loss(trainer)

    def _restore_token_count(self, trainer: Any) -> None:
        """TRL counts tokens from the start of training, and keeps no count in checkpoints."""
        counted = [
            line["num_tokens"] for line in self.folder.read_metrics() if "num_tokens" in line
        ]
        if counted and hasattr(trainer, "_total_train_tokens"):
            trainer._total_train_tokens = counted[-1]

    def publish(self, trainer: Any) -> None:
        """Put the trained model into the run folder."""
        from training.runs.publishing import copying, publish

        save = copying(self.better) if self.better else trainer.save_model
        publish(save, self.folder.path, self.manifest.recipe["model"], self.processes)

    def finish(self, kind: type[S], **fields: Any) -> S:
        """Write the summary: the run is done. Losses, steps and time are filled in."""
        lines = self.folder.read_metrics()
        losses = [line["loss"] for line in lines if "loss" in line]
        known = {
            "output": self.folder.path,
            "steps": self.steps_done,
            "first_loss": losses[0] if losses else None,
            "last_loss": losses[-1] if losses else None,
            "held_out_loss": self.held_out_loss,
            "seconds": round(time.monotonic() - self._start, 1),
        }
        summary = kind(**{**known, **fields})
        if self.processes.is_main:
            with replacing(self.folder.summary) as file:
                file.write(summary.model_dump_json(indent=2).encode())
        self.processes.wait()
        return summary


def _held_out_loss(trainer: Any) -> float | None:
    """Loss of the rows held out, by the model as it is; measured unless the last step did."""
    if not getattr(trainer, "eval_dataset", None):
        return None
    for line in trainer.state.log_history:
        if "eval_loss" in line and line["step"] == trainer.state.global_step:
            return float(line["eval_loss"])
    return float(trainer.evaluate()["eval_loss"])


@contextmanager
def open_run(
    recipe: RunRecipe,
    data: Sequence[DataUsed],
    *,
    resume: bool,
    progress: Progress = no_progress,
    message: Message = say,
) -> Iterator[Run]:
    """A run of this recipe on this data, for this process (or the processes launched with it).

    Raises: DataError for a run folder that cannot be used, or a full disk; ConfigError for
    resuming another run; ModelError when memory is full or the loss is no longer a number.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    manifest = make_manifest(recipe, data)
    processes = Processes(manifest.hardware.device)
    with ExitStack() as stack:
        folder = RunFolder(recipe.output)
        if processes.is_main:
            claim = RunFolder.claim(recipe.output, manifest, resume=resume)
            folder = stack.enter_context(claim)
        stack.enter_context(clear_stops(folder, recipe))
        run = Run(manifest, folder, progress, message, processes)
        if not processes.share(folder.summary.exists()):
            run.find_checkpoint()
            quieten_libraries()
        yield run


def _other_losses(changed: dict[str, tuple[Any, Any]], step: int) -> str:
    """What it means that a run goes on elsewhere than it was begun."""
    told = ", ".join(f"{name} {before!r}, now {now!r}" for name, (before, now) in changed.items())
    text = (
        f"begun with {told}: from step {step + 1} on its losses are not those of a run that never "
        "stopped; resumed.jsonl says so too"
    )
    if "processes" in changed:
        text += (
            ". A step takes as many rows as there are processes, times its batch: rows of this "
            "epoch may be seen twice, or not at all"
        )
    return text


def _nobody_listens(_text: str) -> None:
    """What the other processes of a run say."""


def quieten_libraries() -> None:
    """Import the libraries without their notices; progress and results are ours to show."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TRL currently supports vLLM versions")
        try:
            import trl.trainer.dpo_trainer  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f"TRL cannot be imported ({error}); run `pip install 'charter[training]'`"
            ) from error
    import datasets
    from transformers.utils import logging

    datasets.disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
