"""A part's lines judged: those asked alike together, what fails in the engine once more."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from judges.errors import CharterError, ConstitutionError, DataError, ModelError
from judges.items import first_problem
from judges.jsonl import dump_line
from judges.records import Item
from service.batches.lines import BadLine, BatchLine
from service.context import Service
from service.errors import ApiError
from service.jobs.records import Counts
from service.judging.items import one_item
from service.judging.lanes import Turn
from service.judging.requests import SINGLE
from service.judging.tasks import REQUESTS, Task

ENDPOINTS = {f"/v1/{verb}": verb for verb in REQUESTS}
RETRY_AFTER_S = (1.0, 5.0, 20.0)
"""Waits before a line is asked again whose engine failed, while others of its part are answered."""


@dataclass
class Judged:
    """What became of lines: a result or a fault for each, by line number."""

    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    faults: dict[int, BadLine] = field(default_factory=dict)


@dataclass
class _Alike:
    """Lines that one task judges."""

    task: Task
    lines: list[BatchLine] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)


async def judge_lines(
    service: Service,
    tenant: str,
    lines: Sequence[BatchLine],
    digests: Mapping[str, str],
    *,
    for_good: bool = False,
) -> Judged:
    """A result or a fault for each line.

    Raises: ModelError when the judge answers nothing: it is away, and the lines are not at fault.
    `for_good`: it has been so for long, and they are told as faults.
    """
    judged = Judged()
    groups = await asyncio.to_thread(_sort, service, tenant, lines, digests, judged)
    for group in groups:
        await _judge(service, group, Turn("batch", tenant), judged, for_good=for_good)
    return judged


def _sort(
    service: Service,
    tenant: str,
    lines: Sequence[BatchLine],
    digests: Mapping[str, str],
    judged: Judged,
) -> list[_Alike]:
    """Lines by what is asked of them; what cannot be asked becomes a fault."""
    groups: dict[str, _Alike] = {}
    tasks: dict[str, Task] = {}
    for line in lines:
        try:
            task = _task(service, tenant, line, digests, tasks)
            row = {key: line.body[key] for key in SINGLE if line.body.get(key) is not None}
            item = one_item(row, task).model_copy(update={"id": str(line.number)})
        except ApiError as error:
            if error.status >= 500:  # not the line's fault: the judge is not open yet
                raise DataError(error.message) from error
            judged.faults[line.number] = BadLine(error.code, _at(line, error), line.custom_id)
        except CharterError as error:
            code = (
                "unknown_constitution" if isinstance(error, ConstitutionError) else "invalid_item"
            )
            judged.faults[line.number] = BadLine(code, _at(line, error), line.custom_id)
        else:
            group = groups.setdefault(task.key, _Alike(task))
            group.lines.append(line)
            group.items.append(item)
    return list(groups.values())


def _at(line: BatchLine, error: Exception) -> str:
    return f"line {line.number}: {str(error).removeprefix('request: ')}"


def _task(
    service: Service,
    tenant: str,
    line: BatchLine,
    digests: Mapping[str, str],
    tasks: dict[str, Task],
) -> Task:
    """The task of a line. Raises: CharterError for what is wrong with it."""
    how = {key: value for key, value in line.body.items() if key not in SINGLE}
    known = dump_line({"url": line.url, "how": how}).decode()
    if known not in tasks:
        if "items" in how:
            raise DataError("a line of a batch asks about one item; give each its own line")
        if "deadline_s" in how:
            raise DataError("deadline_s is of no use in a batch; leave it out")
        try:
            request = REQUESTS[ENDPOINTS[line.url]].model_validate(how)
        except ValidationError as error:
            raise DataError(first_problem(error)) from None
        reference = digests.get(request.constitution, request.constitution)
        constitution = service.library.load(reference, tenant)
        tasks[known] = service.task_under(request, constitution)
    return tasks[known]


async def _judge(
    service: Service, group: _Alike, turn: Turn, judged: Judged, *, for_good: bool
) -> None:
    waiting = dict(zip((line.number for line in group.lines), group.items, strict=True))
    failed: dict[int, dict[str, Any]] = {}
    for wait in (0.0, *RETRY_AFTER_S):
        await asyncio.sleep(wait)
        told = await service.desk.batch(group.task, list(waiting.values()), turn)
        failed = {}
        for number, line in zip(list(waiting), told, strict=True):
            if line["status"] == "error":
                failed[number] = line
            else:
                judged.results[number] = line
                del waiting[number]
        if not failed:
            return
    if len(failed) == len(group.lines) and not for_good:
        detail = next(iter(failed.values())).get("detail")
        raise ModelError(f"the judge answers nothing: {detail}")
    names = {line.number: line.custom_id for line in group.lines}
    for number, line in failed.items():
        reason = str(line.get("reason") or "engine_error")
        words = f"line {number}: the judge failed again and again: {line.get('detail') or reason}"
        judged.faults[number] = BadLine(reason, words, names[number])


def counts_of(judged: Judged) -> Counts:
    """What a part adds to its batch."""
    usages = [line.get("usage") or {} for line in judged.results.values()]

    def total(name: str) -> int:
        return sum(int(usage.get(name, 0)) for usage in usages)

    return Counts(
        completed=len(judged.results),
        failed=len(judged.faults),
        votes=total("new_votes"),
        prompt_tokens=total("prompt_tokens"),
        cached_tokens=total("cached_tokens"),
    )
