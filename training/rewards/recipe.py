"""The recipe of a reward model, and the examples it names."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from judges.canonical import digest
from judges.constitutions.constitution import Constitution
from judges.constitutions.files import load_constitution
from judges.errors import ConfigError, DataError
from judges.jsonl import read_jsonl
from judges.preferences import NEEDED
from judges.rewards.description import Head
from judges.rewards.score import scope_words, words_of
from training.data.preferences import read_preferences
from training.rewards.examples import Labels, RankedPrompt, from_pairs, from_rankings
from training.runs.recipe import DataUsed, RunRecipe


class RewardRecipe(RunRecipe):
    """A run that trains a reward model. Paths are relative to the working folder."""

    METHOD: ClassVar[str] = "reward"
    CONFIG: ClassVar[str] = "TrainingArguments"

    rankings: Path | None = None
    """Ranking lines, as `charter rank` writes them: all pairs of a prompt, each principle's too."""
    preferences: Path | None = None
    """Preference rows, in their stead: a .jsonl file, or a folder that holds train.jsonl."""
    heads: Literal["whole", "principles"] = "whole"
    """One reward; or one for each principle and one for each scope, weighed afterwards."""
    constitution: str | None = None
    """What the rankings were made under, name@version or path: needed for principles."""
    labels: Labels = "soft"
    """Probabilities as they are, as certainties, or held within [1 - clamp, clamp]."""
    clamp: Annotated[float, Field(gt=0.5, le=1)] = 0.6
    """For clamped labels; 0.6 in Bai et al. 2022."""
    centring: Annotated[float, Field(ge=0)] = 0.01
    """Coefficient on the squared mean reward of a prompt's completions; 0 leaves it free."""
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of prompts, drawn by their digests, that accuracy is measured on and not trained on."""
    most_dropped: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of completions that may be longer than max_length before the run is refused."""
    frozen: bool = False
    """Train the heads alone, on states computed once: minutes where training takes hours."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the language model's weights; bfloat16 only under an adapter, or frozen."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.rankings is None) == (self.preferences is None):
            raise ValueError("a reward model needs either rankings or preferences; name one")
        if self.heads == "principles" and (self.rankings is None or self.constitution is None):
            raise ValueError(
                'heads = "principles" needs rankings, and the constitution they were made under'
            )
        if self.frozen and self.lora:
            raise ValueError("frozen trains the heads alone; drop it, or drop the [lora] table")
        if self.dtype == "bfloat16" and not (self.frozen or self.lora):
            raise ValueError(
                'dtype = "bfloat16" would round away most of what full training changes; add a '
                "[lora] table, or leave dtype out: bf16 arithmetic is used anyway"
            )
        return self

    def data_used(self) -> Sequence[DataUsed]:
        """The file it learns from."""
        return (read_examples(self).used,)


@dataclass(frozen=True)
class Examples:
    """What a recipe's data holds."""

    train: list[RankedPrompt]
    """Prompts to train on."""
    held_out: list[RankedPrompt]
    """Prompts to measure on."""
    heads: tuple[Head, ...]
    """Label heads in the order of their labels, then the scopes'."""
    scope_heads: tuple[int, ...]
    """Which label heads have a scope, in the order of the scope heads."""
    used: DataUsed
    """The file, as a manifest pins it."""
    constitution: Constitution | None
    """What the heads belong to."""

    def places(self, rows: list[int]) -> str:
        """`file:line` of some training prompts, for messages."""
        return ", ".join(self.train[row].place for row in rows)


def read_examples(recipe: RewardRecipe) -> Examples:
    """The prompts of a recipe, split; each fault with its line.

    Raises: DataError for what cannot be trained on, or when nothing is left; ConfigError for a
    constitution that the rankings were not made under.
    """
    constitution = load_constitution(recipe.constitution) if recipe.constitution else None
    heads, scope_heads = _heads(recipe, constitution)
    if recipe.rankings is not None:
        prompts, used = _rankings(recipe.rankings, recipe, constitution)
    else:
        assert recipe.preferences is not None
        pairs = read_preferences(recipe.preferences, "hard" if recipe.labels == "hard" else "soft")
        used = pairs.used
        prompts = from_pairs(
            (p.place, p.prompt, p.chosen, p.rejected, p.p_chosen) for p in pairs.pairs
        )
    train = [one for one in prompts if not _is_held_out(one, recipe.held_out)]
    held_out = [one for one in prompts if _is_held_out(one, recipe.held_out)]
    for name, some in (("train on", train), ("hold out", held_out)):
        if not some and (name == "train on" or recipe.held_out):
            raise DataError(
                f"{used.path}: of {len(prompts)} prompts with labelled pairs none is left to "
                f"{name}; change held_out ({recipe.held_out}), or give more prompts"
            )
    if all(_ties(one) for one in train):
        raise DataError(
            f"{used.path}: all labels are ties (0.5), so there is nothing to learn; judge with "
            "more votes, or more varied completions"
        )
    return Examples(train, held_out, heads, scope_heads, used, constitution)


def _heads(
    recipe: RewardRecipe, constitution: Constitution | None
) -> tuple[tuple[Head, ...], tuple[int, ...]]:
    if recipe.heads == "whole" or constitution is None:
        return (Head(name="reward"),), ()
    labels = [Head(name=p.id, kind="principle", words=words_of(p)) for p in constitution.principles]
    scoped = [k for k, p in enumerate(constitution.principles) if p.applies_when is not None]
    scopes = [
        Head(
            name=constitution.principles[k].id,
            kind="applies",
            words=scope_words(constitution.principles[k]),
        )
        for k in scoped
    ]
    return (*labels, *scopes), tuple(scoped)


def _rankings(
    path: Path, recipe: RewardRecipe, constitution: Constitution | None
) -> tuple[list[RankedPrompt], DataUsed]:
    digests: dict[str, set[str]] = {}
    counted: Counter[str] = Counter()

    def lines() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for number, line in read_jsonl(path):
            where = f"{path}:{number}"
            absent = [key for key in NEEDED if key not in line]
            if absent:
                raise DataError(
                    f"{where}: no `{absent[0]}`; this is no ranking line, make it with "
                    "`charter rank`"
                )
            if constitution is not None:
                _check_constitution(line, constitution, where)
            counted["rows"] += 1
            for name, value in line["digests"].items():
                if value:
                    digests.setdefault(name, set()).add(str(value))
            yield where, line

    names = None
    if recipe.heads == "principles" and constitution is not None:
        names = [principle.id for principle in constitution.principles]
    prompts = from_rankings(lines(), names)
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    used = DataUsed(
        path=str(path),
        sha256=sha256,
        rows=counted["rows"],
        digests={name: tuple(sorted(values)) for name, values in sorted(digests.items())},
    )
    return prompts, used


def _check_constitution(line: Mapping[str, Any], constitution: Constitution, where: str) -> None:
    made_under = line["digests"].get("constitution")
    if made_under != constitution.digest:
        raise ConfigError(
            f"{where}: ranked under the constitution {str(made_under)[:12]}…, but the recipe names "
            f"{constitution.reference}, {constitution.digest[:12]}…; name the one it was made under"
        )


def _is_held_out(one: RankedPrompt, share: float) -> bool:
    """Drawn by the prompt alone: the same prompts whatever the seed, the file and its order."""
    if not share:
        return False
    drawn = digest(["held out", [[m.role, m.content] for m in one.prompt]])
    return int(drawn[:8], 16) / 16**8 < share


def _ties(one: RankedPrompt) -> bool:
    known = ~np.isnan(one.p_HNN)
    return bool((one.p_HNN[known] == 0.5).all())
