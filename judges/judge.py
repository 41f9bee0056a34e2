"""A judge: a model, what it is shown, how it thinks before it votes, and its settings' digests."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from judges.adjustment import Adjustment
from judges.calibration.panel import Stacker
from judges.calibration.scaling import Calibration
from judges.canonical import canonical_json, text_digest
from judges.constitutions.rules import RULES_FINGERPRINT
from judges.layout import LABELS, PAIR_OPTIONS, YES_NO_OPTIONS, template_digest
from judges.model import ChatModel
from judges.precedents import Precedents
from judges.ratings import RATING_OPTIONS, rating_form
from judges.records import Kind, Probability, Record, Setting
from judges.tally import FamilySettings, Settings

RULE_SETTING = Setting(kind="rule", options=(), template="", judge=RULES_FINGERPRINT)


def rule_setting(answer: str | None = None) -> Setting:
    """How rules are checked, where need be against a right answer: part of their votes' keys."""
    if answer is None:
        return RULE_SETTING
    return RULE_SETTING.model_copy(update={"reference": text_digest(answer)})


class Reasoning(Record):
    """Thinking before the vote: sampled within a budget, then the answer is chosen."""

    max_tokens: Annotated[int, Field(ge=1)] = 256
    """Its budget; what is cut off is closed, and the answer chosen all the same."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """Of the reasoning; the answer itself is never sampled."""
    seed: int = 0
    """Each sample has its own seed, made of this one."""
    samples: Annotated[int, Field(ge=1)] = 1
    """Votes a question, each with its own reasoning, averaged in probability."""
    cut_off: Literal["close", "unscored"] = "close"
    """What becomes of reasoning that outruns the budget."""


@dataclass(frozen=True)
class Judge:
    """A model that votes, under a name."""

    name: str
    model: ChatModel
    minimum_label_mass: Probability = 0.01
    """Answers with less probability on the options are unscored, not guessed."""
    reasoning: Reasoning | None = None
    """How it thinks first, if it does."""
    precedents: Precedents | None = None
    """Labelled cases shown before each pair."""
    criteria: bool = False
    """Whether it first writes down what a good completion of the prompt does."""
    reference: bool = False
    """Whether it first answers the prompt itself, to compare with."""
    calibration: Calibration | None = None
    """What turns its raw logits into calibrated ones, when votes are tallied."""
    clamp: Probability | None = None
    """Its probabilities are held within [1 - clamp, clamp]; 0.6 in Bai et al. 2022, section 4.3."""
    families: tuple[tuple[str, ChatModel], ...] = ()
    """Models that vote on pairs in its model's place, each under one family of principles."""
    _settings: dict[tuple[Kind, int], Setting] = field(default_factory=dict, compare=False)

    def under(self, family: str | None) -> "Judge":
        """Who answers under a family's principles: the same judge, with its model for them."""
        model = dict(self.families).get(family or "")
        return replace(self, model=model, families=(), _settings={}) if model else self

    @property
    def adjustment(self) -> Adjustment | None:
        """What is done to its logits when votes are tallied, if anything is."""
        if self.calibration is None and self.clamp is None:
            return None
        return Adjustment(calibration=self.calibration, clamp=self.clamp)

    def setting(self, kind: Kind, size: int = 0) -> Setting:
        """How this judge is asked a kind of question: part of every key of its votes.

        `size` is how many completions a group has, for the kind `list`.
        """
        if (kind, size) not in self._settings:
            able = self.model.capabilities()
            thinks = self.reasoning is not None and kind != "applies"
            self._settings[kind, size] = Setting(
                kind=kind,
                options=_options(kind, size),
                template=template_digest(able.transport, kind, thinks),
                judge=able.fingerprint,
                few_shot=(self.precedents.digest,) if self.precedents and kind == "pair" else (),
                reference=self._shown(kind),
                sampling=self._sampling(kind, thinks),
            )
        return self._settings[kind, size]

    def _shown(self, kind: Kind) -> str | None:
        """What is self-written and shown: it follows from the model, so its name is its key."""
        named = [name for name in ("criteria", "reference") if getattr(self, name)]
        return "+".join(named) or None if kind != "applies" else None

    def _sampling(self, kind: Kind, thinks: bool) -> dict[str, Any]:
        told: dict[str, Any] = {"minimum_label_mass": self.minimum_label_mass}
        # Asked of what the model can do, not of its class: the service wraps models.
        if vote_sampling := getattr(self.model, "vote_sampling", None):
            told |= vote_sampling()
        if kind == "point":
            told["rating"] = rating_form(self.model).name
        if thinks and self.reasoning:
            told["reasoning"] = self.reasoning.model_dump(exclude={"samples"})
        return told


def _options(kind: Kind, size: int) -> tuple[str, ...]:
    if kind == "list":
        return tuple(f" {label}" for label in LABELS[:size])
    return {"pair": PAIR_OPTIONS, "point": RATING_OPTIONS}.get(kind, YES_NO_OPTIONS)


class Method(Record):
    """How judges are asked about completions, and how their answers are combined."""

    kind: Literal["pair", "yes_no", "point", "list"] = "pair"
    """Pairs in both orders; each completion alone, by yes or no or by a rating from 1 to 10; or
    a whole group at once."""
    samples: Annotated[int, Field(ge=1)] | None = None
    """Votes a question; by default as many as the judges reason, and four shuffles of a group."""
    panel: Literal["mean", "majority"] = "mean"
    """How several judges are combined, where no stacker is given."""
    stacker: Stacker | None = None
    """Fitted weights of the judges, in their order."""


def settings_of(judges: Sequence[Judge], method: Method | None = None, size: int = 0) -> Settings:
    """The digests under which these judges' votes, and the rules', are stored and tallied.

    `size` is how many completions a group has, for the kind `list`.
    """
    method = method or Method()
    adjustments = tuple(adjustment.digest if (adjustment := j.adjustment) else None for j in judges)
    thinking = max((j.reasoning.samples for j in judges if j.reasoning), default=1)
    usual = 4 if method.kind == "list" else thinking
    return Settings(
        kind=method.kind,
        pair=tuple(judge.setting(method.kind, size).digest for judge in judges),
        applies=tuple(judge.setting("applies").digest for judge in judges),
        rule=RULE_SETTING.digest,
        samples=method.samples or usual,
        adjustments=adjustments if any(adjustments) else (),
        panel=method.stacker.digest if method.stacker else method.panel,
        families=_families(judges) if method.kind == "pair" else (),
    )


def _families(judges: Sequence[Judge]) -> tuple[FamilySettings, ...]:
    """How families are put to the judges, where some judge has a model for them."""
    known = sorted({family for judge in judges for family, _ in judge.families})
    return tuple(
        FamilySettings(
            family=family,
            pair=tuple(judge.under(family).setting("pair").digest for judge in judges),
        )
        for family in known
    )


def arithmetic_texts(judges: Sequence[Judge], method: Method) -> set[str]:
    """The texts of calibrations and panel weights, which the store keeps for `reweigh`."""
    texts = {judge.adjustment.text for judge in judges if judge.adjustment}
    if method.stacker:
        texts.add(canonical_json(method.stacker.model_dump(mode="json")))
    return texts
