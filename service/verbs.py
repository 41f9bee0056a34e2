"""What `charter serve` and `charter keys` do."""

import argparse
import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine

from judges.errors import ConfigError
from judges.progress import say
from judges.verbs import emit
from service.access import is_loopback
from service.app import Worker, create_app
from service.batches.processes import keep_workers, refuse_file, work_until_stopped
from service.context import Service
from service.keys import create_key, list_keys, revoke_key, rotate_key
from service.logs import set_up_logs
from service.settings import Settings, read_settings
from service.storage.database import open_service_database, service_url


def run_serve(options: argparse.Namespace) -> int:
    """`charter serve`"""
    settings = _settings(options)
    beside: list[Worker] = []
    if options.workers:
        settings = settings.model_copy(update={"workers": 0})
        beside.append(
            lambda service: keep_workers(
                options.workers, service.settings.judges, options.worker_metrics_port
            )
        )
    app = create_app(settings, beside)
    service: Service = app.state.service
    if options.workers:
        refuse_file(service)
    if settings.keys_required and not _has_key(service.database):
        raise ConfigError(
            f"--host {options.host} · serves other machines, and no API key can be used · run "
            "`charter keys create --tenant NAME` first, or listen on 127.0.0.1"
        )
    set_up_logs(settings.log_json)
    return serve(app, options.host, options.port)


def run_worker(options: argparse.Namespace) -> int:
    """`charter worker`"""
    settings = _settings(options)
    if not settings.workers:  # said to the service, whose work this process does
        usual = Settings.model_fields["workers"].default
        settings = settings.model_copy(update={"workers": usual})
    set_up_logs(settings.log_json)
    port = options.metrics_port
    metrics = (options.metrics_host, port) if port is not None else None
    asyncio.run(work_until_stopped(settings, options.parent, metrics))
    return 0


def serve(app: FastAPI, host: str, port: int) -> int:
    """Answer requests until told to stop; then finish what is begun."""
    service: Service = app.state.service
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        # Longer than clients keep idle connections, so that none is closed under a request.
        timeout_keep_alive=75,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(service.settings.drain_s)),
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = _Server(config, service)
    with config.bind_socket() as bound:
        server.run(sockets=[bound])
    return 0


class _Server(uvicorn.Server):
    """Says that it is stopping before it does, so that `/ready` can tell."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say where."""
        await super().startup(sockets)
        if self.started and sockets:
            address = f"http://{self.config.host}:{sockets[0].getsockname()[1]}"
            say(f"charter serves on {address}; documents at {address}/docs")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On SIGTERM or SIGINT."""
        self._service.draining = True
        super().handle_exit(sig, frame)


def _settings(options: argparse.Namespace) -> Settings:
    settings = read_settings()
    update: dict[str, object] = {}
    if not is_loopback(getattr(options, "host", "localhost")):
        update["keys_required"] = True
    if options.judge:
        update["judges"] = tuple(options.judge)
    return settings.model_copy(update=update)


def _has_key(engine: Engine) -> bool:
    return any(key.state == "active" for key in list_keys(engine))


@contextmanager
def _database() -> Iterator[Engine]:
    engine = open_service_database(service_url(read_settings()))
    try:
        yield engine
    finally:
        engine.dispose()


def run_create(options: argparse.Namespace) -> int:
    """`charter keys create`"""
    with _database() as engine:
        made = create_key(
            engine, options.tenant, options.scopes or ["label"],
            name=options.name, days=options.days,
            rate_per_minute=options.rate, concurrency=options.concurrency,
        )  # fmt: skip
    emit(made)
    say("keep it: only its hash is stored, and it is not shown again")
    return 0


def run_list(_: argparse.Namespace) -> int:
    """`charter keys list`"""
    with _database() as engine:
        for key in list_keys(engine):
            used = "never used" if key.last_used_at is None else f"used {_date(key.last_used_at)}"
            emit(
                f"{key.id}  {key.state}  {key.tenant}  {','.join(key.scopes)}  "
                f"made {_date(key.created_at)}, {used}  {key.name}".rstrip()
            )
    return 0


def run_revoke(options: argparse.Namespace) -> int:
    """`charter keys revoke`"""
    with _database() as engine:
        revoke_key(engine, options.id)
    say(f"key {options.id} is refused from now on; a running service notices within a second")
    return 0


def run_rotate(options: argparse.Namespace) -> int:
    """`charter keys rotate`"""
    with _database() as engine:
        emit(rotate_key(engine, options.id, options.grace_hours * 3600))
    say(f"key {options.id} works for {options.grace_hours:g} more hours")
    return 0


def run_benchmark(options: argparse.Namespace) -> int:
    """`charter benchmark service`"""
    from service.benchmarks.serving import benchmark_service

    emit(json.dumps(benchmark_service(options.calls, options.clients), indent=2))
    return 0


def run_benchmark_batch(options: argparse.Namespace) -> int:
    """`charter benchmark batch`"""
    from service.benchmarks.batch import benchmark_batch

    lines, engine_lines = int(options.lines), int(options.engine_lines)
    emit(json.dumps(benchmark_batch(lines, engine_lines, options.database), indent=2))
    return 0


def run_benchmark_faults(options: argparse.Namespace) -> int:
    """`charter benchmark faults`"""
    from service.benchmarks.faults import benchmark_faults

    told = benchmark_faults(
        options.lines,
        options.kills,
        options.database,
        options.seed,
        kill_database=options.kill_database,
    )
    emit(json.dumps(told, indent=2))
    return 0


def run_benchmark_load(options: argparse.Namespace) -> int:
    """`charter benchmark load`"""
    from service.benchmarks.load import benchmark_load

    told = benchmark_load(
        options.minutes,
        options.clients,
        options.rate,
        options.database,
        options.seed,
        kill_database=options.kill_database,
    )
    emit(json.dumps(told, indent=2))
    return 0


def run_benchmark_adapters(options: argparse.Namespace) -> int:
    """`charter benchmark adapters`"""
    from service.benchmarks.adapters import benchmark_adapters

    emit(json.dumps(benchmark_adapters(options.samples), indent=2))
    return 0


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
