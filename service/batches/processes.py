"""Batches worked on in processes of their own: `charter worker`, and those `charter serve` starts.

They share the database and the folder of the service, and nothing else: any of them may be killed.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import start_http_server

from judges.errors import ConfigError
from judges.progress import say
from service.app import open_service, run_judging
from service.batches.beside import work_on_batches
from service.context import Service
from service.settings import Settings
from service.tracing import open_tracing

RESTART_S = 1.0


async def work_until_stopped(
    settings: Settings, parent: int | None, metrics: tuple[str, int] | None = None
) -> None:
    """Work on batches until SIGTERM, SIGINT, or the end of the parent named.

    `metrics`: where Prometheus finds this process's own, host and port.
    Raises: ConfigError for a port that is taken.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service = open_service(settings, open_tracing(settings))
    async with AsyncExitStack() as stack:
        stack.callback(service.votes.close)
        stack.callback(service.database.dispose)
        if metrics:
            stack.callback(_tell_metrics(service, *metrics))
        await stack.enter_async_context(run_judging(service))
        await stack.enter_async_context(work_on_batches(service))
        say(f"working on batches, {settings.workers} parts at once")
        while not stop.is_set() and parent in (None, os.getppid()):
            try:
                async with asyncio.timeout(1.0):
                    await stop.wait()
            except TimeoutError:
                continue


def _tell_metrics(service: Service, host: str, port: int) -> Callable[[], None]:
    """Serve this process's metrics; returns what ends that."""
    try:
        server, thread = start_http_server(port, host, registry=service.metrics.registry)
    except OSError as error:
        raise ConfigError(
            f"--metrics-port {port} · {host} · cannot be listened on ({error.strerror}); name "
            "another one"
        ) from error

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def refuse_file(service: Service) -> None:
    """Raises: ConfigError where workers would queue for one file instead of sharing the work."""
    if service.database.dialect.name == "sqlite":
        raise ConfigError(
            "--workers needs PostgreSQL, but the service's tables are in an SQLite file; set "
            "CHARTER_DATABASE_URL=postgresql://…, or leave --workers out: one process works then"
        )


@asynccontextmanager
async def keep_workers(
    count: int, judges: tuple[str, ...], metrics_port: int | None = None
) -> AsyncIterator[None]:
    """So many worker processes, each begun again when it ends; metrics on ports from one on."""
    ports = [None if metrics_port is None else metrics_port + n for n in range(count)]
    keeping = [asyncio.create_task(_keep_one(judges, port)) for port in ports]
    try:
        yield
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)


async def _keep_one(judges: tuple[str, ...], metrics_port: int | None) -> None:
    flags = [word for name in judges for word in ("--judge", name)]
    if metrics_port is not None:
        flags += ["--metrics-port", str(metrics_port)]
    command = [sys.executable, "-m", "charter", "worker", "--parent", str(os.getpid()), *flags]
    while True:
        process = await asyncio.create_subprocess_exec(*command)
        try:
            code = await process.wait()
            say(f"a worker ended with {code}; another one begins")
            await asyncio.sleep(RESTART_S)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
