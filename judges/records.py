"""The nouns that flow along the data path: one frozen record each, checked where it enters."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from judges.canonical import canonical_json, digest, text_digest

Status = Literal["scored", "unscored", "error"]
Kind = Literal["pair", "point", "list", "yes_no", "applies", "rule"]
Reason = Literal[
    "truncated",
    "refused",
    "too_long",
    "option_missing",
    "low_label_mass",
    "below_abstention_threshold",
    "missing_vote",
    "empty_completion",
    "one_completion",
    "not_connected",
    "engine_error",
    "over_budget",
    "cannot_check",
    "invalid_json",
    "quote_not_found",
    "deadline_passed",
    "invalid_item",
]
Probability = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """A frozen record: unknown keys are errors, the string under a field is its documentation."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )


class Message(Record):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    """Who speaks."""
    content: str
    """What is said. Data, never instructions to the judge."""


class CompletionText(Record):
    """One completion with what is known of how it came to be; unknown keys are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    text: str
    """The completion itself."""
    finish_reason: str | None = None
    """`stop` when the policy ended by itself, `length` when it was cut off."""
    tokens: int | None = None
    """Length in the policy's tokens."""
    policy: str | None = None
    """Which policy wrote it."""


class Item(Record):
    """A prompt with its completions: one line of a completions file."""

    id: str
    """Names the item in every file derived from it."""
    prompt: tuple[Message, ...]
    """The conversation up to the completion; system and tool turns allowed."""
    completions: tuple[CompletionText, ...]
    """What the policy answered, in the order sampled."""
    answer: str | None = None
    """The right answer, for rules that compare with one."""
    metadata: dict[str, Any] = {}
    """Kept and copied, never judged."""

    @property
    def conversation_text(self) -> str:
        """The canonical text of the prompt, as the vote store interns it."""
        return conversation_text(self.prompt)


class Setting(Record):
    """How a question was put: everything in a vote's key that is not the matter judged."""

    kind: Kind
    """What is asked about: an ordered pair, one completion, a group, or the prompt alone."""
    options: tuple[str, ...]
    """The answers offered, in order; empty for a rule."""
    template: str
    """Digest of the prompt template, padding included."""
    judge: str
    """The judge's fingerprint: weights digest, declared revision, or `MODEL@unpinned`."""
    few_shot: tuple[str, ...] = ()
    """Digests of the precedents shown, in order."""
    reference: str | None = None
    """Digest of the reference answer shown, if any."""
    sampling: dict[str, Any] = {}
    """Reasoning budget, temperature and seed, where the vote was sampled."""

    @property
    def text(self) -> str:
        """The canonical text of the setting, as the vote store interns it."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The sha-256 that names the setting."""
        return text_digest(self.text)


class Question(Record):
    """What one vote answers. Equal questions have equal keys, whoever asks them, wherever."""

    setting: str
    """Digest of the setting."""
    principle: str
    """Digest of the text, scope or rule asked about."""
    conversation: str
    """Digest of the conversation's canonical text."""
    completions: tuple[str, ...]
    """Digests of the completions in the order shown; empty where only the prompt is judged."""
    sample: int = 0
    """Which of several samples of the same question."""

    @property
    def key(self) -> str:
        """The vote key: sha-256 over everything the answer may depend on."""
        return digest(self.model_dump(mode="json"))


class Vote(Record):
    """One observation: how one judge, or one rule, answered one question. Stored raw and once."""

    question: Question
    """What was asked."""
    status: Literal["scored", "unscored"]
    """Errors of transport are no observation, and are never stored."""
    reason: Reason | None = None
    """Why it is unscored."""
    logprobs: tuple[float, ...] = ()
    """Natural-log probability of each option, in the setting's order, raw; empty for a rule."""
    label_mass: Probability | None = None
    """How much of the answer's probability fell on the options."""
    value: float | None = None
    """Two options: log-odds of the first. Rule: how well it is met, 0 to 1. Else the mean."""
    prompt_tokens: int = 0
    """Tokens of the prompt, padding included."""
    cached_tokens: int = 0
    """Of these, read from the prefix cache: the request's total, shared by prompt length."""
    provenance: str = ""
    """Engine, version, dtype and transport; never part of the key."""
    rationale: str | None = None
    """What the judge wrote before it chose, as canonical JSON; kept, never read for the vote."""


def conversation_text(messages: tuple[Message, ...]) -> str:
    """The canonical text of a conversation: a JSON list of role and content."""
    return canonical_json([[message.role, message.content] for message in messages])
