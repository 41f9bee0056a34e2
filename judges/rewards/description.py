"""reward.json: what the outputs of a reward model mean, beside its weights.

A reward model is a sequence classifier; each of its outputs is a head. A head is standardised by
its mean and spread on a reference set, so that heads can be added up; differences of its raw
outputs are log-odds, as votes are. Canaries tie a server to these very weights.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from judges.canonical import digest
from judges.errors import ConfigError, ModelError
from judges.items import first_problem
from judges.jsonl import replacing
from judges.records import Record

REWARD_FILE = "reward.json"
SMALLEST_SPREAD = 0.25
"""Log-odds. A head that spreads less on the reference set says next to nothing: divided by its own
spread, its noise would weigh as much as another head's signal."""


class Head(Record):
    """One output of a reward model."""

    name: str
    """The principle's id; `reward` for the whole."""
    kind: Literal["reward", "principle", "applies"] = "reward"
    """The whole, one principle, or whether that principle's scope covers the prompt."""
    words: str | None = None
    """sha-256 of the words judged: a head answers no other wording. None: of no one principle."""
    mean: float = 0.0
    """Its mean over the reference set; of a scope, 0."""
    std: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Its spread over the reference set, in log-odds, at least SMALLEST_SPREAD."""
    length_slope: float = 0.0
    """Log-odds that a completion gains by each unit of log(1 + tokens), to be taken off."""


class Canary(Record):
    """A text and what the model makes of it."""

    ids: tuple[int, ...]
    """Token ids as sent."""
    outputs: tuple[float, ...]
    """The raw output of each head."""


class RewardDescription(Record):
    """What is written beside a reward model's weights."""

    format: Literal[1] = 1
    """Of this file."""
    heads: Annotated[tuple[Head, ...], Field(min_length=1)]
    """In the order of the model's outputs."""
    weights: str
    """Digest of weights, tokenizer and chat template."""
    max_length: Annotated[int, Field(ge=2)]
    """Longest prompt with completion, in tokens; what is longer is unscored."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Of the weights as exported, and what a server should compute in."""
    length_centre: float = 0.0
    """Mean of log(1 + tokens) over the reference set: where taking length off changes nothing."""
    canaries: tuple[Canary, ...] = ()
    """Texts by which a server shows that it runs these weights, raw and pooled right."""
    constitution: str | None = None
    """Digest of the constitution that its labels were made under."""
    run: str | None = None
    """Digest of the training run's manifest."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        wrong = [c for c in self.canaries if len(c.outputs) != len(self.heads)]
        if wrong:
            raise ValueError(
                f"a canary has {len(wrong[0].outputs)} outputs for {len(self.heads)} heads"
            )
        names = [(head.kind, head.name) for head in self.heads]
        if len(set(names)) < len(names):
            raise ValueError("two heads of one kind share a name")
        return self

    @property
    def fingerprint(self) -> str:
        """What its votes are keyed by: the weights, and the length taken off, where it is."""
        slopes = [head.length_slope for head in self.heads]
        taken = f"+length-{digest(slopes)[:16]}" if any(slopes) else ""
        return f"weights:{self.weights}{taken}"

    def index(self, kind: str, name: str | None = None, words: str | None = None) -> int | None:
        """Where a head stands among the outputs; None where there is no such head."""
        for index, head in enumerate(self.heads):
            if head.kind == kind and name in (None, head.name) and words in (None, head.words):
                return index
        return None


def read_description(folder: Path) -> RewardDescription:
    """The description in a reward model's folder. Raises: ModelError, ConfigError."""
    path = folder / REWARD_FILE
    try:
        return RewardDescription.model_validate_json(path.read_bytes())
    except OSError:
        raise ModelError(
            f"{path}: no such file, so this is no exported reward model; make one with "
            "`charter reward export`"
        ) from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_problem(error)}; export the model again") from None


def write_description(folder: Path, description: RewardDescription) -> None:
    """Put reward.json into a folder, whole or not at all."""
    with replacing(folder / REWARD_FILE) as file:
        file.write(description.model_dump_json(indent=1).encode())
