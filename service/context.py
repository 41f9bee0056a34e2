"""Everything a running service holds, made by `create_app` and handed to routes; no globals."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from judges.constitutions.constitution import Constitution
from judges.store.vote_store import VoteStore
from service.access import Access, Gate
from service.judging.desk import Desk
from service.judging.lanes import Lane, Turn
from service.judging.loop import JudgingLoop
from service.judging.pool import JudgePool
from service.judging.requests import JudgingRequest
from service.judging.tasks import Task, make_task
from service.library import Library
from service.metrics import Metrics
from service.settings import Settings
from service.tracing import Tracing

if TYPE_CHECKING:
    from service.rewards.reward_desk import RewardDesk

ReadyCheck = Callable[[], Awaitable[str | None]]


@dataclass
class Service:
    """What routes and workers work with."""

    settings: Settings
    votes: VoteStore
    """Every vote; shared by all tenants, since a vote is keyed by content."""
    database: Engine
    """The service's own tables; use it in threads."""
    loop: JudgingLoop
    """Where judging runs."""
    pool: JudgePool
    desk: Desk
    gate: Gate
    library: Library
    metrics: Metrics
    tracing: Tracing
    rewards: "RewardDesk" = field(init=False)
    """Rewards of training runs, and the watch over them; there while the service runs."""
    draining: bool = False
    """Told to stop: finish what is begun, begin nothing."""
    wakers: list[Callable[[], None]] = field(default_factory=list)
    """What tells this process's workers that there is work."""
    parts_in_work: Callable[[], int] = field(default=lambda: 0)
    """How many parts of batches this process works on."""
    ready_checks: dict[str, ReadyCheck] = field(default_factory=dict)
    """More that must hold before `/ready` says yes: each says why it does not, or None."""

    @property
    def files_folder(self) -> Path:
        """Where uploaded files and results lie."""
        return self.settings.home / "files"

    @property
    def batches_folder(self) -> Path:
        """Where batches keep what they work on."""
        return self.settings.home / "batches"

    def work_came(self) -> None:
        """Have this process's workers look for work now."""
        for wake in self.wakers:
            wake()

    def task(self, request: JudgingRequest, tenant: str) -> Task:
        """What a request asks for, its constitution and judges resolved now.

        Raises: ConstitutionError, ConfigError, ApiError for what there is not.
        """
        constitution = self.library.load(request.constitution, tenant)
        return self.task_under(request, constitution)

    def task_under(self, request: JudgingRequest, constitution: Constitution) -> Task:
        """What a request asks for, under a constitution resolved before."""
        judges = self.pool.judges(request.judge_names)
        return make_task(request, constitution, judges, self.votes, self.settings.max_votes)

    def deadline(self, asked_s: float | None, usual_s: float) -> float:
        """Seconds that judging may take: as asked, within what may be asked."""
        return min(usual_s if asked_s is None else asked_s, self.settings.max_deadline_s)

    def turn(self, access: Access, lane: Lane = "interactive") -> Turn:
        """Whose turn it is at the engine."""
        return Turn(lane, access.tenant)


def service_of(request: Request) -> Service:
    """The running service, as a dependency."""
    service: Service = request.app.state.service
    return service


Running = Annotated[Service, Depends(service_of)]
