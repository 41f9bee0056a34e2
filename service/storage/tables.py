"""The service's own tables. Times are seconds since 1970, UTC; ids are random and unguessable."""

from sqlalchemy import BigInteger, Column, Double, Integer, LargeBinary, MetaData, String, Table

metadata = MetaData()

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("tenant", String(64), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("scopes", String(200), nullable=False),
    # Of a secret with 256 bits of chance, which no slow hash makes harder to guess.
    Column("secret_sha256", LargeBinary(32), nullable=False),
    Column("rate_per_minute", Integer),
    Column("concurrency", Integer),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Double, nullable=False, index=True),
    Column("tenant", String(64), nullable=False),
    Column("key_id", String(16)),
    Column("action", String(64), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("request_id", String(64)),
)

key_uses = Table(
    "key_uses",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
)
