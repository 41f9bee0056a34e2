"""Progress of long work, on stderr: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, int], None]
SECONDS_BETWEEN_LINES = 15.0


def say(text: str) -> None:
    """One line of information for the person who watches; results never go here."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def progress(title: str, unit: str) -> Iterator[Report]:
    """A function to call with how many are done and how many there are."""
    if not sys.stderr.isatty():
        yield _lines(title, unit)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(title: str, unit: str) -> Report:
    start = time.monotonic()
    last = -SECONDS_BETWEEN_LINES

    def report(done: int, total: int) -> None:
        nonlocal last
        passed = time.monotonic() - start
        if passed - last >= SECONDS_BETWEEN_LINES or done == total:
            last = passed
            say(f"{title}: {done}/{total} {unit}, {passed:.0f} s")

    return report
