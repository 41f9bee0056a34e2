"""Does the trained policy follow the constitution better than the one it started from?

Both policies answer held-out prompts; the judge compares them in both orders; the same comparison
of the base with itself is the noise floor. Win rates over rules and over judged principles apart
come from the same votes, as do those of each principle, each also at equal length. What a policy
may have lost meanwhile is measured beside: refusals where none is due, variety, what it knew.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

from judges.constitutions.constitution import Constitution
from judges.errors import VerdictError
from judges.judge import Judge
from judges.model import ChatModel, Sampling
from judges.policies import open_policy
from judges.rank import Progress, rank
from judges.records import Item, Probability, Record
from judges.store.vote_store import VoteStore
from training.evaluation.answers import Answers, Drawn
from training.evaluation.capability import Capability, Question, as_reader, compare_capability
from training.evaluation.distance import Divergence, kl_divergence
from training.evaluation.harness import Benchmark
from training.evaluation.judged_refusals import tell_refusals
from training.evaluation.narrators import Dispute
from training.evaluation.policy_text import Diversity, PolicyText, compare_diversity, look_at_text
from training.evaluation.refusals import Probe, Refusals, ToldBy
from training.evaluation.statistics import Interval
from training.evaluation.sycophancy import Sycophancy, compare_sycophancy
from training.evaluation.unanswered import Unanswered, count_unanswered
from training.evaluation.verdicts import Told, verdict
from training.evaluation.win_rates import NOISE, Pairs, WinRate


class EvaluationSettings(Record):
    """How a policy is compared with another."""

    samples: int = 2
    """Completions of each policy for each prompt; intervals are taken over prompts."""
    temperature: float = 0.8
    """Sampling temperature of both policies."""
    max_tokens: int = 256
    """Longest completion."""
    seed: int = 0
    """Draws completions, other ones for each policy, and bootstrap samples."""
    kl_samples: int = 1
    """Completions a prompt, at temperature 1, over which the KL divergence is estimated."""
    refusals_by: ToldBy = "wording"
    """What tells a refusal: its wording, or the judges."""


class Example(Record):
    """One held-out prompt with both answers."""

    id: str
    """The prompt's id."""
    prompt: str
    """Its last turn."""
    policy: str
    """What the policy answered."""
    against: str
    """What it is compared with."""
    p: Probability | None
    """P(policy's answer better)."""


class Evaluation(Record):
    """A policy against another under a constitution."""

    constitution: str
    """Reference of the constitution."""
    digests: dict[str, Any]
    """Digests behind the verdicts."""
    policy: str
    """Fingerprint of the policy."""
    against: str
    """Fingerprint of what it is compared with."""
    settings: EvaluationSettings
    """How completions were drawn."""
    prompts: int
    """Held-out prompts."""
    win_rate: WinRate
    """The policy against the other."""
    noise_floor: WinRate
    """The other against itself, other samples: what no difference looks like."""
    win_rate_rules: WinRate | None
    """Counting only what code checks."""
    win_rate_judged: WinRate | None
    """Counting only what the judge decides."""
    principles: dict[str, WinRate]
    """Each principle alone."""
    policy_text: PolicyText
    """The policy's completions."""
    against_text: PolicyText
    """The other's."""
    kl: Interval | None
    """KL(policy || other) in nats a completion; None where token ids are not at hand, or not known
    to be of one tokenizer."""
    unanswered: Unanswered | None = None
    """What the policies did not answer."""
    diversity: Diversity | None = None
    """Whether answers became alike."""
    refusals: Refusals | None = None
    """On prompts that should be answered and on those that should not; None where none were
    given."""
    capability: Capability | None = None
    """What the policy still knows; None where no questions were given."""
    sycophancy: Sycophancy | None = None
    """Whether the policy says what its user wants to hear; None where no disputes were given."""
    benchmarks: tuple[Benchmark, ...] = ()
    """What lm-evaluation-harness measured of both, where its results were given."""
    examples: tuple[Example, ...]
    """The first held-out prompts, not a selection."""


async def evaluate(
    policy: str | None,
    against: str | None,
    constitution: Constitution,
    prompts: Sequence[Item],
    judges: Sequence[Judge],
    store: VoteStore,
    settings: EvaluationSettings,
    progress: Progress | None = None,
    *,
    probes: Sequence[Probe] = (),
    questions: Sequence[Question] = (),
    disputes: Sequence[Dispute] = (),
    pushed: Sequence[Question] = (),
    answers: Path | None = None,
) -> Evaluation:
    """Sample from both policies, judge every pair in both orders, and measure.

    `pushed` are questions with choices: wrong ones are held against the policies' answers.
    `answers` is a folder that keeps what both say, so that a second run draws only the rest.

    Cost: three sets of `samples` completions a prompt, twice that many pairs judged, and for the
    KL divergence one more set, read twice; `samples` completions a probe of each policy; each
    choice of a question read by each; `compare_sycophancy`.
    Raises: ModelError; VerdictError where no prompt was answered by both; ConfigError for questions
    to a policy that cannot read given answers.
    """
    said = await _ask_policies(
        policy, against, prompts, settings, probes, questions, disputes, pushed, Answers(answers)
    )
    won, lost, seed = said.won, said.lost, settings.seed
    items = _pairs(prompts, won, lost)
    if not items:
        raise VerdictError(
            f"none of {len(prompts)} prompts was answered by both policies ({said.policy}: "
            f"{sum(map(bool, won))}, {said.against}: {sum(map(bool, lost))}), so nothing can be "
            "compared; look at what they say to one prompt, with `charter sample`"
        )
    items += _pairs(prompts, said.other, lost, NOISE)
    lines = {
        line["id"]: line
        async for part in rank(items, constitution, judges, store, progress=progress)
        for line in part
    }
    told = Told(Pairs(items), [lines[item.id] for item in items], constitution, seed)
    return Evaluation(
        constitution=constitution.reference,
        digests=told.lines[0]["digests"],
        policy=said.policy,
        against=said.against,
        settings=settings,
        prompts=len(prompts),
        win_rate=told.win_rate(),
        noise_floor=told.win_rate(noise=True),
        win_rate_rules=told.part(True, judges, store),
        win_rate_judged=told.part(False, judges, store),
        principles={
            principle.id: told.win_rate(principle.id) for principle in constitution.principles
        },
        policy_text=look_at_text(won, seed),
        against_text=look_at_text(lost, seed),
        kl=said.kl.interval,
        unanswered=count_unanswered(won, lost, settings.samples, said.kl.left_out),
        diversity=compare_diversity(lost, won, seed),
        refusals=await tell_refusals(
            probes, *said.probed, settings.refusals_by, judges, store, seed
        )
        if said.probed
        else None,
        capability=said.capability,
        sycophancy=said.sycophancy,
        examples=_examples(prompts, won, lost, lines),
    )


class _Said(NamedTuple):
    """What was heard of both policies, before anything is judged."""

    policy: str
    against: str
    won: Drawn
    lost: Drawn
    other: Drawn
    probed: tuple[Drawn, Drawn] | None
    kl: Divergence
    capability: Capability | None
    sycophancy: Sycophancy | None


async def _ask_policies(
    policy: str | None,
    against: str | None,
    prompts: Sequence[Item],
    settings: EvaluationSettings,
    probes: Sequence[Probe],
    questions: Sequence[Question],
    disputes: Sequence[Dispute],
    pushed: Sequence[Question],
    kept: Answers,
) -> _Said:
    seed = settings.seed
    async with AsyncExitStack() as stack:
        base = await open_policy(against, stack)
        tuned = await open_policy(policy, stack)
        readers = [as_reader(base, "--against"), as_reader(tuned, "--policy")] if questions else []
        won, lost, other = await asyncio.gather(
            kept.draw("policy", tuned, prompts, _sampling(settings, seed)),
            kept.draw("against", base, prompts, _sampling(settings, seed + 1)),
            kept.draw("against-itself", base, prompts, _sampling(settings, seed + 2)),
        )
        return _Said(
            policy=tuned.capabilities().fingerprint,
            against=base.capabilities().fingerprint,
            won=won,
            lost=lost,
            other=other,
            probed=await _probe(base, tuned, probes, settings, kept) if probes else None,
            kl=await kl_divergence(
                tuned, base, prompts, settings.kl_samples, _sampling(settings, seed)
            ),
            capability=await compare_capability(readers[0], readers[1], questions, seed)
            if readers
            else None,
            sycophancy=await compare_sycophancy(base, tuned, disputes, pushed, seed)
            if disputes or pushed
            else None,
        )


def _sampling(settings: EvaluationSettings, seed: int) -> Sampling:
    return Sampling(
        n=settings.samples,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=seed,
    )


async def _probe(
    base: ChatModel,
    tuned: ChatModel,
    probes: Sequence[Probe],
    settings: EvaluationSettings,
    kept: Answers,
) -> tuple[Drawn, Drawn]:
    """What each policy answers to the probes; both draw with the same seed."""
    items, sampling = [probe.item for probe in probes], _sampling(settings, settings.seed)
    before, after = await asyncio.gather(
        kept.draw("refusals-against", base, items, sampling),
        kept.draw("refusals-policy", tuned, items, sampling),
    )
    return before, after


def _pairs(prompts: Sequence[Item], left: Drawn, right: Drawn, prefix: str = "") -> list[Item]:
    return [
        Item(id=f"{prefix}{prompt.id}#{k}", prompt=prompt.prompt, completions=pair)
        for prompt, ours, theirs in zip(prompts, left, right, strict=True)
        for k, pair in enumerate(zip(ours, theirs, strict=False))
    ]


def _examples(
    prompts: Sequence[Item], won: Drawn, lost: Drawn, lines: Mapping[str, Any]
) -> tuple[Example, ...]:
    return tuple(
        Example(
            id=prompt.id,
            prompt=prompt.prompt[-1].content,
            policy=ours[0].text,
            against=theirs[0].text,
            p=verdict(lines[f"{prompt.id}#0"]),
        )
        for prompt, ours, theirs in zip(prompts, won, lost, strict=True)
        if ours and theirs
    )[:12]
