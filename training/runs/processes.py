"""The processes of one run, as `accelerate launch` or `torchrun` started them; else one, alone.

The first of them owns the run folder: it claims, finds the checkpoint, logs, publishes and writes
the summary. The others learn from it where to go on. When one fails, the launcher ends the others.
"""

import os
from typing import Any, Literal


class Processes:
    """Which of how many processes this is."""

    def __init__(self, device: Literal["cpu", "cuda"]) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.is_main = int(os.environ.get("RANK", "0")) == 0
        self._device = device

    def share(self, value: Any) -> Any:
        """The first process's value, in every process."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        self._join()
        return broadcast_object_list([value], from_process=0)[0]

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            self._join().wait_for_everyone()

    def _join(self) -> Any:
        """The state that the trainer, too, will find: asked for the CPU, it talks over gloo."""
        from accelerate import PartialState

        return PartialState(cpu=self._device == "cpu")
