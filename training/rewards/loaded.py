"""A reward model in this process: what its server would answer, for tests and small sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from judges.model import Failure
from judges.rewards.description import read_description
from judges.rewards.encoding import RewardEncoder
from judges.rewards.server import Ids, Outputs, too_long


class LoadedModel:
    """An exported reward model, loaded: a `judges.rewards.score.Reader`."""

    def __init__(self, folder: Path, device: Literal["auto", "cpu", "cuda"] = "auto") -> None:
        """On a GPU it computes as its server does, on a CPU in float32.

        Raises: ModelError, ConfigError for a folder that is no exported reward model.
        """
        from training.rewards.network import load_network
        from training.runs.hardware import find_hardware

        self.description = read_description(folder)
        self.encoder = RewardEncoder(folder)
        where = find_hardware(device).device
        dtype = self.description.dtype if where == "cuda" else "float32"
        self._network = load_network(folder, dtype).to(where)

    def outputs(self, texts: Sequence[Ids]) -> list[Outputs | Failure]:
        """The raw output of every head for each text, in order."""
        from training.rewards.network import read_texts

        longest = self.description.max_length
        fit = [i for i, text in enumerate(texts) if len(text) <= longest]
        pad_id = self._network.config.pad_token_id
        rows = read_texts(self._network, [texts[i] for i in fit], pad_id).tolist()
        found = {i: tuple(row) for i, row in zip(fit, rows, strict=True)}
        return [found[i] if i in found else too_long(text, longest) for i, text in enumerate(texts)]
