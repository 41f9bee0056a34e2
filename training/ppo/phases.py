"""What each phase of a step costs: seconds, tokens a second, memory."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

Phase = Literal["rollout", "score", "reward", "update"]
GIB = 2**30
STATM = Path("/proc/self/statm")
PAGE = 4096


class Phases:
    """Measures the phases of one step."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.metrics: dict[str, float] = {}

    @contextmanager
    def timed(self, phase: Phase) -> Iterator[None]:
        """Measure a phase: its seconds, and the most memory it held on the device.

        On a CPU the memory is what the process holds at the phase's end.
        """
        self._reset()
        start = time.monotonic()
        yield
        self._wait()
        self.metrics[f"seconds/{phase}"] = time.monotonic() - start
        self.metrics[f"memory_gib/{phase}"] = self._memory() / GIB

    def count(self, phase: Phase, tokens: int) -> None:
        """Say how many tokens a measured phase worked through."""
        seconds = self.metrics[f"seconds/{phase}"]
        self.metrics[f"tokens_per_second/{phase}"] = tokens / max(seconds, 1e-9)

    def _reset(self) -> None:
        if self._device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()

    def _wait(self) -> None:
        if self._device == "cuda":
            import torch

            torch.cuda.synchronize()

    def _memory(self) -> float:
        if self._device == "cuda":
            import torch

            return float(torch.cuda.max_memory_allocated())
        try:
            return int(STATM.read_text().split()[1]) * PAGE
        except (OSError, ValueError, IndexError):
            return 0.0
