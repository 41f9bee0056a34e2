"""The launch files name routes that the service has, and flags that the frameworks have.

    CHARTER_CLIENT_WHEELS=wheels pytest tests/deploy/test_launch.py

With the frameworks' wheels, flags go through OpenRLHF's own parser and verl's own configuration.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
import zipfile
from datetime import datetime
from inspect import signature
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ruamel.yaml import YAML

from service.client import verl

ROOT = Path(__file__).resolve().parents[2]
WHEELS = os.environ.get("CHARTER_CLIENT_WHEELS")
PATHS: dict[str, Any] = json.loads((ROOT / "tests/service/openapi.json").read_text())["paths"]
FAKE_PYTHON = """#!/bin/sh
if [ "$1" = -c ]; then exec {real} "$@"; fi
printf '%s\\n' "$@"
"""
NEEDED = {"MODEL": "m", "PROMPTS": "p.jsonl", "TRAIN": "t.parquet", "VALID": "v.parquet"}


def launched(name: str, folder: Path) -> tuple[list[str], str]:
    """The arguments that a launch file starts its framework with, and what it asked with curl."""
    (folder / "python").write_text(FAKE_PYTHON.format(real=sys.executable))
    (folder / "curl").write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\n')
    for file in ("python", "curl"):
        (folder / file).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "deploy/launch" / name, "--more"],
        env={**os.environ, **NEEDED, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    arguments = done.stdout.splitlines()
    assert arguments.pop() == "--more"  # what follows the file's name is handed on
    return arguments, (folder / "asked").read_text()


def parameters(path: str) -> set[str]:
    return {one["name"] for one in PATHS[path]["post"]["parameters"]}


@pytest.fixture
def openrlhf(tmp_path: Path) -> list[str]:
    arguments, asked = launched("openrlhf-ppo.sh", tmp_path)
    assert urlsplit(asked.split()[-1]).path in PATHS
    return arguments


@pytest.fixture
def verl_keys(tmp_path: Path) -> dict[str, str]:
    arguments, asked = launched("verl-grpo.sh", tmp_path)
    assert urlsplit(asked.split()[-1]).path in PATHS
    assert arguments[:2] == ["-m", "verl.trainer.main_ppo"]
    return dict(argument.split("=", 1) for argument in arguments[2:])


def test_openrlhf_is_given_an_address_that_the_service_answers(openrlhf: list[str]) -> None:
    address = urlsplit(openrlhf[openrlhf.index("--reward.remote_url") + 1])
    assert address.path in PATHS
    assert set(parse_qs(address.query)) <= parameters(address.path)


def test_verl_is_given_our_reward_function_and_what_it_takes(verl_keys: dict[str, str]) -> None:
    before = "reward.custom_reward_function."
    assert Path(verl_keys[f"{before}path"]) == Path(verl.__file__)
    assert hasattr(verl, verl_keys[f"{before}name"])
    given = {key.rpartition(".")[2] for key in verl_keys if key.startswith(f"+{before}")}
    own = set(signature(verl.compute_score).parameters)
    assert given - own <= parameters("/v1/rewards")
    assert {"url", "constitution", "run", "group", "unscored"} <= given
    groups = verl_keys[f"+{before}reward_kwargs.group"]
    assert groups == verl_keys["actor_rollout_ref.rollout.n"]


def inside_wheel(wheel: str, path: str) -> str:
    found = sorted(Path(WHEELS or "").glob(f"{wheel}-*.whl"))
    if not WHEELS or not found:
        pytest.skip(f"CHARTER_CLIENT_WHEELS names no folder with the wheel of {wheel}")
    with zipfile.ZipFile(found[-1]) as archive:
        (name,) = [entry for entry in archive.namelist() if entry.endswith(path)]
        return archive.read(name).decode()


def test_openrlhfs_own_parser_takes_every_flag(openrlhf: list[str]) -> None:
    module, main = ast.parse(inside_wheel("openrlhf", "openrlhf/cli/train_ppo_ray.py")), []
    for node in module.body:
        if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
            main = node.body
    told = next(n for n, line in enumerate(main) if "parser.parse_args" in ast.unparse(line))
    space: dict[str, Any] = {"argparse": argparse, "datetime": datetime}
    exec(compile(ast.Module(main[:told], []), "train_ppo_ray.py", "exec"), space)
    seen = vars(space["parser"].parse_args(openrlhf[2:]))
    assert seen["algo.advantage.estimator"] == "gae"
    batch = seen["rollout.batch_size"] * seen["rollout.n_samples_per_prompt"]
    assert batch % seen["train.batch_size"] == 0
    gpus = seen["actor.num_nodes"] * seen["actor.num_gpus_per_node"]
    assert seen["train.batch_size"] % (gpus * seen["train.micro_batch_size"]) == 0
    assert seen["vllm.num_engines"] * seen["vllm.tensor_parallel_size"] == gpus


def test_verls_own_configuration_has_every_key(verl_keys: dict[str, str]) -> None:
    told = inside_wheel("verl", "trainer/config/_generated_ppo_trainer.yaml")
    known = YAML(typ="safe").load(told)
    unknown = [key for key in verl_keys if not key.startswith("+") and not _has(known, key)]
    assert unknown == []
    assert _has(known, "reward.custom_reward_function.path")
    assert not _has(known, "reward.custom_reward_function.reward_kwargs")  # so it is added by +
    size, part = (
        int(verl_keys[key])
        for key in ("data.train_batch_size", "actor_rollout_ref.actor.ppo_mini_batch_size")
    )
    assert size % part == 0


def _has(known: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(known, dict) or part not in known:
            return False
        known = known[part]
    return True
