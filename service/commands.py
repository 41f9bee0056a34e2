"""The verbs of the service: their flags here, their work imported when one runs."""

import argparse

from judges.benchmarks.commands import benchmark_names
from judges.commands import Verbs, add_verb, later, no_verb, not_negative, whole

HERE = "service.verbs"


def port(text: str) -> int:
    """A port's number, as argparse reads it."""
    if not 0 <= (value := int(text)) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is no port; use 1 to 65535, or 0 for any")
    return value


def add_verbs(verbs: Verbs) -> None:
    """Add serve, worker and keys to the command line."""
    _add_serve(verbs)
    _add_worker(verbs)
    _add_keys(verbs)
    _add_benchmark(verbs)


def _add_serve(verbs: Verbs) -> None:
    parser = add_verb(verbs, "serve", "Answer judging requests over HTTP", later("run_serve", HERE))
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (127.0.0.1; others need keys)"
    )
    parser.add_argument("--port", type=port, default=8000, help="port, 0 for any (8000)")
    parser.add_argument(
        "--judge",
        action="append",
        default=[],
        metavar="NAME",
        help="a judge that requests may name; repeatable, the first is the usual one (default)",
    )
    parser.add_argument(
        "--workers",
        type=whole,
        metavar="N",
        help="work on batches in so many processes of their own (in this one); needs PostgreSQL",
    )
    parser.add_argument(
        "--worker-metrics-port",
        type=whole,
        metavar="N",
        help="the first of the ports on this machine where these processes tell their metrics",
    )


def _add_worker(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "worker",
        "Work on the service's batches, beside other processes",
        later("run_worker", HERE),
    )
    parser.add_argument(
        "--judge",
        action="append",
        default=[],
        metavar="NAME",
        help="a judge that batches may name; the same as the service's (default)",
    )
    parser.add_argument(
        "--parent", type=int, metavar="PID", help="end when this process is no longer the parent"
    )
    parser.add_argument(
        "--metrics-port", type=whole, metavar="N", help="tell Prometheus its metrics there (none)"
    )
    parser.add_argument(
        "--metrics-host",
        default="127.0.0.1",
        metavar="HOST",
        help="address to tell them on (127.0.0.1)",
    )


def _add_keys(verbs: Verbs) -> None:
    parser = add_verb(verbs, "keys", "Make, list, revoke and rotate API keys", no_verb)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    create = add_verb(actions, "create", "Make a key and print it, once", later("run_create", HERE))
    create.add_argument("--tenant", required=True, metavar="NAME", help="whose key it is")
    create.add_argument(
        "--scope",
        action="append",
        default=[],
        dest="scopes",
        metavar="SCOPE",
        help="label, publish, train or admin; repeatable (label)",
    )
    create.add_argument("--name", default="", help="what it is for, in words")
    create.add_argument("--days", type=not_negative, metavar="N", help="days until it expires")
    create.add_argument("--rate", type=whole, metavar="N", help="most requests a minute")
    create.add_argument("--concurrency", type=whole, metavar="N", help="most requests at once")
    add_verb(actions, "list", "Print all keys, without their secrets", later("run_list", HERE))
    revoke = add_verb(actions, "revoke", "Refuse a key from now on", later("run_revoke", HERE))
    revoke.add_argument("id", help="the key's id, as `charter keys list` prints it")
    rotate = add_verb(
        actions, "rotate", "Make a key in place of another one", later("run_rotate", HERE)
    )
    rotate.add_argument("id", help="the old key's id")
    rotate.add_argument(
        "--grace-hours",
        type=not_negative,
        default=24.0,
        metavar="N",
        help="hours that the old key still works (24)",
    )


def _add_benchmark(verbs: Verbs) -> None:
    parser = add_verb(
        benchmark_names(verbs),
        "service",
        "The service against plain vLLM's own server: votes a second, latency, ratios",
        later("run_benchmark", HERE),
    )
    parser.add_argument("--calls", type=whole, default=24, help="comparisons by one client (24)")
    parser.add_argument(
        "--clients",
        type=whole,
        nargs="+",
        default=[1, 16, 64],
        metavar="N",
        help="how many at once, each waiting for its answer (1 16 64)",
    )
    adapters = add_verb(
        benchmark_names(verbs),
        "adapters",
        "Samples a second of each RL framework's adapter beside /v1/rewards, with the fake judge",
        later("run_benchmark_adapters", HERE),
    )
    adapters.add_argument(
        "--samples", type=whole, default=500, help="by each adapter and round, of four (500)"
    )
    _add_batch(verbs)
    _add_faults(verbs)
    _add_load(verbs)


def _add_batch(verbs: Verbs) -> None:
    batch = add_verb(
        benchmark_names(verbs),
        "batch",
        "Batches: memory over many lines, bookkeeping a line, votes a second against plain vLLM",
        later("run_benchmark_batch", HERE),
    )
    batch.add_argument(
        "--lines", type=not_negative, default=200_000, help="with the fake judge (200000); 0: none"
    )
    batch.add_argument(
        "--engine-lines", type=not_negative, default=48, help="on the engine (48); 0: none"
    )
    batch.add_argument("--database", metavar="URL", help="for the bookkeeping (an SQLite file)")


def _add_faults(verbs: Verbs) -> None:
    faults = add_verb(
        benchmark_names(verbs),
        "faults",
        "One batch while its processes and connections are killed: what is lost, what done twice",
        later("run_benchmark_faults", HERE),
    )
    faults.add_argument("--lines", type=whole, default=8000, help="of the batch (8000)")
    faults.add_argument("--kills", type=whole, default=20, help="kills at random (20)")
    _add_fleet(faults)


def _add_load(verbs: Verbs) -> None:
    load = add_verb(
        benchmark_names(verbs),
        "load",
        "Calls and batches held while processes are killed and the engine falls ill",
        later("run_benchmark_load", HERE),
    )
    load.add_argument("--minutes", type=not_negative, default=10.0, help="how long (10)")
    load.add_argument("--clients", type=whole, default=32, help="each waits for its answers (32)")
    load.add_argument("--rate", type=whole, default=10, help="calls a second of all clients (10)")
    _add_fleet(load)


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="draws victims and moments (0)")
    parser.add_argument(
        "--database",
        metavar="URL",
        help="an empty PostgreSQL database: two worker processes, and connections are cut too "
        "(an SQLite file and one process)",
    )
    parser.add_argument(
        "--kill-database",
        action="store_true",
        help="kill a process of PostgreSQL too, which ends all of that server's sessions",
    )
