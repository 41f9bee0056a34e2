"""vLLM is started with the flags and the environment that each build needs."""

import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from judges.engine.command import (
    Build,
    EngineSpec,
    cpu_dtype,
    cpu_executor,
    engine_command,
    engine_digest,
    engine_environment,
    resolve,
)
from judges.engine.folder import EngineTimes
from judges.engine.python_process import is_compiled, python_environment
from judges.errors import ConfigError


def pairs(command: tuple[str, ...]) -> set[tuple[str, str]]:
    return set(pairwise(command))


@pytest.mark.parametrize(
    ("build", "flag", "lacking"),
    [
        pytest.param("cpu", "--enforce-eager", "--gpu-memory-utilization", id="CPU build"),
        pytest.param("gpu", "--gpu-memory-utilization", "--enforce-eager", id="GPU build"),
        pytest.param(
            "cpu", "--no-enable-chunked-prefill", "--enable-chunked-prefill", id="whole prompts"
        ),
        pytest.param(
            "gpu", "--gpu-memory-utilization", "--no-enable-chunked-prefill", id="parts of prompts"
        ),
    ],
)
def test_each_build_has_its_flags(build: Build, flag: str, lacking: str) -> None:
    command = engine_command(EngineSpec(model=Path("/models/tea"), max_model_len=2048), build)
    assert flag in command
    assert lacking not in command
    assert {("--model", "/models/tea"), ("--max-model-len", "2048"), ("--port", "{port}")} <= pairs(
        command
    )
    assert ("tea", "{mark}") in pairs(command)


@pytest.mark.parametrize("adapters", [True, False])
def test_adapters_are_enabled_where_asked_for(adapters: bool) -> None:
    spec = EngineSpec(model=Path("/models/tea"), adapters=adapters, max_adapter_rank=64)
    assert ("--enable-lora" in engine_command(spec, "cpu")) is adapters
    assert (("--max-lora-rank", "64") in pairs(engine_command(spec, "cpu"))) is adapters
    allowed = engine_environment(spec, "cpu")["VLLM_ALLOW_RUNTIME_LORA_UPDATING"]
    assert allowed == str(adapters)


def test_the_cpu_engine_uses_every_core_and_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    environment = engine_environment(EngineSpec(model=Path("m"), cpu_cache_gib=3), "cpu")
    assert environment["OMP_NUM_THREADS"] == str(len(os.sched_getaffinity(0)))
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "3"
    assert environment["OMP_WAIT_POLICY"] == "ACTIVE", "what a person set stays"


def test_the_gpu_engine_gets_no_cpu_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "VLLM_CPU_KVCACHE_SPACE", "VLLM_ENABLE_V1_MULTIPROCESSING"):
        monkeypatch.delenv(name, raising=False)
    environment = engine_environment(EngineSpec(model=Path("m")), "gpu")
    assert not [name for name in environment if name.startswith(("OMP_NUM", "VLLM_CPU"))]


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        pytest.param("avx2 avx512f", "float32", id="no bfloat16 instructions"),
        pytest.param("avx2 avx512_bf16", "bfloat16", id="AVX-512 BF16"),
        pytest.param("amx_bf16 amx_tile", "bfloat16", id="AMX"),
    ],
)
def test_a_cpu_takes_bfloat16_only_with_instructions(
    tmp_path: Path, flags: str, dtype: str
) -> None:
    processor = tmp_path / "cpuinfo"
    processor.write_text(f"model name\t: A CPU\nflags\t\t: fpu {flags} sse\n")
    assert cpu_dtype(processor) == dtype
    assert cpu_dtype(tmp_path / "none") == "float32"


@pytest.mark.parametrize(("nodes", "executor"), [(0, "uni"), (1, "uni"), (2, "mp")])
def test_a_worker_process_is_taken_only_where_memory_has_several_nodes(
    tmp_path: Path, nodes: int, executor: str
) -> None:
    for number in range(nodes):
        (tmp_path / f"node{number}").mkdir()
    (tmp_path / "possible").touch()
    assert cpu_executor(tmp_path) == executor


def test_auto_is_decided_on_a_cpu_and_left_to_vllm_on_a_gpu() -> None:
    spec = EngineSpec(model=Path("m"))
    assert resolve(spec, "cpu").dtype == cpu_dtype()
    assert resolve(spec, "gpu").dtype == "auto"
    assert resolve(EngineSpec(model=Path("m"), dtype="float16"), "cpu").dtype == "float16"
    assert resolve(spec, "cpu").model.is_absolute()


def test_the_digest_follows_spec_and_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"one")
    spec = EngineSpec(model=tmp_path)
    before = engine_digest(spec)
    assert engine_digest(EngineSpec(model=tmp_path)) == before
    assert engine_digest(EngineSpec(model=tmp_path, block_size=64)) != before
    (tmp_path / "model.safetensors").write_bytes(b"other")
    assert engine_digest(spec) != before


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_an_idle_time_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CHARTER_ENGINE_IDLE_S", text)
    with pytest.raises(ConfigError, match=f"CHARTER_ENGINE_IDLE_S is '{text}'"):
        EngineTimes.from_environment()


def test_the_idle_time_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTER_ENGINE_IDLE_S", "2.5")
    assert EngineTimes.from_environment().idle_s == 2.5


def test_bytecode_is_kept_in_the_cache_only_where_packages_come_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHARTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    package = tmp_path / "transformers"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "transformers", raising=False)  # another test's, the real one
    assert not is_compiled("transformers")
    environment = python_environment()
    assert environment["PYTHONPYCACHEPREFIX"] == str(tmp_path / "cache/bytecode")
    assert "PYTHONDONTWRITEBYTECODE" not in environment
