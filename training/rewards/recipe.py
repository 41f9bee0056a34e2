"""The recipe of a reward model, and the examples it names."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from judges.constitutions.constitution import Constitution
from judges.constitutions.files import load_constitution
from judges.errors import DataError
from judges.formats.messages import Messages
from judges.preferences import NEEDED
from judges.rewards.description import Head
from judges.rewards.score import scope_words, words_of
from training.data.made_under import check_made_under
from training.data.pairs import load_pairs
from training.data.preferences import PreferencePair
from training.data.reading import RowSet, read_source
from training.data.recipe import DataRecipe
from training.data.selection import row_key, select_rows
from training.data.sources import DataSource, Sources
from training.rewards.examples import Labels, RankedPrompt, from_pairs, from_rankings
from training.runs.recipe import DataUsed


class RewardRecipe(DataRecipe):
    """A run that trains a reward model. Paths are relative to the working folder."""

    METHOD: ClassVar[str] = "reward"
    CONFIG: ClassVar[str] = "TrainingArguments"

    rankings: Sources | None = None
    """Ranking lines, as `charter rank` writes them: all pairs of a prompt, each principle's too."""
    preferences: Sources | None = None
    """Pairs in their stead, in any format that `train dpo` reads."""
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
        """The files it learns from."""
        return read_examples(self).used


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
    used: tuple[DataUsed, ...]
    """The files, as a manifest pins them."""
    constitution: Constitution | None
    """What the heads belong to."""
    told: list[str]
    """What a person should know of the rows left out."""

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
        ranked = select_rows(
            recipe.rankings,
            lambda source: _read_rankings(source, recipe, constitution),
            recipe,
            _copies,
        )
        train, held_out = ([row.ranked for row in rows] for rows in (ranked.train, ranked.held_out))
        used, told = ranked.used, ranked.told
    else:
        assert recipe.preferences is not None
        # Made certain only later: a pair that is a tie names no better side.
        labels: Literal["told", "soft"] = "told" if recipe.labels == "hard" else "soft"
        pairs = load_pairs(recipe.preferences, labels, (0.0, 1.0), recipe)
        train, held_out = (_grouped(rows) for rows in (pairs.train, pairs.held_out))
        weights = pairs.weights_left_aside(
            "a reward model counts all prompts alike; weigh whole files of a mix, or change "
            "p_chosen"
        )
        used, told = pairs.used, [*pairs.told, *weights]
    if all(_ties(one) for one in train):
        raise DataError(
            f"{used[0].path}: all labels are ties (0.5), so there is nothing to learn; judge with "
            "more votes, or more varied completions"
        )
    told += _untaught(train, heads, scope_heads, used[0].path)
    return Examples(train, held_out, heads, scope_heads, used, constitution, told)


def _untaught(
    train: Sequence[RankedPrompt], heads: Sequence[Head], scope_heads: Sequence[int], file: str
) -> list[str]:
    """What is said of principles that no prompt teaches, though their scopes are taught.

    Raises: DataError where nothing would keep a head that stays as it was drawn out of the reward.
    """
    applies_NH = np.stack([one.applies_H for one in train])
    known_NH = ~np.isnan(applies_NH)
    labelled_NH = np.array([_labelled_heads(one) for one in train])
    taught_H = (labelled_NH & known_NH & (applies_NH > 0)).any(0)
    told = []
    for k in np.flatnonzero(~taught_H).tolist():
        if k not in scope_heads or not known_NH[:, k].any():
            raise DataError(
                f"{file}: none of {len(train)} prompts has a label of {heads[k].name!r} where it "
                "is known to apply, so its head would stay as it was drawn; rank again, or train "
                "under a constitution without it"
            )
        told.append(
            f"{file}: {heads[k].name!r} applies to none of {len(train)} prompts, so only its scope "
            "is learnt; where the scope says yes later, its head is noise"
        )
    return told


def _labelled_heads(one: RankedPrompt) -> list[bool]:
    """Which heads have a labelled pair."""
    n = len(one.completions)
    return [bool((~np.isnan(p_NN[np.triu_indices(n, 1)])).any()) for p_NN in one.p_HNN]


def _grouped(pairs: Sequence[PreferencePair]) -> list[RankedPrompt]:
    return from_pairs((p.place, p.prompt, p.chosen, p.rejected, p.p_chosen) for p in pairs)


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


@dataclass(frozen=True)
class _RankedRow:
    """A ranking line, as rows are mixed, split and freed of copies."""

    place: str
    prompt: Messages
    ranked: RankedPrompt


def _read_rankings(
    source: DataSource, recipe: RewardRecipe, constitution: Constitution | None
) -> RowSet[_RankedRow]:
    names = None
    if recipe.heads == "principles" and constitution is not None:
        names = [principle.id for principle in constitution.principles]

    def parse(line: Mapping[str, Any], where: str, lost: Counter[str]) -> Iterator[_RankedRow]:
        _check_line(line, constitution, where)
        found = from_rankings([(where, line)], names)
        lost["unscored rankings"] += not found
        for ranked in found:
            yield _RankedRow(where, tuple(line["prompt"]), ranked)

    return read_source(source, parse, "make some with `charter rank`")


def _check_line(line: Mapping[str, Any], constitution: Constitution | None, where: str) -> None:
    absent = [key for key in NEEDED if key not in line]
    if absent:
        raise DataError(
            f"{where}: no `{absent[0]}`; this is no ranking line, make it with `charter rank`"
        )
    if constitution is not None:
        check_made_under(line, constitution, where)


def _copies(rows: Sequence[_RankedRow]) -> tuple[list[int], list[int]]:
    """Rankings that equal an earlier one, labels and all."""
    seen: set[bytes] = set()
    again = []
    for number, row in enumerate(rows):
        texts = [[turn.content for turn in text] for text in row.ranked.completions]
        key = row_key(row.prompt, texts, row.ranked.p_HNN.tobytes().hex())
        if key in seen:
            again.append(number)
        seen.add(key)
    return again, []


def _ties(one: RankedPrompt) -> bool:
    known = ~np.isnan(one.p_HNN)
    return bool((one.p_HNN[known] == 0.5).all())
