"""A run's metrics in live trackers, for methods that no trainer of a library runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from training.runs.run import Run

PREFIX = "train/"
"""What transformers puts before the names of metrics, so that runs of all methods share plots."""


@contextmanager
def reporting(run: Run, names: Sequence[str]) -> Iterator[None]:
    """Hand what the run logs to trackers of these names, as it comes, under its folder's name."""
    if not run.processes.is_main:
        yield
        return
    trackers = [_start(name, run) for name in names]

    def report(step: int, metrics: dict[str, Any]) -> None:
        told = {f"{PREFIX}{name}": value for name, value in metrics.items()}
        for tracker in trackers:
            tracker.log(told, step=step)

    run.watch(report)
    try:
        yield
    finally:
        for tracker in trackers:
            tracker.finish()


def _start(name: str, run: Run) -> Any:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind, folder = LOGGER_TYPE_TO_CLASS[name], run.folder.path
    where = {"logging_dir": str(folder / "runs")} if kind.requires_logging_directory else {}
    tracker = kind(folder.name, **where)
    tracker.start()
    return tracker
