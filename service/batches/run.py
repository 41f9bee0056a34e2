"""What a worker does with a batch: plan it, judge its parts, put its output together."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

from judges.errors import CharterError
from service.batches.folder import BatchFolder
from service.batches.judging import ENDPOINTS, Judged, counts_of, judge_lines
from service.batches.lines import BadLine, BatchLine, parse_batch_line, read_range
from service.batches.plan import keep_repeated, plan_batch, repeated_within
from service.context import Service
from service.files.folder import FileFolder, file_row, keeping
from service.jobs.leases import complete
from service.jobs.lifecycle import settle_end, settle_plan, task_results
from service.jobs.records import Claim, Done, Job, Range
from service.jobs.worker import Settle

QUEUE = "batch"
MOST_LOSSES = 10
"""A part that this many workers vanished with is given up: it may be what ends them."""
MOST_ATTEMPTS = 30
"""By then a part's judge has answered nothing for half an hour, or nothing to these very lines."""
MOST_LINES = 20_000_000


class BatchRunner:
    """Does the tasks of batches with a service's judges. Called by a worker, many at once."""

    def __init__(self, service: Service, *, part_lines: int | None = None) -> None:
        self.service, self.part_lines = service, part_lines
        self.engine = service.database
        self.files = FileFolder(service.database, service.files_folder)
        self.longest = service.settings.max_body_bytes

    def folder(self, job: str) -> BatchFolder:
        """Where a batch keeps what it works on."""
        return BatchFolder(self.service.batches_folder / job)

    async def __call__(self, held: Claim) -> Settle:
        """Do a task, and say how to commit it."""
        if held.phase == "plan":
            return await self._plan(held)
        if held.phase == "work":
            return await self._judge(held)
        return await asyncio.to_thread(self._finish, held)

    async def _plan(self, held: Claim) -> Settle:
        stop = threading.Event()
        try:
            return await asyncio.to_thread(self._plan_in_thread, held, stop)
        finally:
            stop.set()  # cancelled: the thread has nobody to read for

    def _plan_in_thread(self, held: Claim, stop: threading.Event) -> Settle:
        folder = self.folder(held.job.id)
        plan = plan_batch(
            folder.input, self.longest, MOST_LINES, part_lines=self.part_lines, stopped=stop.is_set
        )
        fault = _fault(plan.lines, plan.too_many_references)
        if fault:
            errors = {"errors": [fault]}
            note = str(fault["message"])
            return self._ending(
                held, lambda: settle_end(self.engine, held, errors, outcome="failed", note=note)
            )
        keep_repeated(folder.repeated, plan.repeated)
        folder.keep_constitutions(self._resolve(held.job.tenant, plan.references))
        return lambda: settle_plan(self.engine, held, plan.parts, plan.lines)

    def _resolve(self, tenant: str, references: set[str]) -> dict[str, str]:
        """Each reference's digest now; a reference that means nothing is its lines' fault."""
        resolved = {}
        for reference in sorted(references):
            try:
                found = self.service.library.load(reference, tenant)
            except CharterError:
                continue
            resolved[reference] = f"sha256:{found.digest}"
        return resolved

    async def _judge(self, held: Claim) -> Settle:
        judged, lines = await asyncio.to_thread(self._read, held)
        if held.losses >= MOST_LOSSES:
            for line in lines:
                words = (
                    f"line {line.number}: {held.losses} workers vanished with its part; given up"
                )
                judged.faults[line.number] = BadLine("worker_lost", words, line.custom_id)
        else:
            folder = self.folder(held.job.id)
            digests = await asyncio.to_thread(folder.resolved_constitutions)
            told = await judge_lines(
                self.service,
                held.job.tenant,
                lines,
                digests,
                for_good=held.attempt >= MOST_ATTEMPTS,
            )
            judged.results, judged.faults = told.results, judged.faults | told.faults
        done = await asyncio.to_thread(self._write, held, judged, lines)
        return lambda: complete(self.engine, held, done)

    def _read(self, held: Claim) -> tuple[Judged, list[BatchLine]]:
        """A part's lines, and what is wrong with the others."""
        folder, judged, lines = self.folder(held.job.id), Judged(), list[BatchLine]()
        repeated = repeated_within(folder.repeated, held.range)
        endpoint = held.job.spec["endpoint"]
        for raw in read_range(folder.input, held.range, self.longest):
            try:
                line = parse_batch_line(raw, endpoint, ENDPOINTS.keys(), self.longest)
                if line.number in repeated:
                    raise BadLine(
                        "duplicate_custom_id",
                        f"line {line.number}: custom_id {line.custom_id!r} is an earlier line's; "
                        "give each line its own",
                        line.custom_id,
                    )
                lines.append(line)
            except BadLine as fault:
                judged.faults[raw.number] = fault
        return judged, lines

    def _write(self, held: Claim, judged: Judged, lines: list[BatchLine]) -> Done:
        job, names = held.job.id, {line.number: line.custom_id for line in lines}
        results = [
            _output_row(job, number, names[number], judged.results[number])
            for number in sorted(judged.results)
        ]
        faults = [_error_row(job, n, fault) for n, fault in sorted(judged.faults.items())]
        folder, stem = self.folder(held.job.id), f"{held.number}.{held.attempt}"
        told: dict[str, Any] = {}
        for kind, rows in (("output", results), ("errors", faults)):
            if size := folder.write_part(f"{stem}.{kind}", rows):
                told |= {kind: f"{stem}.{kind}", f"{kind}_bytes": size}
        return Done(told, counts_of(judged))

    def _finish(self, held: Claim) -> Settle:
        """Put the output together in the input's order; done again after a kill, it is the same."""
        job, folder = held.job, self.folder(held.job.id)
        rows, result = [], dict(job.result or {})
        stem = job.id.removeprefix("batch_")
        unread = _Unread(self, job)
        for kind in ("output", "errors"):
            file = f"file-{stem}-{kind}"
            path = self.files.path(job.tenant, file)
            more = unread.rows() if kind == "errors" else iter(())
            size = folder.join(path, self._parts(job.id, kind), more)
            result[f"{'error' if kind == 'errors' else 'output'}_file_id"] = file if size else None
            if size:
                name = f"{job.id}_{kind}.jsonl"
                rows.append(file_row(job.tenant, file, "batch_output", name, size))
            else:
                path.unlink()

        told = result | {"expired": unread.count}
        return self._ending(held, lambda: settle_end(self.engine, held, told, keeping(rows)))

    def _ending(self, held: Claim, settle: Settle) -> Settle:
        """Commits, and clears away what the batch worked on."""

        def settle_and_clear() -> bool:
            ended = settle()
            if ended:
                self.folder(held.job.id).clear()
            return ended

        return settle_and_clear

    def _parts(self, job: str, kind: str) -> Iterator[str]:
        for _, _, result in self._results(job):
            if result and kind in result:
                yield result[kind]

    def _results(self, job: str) -> Iterator[tuple[str, Range, dict[str, Any] | None]]:
        first = 0
        while page := task_results(self.engine, job, first):
            for number, state, part, result in page:
                yield state, part, result
                first = number + 1

    def unfinished(self, job: str) -> Iterator[Range]:
        """The parts of a batch that were not committed."""
        for state, part, _ in self._results(job):
            if state != "done":
                yield part


class _Unread:
    """The lines that an expired batch did not come to: each is told in the error file."""

    def __init__(self, runner: BatchRunner, job: Job) -> None:
        self.runner, self.job, self.count = runner, job, 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """An error line for each."""
        if self.job.outcome != "expired":
            return
        path, longest = self.runner.folder(self.job.id).input, self.runner.longest
        for part in self.runner.unfinished(self.job.id):
            for raw in read_range(path, part, longest):
                self.count += 1
                try:
                    line = parse_batch_line(raw, None, ENDPOINTS.keys(), longest)
                    name: str | None = line.custom_id
                except BadLine as fault:
                    name = fault.custom_id
                words = f"line {raw.number}: the batch expired before it was judged"
                yield _error_row(self.job.id, raw.number, BadLine("batch_expired", words, name))


def _fault(lines: int, too_many: bool) -> dict[str, Any] | None:
    if lines == 0:
        return _told("empty_file", "the input file holds no line; upload one that does")
    if lines > MOST_LINES:
        return _told("too_many_lines", f"more than {MOST_LINES} lines; make several batches")
    if too_many:
        return _told("too_many_constitutions", "too many different constitutions; make several")
    return None


def _told(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "line": None, "param": None}


def _output_row(job: str, number: int, name: str, body: dict[str, Any]) -> dict[str, Any]:
    request = _request_id(job, number)
    response = {"status_code": 200, "request_id": request, "body": body | {"id": name}}
    return {"id": request, "custom_id": name, "response": response, "error": None}


def _error_row(job: str, number: int, fault: BadLine) -> dict[str, Any]:
    error = {"code": fault.code, "message": str(fault), "line": number}
    return {
        "id": _request_id(job, number),
        "custom_id": fault.custom_id,
        "response": None,
        "error": error,
    }


def _request_id(job: str, number: int) -> str:
    """The same whoever judges the line, however often."""
    return f"batch_req_{job.removeprefix('batch_')}_{number}"
