"""A worker to be killed: notes each task that it computed, then commits it."""

import asyncio
import sys
from pathlib import Path

from judges.store.schema import connect_database, database_url
from service.jobs.leases import complete
from service.jobs.lifecycle import settle_end
from service.jobs.records import Claim, Counts, Done
from service.jobs.worker import Settle, Worker


def main(url: str, log: Path) -> None:
    """Work until killed."""
    engine = connect_database(database_url(url))

    async def run(held: Claim) -> Settle:
        if held.phase == "finish":
            return lambda: settle_end(engine, held, {})
        await asyncio.sleep(0.05)
        with log.open("a") as file:
            file.write(f"{held.number}\n")
        return lambda: complete(engine, held, Done({}, Counts(completed=held.range.lines)))

    worker = Worker(engine, run, ["batch"], slots=2, lease_s=1.0, poll_s=0.02)
    asyncio.run(worker.work())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
