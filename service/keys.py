"""API keys: `charter_ID_SECRET`. Only the secret's hash is kept; it is shown once, when made."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, StringConstraints
from sqlalchemy import Connection, Engine, Row, insert, select, update

from judges.constitutions.constitution import SLUG
from judges.errors import ConfigError
from judges.records import Record
from judges.store.database_errors import database_errors
from judges.store.schema import writing
from service.storage.tables import api_keys, audit_log, key_uses

Scope = Literal["label", "publish", "train", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
Tenant = Annotated[str, StringConstraints(pattern=SLUG, max_length=64)]
FORM = re.compile(r"charter_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


class ApiKey(Record):
    """What is known of a key; never its secret."""

    id: str
    """Names the key in logs and commands."""
    tenant: str
    """Whose files, batches and constitutions it sees."""
    name: str
    """What it is for, in words."""
    scopes: tuple[Scope, ...]
    """`label`: judge and read. `publish`: constitutions. `train`: training jobs. `admin`: all."""
    rate_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Requests a minute; none: the service's setting."""
    concurrency: Annotated[int, Field(ge=1)] | None = None
    """Requests at once; none: the service's setting."""
    created_at: float
    """Seconds since 1970."""
    expires_at: float | None = None
    """From when on it is refused."""
    revoked_at: float | None = None
    """Since when it is refused."""
    last_used_at: float | None = None
    """When it last was used, to the minute."""

    @property
    def state(self) -> Literal["active", "expired", "revoked"]:
        """Whether it is taken now."""
        now = time.time()
        if self.revoked_at is not None and self.revoked_at <= now:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


def create_key(
    engine: Engine,
    tenant: str,
    scopes: Sequence[Scope],
    *,
    name: str = "",
    days: float | None = None,
    rate_per_minute: int | None = None,
    concurrency: int | None = None,
) -> str:
    """A new key, whole: the only time that its secret is seen.

    Raises: ConfigError for a tenant that is no slug, and scopes that do not exist.
    """
    if not re.fullmatch(SLUG[1:-1], tenant, re.ASCII) or len(tenant) > 64:
        raise ConfigError(f"tenant is {tenant!r} · charter keys · use a-z, 0-9 and single hyphens")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise ConfigError(
            f"scopes are {', '.join(scopes) or 'none'} · charter keys · use {', '.join(SCOPES)}"
        )
    number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    now = time.time()
    values = {
        "id": number,
        "tenant": tenant,
        "name": name,
        "scopes": ",".join(dict.fromkeys(scopes)),
        "secret_sha256": _hashed(secret),
        "rate_per_minute": rate_per_minute,
        "concurrency": concurrency,
        "created_at": now,
        "expires_at": None if days is None else now + days * 86400,
    }
    with database_errors(engine), writing(engine) as connection:
        connection.execute(insert(api_keys).values(**values))
        write_audit(connection, tenant, "key created", f"{number} {','.join(scopes)}")
    return f"charter_{number}_{secret}"


def list_keys(engine: Engine) -> list[ApiKey]:
    """All keys, newest last."""
    with database_errors(engine), engine.begin() as connection:
        rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at))
        return [_key(row) for row in rows]


def revoke_key(engine: Engine, number: str, after_s: float = 0.0) -> ApiKey:
    """Refuse a key, now or some seconds from now. Raises: ConfigError when there is none such."""
    with database_errors(engine), writing(engine) as connection:
        key = _known(connection, number)
        at = time.time() + after_s
        if key.revoked_at is not None:
            at = min(at, key.revoked_at)
        connection.execute(update(api_keys).where(api_keys.c.id == number).values(revoked_at=at))
        write_audit(connection, key.tenant, "key revoked", f"{number} in {after_s:.0f} s")
        return key.model_copy(update={"revoked_at": at})


def rotate_key(engine: Engine, number: str, grace_s: float = 86400.0) -> str:
    """A new key with the old one's rights; the old one works on for the grace.

    Raises: ConfigError for a key that is not there, or is refused already.
    """
    with database_errors(engine), engine.begin() as connection:
        key = _known(connection, number)
    if key.state != "active":
        raise ConfigError(f"key {number} is {key.state} · charter keys · create a new one")
    days = None if key.expires_at is None else (key.expires_at - time.time()) / 86400
    made = create_key(
        engine, key.tenant, key.scopes,
        name=key.name, days=days,
        rate_per_minute=key.rate_per_minute, concurrency=key.concurrency,
    )  # fmt: skip
    revoke_key(engine, number, grace_s)
    return made


def find_key(engine: Engine, text: str) -> ApiKey | None:
    """The key that a text is, whatever its state; None for a text that is no key of ours."""
    matched = FORM.fullmatch(text)
    if matched is None:
        return None
    with database_errors(engine), engine.begin() as connection:
        row = connection.execute(select(api_keys).where(api_keys.c.id == matched[1])).first()
    if row is None or not hmac.compare_digest(row.secret_sha256, _hashed(matched[2])):
        return None
    return _key(row)


def write_audit(
    connection: Connection,
    tenant: str,
    action: str,
    subject: str,
    *,
    key_id: str | None = None,
    request_id: str | None = None,
) -> None:
    """One line of the audit log, in the transaction of what it tells of."""
    connection.execute(
        insert(audit_log).values(
            at=time.time(),
            tenant=tenant,
            key_id=key_id,
            action=action,
            subject=subject[:300],
            request_id=request_id,
        )
    )


def count_uses(engine: Engine, uses: Sequence[tuple[str, int, int]]) -> None:
    """Add to the hourly counts of keys: id, requests served, requests refused."""
    now = time.time()
    hour = int(now // 3600)
    with database_errors(engine), writing(engine) as connection:
        for number, served, refused in sorted(uses):
            place = (key_uses.c.key_id == number, key_uses.c.hour == hour)
            more = {
                "requests": key_uses.c.requests + served,
                "refused": key_uses.c.refused + refused,
            }
            if not connection.execute(update(key_uses).where(*place).values(**more)).rowcount:
                connection.execute(
                    insert(key_uses).values(
                        key_id=number, hour=hour, requests=served, refused=refused
                    )
                )
            connection.execute(
                update(api_keys).where(api_keys.c.id == number).values(last_used_at=now)
            )


def _known(connection: Connection, number: str) -> ApiKey:
    row = connection.execute(select(api_keys).where(api_keys.c.id == number)).first()
    if row is None:
        raise ConfigError(f"no key {number!r} · charter keys · `charter keys list` names them")
    return _key(row)


def _key(row: Row[Any]) -> ApiKey:
    values = {name: getattr(row, name) for name in ApiKey.model_fields if name != "scopes"}
    return ApiKey(**values, scopes=tuple(row.scopes.split(",")))


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
