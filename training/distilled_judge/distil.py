"""A judge distilled: people's labels or a larger judge's votes in, an adapter that votes out."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from judges.calibration.estimates import Estimate
from judges.cards.labelled import LabelledPair, read_labelled
from judges.constitutions.files import load_constitution
from judges.engine.adapters import adapter_digest
from judges.errors import DataError
from judges.jsonl import read_jsonl
from judges.preferences import read_rankings
from judges.progress import say
from judges.records import Record
from training.data.made_under import check_made_under
from training.data.recipe import Share
from training.distilled_judge.left_out import tell_left_out
from training.distilled_judge.questions import (
    Mixture,
    PairQuestions,
    questions_of_people,
    questions_of_ranking,
)
from training.distilled_judge.splitting import (
    HELD_OUT,
    opening,
    split_by_prompt,
    write_held_out,
)
from training.runs.recipe import DataUsed, RunRecipe
from training.runs.run import Message, Progress, RunSummary, no_progress, open_run


class JudgeRecipe(RunRecipe):
    """A run that trains a model to vote. Paths are relative to the working folder."""

    METHOD: ClassVar[str] = "judge"
    CONFIG: ClassVar[str] = "TrainingArguments"

    family: str
    """The family of principles that the judge is trained for."""
    labelled: tuple[Path, ...] = ()
    """Pairs labelled by people, in any form that `charter judge-card` reads."""
    wordings: tuple[str, ...] = ()
    """What people labelled by, said in several ways; one is drawn for each question."""
    certainty: Annotated[float, Field(gt=0.5, le=1)] = 0.8
    """Probability given to what one person says."""
    rankings: tuple[Path, ...] = ()
    """Rankings by a larger judge: its probabilities under the family's principles are labels."""
    constitution: str | None = None
    """What the rankings were made under."""
    opposites: Annotated[int, Field(ge=0)] = 1
    """Questions a pair under the opposite of the principle, with the opposite label."""
    opposite_wordings: tuple[str, ...] = ()
    """The opposite of what people labelled by, in plain words, for half of the opposites."""
    contrasts: Annotated[int, Field(ge=0)] = 1
    """Questions a pair under another principle, whose answer code knows."""
    reading_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the loss of a lesson in reading: halfway through the layers trained, to tell a
    principle from its opposite. Without it a small model that knows the family learns to say
    nothing where it should turn round."""
    start_from: Path | None = None
    """The adapter of an earlier run, of the same base, family, pairs set aside and [lora]: its
    weights to start from, its votes, the mean log-odds of both orders, as labels instead of
    people's, but for the share that a probe gives. So what it knows is kept while the run teaches
    it to read."""
    strangers: Annotated[float, Field(ge=0)] = 0
    """Further pairs for each labelled one, on average: one of its completions and one that answers
    another prompt. `start_from` or a probe labels them, for what people labelled is few to learn
    from."""
    max_dropped: Share = 0.1
    """Largest share of pairs that may be left out as longer than max_length, since a pair that is
    cut off is another one; and of rankings that no judge scored."""
    plain_first: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the steps, from the first, that ask the family's own principle alone. To who does
    not read the principle yet, a question and its opposite say nothing together: with both from
    the start, a small model learns neither."""
    other_weight: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Weight in the loss of opposites and contrasts, once they are asked; the principle's own
    questions have 1."""
    held_out: Annotated[int, Field(ge=0)] = 0
    """Labelled pairs set aside by prompt before training, for a judge card; written to the run."""
    development: Annotated[int, Field(ge=0)] = 0
    """Of the others, pairs to look at while choosing settings; not trained on either."""
    split_seed: int = 0
    """Decides what is set aside, together with the prompts' texts alone."""
    upper_layers: Annotated[int, Field(ge=1)] | None = None
    """Train an adapter in so many upper layers only; absent: in all."""
    lower_states: Path | None = None
    """A folder to keep what the layers below say, 2 bytes a number, instead of computing it at each
    step; runs with the same model, upper_layers and questions share it. Delete it when done."""

    probe_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of each label, contrasts aside, that a linear probe of the lower states gives which did
    not see the pair: people's single words are noisy, and few of them are learnt by heart. The rest
    is people's, or that of `start_from`, which at 1 is not asked."""
    teacher_spread: Annotated[float, Field(gt=0)] | None = None
    """Standard deviation that the log-odds of a teacher, of the probe or of `start_from`, are
    scaled to before they become labels: their own are near 0, and teach slowly. How sure the
    trained judge may be is for its calibration to say."""

    def data_used(self) -> tuple[DataUsed, ...]:
        """The labelled files, the rankings, and the adapter started from."""
        files = [
            DataUsed(path=str(path), sha256=_sha256(path), rows=rows)
            for path, rows in _rows_in(self)
        ]
        if self.start_from:
            earlier = adapter_digest(self.start_from)
            files.append(DataUsed(path=str(self.start_from), sha256=earlier, rows=0))
        return tuple(files)

    @model_validator(mode="after")
    def _check_lessons(self) -> Self:
        if self.reading_weight and not self.opposites:
            raise ValueError("reading_weight needs opposites: what is to be told from a principle")
        if self.reading_weight and self.upper_layers == 1:
            raise ValueError("reading_weight needs upper_layers of 2 or more: it teaches the lower")
        if self.plain_first and not (self.opposites or self.contrasts):
            raise ValueError("plain_first needs opposites or contrasts: else nothing comes after")
        return self

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if not self.labelled and not self.rankings:
            raise ValueError("there is nothing to learn from; set `labelled` or `rankings`")
        if self.labelled and not self.wordings:
            raise ValueError("`labelled` needs `wordings`: the principle that people labelled by")
        if self.rankings and self.constitution is None:
            raise ValueError("`rankings` needs `constitution`: what they were made under")
        if self.lower_states and self.upper_layers is None:
            raise ValueError("lower_states needs upper_layers: else no layer stays as it is")
        if self.probe_share and not (self.lower_states and self.labelled):
            raise ValueError("probe_share needs lower_states, which it reads, and labelled pairs")
        if self.start_from and (self.lora is None or not self.labelled):
            raise ValueError("start_from needs labelled pairs and a [lora] table")
        if self.teacher_spread and not (self.probe_share or self.start_from):
            raise ValueError("teacher_spread needs a teacher: probe_share or start_from")
        if self.strangers and not self.start_from and self.probe_share < 1:
            raise ValueError("strangers needs start_from or probe_share = 1: no person labels them")
        if self.upper_layers is not None and self.lora is None:
            raise ValueError("upper_layers needs a [lora] table: it says where the adapter is")
        return self


class Examination(Record):
    """How a judge does on the development pairs; null where there are none."""

    right: Estimate | None = None
    """Share judged as people did, over both orders."""
    turned: Estimate | None = None
    """Share whose verdict turns round under the opposite principle, worded as cards word it."""


class ProbeReport(Record):
    """How well the lower layers' states tell labelled pairs apart, each by a probe of others."""

    pairs: int
    """Pairs trained on that people labelled."""
    right: float
    """Share of them told as people did, ties of theirs left out."""
    strength: float
    """Inverse regularisation, of the least cross-fitted loss."""


class JudgeSummary(RunSummary):
    """What came of a distillation."""

    questions: int
    """Questions asked of the rows, in one order."""
    held_out: int
    """Labelled pairs set aside for a judge card."""
    strangers: int
    """Pairs trained on that nobody labelled but the judge started from, or a probe."""
    probe: ProbeReport | None
    """The linear probe that gave a share of the labels, if one did."""
    before: Examination
    """The development pairs, judged by the model as it was."""
    after: Examination
    """The same, judged by the trained one."""


class Material:
    """What a recipe's data come to: questions to train on, pairs set aside."""

    def __init__(self, recipe: JudgeRecipe) -> None:
        """Raises: DataError for what cannot be read or teaches nothing, ConstitutionError;
        ConfigError for rankings made under another constitution."""
        self.told: list[str] = []
        """What a person should know of the rankings left out."""
        self.mixture = Mixture(
            recipe.wordings,
            recipe.certainty,
            recipe.opposites,
            recipe.contrasts,
            recipe.seed,
            recipe.opposite_wordings,
        )
        pairs = _read_all(recipe.labelled)
        kept, self.held_out = split_by_prompt(pairs, recipe.held_out, recipe.split_seed)
        kept, self.development = split_by_prompt(kept, recipe.development, recipe.split_seed + 1)
        self.questions = questions_of_people(kept, self.mixture, "labelled pair")
        self.labelled = len(self.questions)
        """So many questions, the first ones, are on people's pairs."""
        self._add_rankings(recipe)
        if not self.questions:
            raise DataError(f"{recipe.output}: no pair is left to train on; set fewer aside")
        asked = [one for pair in self.questions for one in pair.asked if one.kind == "plain"]
        if all(one.p_first == 0.5 for one in asked):
            raise DataError(
                f"{self.questions[0].place}: all labels are ties (0.5), this one and the others, "
                "so there is nothing to learn; take pairs that people or the judge tell apart"
            )

    def _add_rankings(self, recipe: JudgeRecipe) -> None:
        if recipe.constitution is None:
            return
        aside = {opening(pair.item.prompt) for pair in (*self.held_out, *self.development)}
        constitution = load_constitution(recipe.constitution)
        unscored, silent, total = [], [], 0
        for place, line in _numbered(recipe.rankings):
            total += 1
            check_made_under(line, constitution, place)
            pairs = questions_of_ranking(place, line, constitution, recipe.family, self.mixture)
            if line["status"] != "scored":
                unscored.append(place)
            elif not pairs:
                silent.append(place)
            self.questions += [pair for pair in pairs if opening(pair.conversation) not in aside]
        self.told += tell_left_out(unscored, total, "rankings are not scored", recipe.max_dropped)
        no_votes = f"rankings hold no votes under the family {recipe.family!r}"
        self.told += tell_left_out(silent, total, no_votes)

    def examined(self) -> list[PairQuestions]:
        """The development pairs under the first wording and under the card's negation of it."""
        from judges.cards.inversion import NEGATED

        if not self.development:
            return []
        text = self.mixture.wordings[0]
        one = self.mixture._replace(wordings=(text,), opposites=0, contrasts=0)
        return [
            pair._replace(
                asked=(
                    *pair.asked,
                    pair.asked[0]._replace(principle=NEGATED.format(text=text), kind="opposite"),
                )
            )
            for pair in questions_of_people(self.development, one, "development")
        ]


def train_judge(
    recipe: JudgeRecipe,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
    message: Message = say,
) -> JudgeSummary:
    """Train a judge; returns its summary. A finished run is returned as it is when resumed.

    Raises: DataError for data or a run folder that cannot be used, or a full disk; ConfigError;
    ModelError when memory is full or the loss is no longer a number.
    """
    material = Material(recipe)
    with open_run(
        recipe, recipe.data_used(), resume=resume, progress=progress, message=message
    ) as run:
        if (done := run.finished(JudgeSummary)) is not None:
            return done
        for text in material.told:
            run.message(text)
        if run.processes.is_main:
            write_held_out(material.held_out, run.folder.path / HELD_OUT)
        from training.distilled_judge.distillation import Distillation

        work = Distillation(recipe, material, run)
        before = work.examine()
        run.train(work.trainer)
        after = work.examine()
        run.publish(work.trainer)
        return run.finish(
            JudgeSummary,
            rows=len(work.kept),
            rows_dropped=work.dropped,
            questions=sum(len(pair.asked) for pair in work.kept),
            held_out=len(material.held_out),
            strangers=work.strangers,
            probe=work.probe,
            before=before,
            after=after,
        )


def _read_all(files: Sequence[Path]) -> list[LabelledPair]:
    """The pairs of all files, split as one set: a prompt in two of them stays on one side."""
    pairs: dict[str, LabelledPair] = {}
    for file in files:
        for pair in read_labelled(file):
            if pair.item.id in pairs:
                raise DataError(
                    f"{file}: id {pair.item.id!r} stands in another labelled file too; give each "
                    "pair its own id"
                )
            pairs[pair.item.id] = pair
    return list(pairs.values())


def _numbered(files: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each ranking line with its place."""
    for path in files:
        for number, line in enumerate(read_rankings(path), start=1):
            yield f"{path}:{number}", line


def _rows_in(recipe: JudgeRecipe) -> Iterator[tuple[Path, int]]:
    for path in recipe.labelled:
        yield path, len(read_labelled(path))
    for path in recipe.rankings:
        yield path, sum(1 for _ in read_jsonl(path))


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
