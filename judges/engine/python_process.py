"""How charter starts another Python: which command, and with which environment.

Importing an engine compiles about 5,500 source files. Where nothing keeps the result (installers
that leave compiling to the first import, `PYTHONDONTWRITEBYTECODE`), each of its processes
compiles them again: 79 s instead of 31 s to a ready engine on two slow cores. So where the
installed packages come uncompiled, children keep their bytecode in charter's cache folder.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from judges.engine.cache import cache_folder

COMPILED_WHEN = "transformers"
"""Installed compiled or not, a package as large as this one stands for all of them."""
LAST_LINES = 15
"""What an error repeats of a script's output."""


def python_command(module: str, *arguments: str) -> tuple[str, ...]:
    """The argv that runs a module in this Python; the working folder is not importable there."""
    return (sys.executable, "-P", "-m", module, *arguments)


def python_environment() -> dict[str, str]:
    """This process's environment, with charter importable and compiled code kept."""
    environment = dict(os.environ)
    root = str(Path(__file__).parents[2])
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    if root not in paths:
        environment["PYTHONPATH"] = os.pathsep.join([*paths, root])
    if not is_compiled(COMPILED_WHEN) and "PYTHONPYCACHEPREFIX" not in environment:
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(cache_folder() / "bytecode")
    return environment


def run_script(command: Sequence[str]) -> tuple[int, str]:
    """Run a script in a process of its own; its exit code and the last lines it wrote."""
    done = subprocess.run(
        command,
        env=python_environment() | {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return done.returncode, "\n".join(done.stdout.splitlines()[-LAST_LINES:])


def is_compiled(package: str) -> bool:
    """Whether an installed package has its bytecode beside it; true when it is not installed."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return True
    source = Path(found.origin)
    # Not cache_from_source: that looks under the prefix this process itself may run with.
    return (
        source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    ).exists()
