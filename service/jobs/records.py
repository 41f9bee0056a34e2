"""What is said of jobs between the worker, the tables and the routes."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from judges.records import Record

Phase = Literal["plan", "work", "finish", "over"]
Outcome = Literal["completed", "failed", "expired", "cancelled"]


class Counts(Record):
    """What a task adds to its job."""

    completed: int = 0
    """Lines with a result."""
    failed: int = 0
    """Lines without one; the error file says why."""
    votes: int = 0
    """Votes cast now, not found in the store."""
    prompt_tokens: int = 0
    """Tokens of the prompts of these votes."""
    cached_tokens: int = 0
    """Those among them that the engine had in its prefix cache."""


class Range(Record):
    """A task's part of the input."""

    start: int = 0
    """First byte."""
    stop: int = 0
    """One beyond the last byte."""
    first_line: int = 0
    """Number of the first line, from 1."""
    lines: int = 0
    """How many lines."""


class Submission(Record):
    """A job to be done."""

    id: str
    """Names it; random and unguessable."""
    tenant: str
    """Whose it is."""
    queue: str
    """Which workers take it."""
    spec: dict[str, Any]
    """What is to be done, as its worker reads it."""
    planned: bool = True
    """Whether a first task finds out the ranges; else there is one task over nothing."""
    expires_in_s: float | None = None
    """How long it may take."""
    idempotency_key: str | None = None
    """A second submission with the same key is the first one."""


class Job(Record):
    """A job as it stands."""

    id: str
    """Names it."""
    tenant: str
    """Whose it is."""
    queue: str
    """Which workers take it."""
    phase: Phase
    """Planning, working, putting the output together, over."""
    outcome: Outcome | None
    """How it ends, once known."""
    spec: dict[str, Any]
    """What is to be done."""
    result: dict[str, Any] | None
    """What came of it."""
    note: str | None
    """Why it failed, or what it waits for, in one line."""
    tasks_total: int
    """Parts of the work."""
    tasks_done: int
    """Parts committed."""
    lines_total: int
    """Lines of the input; 0 until planned."""
    lines_completed: int
    """Lines with a result so far."""
    lines_failed: int
    """Lines without one so far."""
    votes: int
    """Votes cast so far."""
    prompt_tokens: int
    """Tokens in them."""
    cached_tokens: int
    """Tokens of them found in the engine's prefix cache."""
    created_at: float
    """Seconds since 1970, as all times here."""
    working_at: float | None
    """When work began."""
    finishing_at: float | None
    """When the last part was done."""
    cancelling_at: float | None
    """When it was cancelled."""
    over_at: float | None
    """When it was over."""
    expires_at: float | None
    """When it is given up."""
    request_digest: str | None = Field(default=None, exclude=True)
    """Of what was asked for, to tell a repeat from another request with the same key."""


@dataclass(frozen=True, eq=False)
class Claim:
    """A task in one worker's hands: `owner` and `attempt` together are its fencing token.

    `losses` counts the workers that vanished with it: what kills its worker again and again is
    better given up.
    """

    job: Job
    phase: str
    number: int
    owner: str
    attempt: int
    losses: int
    range: Range


@dataclass(frozen=True)
class Done:
    """What a worker made of a task."""

    result: dict[str, Any] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
