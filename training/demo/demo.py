"""The whole path on the embedded model: a written constitution changes a real language model.

prompts → completions → votes → preferences → DPO → a measured difference on held-out prompts,
then one edit of a weight, whose effect on the labels costs no model call. Each stage leaves its
file in the run folder; killed at any point, the same command goes on where it stood.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from judges.constitutions.constitution import Constitution
from judges.constitutions.files import load_constitution
from judges.engine.lease import acquire
from judges.errors import ConfigError
from judges.items import load_items, load_prompts
from judges.jsonl import read_jsonl, replacing
from judges.judge_files import open_judges
from judges.model import Sampling
from judges.policies import engine_for
from judges.preferences import PairingSettings, PreferenceCounts, read_rankings, write_preferences
from judges.progress import progress, say
from judges.ranking_files import reweigh_file
from judges.ranking_verbs import rank_file
from judges.records import Record
from judges.sample_verbs import sample_file
from judges.store.upkeep import store_stats
from judges.store.vote_store import VoteStore
from training.demo.report import DemoReport, FlippedLabel, WeightEdit, write_report
from training.evaluation.evaluate import Evaluation, EvaluationSettings, evaluate
from training.methods.dpo import DpoRecipe, train_dpo
from training.runs.recipe_files import load_recipe

HERE = Path(__file__).parent
CONSTITUTION = "plain-speech@1.0.0"
SAMPLING = Sampling(n=4, max_tokens=40, temperature=0.8)
PAIRING = PairingSettings(pairing="best-worst", minimum_margin=0.1)
EDITED_PRINCIPLE = "says-why"
EDITED_WEIGHT = 6.0
MOST_EXAMPLES = 3


class DemoSize(Record):
    """How much the demo does; less than all of it only proves that every stage runs."""

    train: int = 96
    """Prompts sampled, ranked and trained on."""
    held_out: int = 48
    """Prompts the policies are compared on."""
    steps: int = 20
    """Training steps of four pairs."""


def run_demo(out: Path, seed: int, size: DemoSize | None = None) -> dict[str, Any]:
    """Run every stage that is not done yet; returns what summary.json holds.

    Cost: about five engine-minutes and two training-minutes on two slow cores.
    Raises: ConfigError when the folder holds a demo with another seed.
    """
    size = size or DemoSize()
    out.mkdir(parents=True, exist_ok=True)
    stages = _Stages(out, seed)
    constitution = load_constitution(CONSTITUTION)
    prompts = load_prompts(HERE / "prompts.jsonl")
    train = [p for p in prompts if p.metadata["split"] == "train"][: size.train]
    held_out = [p for p in prompts if p.metadata["split"] == "heldout"][: size.held_out]
    with VoteStore.open(f"sqlite:///{out / 'votes.db'}") as store:
        with stages.timed("engine"):
            lease = acquire(engine_for(None), say)
        with lease:
            with stages.timed("sample"):
                sampling = SAMPLING.model_copy(update={"seed": seed})
                asyncio.run(sample_file(train, None, sampling, out / "completions.jsonl", None))
            with stages.timed("rank"):
                items = load_items(out / "completions.jsonl")
                rankings = out / "rankings.jsonl"
                asyncio.run(rank_file(items, constitution, [], store, rankings, "chain"))
            counts = write_preferences(read_rankings(rankings), out / "preferences", PAIRING)
            with stages.timed("train"):
                _train(out, seed, size.steps)
            with stages.timed("evaluate"):
                evaluation = _evaluate(out, seed, constitution, held_out, store)
        with stages.timed("reweigh"):
            edit = _edit_weight(out, constitution, store)
    return _finish(out, stages, constitution, counts, evaluation, edit)


class _Stages:
    """How long each stage took, over all the runs it needed."""

    def __init__(self, out: Path, seed: int) -> None:
        self._path = out / "stages.json"
        known: dict[str, Any] = {"seed": seed}
        if self._path.exists():
            known = json.loads(self._path.read_text())
        if known["seed"] != seed:
            raise ConfigError(
                f"{out}: holds the demo with seed {known['seed']}, not {seed}; give another --out"
            )
        self._known = known
        self.seconds: dict[str, float] = known.setdefault("seconds", {})
        self._write()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        say(f"== {stage}")
        start = time.monotonic()
        try:
            yield
        finally:
            passed = self.seconds.get(stage, 0.0) + time.monotonic() - start
            self.seconds[stage] = round(passed, 1)
            self._write()

    def _write(self) -> None:
        with replacing(self._path) as file:
            file.write(json.dumps(self._known, indent=2).encode())


def _train(out: Path, seed: int, steps: int) -> None:
    overrides = [
        f'preferences="{out / "preferences" / "train.jsonl"}"',
        f'output="{out / "policy"}"',
        f"seed={seed}",
        f"trainer.max_steps={steps}",
    ]
    recipe = load_recipe(HERE / "recipe.toml", DpoRecipe, overrides)
    started = (out / "policy").exists()
    with progress("training", "steps") as report:
        train_dpo(recipe, resume=started, progress=lambda step, total, _: report(step, total))


def _evaluate(
    out: Path, seed: int, constitution: Constitution, held_out: Any, store: VoteStore
) -> Evaluation:
    path = out / "evaluation.json"
    if path.exists():
        return Evaluation.model_validate_json(path.read_text())

    async def run() -> Evaluation:
        async with AsyncExitStack() as stack:
            judges = await open_judges([], stack)
            settings = EvaluationSettings(samples=2, max_tokens=SAMPLING.max_tokens, seed=seed)
            with progress("judging", "pairs") as report:
                return await evaluate(
                    str(out / "policy"), None, constitution, held_out, judges, store, settings,
                    report,
                )  # fmt: skip

    evaluation = asyncio.run(run())
    with replacing(path) as file:
        file.write(evaluation.model_dump_json(indent=2).encode())
    return evaluation


def _edit_weight(out: Path, constitution: Constitution, store: VoteStore) -> WeightEdit:
    """Change one weight in a copy of the constitution file, rank again, and count what flipped."""
    edited = _edited_file(out)
    before = store_stats(store).votes
    start = time.monotonic()
    new = load_constitution(str(edited))
    reweigh_file(out / "rankings.jsonl", new, store, out / "edited.jsonl")
    seconds = time.monotonic() - start
    old = next(p.weight for p in constitution.principles if p.id == EDITED_PRINCIPLE)
    pairs, flipped = _flips(out, constitution.aggregate.tie_margin)
    return WeightEdit(
        principle=EDITED_PRINCIPLE,
        old_weight=old,
        new_weight=EDITED_WEIGHT,
        pairs=pairs,
        flipped=len(flipped),
        model_calls=store_stats(store).votes - before,
        seconds=round(seconds, 3),
        examples=tuple(flipped[:MOST_EXAMPLES]),
    )


def _edited_file(out: Path) -> Path:
    name, version = CONSTITUTION.split("@")
    source = HERE.parents[1] / "constitutions" / name / f"{version}.yaml"
    pattern = rf"(- id: {EDITED_PRINCIPLE}\n(?:    .*\n)*?    weight: )[0-9.]+"
    text, changed = re.subn(pattern, rf"\g<1>{EDITED_WEIGHT}", source.read_text("utf-8"))
    assert changed == 1, f"{source}: no weight of {EDITED_PRINCIPLE} to edit"
    edited = out / "edited-constitution.yaml"
    with replacing(edited) as file:
        file.write(text.encode())
    return edited


def _flips(out: Path, margin: float) -> tuple[int, list[FlippedLabel]]:
    """Pairs labelled both before and after, and those whose better side changed."""
    pairs, flipped = 0, []
    rows = zip(read_jsonl(out / "rankings.jsonl"), read_jsonl(out / "edited.jsonl"), strict=True)
    for (_, old), (_, new) in rows:
        for i, j in old["observed"]:
            before, after = old["p"][i][j], new["p"][i][j]
            if after is None or min(abs(before - 0.5), abs(after - 0.5)) < margin:
                continue
            pairs += 1
            if (before > 0.5) != (after > 0.5):
                first, second = old["completions"][i], old["completions"][j]
                flipped.append(
                    FlippedLabel(
                        prompt=old["prompt"][-1]["content"],
                        before_better=first if before > 0.5 else second,
                        after_better=first if after > 0.5 else second,
                        p_before=max(before, 1 - before),
                        p_after=max(after, 1 - after),
                    )
                )
    return pairs, flipped


def _finish(
    out: Path,
    stages: _Stages,
    constitution: Constitution,
    counts: PreferenceCounts,
    evaluation: Evaluation,
    edit: WeightEdit,
) -> dict[str, Any]:
    win = evaluation.win_rate
    summary = {
        "win_rate": win.rate,
        "win_rate_low": win.low,
        "win_rate_high": win.high,
        "win_rate_rules": evaluation.win_rate_rules and evaluation.win_rate_rules.rate,
        "win_rate_judged": evaluation.win_rate_judged and evaluation.win_rate_judged.rate,
        "noise_floor": evaluation.noise_floor.rate,
        "sane_before": evaluation.against_text.sane.mean,
        "sane_after": evaluation.policy_text.sane.mean,
        "pairs_kept": counts.kept,
        "pairs_dropped": counts.dropped,
        "labels_flipped": edit.flipped,
        "flip_model_calls": edit.model_calls,
        "seconds": round(sum(stages.seconds.values()), 1),
    }
    with replacing(out / "summary.json") as file:
        file.write(json.dumps(summary, indent=2).encode())
    labels = [row["p_chosen"] for _, row in read_jsonl(out / "preferences" / "train.jsonl")]
    metrics = [row for _, row in read_jsonl(out / "policy" / "metrics.jsonl")]
    report = DemoReport(
        title="A constitution changes a model",
        constitution=constitution,
        evaluation=evaluation,
        counts=counts,
        labels=tuple(labels),
        training=tuple(metrics),
        edit=edit,
        timings=stages.seconds,
        summary=summary,
    )
    write_report(out / "report.html", report)
    say(f"report: {out / 'report.html'}")
    return summary
