"""Does the trained policy follow the constitution better than the one it started from?

Both policies answer held-out prompts; the judge compares them in both orders; the same comparison
of the base with itself is the noise floor. Win rates over rules and over judged principles apart
come from the same votes, as do those of each principle.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from judges.ballots import ballot_of
from judges.constitutions.constitution import Constitution
from judges.judge import Judge, settings_of
from judges.model import ChatModel, Completion, Failure, ModelPrompt, Sampling
from judges.models.openai import OpenAIModel
from judges.policies import open_policy
from judges.rank import Progress, rank
from judges.records import CompletionText, Item, Probability, Record
from judges.reweigh import rankings
from judges.store.vote_store import VoteStore
from training.evaluation.statistics import Interval, distinct_n, mean_interval, sane


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


class WinRate(Record):
    """How often one side is preferred; ties count half. With n 0 nothing is known: 0 to 1."""

    rate: Probability
    """Share of pairs won."""
    low: Probability
    """Lower end of the 95 % interval, by bootstrap over prompts."""
    high: Probability
    """Upper end."""
    n: int
    """Pairs scored."""
    unscored: int
    """Pairs left out because the judge gave no verdict."""


class PolicyText(Record):
    """How a policy's completions look, before anyone judges them."""

    n: int
    """Completions."""
    sane: Interval
    """Share finished, of five words or more, ending as a sentence, not repeating itself."""
    words: Interval
    """Mean words a completion."""
    distinct_2: Probability
    """Distinct word pairs over all word pairs: 0 says one thing only."""


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
    """KL(policy || other) in nats a completion; None where token ids are not at hand."""
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
) -> Evaluation:
    """Sample from both policies, judge every pair in both orders, and measure.

    Cost: three sets of `samples` completions a prompt, twice that many pairs judged, and for the
    KL divergence one more set, read twice. Raises: ModelError.
    """
    async with AsyncExitStack() as stack:
        base = await open_policy(against, stack)
        tuned = await open_policy(policy, stack)
        won, lost, other = await asyncio.gather(
            _draw(tuned, prompts, settings, settings.seed),
            _draw(base, prompts, settings, settings.seed + 1),
            _draw(base, prompts, settings, settings.seed + 2),
        )
        kl = await _kl(tuned, base, prompts, settings)
        names = [model.capabilities().fingerprint for model in (tuned, base)]
    items = _pairs(prompts, won, lost) + _pairs(prompts, other, lost, "noise:")
    lines = {
        line["id"]: line
        async for part in rank(items, constitution, judges, store, progress=progress)
        for line in part
    }
    real = [lines[item.id] for item in items if not item.id.startswith("noise:")]
    noise = [lines[item.id] for item in items if item.id.startswith("noise:")]
    pairs = [item for item in items if not item.id.startswith("noise:")]
    seed, margin = settings.seed, constitution.aggregate.tie_margin
    return Evaluation(
        constitution=constitution.reference,
        digests=real[0]["digests"],
        policy=names[0],
        against=names[1],
        settings=settings,
        prompts=len(prompts),
        win_rate=_win_rate(real, _verdict, margin, seed),
        noise_floor=_win_rate(noise, _verdict, margin, seed),
        win_rate_rules=_part(constitution, True, pairs, judges, store, margin, seed),
        win_rate_judged=_part(constitution, False, pairs, judges, store, margin, seed),
        principles={
            principle.id: _win_rate(real, _under(principle.id), margin, seed)
            for principle in constitution.principles
        },
        policy_text=_text(won, seed),
        against_text=_text(lost, seed),
        kl=kl,
        examples=_examples(prompts, won, lost, lines),
    )


Drawn = list[tuple[CompletionText, ...]]


async def _draw(
    model: ChatModel, prompts: Sequence[Item], settings: EvaluationSettings, seed: int
) -> Drawn:
    sampling = Sampling(
        n=settings.samples,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=seed,
    )
    answers = await model.complete([ModelPrompt(messages=p.prompt) for p in prompts], sampling)
    return [
        ()
        if isinstance(answer, Failure)
        else tuple(CompletionText(text=c.text, finish_reason=c.finish_reason) for c in answer)
        for answer in answers
    ]


def _pairs(prompts: Sequence[Item], left: Drawn, right: Drawn, prefix: str = "") -> list[Item]:
    return [
        Item(id=f"{prefix}{prompt.id}#{k}", prompt=prompt.prompt, completions=pair)
        for prompt, ours, theirs in zip(prompts, left, right, strict=True)
        for k, pair in enumerate(zip(ours, theirs, strict=False))
    ]


def _verdict(line: Mapping[str, Any]) -> float | None:
    p = line["p"][0][1]
    return None if p is None or p != p else float(p)


def _under(principle: str) -> Any:
    return lambda line: _verdict(line["principles"].get(principle, {"p": [[None, None]]}))


def _win_rate(lines: Sequence[Mapping[str, Any]], read: Any, margin: float, seed: int) -> WinRate:
    """Wins over scored pairs; what lies within the tie margin is half a win."""
    wins, clusters = [], []
    for line in lines:
        p = read(line)
        if p is not None:
            wins.append(0.5 if abs(p - 0.5) < margin or p == 0.5 else float(p > 0.5))
            clusters.append(line["id"].rsplit("#", 1)[0])
    if not wins:
        return WinRate(rate=0.5, low=0.0, high=1.0, n=0, unscored=len(lines))
    interval = mean_interval(wins, clusters, seed=seed)
    return WinRate(
        rate=interval.mean,
        low=interval.low,
        high=interval.high,
        n=len(wins),
        unscored=len(lines) - len(wins),
    )


def _part(
    constitution: Constitution,
    rules: bool,
    pairs: Sequence[Item],
    judges: Sequence[Judge],
    store: VoteStore,
    margin: float,
    seed: int,
) -> WinRate | None:
    """The win rate that some of the principles alone give: the same votes, no model call."""
    kept = tuple(p for p in constitution.principles if (p.rule is not None) == rules)
    if not kept:
        return None
    part = constitution.model_copy(update={"principles": kept})
    settings = settings_of(judges)
    lines = list(rankings([ballot_of(item, settings) for item in pairs], part, store))
    return _win_rate(lines, _verdict, margin, seed)


def _text(drawn: Drawn, seed: int) -> PolicyText:
    completions = [completion for group in drawn for completion in group]
    clusters = [str(index) for index, group in enumerate(drawn) for _ in group]
    texts = [completion.text for completion in completions]
    return PolicyText(
        n=len(texts),
        sane=mean_interval([float(sane(c)) for c in completions], clusters, seed=seed),
        words=mean_interval([float(len(text.split())) for text in texts], clusters, seed=seed),
        distinct_2=distinct_n(texts, 2),
    )


def _examples(
    prompts: Sequence[Item], won: Drawn, lost: Drawn, lines: Mapping[str, Any]
) -> tuple[Example, ...]:
    return tuple(
        Example(
            id=prompt.id,
            prompt=prompt.prompt[-1].content,
            policy=ours[0].text,
            against=theirs[0].text,
            p=_verdict(lines[f"{prompt.id}#0"]),
        )
        for prompt, ours, theirs in zip(prompts, won, lost, strict=True)
        if ours and theirs
    )[:12]


async def _kl(
    policy: ChatModel, base: ChatModel, prompts: Sequence[Item], settings: EvaluationSettings
) -> Interval | None:
    """KL(policy || base) in nats a completion, by the log-ratio on samples at temperature 1."""
    if not isinstance(base, OpenAIModel) or base.encoder is None or settings.kl_samples == 0:
        return None
    asked = [ModelPrompt(messages=prompt.prompt) for prompt in prompts]
    sampling = Sampling(
        n=settings.kl_samples,
        max_tokens=settings.max_tokens,
        temperature=1.0,
        seed=settings.seed,
        logprobs=True,
    )
    answers = await policy.complete(asked, sampling)
    drawn: list[tuple[str, list[int], Completion]] = [
        (str(row), base.encoder.encode(prompt), completion)
        for row, (prompt, answer) in enumerate(zip(asked, answers, strict=True))
        if not isinstance(answer, Failure)
        for completion in answer
        if completion.token_ids
    ]
    scored = await base.prompt_logprobs(
        [ids + list(completion.token_ids) for _, ids, completion in drawn],
        [len(ids) for _, ids, _ in drawn],
    )
    ratios = [
        sum(completion.logprobs) - sum(reference)
        for (_, _, completion), reference in zip(drawn, scored, strict=True)
        if not isinstance(reference, Failure)
    ]
    rows = [
        row
        for (row, _, _), reference in zip(drawn, scored, strict=True)
        if not isinstance(reference, Failure)
    ]
    return mean_interval(ratios, rows, seed=settings.seed) if ratios else None
