"""What code can check, as a reward: the rules of a constitution, by their weights."""

from collections.abc import Sequence

from judges.constitutions.constitution import Constitution
from judges.constitutions.rules import check_rule
from judges.errors import ConfigError
from judges.records import CompletionText, Item
from training.online.reward import Score


class RuleReward:
    """The weighted mean of how well a completion meets each rule, 0 to 1; no model is asked."""

    def __init__(self, constitution: Constitution) -> None:
        """Raises: ConfigError for a constitution without a rule that weighs anything."""
        self.name = "rules"
        self._rules = [
            (p.id, p.rule, p.weight) for p in constitution.principles if p.rule and p.weight > 0
        ]
        if not self._rules:
            raise ConfigError(
                f"{constitution.reference}: no principle has a rule, so code can check nothing; "
                'use kind = "judge", or a constitution with rules such as plain-speech'
            )

    async def __call__(
        self, prompts: Sequence[Item], completions: Sequence[CompletionText]
    ) -> list[Score]:
        """A score for each completion; unscored where a rule cannot say, such as an answer lacking.

        An empty completion is scored as the rules see it: it is short, and says nothing.
        """
        return [self.score_one(*pair) for pair in zip(prompts, completions, strict=True)]

    async def close(self) -> None:
        """Nothing to release."""

    def score_one(self, prompt: Item, completion: CompletionText) -> Score:
        """The score of one completion."""
        met = {
            name: check_rule(rule, prompt.prompt, completion.text, prompt.answer)
            for name, rule, _ in self._rules
        }
        unknown = [name for name, value in met.items() if value is None]
        if unknown:
            detail = f"rule {unknown[0]!r} cannot be checked"
            return Score(value=None, reason="cannot_check", detail=detail, parts=met)
        weights = {name: weight for name, _, weight in self._rules}
        total = sum(weights[name] * value for name, value in met.items() if value is not None)
        return Score(value=total / sum(weights.values()), parts=met)
