"""Constitutional AI, supervised stage: critique, revise, check, round after round.

Each round puts one principle's requests about the text as the rounds before left it. A revision
that is empty, says the same, or that the judge finds worse than what it revised is marked and
never built upon; every round is kept.

Source: Bai et al. 2022, arXiv 2212.08073, section 3.1.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from judges.constitutions.constitution import Constitution, Principle
from judges.critiques.check import Check, Checked, check_revisions
from judges.critiques.critique import Critique, Subject, critique, reseeded
from judges.critiques.layout import Shot, revision_prompt
from judges.critiques.plan import drawn_principles
from judges.critiques.windows import Lines, Progress, in_windows, outcome
from judges.model import ChatModel, Completion, Failure, Sampling
from judges.records import Item, Reason, Record

RoundStatus = Literal["kept", "unchecked", "unneeded", "empty", "identical", "worse", "failed"]
ACCEPTED: tuple[RoundStatus, ...] = ("kept", "unchecked")


class Round(Record):
    """One critique, and what became of the revision it led to."""

    round: int
    """Counted from 1."""
    principle: str
    """Whose requests were put."""
    critique: Critique
    """What was found wrong with the text as it then was."""
    revision: str | None = None
    """The rewritten text, whatever its status; none where there was no answer or no need."""
    status: RoundStatus
    """`kept` and `unchecked` revisions are built upon. `unneeded`: the critique found nothing.
    `failed`: no usable critique, revision or check; the reason says which kind of failure."""
    reason: Reason | None = None
    """Why it failed."""
    detail: str = ""
    """What was seen instead, for people."""
    p: float | None = None
    """The judge's probability that the revision follows the principle better."""
    order_gap: float | None = None
    """Logits that the judge gave for being shown first."""


@dataclass(frozen=True)
class Revising:
    """Who revises, and how."""

    constitution: Constitution
    principles: Sequence[Principle]
    critic: ChatModel
    reviser: ChatModel
    sampling: Sampling
    rounds: int
    seed: int
    in_turn: bool = False
    """Each principle once, in order, in place of drawn ones."""
    attempts: int = 3
    always: bool = False
    """Revise also where the critique found nothing wrong, as published."""
    shots: Sequence[Shot] = ()
    check: Check | None = None
    """Who tells whether a revision is worse; without, revisions stay unchecked."""


@dataclass
class _Chain:
    """One completion on its way through the rounds."""

    item: Item
    original: str
    text: str
    plan: Sequence[Principle]
    rounds: list[Round] = field(default_factory=list)


async def revise(
    items: Sequence[Item], how: Revising, progress: Progress | None = None
) -> AsyncGenerator[Lines]:
    """Lines in the items' order, some at a time, each with all rounds of all its completions.

    Cost: for each completion and round, one critique (up to `attempts` where it is unusable), one
    revision where something was found (else with `always`), and two votes where there is a check.
    Raises: ModelError when a window of many items gets not one answer.
    """

    async def job(window: list[Item]) -> Lines:
        chains = [chain for item in window for chain in _chains(item, how)]
        for number in range(max((len(chain.plan) for chain in chains), default=0)):
            await _play(chains, number, how)
        return [_line(item, [c for c in chains if c.item is item]) for item in window]

    async for lines in in_windows(items, job, progress):
        yield lines


def _chains(item: Item, how: Revising) -> list[_Chain]:
    """Each completion with its principles; those of one item are drawn apart."""
    return [
        _Chain(
            item,
            completion.text,
            completion.text,
            how.principles
            if how.in_turn
            else drawn_principles(how.principles, how.rounds, how.seed, f"{item.id}:{index}"),
        )
        for index, completion in enumerate(item.completions)
    ]


async def _play(chains: Sequence[_Chain], number: int, how: Revising) -> None:
    """One round of every chain."""
    critiques = await critique(
        [_subject(chain, chain.plan[number]) for chain in chains],
        how.critic,
        _reseeded(how.sampling, "critique", number),
        attempts=how.attempts,
        shots=how.shots,
    )
    rounds = [
        _opened(chain, number, found, how.always)
        for chain, found in zip(chains, critiques, strict=True)
    ]
    asked = [i for i, made in enumerate(rounds) if made is None]
    prompts = [_request(chains[i], critiques[i], number, how.shots) for i in asked]
    drawing = _reseeded(how.sampling, "revision", number)
    answers = await how.reviser.complete(prompts, drawing) if prompts else []
    for i, answer in zip(asked, answers, strict=True):
        rounds[i] = _revised(chains[i], number, critiques[i], answer)
    played = [made for made in rounds if made is not None]
    if how.check is not None:
        played = await _checked(chains, played, number, how.constitution, how.check)
    for chain, made in zip(chains, played, strict=True):
        chain.rounds.append(made)
        if made.status in ACCEPTED and made.revision is not None:
            chain.text = made.revision


def _reseeded(sampling: Sampling, *parts: object) -> Sampling:
    return sampling.model_copy(update={"n": 1, "seed": reseeded(sampling, *parts)})


def _subject(chain: _Chain, principle: Principle) -> Subject:
    return Subject(chain.item.prompt, chain.text, principle.id, principle.critique or "")


def _request(chain: _Chain, found: Critique, number: int, shots: Sequence[Shot]) -> Any:
    request = chain.plan[number].revise or ""
    return revision_prompt(chain.item.prompt, chain.text, found.finding, request, shots)


def _opened(chain: _Chain, number: int, found: Critique, always: bool) -> Round | None:
    """The round as its critique ends it; None where a revision is called for."""
    made = Round(
        round=number + 1, principle=chain.plan[number].id, critique=found, status="unneeded"
    )
    if found.status != "scored":
        told = {"status": "failed", "reason": found.reason, "detail": found.detail}
        return made.model_copy(update=told)
    return made if found.severity == "none" and not always else None


def _revised(
    chain: _Chain, number: int, found: Critique, answer: tuple[Completion, ...] | Failure
) -> Round:
    """The round as its revision leaves it, before any check."""
    made = Round(
        round=number + 1, principle=chain.plan[number].id, critique=found, status="unchecked"
    )
    if isinstance(answer, Failure):
        told = {"status": "failed", "reason": answer.reason, "detail": answer.detail}
        return made.model_copy(update=told)
    text = answer[0].text.strip()
    told = {"revision": text}
    if not text:
        told |= {"status": "empty", "reason": "empty_completion"}
    elif answer[0].finish_reason == "length":
        told |= {"status": "failed", "reason": "truncated"}
    elif text == chain.text.strip():
        told |= {"status": "identical"}
    return made.model_copy(update=told)


async def _checked(
    chains: Sequence[_Chain],
    rounds: Sequence[Round],
    number: int,
    constitution: Constitution,
    check: Check,
) -> list[Round]:
    """The rounds with the judge's word on every revision that is not marked yet."""
    open_ones = [i for i, made in enumerate(rounds) if made.status == "unchecked"]
    pairs = [
        (chains[i].item.prompt, chains[i].text, rounds[i].revision or "", chains[i].plan[number])
        for i in open_ones
    ]
    verdicts = await check_revisions(pairs, constitution, check)
    told = dict(zip(open_ones, verdicts, strict=True))
    return [
        _with_verdict(made, told[i], constitution) if i in told else made
        for i, made in enumerate(rounds)
    ]


def _with_verdict(made: Round, verdict: Checked, constitution: Constitution) -> Round:
    told = verdict.model_dump()
    if verdict.p is None:
        return made.model_copy(update={**told, "status": "failed"})
    worse = verdict.p < 0.5 - constitution.aggregate.tie_margin
    return made.model_copy(update={**told, "status": "worse" if worse else "kept"})


def _line(item: Item, chains: Sequence[_Chain]) -> dict[str, Any]:
    rounds = [made for chain in chains for made in chain.rounds]
    return {
        "id": item.id,
        **outcome(
            (made.reason if made.status == "failed" else None, made.detail) for made in rounds
        ),
        "prompt": [message.model_dump() for message in item.prompt],
        "completions": [
            {
                "text": chain.original,
                "rounds": [made.model_dump(mode="json") for made in chain.rounds],
                "accepted": chain.text,
                "accepted_round": max(
                    (made.round for made in chain.rounds if made.status in ACCEPTED), default=None
                ),
            }
            for chain in chains
        ],
        "metadata": item.metadata,
    }
