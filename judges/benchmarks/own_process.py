"""Measuring in a process of its own, so that nothing loaded before counts."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from judges.engine.python_process import python_environment


def measured(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What a measuring module prints as its last line, a JSON object.

    Raises: RuntimeError with the end of what it said when it fails.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment or python_environment()
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))
