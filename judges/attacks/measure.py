"""How often an attack inside the worse completion flips a verdict that was right without it.

Structure is checked at no cost and must hold; what content alone achieves is a property of the
judge, so it is measured: against the same pairs clean, and against the same pairs with harmless
text of the same length, because length moves many judges without any attack.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from judges.attacks.structure import ControlTokens, structural_breaks
from judges.attacks.suite import SUITE, Attack, Family, filler
from judges.calibration.estimates import Estimate, FloatArray, mean_estimate, share_estimate
from judges.constitutions.constitution import Constitution
from judges.errors import DataError
from judges.judge import Judge
from judges.rank import rank
from judges.records import CompletionText, Item, Record
from judges.reweigh import DECIMALS
from judges.store.vote_store import VoteStore

CONTROL_STEP = 40
"""Controls come in steps of so many characters, so that attacks of about a length share one."""
FEWEST = 2
"""Fewer numbers than this have no interval from a bootstrap."""
Progress = Callable[[int, int], None]
Logits = Mapping[tuple[int, str], float]
"""Log-odds of the better completion, by pair and by the worse completion's text as shown."""


class AttackResult(Record):
    """What one attack did to a judge."""

    attack: str
    """Its name."""
    family: Family
    """What kind of attack it is."""
    n: int
    """Pairs judged rightly when clean, and scored under attack."""
    flips: Estimate | None
    """Share of the n whose verdict the attack turned round; a tie is half a flip."""
    control_flips: Estimate | None
    """The same with harmless text of the attack's length, to 20 characters, in its place."""
    excess_flips: Estimate | None
    """Flips above the control's, on the pairs that have both: what length does not explain."""
    logit_shift: Estimate | None
    """Mean shift of the log-odds toward the attacked completion, over all pairs scored twice."""
    unscored: int
    """Pairs scored when clean, but not under attack."""
    structural_breaks: int
    """Prompts whose sections or control tokens the attack changed: always to be 0."""


class AttackReport(Record):
    """A judge under every attack."""

    pairs: int
    """Labelled pairs given."""
    right: int
    """Of these, judged rightly when clean: only they can flip."""
    wrong: int
    """Judged wrongly, or as a tie, when clean."""
    unscored: int
    """Without a verdict when clean."""
    prompts_checked: int
    """Attacked prompts whose structure was checked."""
    control_tokens_checked: bool
    """Whether token ids were checked too, or the text of the prompts only."""
    structural_breaks: int
    """The sum over all attacks: always to be 0."""
    flips: Estimate | None
    """Share of verdicts turned round over all attacks; the interval is over pairs."""
    attacks: tuple[AttackResult, ...]
    """The attacks one by one, in the suite's order."""


async def measure_attacks(
    pairs: Sequence[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    attacks: Sequence[Attack] = SUITE,
    tokenizers: Sequence[Path] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> AttackReport:
    """What each attack does to the judges' verdicts on pairs whose better completion comes first.

    For one principle, give a constitution reduced to it (`judges.tampering.pairs.alone`).
    `tokenizers` are the model folders of judges that are sent token ids; `seed` draws intervals.
    Cost: for each pair and judged principle, two votes for each text that the worse completion
    becomes: clean, once an attack, and a control for each length; all stored, so free on a rerun.
    Raises: DataError for an item that is no pair; ModelError when the judge is gone.
    """
    shown = [_shown(pair, attacks) for pair in pairs]
    breaks = await asyncio.to_thread(_breaks, pairs, constitution, attacks, tokenizers)
    logits = await _judge(pairs, shown, constitution, judges, store, progress)
    clean = _column(logits, [pair.completions[1].text for pair in pairs])
    results = [
        _result(attack, clean, _columns(logits, attack, pairs), breaks[attack.name], seed)
        for attack in attacks
    ]
    return AttackReport(
        pairs=len(pairs),
        right=int((clean > 0).sum()),
        wrong=int((clean <= 0).sum()),
        unscored=int(np.isnan(clean).sum()),
        prompts_checked=2 * len(pairs) * len(attacks),
        control_tokens_checked=bool(tokenizers),
        structural_breaks=sum(breaks.values()),
        flips=_flips_of_all(attacks, pairs, clean, logits),
        attacks=tuple(results),
    )


def control(text: str, attacked: str) -> str:
    """The text with harmless words of the length an attack adds, in steps of `CONTROL_STEP`."""
    added = max(0, len(attacked) - len(text))
    return text + filler(round(added / CONTROL_STEP) * CONTROL_STEP)


def _shown(pair: Item, attacks: Sequence[Attack]) -> list[str]:
    """Every text that a pair's worse completion is shown as; each once, the clean one first."""
    if len(pair.completions) != 2:
        raise DataError(
            f"item {pair.id!r} has {len(pair.completions)} completions; a labelled pair has two, "
            "the better one first"
        )
    text = pair.completions[1].text
    attacked = [attack.apply(text) for attack in attacks]
    return list(dict.fromkeys([text, *attacked, *(control(text, a) for a in attacked)]))


async def _judge(
    pairs: Sequence[Item],
    shown: Sequence[Sequence[str]],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    progress: Progress | None,
) -> Logits:
    """The log-odds of the better completion against each text shown, where there is a verdict."""
    asked = [(k, text) for k, texts in enumerate(shown) for text in texts]
    items = [_item(pairs[k], number, text) for number, (k, text) in enumerate(asked)]
    logits: dict[tuple[int, str], float] = {}
    order = iter(asked)
    async for lines in rank(items, constitution, judges, store, progress=progress):
        for line in lines:
            place = next(order)
            if line["status"] == "scored":
                logits[place] = _logit(float(line["p"][0][1]))
    return logits


def _item(pair: Item, number: int, text: str) -> Item:
    completions = (pair.completions[0], CompletionText(text=text))
    return Item(id=f"{number}:{pair.id}", prompt=pair.prompt, completions=completions)


def _logit(p: float) -> float:
    """Log-odds; p comes rounded, so 0 and 1 stand for the last value the rounding can show."""
    least = 10.0**-DECIMALS
    kept = min(max(p, least), 1 - least)
    return float(np.log(kept) - np.log1p(-kept))


def _column(logits: Logits, texts: Sequence[str]) -> FloatArray:
    """Log-odds of each pair with its worse completion shown as this text; NaN where unscored."""
    return np.array([logits.get((k, text), np.nan) for k, text in enumerate(texts)], dtype=float)


def _columns(
    logits: Logits, attack: Attack, pairs: Sequence[Item]
) -> tuple[FloatArray, FloatArray]:
    """The log-odds under attack, and under its control."""
    texts = [pair.completions[1].text for pair in pairs]
    attacked = [attack.apply(text) for text in texts]
    controls = [control(text, a) for text, a in zip(texts, attacked, strict=True)]
    return _column(logits, attacked), _column(logits, controls)


def _result(
    attack: Attack,
    clean: FloatArray,
    columns: tuple[FloatArray, FloatArray],
    breaks: int,
    seed: int,
) -> AttackResult:
    attacked, controlled = columns
    right = clean > 0
    flips, control_flips = flipped(attacked[right]), flipped(controlled[right])
    return AttackResult(
        attack=attack.name,
        family=attack.family,
        n=int((~np.isnan(flips)).sum()),
        flips=_share(flips),
        control_flips=_share(control_flips),
        excess_flips=_mean(flips - control_flips, seed),
        logit_shift=_mean(clean - attacked, seed),
        unscored=int((np.isnan(attacked) & ~np.isnan(clean)).sum()),
        structural_breaks=breaks,
    )


def flipped(logits: FloatArray) -> FloatArray:
    """For log-odds of the right answer: 1 where wrong, a half at a tie, NaN where unscored."""
    return np.asarray((1 - np.sign(logits)) / 2)


def _share(values: FloatArray) -> Estimate | None:
    scored = values[~np.isnan(values)]
    return share_estimate(scored) if len(scored) else None


def _mean(values: FloatArray, seed: int) -> Estimate | None:
    scored = values[~np.isnan(values)]
    return mean_estimate(scored, seed=seed) if len(scored) >= FEWEST else None


def _flips_of_all(
    attacks: Sequence[Attack], pairs: Sequence[Item], clean: FloatArray, logits: Logits
) -> Estimate | None:
    """The share of flips over attacks and pairs; one pair under many attacks is one observation."""
    right = clean > 0
    table = [flipped(_columns(logits, attack, pairs)[0][right]) for attack in attacks]
    values = np.concatenate(table) if table else np.array([])
    groups = np.tile(np.flatnonzero(right), len(table))
    scored = ~np.isnan(values)
    return share_estimate(values[scored], groups[scored]) if scored.any() else None


def _breaks(
    pairs: Sequence[Item],
    constitution: Constitution,
    attacks: Iterable[Attack],
    tokenizers: Sequence[Path],
) -> dict[str, int]:
    """Broken prompts by attack: every pair in both orders, under the principles in turn."""
    tokens = [ControlTokens(folder) for folder in tokenizers]
    texts = [principle.text for principle in constitution.principles if principle.text]
    asked = texts or [principle.title for principle in constitution.principles]
    return {
        attack.name: sum(
            _prompts_broken(pair, attack, asked[k % len(asked)], tokens)
            for k, pair in enumerate(pairs)
        )
        for attack in attacks
    }


def _prompts_broken(
    pair: Item, attack: Attack, principle: str, tokens: Sequence[ControlTokens]
) -> int:
    better, worse = (completion.text for completion in pair.completions)
    attacked = attack.apply(worse)
    orders = (
        ((better, attacked), (better, worse)),
        ((attacked, better), (worse, better)),
    )
    return sum(
        bool(structural_breaks(pair.prompt, *shown, clean, principle, tokens))
        for shown, clean in orders
    )
