"""Settings of the service: `CHARTER_*` variables for addresses, secrets and limits only."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from judges.errors import ConfigError
from judges.items import first_problem
from judges.records import Record

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Settings(Record):
    """How the service runs. Each field has a variable of its own, named in `VARIABLES`."""

    votes_url: str | None = None
    """The vote store: `sqlite:///FILE` or `postgresql://…`; else votes.db in `CHARTER_HOME`."""
    service_url: str | None = None
    """Keys, files, batches, jobs: else the vote store's own PostgreSQL, or service.db beside it."""
    home: Path = Path.home() / ".local" / "share" / "charter"
    """Where files lie that nothing else names."""
    judges: tuple[str, ...] = ("default",)
    """The judges that requests may name, by their names in judges.toml; the first is the usual."""
    keys_required: bool = False
    """Whether requests need an API key; always so where the service listens beyond this machine."""
    max_body_bytes: Count = 16 * 2**20
    """Largest request body, files aside."""
    max_upload_bytes: Count = 16 * 2**30
    """Largest uploaded file."""
    max_items: Count = 10_000
    """Most items in one list; more belong into a batch."""
    max_votes: Count = 20_000
    """Most votes that one item may need."""
    max_waiting: Count = 4096
    """Items that may wait for the judge; from then on requests are answered 429."""
    deadline_s: Seconds = 120.0
    """How long an item may take where a request does not say."""
    max_deadline_s: Seconds = 3600.0
    """The most that a request may say."""
    body_s: Seconds = 60.0
    """How long a request's body may take to arrive, but for uploads: the same for each MiB."""
    drain_s: Seconds = 30.0
    """How long the service waits, when told to stop, for what it has begun."""
    key_rate: Count = 6000
    """Requests a minute for a key that has no limit of its own."""
    key_concurrency: Count = 256
    """Requests at once for a key that has no limit of its own."""
    log_json: bool = True
    """Logs as JSON lines; else plain ones."""
    traces: bool = False
    """Whether to send OpenTelemetry traces; where to is told by OpenTelemetry's own variables."""
    workers: Annotated[int, Field(ge=0)] = 4
    """Parts of batches that this process works on at once; 0 leaves them to other processes."""
    training_cpu_slots: Annotated[int, Field(ge=0)] = 1
    """Training jobs that run at once on this machine's CPU."""
    training_gpu_slots: Annotated[int, Field(ge=0)] = 1
    """Training jobs that run at once on this machine's GPUs; none where it has no GPU."""
    training_models: Path | None = None
    """A folder of models that every tenant's recipes may name; else only their own."""


VARIABLES = {
    "votes_url": "CHARTER_DATABASE_URL",
    "service_url": "CHARTER_SERVICE_DATABASE_URL",
    "home": "CHARTER_HOME",
    "judges": "CHARTER_SERVICE_JUDGES",
    "keys_required": "CHARTER_KEYS_REQUIRED",
    "max_body_bytes": "CHARTER_MAX_BODY_BYTES",
    "max_upload_bytes": "CHARTER_MAX_UPLOAD_BYTES",
    "max_items": "CHARTER_MAX_ITEMS",
    "max_votes": "CHARTER_MAX_VOTES",
    "max_waiting": "CHARTER_MAX_WAITING",
    "deadline_s": "CHARTER_DEADLINE_S",
    "max_deadline_s": "CHARTER_MAX_DEADLINE_S",
    "body_s": "CHARTER_BODY_S",
    "drain_s": "CHARTER_DRAIN_S",
    "key_rate": "CHARTER_KEY_RATE",
    "key_concurrency": "CHARTER_KEY_CONCURRENCY",
    "log_json": "CHARTER_LOG_JSON",
    "traces": "CHARTER_TRACES",
    "workers": "CHARTER_WORKERS",
    "training_cpu_slots": "CHARTER_TRAINING_CPU_SLOTS",
    "training_gpu_slots": "CHARTER_TRAINING_GPU_SLOTS",
    "training_models": "CHARTER_TRAINING_MODELS",
}


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment holds.

    Raises: ConfigError naming the variable and its value.
    """
    given = {field: environ[name] for field, name in VARIABLES.items() if environ.get(name)}
    values = {field: _parsed(field, value) for field, value in given.items()}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        raise ConfigError(
            f"{VARIABLES[field]} is {given.get(field)!r} · environment · {first_problem(error)}"
        ) from None


def _parsed(field: str, value: str) -> Any:
    kind = Settings.model_fields[field].annotation
    if kind is bool:
        if value.lower() not in TRUE + FALSE:
            raise ConfigError(f"{VARIABLES[field]} is {value!r} · environment · write 1 or 0")
        return value.lower() in TRUE
    if field == "judges":
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value
