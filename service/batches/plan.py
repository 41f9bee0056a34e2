"""Planning a batch: one pass over its input finds the parts, repeated ids and constitutions named.

Memory: eight bytes a line, for the ids; nothing else grows with the file.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from judges.jsonl import replacing
from service.batches.lines import RawLine, read_range
from service.jobs.records import Range

MOST_PART_LINES, FEWEST_PART_LINES = 256, 16
"""Lines of one part: bookkeeping is a few milliseconds a part, and a kill costs one part at most
for each in work."""
PARTS_WANTED = 32
"""A small batch is cut finer, so that all workers have some of it, and progress is seen."""
PART_BYTES = 4 * 2**20
MOST_CONSTITUTIONS = 256
LOOK_EVERY = 4096


class _Body(msgspec.Struct):
    constitution: Any = None


class _Line(msgspec.Struct):
    custom_id: str
    body: _Body


@dataclass
class Plan:
    """What a pass over the input found."""

    parts: list[Range] = field(default_factory=list)
    """The parts of the work, in order."""
    lines: int = 0
    """Lines that are not blank."""
    references: set[str] = field(default_factory=set)
    """Constitutions named."""
    too_many_references: bool = False
    """Whether the constitutions named are more than `MOST_CONSTITUTIONS`."""
    repeated: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    """Line numbers whose custom_id an earlier line has, in order."""


def plan_batch(
    path: Path,
    longest: int,
    most_lines: int,
    *,
    part_lines: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Plan:
    """The plan of an input. Beyond `most_lines`, and once `stopped`, the rest is not read.

    Parts are of `part_lines`, or else of as many as suit the file's size.
    """
    plan = Plan()
    names, numbers = array("Q"), array("Q")
    decoder = msgspec.json.Decoder(_Line)
    size = path.stat().st_size if path.exists() else 0
    part: list[RawLine] = []
    for raw in read_range(path, Range(start=0, stop=size, first_line=1), longest):
        plan.lines += 1
        if plan.lines > most_lines or (plan.lines % LOOK_EVERY == 0 and stopped()):
            return plan
        part_lines = part_lines or _fitting(size, raw)
        if part and (len(part) == part_lines or raw.stop - part[0].start > PART_BYTES):
            plan.parts.append(_range(part))
            part = []
        part.append(RawLine(raw.number, raw.start, raw.stop, None))
        if (line := _decoded(decoder, raw)) is not None:
            names.append(_short_digest(line.custom_id))
            numbers.append(raw.number)
            _note_reference(plan, line.body.constitution)
    if part:
        plan.parts.append(_range(part))
    plan.repeated = _repeats(path, longest, size, names, numbers)
    return plan


def _fitting(size: int, first: RawLine) -> int:
    """Lines a part, if all lines are as long as the first."""
    wanted = size // (first.stop - first.start) // PARTS_WANTED
    return max(FEWEST_PART_LINES, min(MOST_PART_LINES, wanted))


def _range(part: list[RawLine]) -> Range:
    first, last = part[0], part[-1]
    return Range(start=first.start, stop=last.stop, first_line=first.number, lines=len(part))


def _decoded(decoder: "msgspec.json.Decoder[_Line]", raw: RawLine) -> _Line | None:
    """What planning needs of a line; None where its worker will say what is wrong with it."""
    try:
        return None if raw.text is None else decoder.decode(raw.text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _note_reference(plan: Plan, reference: Any) -> None:
    if not isinstance(reference, str) or reference in plan.references:
        return
    plan.too_many_references |= len(plan.references) >= MOST_CONSTITUTIONS
    if not plan.too_many_references:
        plan.references.add(reference)


def _short_digest(text: str) -> int:
    told = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(told, "little")


def _repeats(
    path: Path, longest: int, size: int, names: "array[int]", numbers: "array[int]"
) -> npt.NDArray[np.uint64]:
    """Numbers of the lines whose id came before.

    Equal digests are only a suspicion: a second pass, where there are any, compares the ids.
    """
    digests = np.frombuffer(names, np.uint64) if names else np.empty(0, np.uint64)
    ordered = np.sort(digests)
    suspect = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(suspect):
        return np.empty(0, np.uint64)
    lines = np.frombuffer(numbers, np.uint64)[np.isin(digests, suspect)]
    return _second_look(path, longest, size, lines)


def _second_look(
    path: Path, longest: int, size: int, suspects: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    decoder = msgspec.json.Decoder(_Line)
    seen: set[bytes] = set()
    repeated = array("Q")
    for raw in _only(read_range(path, Range(stop=size, first_line=1), longest), suspects):
        line = _decoded(decoder, raw)
        assert line is not None
        # 16 bytes: two ids that collide here are not met with in this universe.
        name = blake2b(line.custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if name in seen:
            repeated.append(raw.number)
        seen.add(name)
    return np.array(repeated, np.uint64)


def _only(lines: Iterator[RawLine], numbers: npt.NDArray[np.uint64]) -> Iterator[RawLine]:
    wanted = iter(numbers.tolist())
    number = next(wanted, None)
    for raw in lines:
        if raw.number == number:
            yield raw
            number = next(wanted, None)
        if number is None:
            return


def keep_repeated(path: Path, repeated: npt.NDArray[np.uint64]) -> None:
    """Write the numbers where workers find them; none: no file."""
    if len(repeated):
        with replacing(path) as file:
            file.write(repeated.astype("<u8").tobytes())


def repeated_within(path: Path, part: Range) -> set[int]:
    """The numbers of a part's lines that repeat an id. Memory: the part's only."""
    if not path.exists():
        return set()
    numbers = np.memmap(path, "<u8", "r")
    first, last = np.searchsorted(numbers, [part.first_line, part.first_line + _span(part)])
    return {int(number) for number in numbers[first:last]}


def _span(part: Range) -> int:
    """How many lines at most: blank ones are counted too, and are at least a byte each."""
    return part.stop - part.start
