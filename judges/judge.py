"""A judge: a model, how much of its answer must fall on the options, and its settings' digests."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from judges.constitutions.rules import RULES_FINGERPRINT
from judges.layout import PAIR_OPTIONS, YES_NO_OPTIONS, template_digest
from judges.model import ChatModel
from judges.records import Kind, Probability, Setting
from judges.tally import Settings

RULE_SETTING = Setting(kind="rule", options=(), template="", judge=RULES_FINGERPRINT)


@dataclass(frozen=True)
class Judge:
    """A model that votes, under a name."""

    name: str
    model: ChatModel
    minimum_label_mass: Probability = 0.01
    """Answers with less probability on the options are unscored, not guessed."""
    _settings: dict[Kind, Setting] = field(default_factory=dict, compare=False)

    def setting(self, kind: Kind) -> Setting:
        """How this judge is asked a kind of question: part of every key of its votes."""
        if kind not in self._settings:
            able = self.model.capabilities()
            self._settings[kind] = Setting(
                kind=kind,
                options=PAIR_OPTIONS if kind == "pair" else YES_NO_OPTIONS,
                template=template_digest(able.transport),
                judge=able.fingerprint,
                sampling={"minimum_label_mass": self.minimum_label_mass},
            )
        return self._settings[kind]


def settings_of(judges: Sequence[Judge]) -> Settings:
    """The digests under which these judges' votes, and the rules', are stored."""
    return Settings(
        pair=tuple(judge.setting("pair").digest for judge in judges),
        applies=tuple(judge.setting("applies").digest for judge in judges),
        rule=RULE_SETTING.digest,
    )
