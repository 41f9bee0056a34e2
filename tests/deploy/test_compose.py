"""The deployment files hold together: paths, settings, flags and names are those of the code."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from service.settings import VARIABLES

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ROOT = DEPLOY.parent
KNOWN = {"CHARTER_JUDGES", "CHARTER_JUDGE_URL", "CHARTER_JUDGE_MODEL", *VARIABLES.values()}


def read(name: str) -> Any:
    return YAML(typ="safe").load((DEPLOY / name).read_text("utf-8"))


COMPOSE = read("compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_every_file_that_compose_names_is_there() -> None:
    for name, service in SERVICES.items():
        build = service.get("build")
        if build:
            assert (DEPLOY / build["context"] / build["dockerfile"]).resolve().is_file(), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).is_file(), volume
            elif not source.startswith("$"):
                assert source in COMPOSE["volumes"], volume


def test_every_variable_is_documented_and_every_setting_exists() -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    example = (DEPLOY / ".env.example").read_text("utf-8")
    used = set(re.findall(r"\$\{([A-Z_]+)", text))
    assert used == set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    assert set(re.findall(r"CHARTER_[A-Z_]+", text)) <= KNOWN
    dockerfiles = [path.read_text("utf-8") for path in DEPLOY.glob("*.Dockerfile")]
    assert set(re.findall(r"CHARTER_[A-Z_]+", "".join(dockerfiles))) <= KNOWN


def test_no_secret_has_a_default_and_nothing_but_two_ports_is_open() -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    assert re.findall(r"\$\{[A-Z]*PASSWORD(?!:\?)", text) == []
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert set(published) == {"service", "grafana"}
    for ports in published.values():
        assert all("127.0.0.1" in port for port in ports)


def test_services_wait_for_what_can_say_that_it_is_healthy() -> None:
    for name, service in SERVICES.items():
        needed = service.get("depends_on", {})
        for other in needed:
            assert other in SERVICES
            told = needed[other] if isinstance(needed, dict) else {}
            if told.get("condition") == "service_healthy":
                assert "healthcheck" in SERVICES[other], (name, other)
    grace = int(SERVICES["service"]["stop_grace_period"].rstrip("s"))
    assert grace > float(SERVICES["service"]["environment"]["CHARTER_DRAIN_S"])


def test_addresses_between_services_are_their_names() -> None:
    scraped = [
        target.split(":")[0]
        for job in read("prometheus/prometheus.yaml")["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    ]
    assert set(scraped) <= set(SERVICES)
    source = read("grafana/datasource.yaml")["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    board = json.loads((DEPLOY / "grafana" / "charter.json").read_text("utf-8"))
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    judges = (DEPLOY / "judges.toml").read_text("utf-8")
    assert 'url = "http://engine:8000"' in judges
    assert "@postgres/" in SERVICES["service"]["environment"]["CHARTER_DATABASE_URL"]


def test_the_judges_file_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from judges.judge_files import read_judges

    monkeypatch.setenv("CHARTER_JUDGES", str(DEPLOY / "judges.toml"))
    assert read_judges()["default"].model == "judge"


def test_the_engines_flags_are_ones_that_vllm_has() -> None:
    text = (DEPLOY / "engine.Dockerfile").read_text("utf-8")
    flags = set(re.findall(r'"(--[a-z-]+)"', text))
    assert len(flags) > 8
    packages = Path(sys.executable).parent.parent / "lib"
    sources = [
        path.read_text("utf-8")
        for part in ("engine/arg_utils.py", "**/cli_args.py")
        for path in packages.glob(f"python3*/site-packages/vllm/{part}")
    ]
    if not sources:
        pytest.skip("vLLM is not installed")
    known = "".join(sources).replace("_", "-")
    assert [flag for flag in flags if flag.removeprefix("--") not in known] == []
    pins = (DEPLOY / "constraints-gpu-engine.txt").read_text("utf-8")
    version = re.search(r"vllm-openai:v([0-9.]+)", text)
    assert version and f"vllm=={version[1]}" in pins


@pytest.mark.slow
def test_the_wheel_that_the_image_installs_serves_without_an_engine(tmp_path: Path) -> None:
    """Built and installed as service.Dockerfile does it: only what the service itself needs."""
    uv = [sys.executable, "-m", "uv"]
    quiet: Any = {"check": True, "capture_output": True, "text": True, "cwd": ROOT}
    subprocess.run([*uv, "venv", "-p", sys.executable, tmp_path / "venv"], **quiet)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = DEPLOY / "constraints.txt"
    links = os.environ.get("PIP_FIND_LINKS")
    subprocess.run(
        [*uv, "pip", "install", "-q", "-p", python, "-c", constraints, ".[traces]",
         *(["--find-links", links] if links else [])],
        **quiet,
    )  # fmt: skip
    code = (
        "import sys; from pathlib import Path; from service.app import create_app; "
        "from service.settings import Settings; "
        f"app = create_app(Settings(home=Path({str(tmp_path)!r}), judges=('fake',), traces=True)); "
        "print(app.state.service.library.load('plain-speech', 'local').reference); "
        "print('torch' in sys.modules or 'vllm' in sys.modules)"
    )
    told = subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert told.stdout.split()[-1] == "False" and "plain-speech@" in told.stdout
    helped = subprocess.run(
        [python.with_name("charter"), "serve", "--help"],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert "--host" in helped.stdout
