"""What rank, reweigh and preferences do: read files, open judges, call one function, say it."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from judges.ballots import Pairs, ballot_maker
from judges.budget import Budget, Prices
from judges.calibration.panel import Stacker
from judges.cards.gate import check_card
from judges.commands import KINDS
from judges.constitutions.constitution import Constitution
from judges.constitutions.files import load_constitution
from judges.cost import JudgeEstimate, estimate
from judges.cost_text import estimate_lines
from judges.errors import ConfigError, DataError
from judges.items import load_items
from judges.jsonl import Journal, read_text
from judges.judge import Method
from judges.judge_files import find_judges, open_judges
from judges.pair_rounds import FewPairs
from judges.preferences import PairingSettings, read_rankings, write_preferences
from judges.progress import progress, say
from judges.rank import rank
from judges.ranking_files import ballot_in, reweigh_file
from judges.records import Item
from judges.speed import Speed, given_speed
from judges.store.vote_store import VoteStore
from judges.suggest import did_you_mean
from judges.verbs import EXIT_UNSCORED, emit, refuse_same, say_resumed


def run_rank(options: argparse.Namespace) -> int:
    """`charter rank`"""
    pairs = _pairs_wanted(options)
    method = _method_wanted(options)
    budget = budget_wanted(options)
    constitution = load_constitution(options.constitution)
    items = load_items(options.input)
    refuse_same(options.input, options.output)
    with VoteStore.open(options.store) as store:
        if options.estimate:
            for told in asyncio.run(_estimated(items, constitution, options, store)):
                emit("\n".join(estimate_lines(told)))
            return 0
        status = asyncio.run(
            rank_file(
                items, constitution, options.judge, store, options.output, pairs,
                method=method, budget=budget, card=options.card, require_card=options.require_card,
            )
        )  # fmt: skip
    return say_status(options.output, status, options.max_unscored)


def say_status(output: Path, status: Counter[str], most: float) -> int:
    """Say how many lines have each status; the exit code, 3 when too many are not scored."""
    total, lost = status.total(), status.total() - status["scored"]
    say(f"{output}: " + ", ".join(f"{n} {name}" for name, n in sorted(status.items())))
    if lost > most * total:
        say(f"{lost} of {total} items are not scored, more than --max-unscored allows")
        return EXIT_UNSCORED
    return 0


def _pairs_wanted(options: argparse.Namespace) -> Pairs | FewPairs:
    """Raises: ConfigError for a flag that would change nothing."""
    for flag, value, modes in (
        ("--pairs-budget", options.pairs_budget, ("active", "random")),
        ("--pairs-goal", options.pairs_goal, ("active",)),
    ):
        if value is not None and options.pairs not in modes:
            raise ConfigError(
                f"{flag} is {value} · --pairs {options.pairs} · it goes with --pairs "
                f"{' or '.join(modes)} only"
            )
    if options.pairs != "all" and options.ask != "pairs":
        raise ConfigError(
            f"--pairs is {options.pairs} · --ask {options.ask} shows no pairs · leave out one"
        )
    if options.pairs not in ("active", "random"):
        fixed: Pairs = options.pairs
        return fixed
    return FewPairs(
        pairs=options.pairs, budget=options.pairs_budget, goal=options.pairs_goal or "order"
    )


def _method_wanted(options: argparse.Namespace) -> Method:
    """How judges are asked and combined. Raises: DataError for a panel file that is none."""
    asked: dict[str, Any] = {"kind": KINDS[options.ask], "samples": options.samples}
    if options.panel in ("mean", "majority"):
        return Method(**asked, panel=options.panel)
    if not Path(options.panel).is_file():
        hint = did_you_mean(options.panel, ("mean", "majority"))
        raise DataError(
            f"--panel {options.panel}: no file, and neither mean nor majority{hint}; "
            "`charter judge-card --judge A --judge B` writes stacker.json"
        )
    try:
        stacker = Stacker.model_validate_json(read_text(Path(options.panel)))
    except ValueError as error:
        raise DataError(
            f"{options.panel}: no fitted panel ({type(error).__name__}); write one with "
            "`charter judge-card --judge A --judge B`, or use mean or majority"
        ) from None
    if len(stacker.weights) != len(options.judge):
        raise ConfigError(
            f"{options.panel}: weighs {len(stacker.weights)} judges, {len(options.judge)} are "
            "named with --judge; name the panel it was fitted on, in its order"
        )
    return Method(**asked, stacker=stacker)


def budget_wanted(options: argparse.Namespace) -> Budget | None:
    """The limits that flags set."""
    limits: dict[str, Any] = dict(options.budget)
    return Budget(**limits) if limits else None


def speed_wanted(options: argparse.Namespace) -> Speed | None:
    """The speed that a flag gives."""
    return given_speed(*options.rate) if options.rate else None


def prices_of(judges: list[str]) -> dict[str, Prices]:
    """The price tables of the judges that have one."""
    named = find_judges(judges or ["default"])
    return {name: definition.price for name, definition in named if definition.price is not None}


async def _estimated(
    items: list[Item], constitution: Constitution, options: argparse.Namespace, store: VoteStore
) -> list[JudgeEstimate]:
    prices = prices_of(options.judge)
    async with AsyncExitStack() as stack:
        judges = await open_judges(options.judge, stack)
        pairs, method = _pairs_wanted(options), _method_wanted(options)
        return estimate(
            items, constitution, judges, store,
            pairs=pairs, method=method, prices=prices, rate=speed_wanted(options),
        )  # fmt: skip


async def rank_file(
    items: list[Item],
    constitution: Constitution,
    judge_names: list[str],
    store: VoteStore,
    output: Path,
    pairs: Pairs | FewPairs = "all",
    *,
    method: Method | None = None,
    budget: Budget | None = None,
    card: Path | None = None,
    require_card: bool = False,
) -> Counter[str]:
    """Rank to a file; returns how many items have each status.

    A second run judges only items that are new, changed, or ended in an error. What the judges'
    card says stands on each line, and on stderr where there is no good one.
    """
    method = method or Method()
    async with AsyncExitStack() as stack:
        judges = await open_judges(judge_names, stack)
        asked = pairs.model_dump() if isinstance(pairs, FewPairs) else pairs
        ballot = ballot_maker(judges, constitution, method)
        ballots = {item.id: ballot(item) for item in items}
        names = [judge.name for judge in judges]
        settings = next((made.settings.under(constitution) for made in ballots.values()), ())
        mark = check_card(names, settings, constitution, file=card, require=require_card)
        carded = mark.model_dump(mode="json")

        def keep(row: Mapping[str, Any]) -> bool:
            ballot = ballots.get(str(row["id"]))
            if ballot is None or row.get("status") == "error":
                return False
            digests = row.get("digests")
            same = isinstance(digests, dict) and digests.get("constitution") == constitution.digest
            same = same and row.get("card") == carded
            return same and row.get("asked") == asked and ballot_in(row) == ballot

        journal = stack.enter_context(Journal(output, keep))
        left = [item for item in items if item.id not in journal]
        say_resumed(len(journal), len(items), output)
        with progress("ranking", "prompts") as report:
            async for lines in rank(
                left, constitution, judges, store,
                pairs=pairs, method=method, budget=budget, progress=report,
            ):  # fmt: skip
                journal.append([{**line, "asked": asked, "card": carded} for line in lines])
        status = Counter(str(row["status"]) for row in journal.rows())
        _say_losses(journal)
        journal.finish(item.id for item in items)
    return status


def _say_losses(journal: Journal) -> None:
    """Say why items are unscored, what went wrong most often, and which judges left."""
    reasons = Counter(str(row["reason"]) for row in journal.rows() if row["status"] == "unscored")
    if reasons:
        say("unscored: " + ", ".join(f"{n} {reason}" for reason, n in reasons.most_common()))
    details = Counter(row["detail"] for row in journal.rows() if "detail" in row)
    for detail, count in details.most_common(1):
        say(f"{count} items are not done: {detail}; run again to ask for these only")
    left = {n: why for row in journal.rows() for n, why in row.get("left", {}).items()}
    for name, why in left.items():
        say(f"judge {name} left the panel: {why}")


def run_reweigh(options: argparse.Namespace) -> int:
    """`charter reweigh`"""
    constitution = load_constitution(options.constitution)
    with VoteStore.open(options.store) as store:
        status = reweigh_file(options.rankings, constitution, store, options.output)
    say(f"{options.output}: " + ", ".join(f"{n} {name}" for name, n in sorted(status.items())))
    if status["unscored"]:
        say("`reason` of a line says why; for missing_vote `charter relabel` asks what is lacking")
    return 0


def run_preferences(options: argparse.Namespace) -> int:
    """`charter preferences`"""
    refuse_same(options.rankings, options.output)
    settings = PairingSettings(pairing=options.pairing, minimum_margin=options.minimum_margin)
    counts = write_preferences(read_rankings(options.rankings), options.output, settings)
    dropped = ", ".join(f"{n} {reason}" for reason, n in counts.dropped.items()) or "none"
    say(f"{options.output}: {counts.kept} preferences kept; dropped: {dropped}")
    return 0
