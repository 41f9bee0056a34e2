"""Who still sits on a panel: a judge whose engine is gone leaves it, with the reason on record."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from judges.judge import Judge
from judges.matter import Matter
from judges.model import Failure
from judges.records import Question
from judges.votes import DEAD_AFTER, Asked, stop_when_dead


@dataclass
class Panel:
    """The judges that are asked; one that answers nothing for long leaves, unless it is alone."""

    judges: Sequence[Judge]
    left: dict[str, str] = field(default_factory=dict)
    """Judges that left, by name, with what was seen."""

    def seated(self, questions: Iterable[Question], matter: Matter) -> list[Question]:
        """The questions to judges that are still there, and those that code answers."""
        return [q for q in questions if self._name(q, matter) not in self.left]

    def watch(self, told: Asked, matter: Matter) -> None:
        """Let judges leave whose questions all failed. Raises: ModelError when none is left."""
        failed: dict[str, list[Failure]] = {}
        for question, failure in told.failures.items():
            failed.setdefault(self._name(question, matter), []).append(failure)
        answered = {self._name(question, matter) for question in told.new}
        for name, failures in failed.items():
            if len(failures) >= DEAD_AFTER and name not in answered:
                detail = Counter(one.detail for one in failures).most_common(1)[0][0]
                self.left.setdefault(name, detail)
        if len(self.left) >= len(self.judges):
            stop_when_dead(told)

    def failures(self, told: Asked, matter: Matter) -> dict[Question, Failure]:
        """The failures of judges that are still there: those make an item an error."""
        return {
            question: failure
            for question, failure in told.failures.items()
            if self._name(question, matter) not in self.left
        }

    def _name(self, question: Question, matter: Matter) -> str:
        judge = matter.settings[question.setting][0]
        return judge.name if judge else ""
