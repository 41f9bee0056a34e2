"""What `charter judge-card` does: judge the labelled pairs, measure, write card and page."""

import argparse
import asyncio
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import orjson

from judges.attacks.measure import AttackReport, measure_attacks
from judges.calibration.scaling import Calibration, write_calibration
from judges.cards.card import JudgeCard, make_card
from judges.cards.confidence import CardSettings
from judges.cards.gate import keep_card
from judges.cards.inversion import measure_inversion
from judges.cards.labelled import LabelledPair, drawn, read_labelled
from judges.cards.page import card_page
from judges.cards.voting import judge_pairs, uncalibrated
from judges.commands import KINDS
from judges.constitutions.constitution import Constitution
from judges.constitutions.files import load_constitution
from judges.errors import ConfigError
from judges.jsonl import replacing
from judges.judge import Judge, Method
from judges.judge_files import open_judges
from judges.models.openai import OpenAIModel
from judges.progress import progress, say
from judges.records import Item
from judges.store.vote_store import VoteStore
from judges.verbs import emit, refuse_same


def run_judge_card(options: argparse.Namespace) -> int:
    """`charter judge-card`"""
    if options.output.suffix != ".json":
        raise ConfigError(f"--output {options.output} · writes a .json file, as in card.json")
    constitution = load_constitution(options.constitution)
    refuse_same(options.data, options.output)
    pairs = drawn(read_labelled(options.data, options.slice), options.limit, options.seed)

    async def run() -> JudgeCard:
        async with AsyncExitStack() as stack:
            judges = await open_judges(options.judge, stack)
            return await measure_judges(pairs, constitution, judges, store, options)

    with VoteStore.open(options.store) as store:
        card = asyncio.run(run())
    for path in write_card(card, options.output):
        say(f"{path}: written")
    kept = keep_card(card.model_dump(mode="json"))
    say(f"{kept}: kept for `charter rank`")
    emit(f"{card.gate}: {card.gate_reason}")
    return 0


async def measure_judges(
    pairs: list[LabelledPair],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    options: argparse.Namespace,
) -> JudgeCard:
    """The card of open judges on these pairs.

    Cost: see `judge_pairs`, `measure_inversion` and, with --attacks, `measure_attacks`; an
    identical second run asks nothing.
    """
    how = CardSettings(
        seed=options.seed,
        alpha=options.alpha,
        delta=options.delta,
        inversion_pairs=options.inversion_pairs,
    )
    raw = uncalibrated(judges)
    method = Method(kind=KINDS[options.ask])
    with progress("judging", "pairs") as report:
        judged = await judge_pairs(pairs, constitution, raw, store, method, report)
    say(f"{judged.cost.votes} votes on {len(pairs)} pairs, {judged.new_votes} of them new")
    with progress("negating", "pairs") as report:
        negation = await measure_inversion(
            pairs, constitution, raw, store, method,
            at_most=how.inversion_pairs, seed=how.seed, progress=report,
        )  # fmt: skip
    attacks = await _attacked(pairs, constitution, raw, store, options) if options.attacks else None
    return make_card(
        pairs,
        constitution,
        raw,
        judged,
        negation,
        method=method,
        data=options.data.name,
        options=how,
        attacks=attacks,
    )


def better_first(pairs: Sequence[LabelledPair]) -> list[Item]:
    """The pairs that are no tie, the completion that people prefer first."""
    return [
        pair.item.model_copy(update={"completions": pair.item.completions[:: 1 if won else -1]})
        for pair in pairs
        if (won := pair.preferred) != 0.5
    ]


async def _attacked(
    pairs: list[LabelledPair],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    options: argparse.Namespace,
) -> AttackReport | None:
    decided = [pair for pair in pairs if pair.preferred != 0.5]
    chosen = better_first(drawn(decided, options.attack_pairs, options.seed))
    if not chosen:
        say("no attack was tried: people call every pair a tie")
        return None
    encoders = [j.model.encoder for j in judges if isinstance(j.model, OpenAIModel)]
    tokenizers = [encoder.folder for encoder in encoders if encoder]
    with progress("attacking", "pairs") as report:
        return await measure_attacks(
            chosen, constitution, judges, store,
            tokenizers=tokenizers,
            seed=options.seed, progress=report,
        )  # fmt: skip


def write_card(card: JudgeCard, output: Path) -> list[Path]:
    """Write the card, its page and the fitted temperatures; returns where they are.

    `card.json` has `calibration.json` beside it, another NAME.json NAME.calibration.json; for a
    panel that one holds for its mean logit, each judge's own has the judge's name in it, and
    `stacker.json` holds the weights for `charter rank --panel`.
    """
    page = output.with_suffix(".html")
    with replacing(output) as file:
        file.write(orjson.dumps(card.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
    with replacing(page) as file:
        file.write(card_page(card).encode("utf-8"))
    stem = "" if output.stem == "card" else f"{output.stem}."
    fitted: dict[str, Calibration] = {}
    if card.confidence.fitted is not None:
        fitted[f"{stem}calibration.json"] = card.confidence.fitted
    for name, one in (card.panel.temperatures if card.panel else {}).items():
        fitted[f"{stem}calibration.{re.sub(r'[^A-Za-z0-9_-]', '-', name)}.json"] = one
    paths = [output, page, *(output.with_name(name) for name in fitted)]
    for path, calibration in zip(paths[2:], fitted.values(), strict=True):
        write_calibration(path, calibration)
    if card.panel is not None and card.panel.stacker is not None:
        paths.append(output.with_name(f"{stem}stacker.json"))
        with replacing(paths[-1]) as file:
            file.write(orjson.dumps(card.panel.stacker.model_dump(mode="json")))
    return paths
