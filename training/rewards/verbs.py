"""What the verb `reward` does: read files, call one function, say what came of it."""

import argparse
import json
from pathlib import Path
from typing import Any

from judges.constitutions.files import load_constitution
from judges.errors import ConfigError, DataError
from judges.items import load_items
from judges.jsonl import write_jsonl
from judges.progress import say
from judges.records import Item, Message
from judges.rewards.score import Reader, Rewards, ServedModel
from judges.verbs import emit
from training.rewards.export import Reference


def run_export(options: argparse.Namespace) -> int:
    """`charter reward export`"""
    from training.rewards.export import SERVE_FILE, ExportSettings, export_reward_model

    settings = ExportSettings(
        dtype=options.dtype, length=options.length, most_reference=options.most_reference
    )
    reference = _reference(options.run, options.reference)
    exported = export_reward_model(options.run, options.output, reference, settings)
    for head in exported.description.heads:
        slope = f", {head.length_slope:+.3f} a log token taken off" if head.length_slope else ""
        say(f"{head.kind} {head.name}: mean {head.mean:.3f}, spread {head.std:.3f}{slope}")
    say(f"{exported.folder / SERVE_FILE} serves it, by this command:")
    emit(exported.command)
    return 0


def run_score(options: argparse.Namespace) -> int:
    """`charter reward score`"""
    items = load_items(options.input)
    constitution = load_constitution(options.constitution) if options.constitution else None
    rewards = Rewards(
        _readers(options.models, options.urls),
        constitution,
        how=options.combine,
        penalty=options.penalty,
    )
    lines = _score(items, rewards)
    if options.output is None:
        for line in lines:
            emit(json.dumps(line))
    else:
        write_jsonl(options.output, lines)
        say(f"{options.output}: rewards of {len(items)} prompts' completions")
    return 0


def _readers(folders: list[Path], urls: list[str]) -> list[Reader]:
    if urls and len(urls) != len(folders):
        raise ConfigError(
            f"{len(urls)} --url for {len(folders)} --model; name one server for each, or none"
        )
    if urls:
        return [ServedModel(folder, url) for folder, url in zip(folders, urls, strict=True)]
    from training.rewards.loaded import LoadedModel

    return [LoadedModel(folder) for folder in folders]


def _score(items: list[Item], rewards: Rewards) -> list[dict[str, Any]]:
    """A line for each prompt: its completions' rewards, and each member's where there are more."""
    prompts = [item.prompt for item in items for _ in item.completions]
    completions = [completion.text for item in items for completion in item.completions]
    scored = rewards.judge(prompts, completions)
    reward = _numbers(scored.reward_S.tolist())
    members = [_numbers(row) for row in scored.member_MS.tolist()]
    lines, start = [], 0
    for item in items:
        here = slice(start, start + len(item.completions))
        start = here.stop
        line: dict[str, Any] = {"id": item.id, "rewards": reward[here]}
        if len(members) > 1:
            line["members"] = [member[here] for member in members]
            line["variance"] = _numbers(scored.variance_S[here].tolist())
        lines.append(line)
    return lines


def _numbers(values: list[float]) -> list[float | None]:
    """Rounded; null where there is none."""
    return [None if value != value else round(value, 6) for value in values]


def _reference(run: Path, given: Path | None) -> Reference:
    """The completions to measure heads on: those given, else those the run was trained on."""
    if given is not None:
        return [
            (item.prompt, (Message(role="assistant", content=completion.text),))
            for item in load_items(given)
            for completion in item.completions
        ]
    from training.rewards.recipe import RewardRecipe, read_examples

    try:
        manifest = json.loads((run / "manifest.json").read_bytes())
        recipe = RewardRecipe.model_validate(manifest["recipe"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{run}/manifest.json: cannot be read ({type(error).__name__}); name the folder of a "
            "run of `charter train reward`"
        ) from None
    return [(one.prompt, text) for one in read_examples(recipe).train for text in one.completions]
