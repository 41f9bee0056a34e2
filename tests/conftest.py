"""No test reads the settings of whoever runs it, and no slow machine fails a law by its clock."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("laws", deadline=None, max_examples=50)
settings.load_profile("laws")
# Read before the fixture below takes the settings of whoever runs the tests away.
DATA = os.environ.get("CHARTER_DATA")


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
