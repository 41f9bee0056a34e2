"""What judging answers hold: the lines of the command line's files, described for OpenAPI."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from judges.critiques.critique import Critique
from judges.critiques.revise import Round
from judges.records import Message, Probability, Reason, Record, Status

Matrix = list[list[float | None]]


class Digests(Record):
    """What the answer was made by, down to the sentence."""

    constitution: str
    """The constitution's overall digest."""
    judge: str | None
    """Digest of how each judge was asked, joined by `+`."""
    calibration: str | None = None
    """Digest of what is done to the judges' logits."""


class Usage(Record):
    """What the answer cost."""

    votes: int
    """Votes that it is made of."""
    new_votes: int
    """Of these, cast now; the others were stored."""
    prompt_tokens: int
    """Tokens of the new votes' prompts."""
    cached_tokens: int
    """Of these, read from the engine's prefix cache."""
    rounds: int | None = None
    """Rounds of asking, where few pairs are judged."""


class Outcome(Record):
    """What every line begins with."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    id: str
    """The item's id."""
    status: Status
    """`scored`; `unscored`: it would be again; `error`: worth another try."""
    reason: Reason | None
    """Why it is not scored."""
    detail: str = ""
    """What was seen instead, for people."""
    metadata: dict[str, Any] = Field({})
    """As sent."""


class Judged(Outcome):
    """What a line holds that was judged at all."""

    digests: Digests | None = None
    """What it was made by."""
    prompt: list[Message] = Field([])
    """As judged."""
    completions: list[str] = Field([])
    """As judged."""
    usage: Usage | None = None
    """What it cost."""


class PairPrinciple(Record):
    """One principle's word on a pair."""

    p: Probability | None
    """Probability that the first follows it better, both orders averaged."""
    order_gap: float | None
    """Logits that judges gave for being shown first."""
    applies: float | None
    """Probability that the principle applies to the prompt; 1 without a scope."""


class CompareLine(Judged):
    """The verdict on a pair."""

    preferred: Literal[0, 1] | None = None
    """The better one; null for a tie, and where nothing was decided."""
    p: Probability | None = None
    """Probability that the first is better."""
    principles: dict[str, PairPrinciple] = Field({})
    """Each principle's word, by id."""
    votes: dict[str, Any] = Field({})
    """Where the votes lie in the store."""


class GroupPrinciple(Record):
    """One principle's word on a group."""

    p: Matrix
    """Probability that the row follows it better than the column."""
    order_gap: float | None
    """Logits that judges gave for being shown first, on average."""
    applies: float | None
    """Probability that the principle applies to the prompt; 1 without a scope."""


class RankLine(Judged):
    """A ranking."""

    scores: list[float | None] = Field([])
    """Zero-mean logits, one for each completion."""
    ranking: list[int] = Field([])
    """Indices, best first."""
    tie_groups: list[list[int]] = Field([])
    """Neighbours within the tie margin."""
    cycles: list[list[int]] = Field([])
    """Verdicts that contradict each other."""
    p: Matrix = Field([])
    """Probability that the row is better than the column."""
    observed: list[tuple[int, int]] = Field([])
    """Pairs that have a verdict."""
    unranked: dict[str, Reason] = Field({})
    """Completions left out, by index, with the reason."""
    principles: dict[str, GroupPrinciple] = Field({})
    """Each principle's word, by id."""
    votes: dict[str, Any] = Field({})
    """Where the votes lie in the store."""


class ScorePrinciple(Record):
    """One principle's scores, one for each completion."""

    applies: float | None
    """Probability that the principle applies to the prompt."""
    p: list[float | None]
    """P(yes) that it is followed."""
    rating: list[float | None]
    """Mean rating, 1 to 10."""
    score: list[float | None]
    """What counts, 0 to 1."""
    statements: dict[str, list[float | None]] = Field({})
    """P(yes) of each statement."""


class ScoreLine(Judged):
    """Scores without an opponent."""

    scores: list[float | None] = Field([])
    """0 to 1, higher is better."""
    ratings: list[float | None] | None = None
    """1 to 10, where asked for."""
    reasons: list[Reason | None] = Field([])
    """Why each completion has no score."""
    principles: dict[str, ScorePrinciple] = Field({})
    """Each principle's scores, by id."""


class CritiquedCompletion(Record):
    """A completion and what is wrong with it."""

    text: str
    """As sent."""
    critiques: list[Critique]
    """One for each principle."""


class CritiqueLine(Outcome):
    """Critiques of each completion."""

    prompt: list[Message] = Field([])
    """As judged."""
    completions: list[CritiquedCompletion] = Field([])
    """In the order sent."""


class RevisedCompletion(Record):
    """A completion on its way through the rounds."""

    text: str
    """As sent."""
    rounds: list[Round]
    """All of them, also those that came to nothing."""
    accepted: str
    """The text that the rounds ended with."""
    accepted_round: int | None
    """The last round that was built upon; null where the text is as sent."""


class ReviseLine(Outcome):
    """Revisions of each completion."""

    prompt: list[Message] = Field([])
    """As judged."""
    completions: list[RevisedCompletion] = Field([])
    """In the order sent."""


def documented(line: type[Outcome]) -> dict[int | str, dict[str, Any]]:
    """How a judging route's good answer is documented: one object, or NDJSON of them."""
    return {
        200: {
            "model": line,
            "description": "One object for one item; for `items`, NDJSON with one such a line",
            "content": {
                "application/x-ndjson": {
                    "schema": {"$ref": f"#/components/schemas/{line.__name__}"}
                }
            },
        }
    }
