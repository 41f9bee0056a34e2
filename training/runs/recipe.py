"""The part of a recipe that every method shares: what is trained, where, and with which seed.

A method's recipe is a subclass in the method's own file, which adds its data and its few settings.
[trainer] goes to the library's own config class as it is.
"""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from judges.records import Record
from judges.suggest import did_you_mean
from training.runs.config_fields import config_fields

REPORTERS = {
    "trackio": "trackio",
    "tensorboard": "tensorboard",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "comet_ml": "comet_ml",
    "swanlab": "swanlab",
    "clearml": "clearml",
}
"""What can report live, and the package it needs."""


class LoraSettings(Record):
    """The low-rank adapter that is trained; without this table all weights are."""

    r: Annotated[int, Field(ge=1)] = 16
    """Rank."""
    alpha: Annotated[int, Field(ge=1)] = 32
    """The adapter's output is scaled by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapter's input."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """Which layers get one: names of linear layers, or `all-linear` (all but the head)."""


class DataUsed(Record):
    """One file that a run learns from, as its manifest pins it."""

    path: str
    """The file read."""
    sha256: str
    """Digest of its bytes."""
    rows: int
    """Rows in it."""
    digests: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Constitution, judge and calibration digests that its rows name."""


class RunRecipe(Record):
    """What every run is told. Paths are relative to the working folder."""

    METHOD: ClassVar[str]
    """The word after `charter train`."""
    CONFIG: ClassVar[str] = "TrainingArguments"
    """The config class of TRL or transformers that [trainer] is handed to."""
    LEAST_BATCH: ClassVar[int] = 1
    """Rows that a batch needs at least."""

    model: str
    """The model to start from: `embedded`, or a model folder."""
    output: Path
    """The run folder; it must be empty or absent, unless the run is resumed."""
    seed: int = 0
    """Draws first weights and the order of the rows."""
    max_length: Annotated[int, Field(ge=2)] = 1024
    """Longest prompt with completion, in tokens; what is over is cut off and counted."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes the GPU where there is one."""
    report_to: tuple[str, ...] = ()
    """Where metrics go besides metrics.jsonl, live: trackio, tensorboard, mlflow, wandb."""
    lora: LoraSettings | None = None
    """Train an adapter; absent: train all weights."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Handed to the library's config class as it is."""

    @abstractmethod
    def data_used(self) -> Sequence[DataUsed]:
        """The files this run learns from, read and checked. Raises: DataError."""

    @field_validator("report_to", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, value: Any) -> Any:
        if value == "none":
            return ()
        return (value,) if isinstance(value, str) else value

    @field_validator("report_to")
    @classmethod
    def _known_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in REPORTERS:
                raise ValueError(
                    f"{name!r} reports nowhere{did_you_mean(name, REPORTERS)}; use "
                    f"{', '.join(REPORTERS)}"
                )
        return value

    @model_validator(mode="after")
    def _check_dropout(self) -> Self:
        if not self.lora or not self.lora.dropout:
            return self
        turns_off = "disable_dropout" in config_fields(self.CONFIG)
        if turns_off and self.trainer.get("disable_dropout", True):
            raise ValueError(
                f"lora.dropout is {self.lora.dropout}, but TRL turns dropout off; set "
                "trainer.disable_dropout = false, or lora.dropout = 0"
            )
        return self
