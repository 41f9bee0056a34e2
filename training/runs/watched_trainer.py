"""What every TRL trainer of ours has in common: batches that know their rows, and no bad step."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.runs.stops import FiniteWatch

ROW = "row"


@dataclass
class RowCollator:
    """TRL's batches, with columns of numbers that TRL would drop: `row`, and others named."""

    inner: Callable[[list[dict[str, Any]]], Any]
    """TRL's own collator."""
    columns: tuple[str, ...] = ()
    """Further columns of numbers to keep, such as `p_chosen`."""

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Shapes: each column [B], beside TRL's tensors. Packed rows have no `row` any more."""
        columns = {name: [example.get(name) for example in examples] for name in self.columns}
        rows = [example[ROW] for example in examples if ROW in example]
        ours = {*columns, ROW}
        batch = dict(self.inner([without(example, ours) for example in examples]))
        if rows:
            batch[ROW] = torch.tensor(rows)
        for name, values in columns.items():
            batch[name] = torch.tensor(values, dtype=torch.float32)
        return batch


def collating_rows(trainer: Any, columns: tuple[str, ...] = ()) -> Any:
    """The trainer, its own collator wrapped to keep these columns."""
    trainer.data_collator = RowCollator(trainer.data_collator, columns)
    return trainer


class WatchedTrainer:
    """Mixin before a TRL trainer, for datasets with a `row` column and a RowCollator.

    A loss or a gradient that is no number ends the run with the rows' places, before the weights
    are touched. A subclass that needs more columns names them in OUR_COLUMNS, and takes them out
    of `inputs` in its own `compute_loss`.
    """

    OUR_COLUMNS: tuple[str, ...] = (ROW,)
    _signature_columns: Any
    state: Any
    args: Any

    def __init__(self, *arguments: Any, places: Callable[[list[int]], str], **named: Any) -> None:
        self.watch = FiniteWatch(places)
        super().__init__(*arguments, **named)

    def _set_signature_columns_if_needed(self) -> None:
        is_new = self._signature_columns is None
        super()._set_signature_columns_if_needed()  # type: ignore[misc]
        if is_new:
            self._signature_columns.extend(self.OUR_COLUMNS)

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        """Keep the reference's log-probabilities in the run folder, once for all processes.

        TRL writes them in the first process and reads them in each, but for a dataset in memory
        under a random name in a temporary folder of each: no other process finds them, nor does a
        resumed run.
        """
        kept = Path(self.args.output_dir).parent / "reference"
        kept.mkdir(exist_ok=True)
        # Rows left out are an index over the rest, which would be written out beside the file.
        dataset = dataset.flatten_indices(keep_in_memory=True)
        dataset._get_cache_file_path = lambda _: str(kept / f"{name}-{len(dataset)}.arrow")
        return super()._precompute_ref_logps(dataset, name, batch_size)  # type: ignore[misc]

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, *rest: Any,
        **named: Any,
    ) -> Any:  # fmt: skip
        """The mean loss of a batch. Raises: ModelError naming the rows when it is no number."""
        rows = inputs[ROW].tolist() if ROW in inputs else []
        batch = without(inputs, (ROW,))
        answer = self._loss(model, batch, return_outputs, *rest, **named)
        loss = answer[0] if return_outputs else answer
        if model.training:
            self.watch.loss(self.state.global_step, loss.detach(), rows)
        return answer

    def _loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        """The loss that a method gives a batch without its `row`: TRL's own, unless overridden."""
        return super().compute_loss(model, inputs, *rest, **named)  # type: ignore[misc]

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Runs before each optimiser step: the last moment to keep the weights whole."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[misc]
        self.watch.gradient(self.state.global_step, norm)
        return norm


def without(inputs: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """A batch less some of its columns."""
    return {name: value for name, value in inputs.items() if name not in names}
