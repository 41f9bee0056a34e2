"""Measuring in a process of its own, so that nothing loaded before counts."""

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
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


def usage_since(start: float) -> dict[str, Any]:
    """Seconds since a monotonic time, processor seconds, and peak memory, children told apart.

    Processor seconds are of this process and its ended children since it began, imports included.
    """
    seconds = time.monotonic() - start
    # Not `ru_maxrss`: a child starts with its parent's there.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    own, children = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    largest = children.ru_maxrss / 1024
    spent = sum(one.ru_utime + one.ru_stime for one in (own, children))
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(spent, 2),
        "peak_mib": round(int(found.group(1)) / 1024) if found else None,
        "peak_mib_of_the_largest_child": round(largest),
    }
