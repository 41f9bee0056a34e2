"""Results of lm-evaluation-harness on both policies, read into one report.

The harness is run on its own, where its data and the hardware are:

    lm_eval --model vllm --model_args pretrained=MODEL --tasks TASKS --apply_chat_template \\
        --output_path RESULTS

charter neither installs nor runs it: most of its tasks download their data.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from judges.calibration.estimates import Estimate
from judges.errors import DataError
from judges.intervals import Z_95
from judges.jsonl import read_text
from judges.records import Record
from training.evaluation.changes import Change

ERROR = "_stderr"


class Benchmark(Record):
    """One metric of one task of lm-evaluation-harness, before and after."""

    task: str
    """The task's name there."""
    metric: str
    """The metric's, with its filter: `acc_norm,none`."""
    higher_is_better: bool | None
    """As the harness says; None where it does not."""
    change: Change
    """Both, and the difference; its interval takes the two as independent, which is wider than a
    pairing by question would be."""


def read_harness(before: Path, after: Path) -> tuple[Benchmark, ...]:
    """The metrics that two results files share and state an error of.

    Raises: DataError when a file is none of the harness, tasks differ in version or number of
    samples, or nothing is shared.
    """
    old, new = _results(before), _results(after)
    shared = [task for task in old["results"] if task in new["results"]]
    for task in shared:
        for about in ("versions", "n-samples"):
            _refuse_unlike(task, about, (before, old), (after, new))
    found = tuple(one for task in shared for one in _benchmarks(task, old, new))
    if not found:
        raise DataError(
            f"{before} and {after}: no metric with a standard error that both have; run the same "
            "--tasks on both"
        )
    return found


def _results(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(read_text(path))
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not JSON ({error})") from None
    if not isinstance(told, dict) or not isinstance(told.get("results"), dict):
        raise DataError(
            f"{path}: no `results`; name a results_….json from the --output_path of lm_eval"
        )
    return told


def _refuse_unlike(
    task: str, about: str, one: tuple[Path, dict[str, Any]], other: tuple[Path, dict[str, Any]]
) -> None:
    sides = [told.get(about, {}).get(task) for _, told in (one, other)]
    if sides[0] != sides[1]:
        raise DataError(
            f"{task}: {about} is {sides[0]} in {one[0]}, {sides[1]} in {other[0]}; the two do not "
            "compare: run both with one version and the same --limit"
        )


def _benchmarks(task: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Benchmark]:
    n = int((old.get("n-samples", {}).get(task) or {}).get("effective", 0))
    for metric in old["results"][task]:
        name, _, rest = metric.partition(",")
        error = f"{name}{ERROR},{rest}"
        before, after = (_estimate(told["results"][task], metric, error, n) for told in (old, new))
        if before is None or after is None:
            continue
        yield Benchmark(
            task=task,
            metric=metric,
            higher_is_better=old.get("higher_is_better", {}).get(task, {}).get(name),
            change=Change(before=before[0], after=after[0], difference=_difference(before, after)),
        )


def _estimate(
    results: Mapping[str, Any], metric: str, error: str, n: int
) -> tuple[Estimate, float] | None:
    """A metric with its standard error; None where one of them is no number."""
    value, spread = results.get(metric), results.get(error)
    if not all(isinstance(x, int | float) and math.isfinite(x) for x in (value, spread)):
        return None
    assert value is not None
    assert spread is not None
    return _spread(float(value), float(spread), n), float(spread)


def _difference(before: tuple[Estimate, float], after: tuple[Estimate, float]) -> Estimate:
    (old, first), (new, second) = before, after
    return _spread(new.value - old.value, math.hypot(first, second), new.n)


def _spread(value: float, error: float, n: int) -> Estimate:
    return Estimate(value=value, low=value - Z_95 * error, high=value + Z_95 * error, n=n)
