"""The database's own clock: the one that all workers share, whatever their machines think."""

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement


class database_now(FunctionElement[float]):
    """Seconds since 1970 by the clock of the machine that the database runs on."""

    type = Double()
    inherit_cache = True
    name = "database_now"


@compiles(database_now, "postgresql")
def _on_postgresql(_element: Any, _compiler: Any, **_rest: Any) -> str:
    return "extract(epoch from clock_timestamp())::float8"


@compiles(database_now, "sqlite")
def _on_sqlite(_element: Any, _compiler: Any, **_rest: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
