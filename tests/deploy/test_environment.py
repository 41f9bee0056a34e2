"""Set-up: pip's settings reach uv, the stamp is right, the pins fit, no file names a host."""

import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.environment import (
    ROOT,
    STAMP_NAME,
    UNFINISHED,
    Environment,
    Installer,
    SetupError,
    check_extras,
    constraint_files,
    inputs_digest,
    read_pip_settings,
    uv_options,
    uv_variables,
)

INDEX = "https://mirror.example/simple"


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        pytest.param("", {}, id="no settings"),
        pytest.param(
            f"global.extra-index-url='\\n{INDEX}\\nhttps://b.example'",
            {"extra-index-url": [INDEX, "https://b.example"]},
            id="several values on lines of their own",
        ),
        pytest.param(
            f":env:.index-url='{INDEX}'\nglobal.index-url='https://a.example'",
            {"index-url": [INDEX]},
            id="the environment wins over a file",
        ),
        pytest.param(
            "install.timeout='9'\nglobal.timeout='5'\ndownload.timeout='1'",
            {"timeout": ["9"]},
            id="the section for install wins and other commands' do not count",
        ),
        pytest.param(
            "global.index-url='https://a.example/?x=1'",
            {"index-url": ["https://a.example/?x=1"]},
            id="an equals sign in the value",
        ),
    ],
)
def test_pip_settings_are_read(listing: str, expected: dict[str, list[str]]) -> None:
    assert read_pip_settings(listing) == expected


# pip, too, takes the best version of all indexes.
STRATEGY = {"UV_INDEX_STRATEGY": "unsafe-best-match"}


@pytest.mark.parametrize(
    ("setting", "values", "variable", "expected"),
    [
        pytest.param("find-links", "/ file:///", "UV_FIND_LINKS", "/,file:///", id="two folders"),
        pytest.param("find-links", "/no/such /", "UV_FIND_LINKS", "/", id="an absent folder"),
        pytest.param("find-links", INDEX, "UV_FIND_LINKS", INDEX, id="a page of links"),
        pytest.param("index-url", INDEX, "UV_DEFAULT_INDEX", INDEX, id="the index"),
        pytest.param("extra-index-url", "a b", "UV_INDEX", "a b", id="more indexes"),
        pytest.param("trusted-host", "a:80 b", "UV_INSECURE_HOST", "a:80 b", id="trusted hosts"),
        pytest.param("cert", "/c.pem", "SSL_CERT_FILE", "/c.pem", id="the certificate"),
        pytest.param("timeout", "60", "UV_HTTP_TIMEOUT", "60", id="the time-out"),
    ],
)
def test_uv_looks_where_pip_looks(setting: str, values: str, variable: str, expected: str) -> None:
    pip = {setting: values.split()}
    assert uv_variables(pip, {}) == {**STRATEGY, variable: expected}
    assert uv_variables(pip, {variable: "set before"}) == STRATEGY


def test_what_concerns_pip_alone_does_not_reach_uv() -> None:
    assert uv_variables({"disable-pip-version-check": ["1"]}, {}) == STRATEGY


@pytest.mark.parametrize(("value", "expected"), [("true", ["--no-index"]), ("0", [])])
def test_no_index_becomes_an_option(value: str, expected: list[str]) -> None:
    assert uv_options({"no-index": [value]}) == expected


def made_environment(folder: Path, stamp: str | None) -> Environment:
    environment = Environment(folder)
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    if stamp is not None:
        (folder / STAMP_NAME).write_text(stamp)
    return environment


@pytest.mark.parametrize(
    ("stamp", "ready", "usable"),
    [
        pytest.param("DIGEST HERE", True, True, id="made from the same inputs"),
        pytest.param("OTHER HERE", False, True, id="made from other inputs is brought up to date"),
        pytest.param(None, False, True, id="made by hand is brought up to date"),
        pytest.param(UNFINISHED, False, False, id="interrupted is made anew"),
        pytest.param("DIGEST /elsewhere/.venv", False, False, id="copied here is made anew"),
    ],
)
def test_the_stamp_tells_what_is_there(
    tmp_path: Path, stamp: str | None, ready: bool, usable: bool
) -> None:
    text = None if stamp is None else stamp.replace("HERE", str(tmp_path / "venv"))
    environment = made_environment(tmp_path / "venv", text)
    assert (environment.is_ready("DIGEST"), environment.is_usable()) == (ready, usable)


def test_an_environment_whose_python_is_gone_is_made_anew(tmp_path: Path) -> None:
    environment = made_environment(tmp_path, None)
    environment.finish("DIGEST")
    assert environment.is_ready("DIGEST")
    environment.python.unlink()
    environment.python.symlink_to(tmp_path / "removed")
    assert not environment.is_ready("DIGEST")
    assert not environment.is_usable()


def test_the_stamp_says_unfinished_until_the_end(tmp_path: Path) -> None:
    environment = made_environment(tmp_path, None)
    environment.finish("DIGEST")
    environment.start()
    assert not environment.is_usable()
    environment.finish("DIGEST")
    assert environment.is_ready("DIGEST")


INPUTS = [
    "pyproject.toml",
    "deploy/constraints.txt",
    "deploy/constraints-gpu.txt",
    "deploy/excludes.txt",
    "deploy/environment.py",
]


@pytest.mark.parametrize("changed", INPUTS)
def test_a_changed_input_changes_the_digest(tmp_path: Path, changed: str) -> None:
    (tmp_path / "deploy").mkdir()
    for name in INPUTS:
        (tmp_path / name).write_text("before")
    before = inputs_digest(tmp_path, ["gpu"])
    (tmp_path / changed).write_text("after")
    assert inputs_digest(tmp_path, ["gpu"]) != before
    assert inputs_digest(tmp_path, []) != inputs_digest(tmp_path, ["gpu"])


def test_an_unknown_extra_is_refused() -> None:
    with pytest.raises(SetupError, match=r"no extra trainig · pyproject.toml · choose from .*dev"):
        check_extras(ROOT, ["dev", "trainig"])


def write_torch_wheel(folder: Path, version: str) -> None:
    information = f"torch-{version}.dist-info"
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as wheel:
        metadata = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
        wheel.writestr(f"{information}/METADATA", metadata)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{information}/WHEEL", tags)
        wheel.writestr(f"{information}/RECORD", "")


@pytest.mark.parametrize("mirrored", [True, False], ids=["on a mirror", "elsewhere"])
def test_torch_for_the_cpu_comes_from_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirrored: bool
) -> None:
    for name in ("UV_FIND_LINKS", "UV_TORCH_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    venv.create(tmp_path / "venv", with_pip=False)
    environment = Environment(tmp_path / "venv")
    environment.uv.symlink_to(Path(sys.prefix) / "bin" / "uv")
    version = pins(["cpu-engine"])["torch"]
    if mirrored:
        write_torch_wheel(tmp_path, f"{version}+cpu")
    settings = {"find-links": [str(tmp_path)], "no-index": ["true"]}
    chosen = Installer(environment, ["cpu-engine"], settings).cpu_torch()
    expected = [f"torch=={version}+cpu"]
    assert chosen[1:] == (expected if mirrored else ["--torch-backend", "cpu", f"torch=={version}"])


def pins(extras: list[str]) -> dict[str, str]:
    lines = [
        line for path in constraint_files(ROOT, extras) for line in path.read_text().splitlines()
    ]
    found = [line.split("==") for line in lines if "==" in line]
    return {canonicalize_name(name): version for name, version in found}


def declared() -> list[tuple[str, Requirement]]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = {
        "build": document["build-system"]["requires"],
        "base": document["project"]["dependencies"],
        **document["project"]["optional-dependencies"],
        **document["dependency-groups"],
    }
    return [(group, Requirement(text)) for group, texts in groups.items() for text in texts]


@pytest.mark.parametrize(("extra", "needed"), declared(), ids=str)
def test_each_dependency_is_pinned_within_its_range(extra: str, needed: Requirement) -> None:
    assert needed.specifier.contains(pins([extra])[canonicalize_name(needed.name)])


def test_base_dependencies_have_no_torch_and_nothing_asks_for_its_companions() -> None:
    base = {needed.name for group, needed in declared() if group == "base"}
    assert not base & {"torch", "transformers", "trl", "vllm"}
    companions = {"torchvision", "torchaudio", "torchcodec"}
    excluded = (ROOT / "deploy/excludes.txt").read_text().splitlines()
    assert companions <= set(excluded)
    assert not companions & {needed.name for _, needed in declared()}
    assert not companions & set(pins(["cpu-engine", "gpu-engine"]))


def test_no_tracked_file_names_a_registry_host() -> None:
    # As patterns, so that this file names none either.
    hosts = r"pypi[.]org|pythonhosted[.]org|download[.]pytorch[.]org"
    command = ["git", "grep", "-IlE", hosts]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")


IMPORT_ALL = """
import importlib, importlib.util, pkgutil, sys
for package in sys.argv[1:]:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if module.name != "judges.engine.convert_gguf":
            importlib.import_module(module.name)
heavy = {"torch", "transformers", "trl", "vllm"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert not [name for name in heavy if importlib.util.find_spec(name)]
"""


@pytest.mark.slow
def test_a_base_install_is_made_anew_after_an_interruption_and_has_no_torch(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    left_over = made_environment(folder, UNFINISHED).path / "left-over"
    left_over.touch()
    program = str(ROOT / "deploy/environment.py")
    command = [sys.executable, program, "--extras", "", "--venv", str(folder)]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert not left_over.exists()
    packages = [name for name in ("judges", "service") if (ROOT / name / "__init__.py").exists()]
    python = [str(folder / "bin/python"), "-W", "error", "-c", IMPORT_ALL, *packages]
    imported = subprocess.run(python, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert imported.returncode == 0, imported.stderr
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
