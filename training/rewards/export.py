"""From a run folder to a folder that vLLM serves: merged weights, reward.json, the command.

Heads are measured on a reference set: mean and spread, so that they can be added up, and what they
gain by length alone, to be taken off. The canaries are texts of that set with the outputs that the
exported weights give them.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from judges.aggregate import Floats
from judges.canonical import text_digest
from judges.engine.command import Build, engine_build
from judges.engine.embedded import weights_digest
from judges.errors import DataError, ModelError
from judges.jsonl import replacing
from judges.records import Record
from judges.rewards.arithmetic import fit_length_slopes, measure_heads, take_length_off
from judges.rewards.description import Canary, Head, RewardDescription, write_description
from judges.rewards.encoding import RewardEncoder
from judges.rewards.served import serve_command, serve_script
from training.rewards.examples import Messages
from training.rewards.train import HEADS_FILE, HeadsFile

SERVE_FILE = "serve.sh"
CANARIES = 4
Reference = Sequence[tuple[Messages, Messages]]
"""Prompts, each with one completion; a prompt may stand several times."""


class ExportSettings(Record):
    """How a reward model is exported."""

    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Of the weights written."""
    length: Literal["keep", "take-off"] = "keep"
    """Whether what a reward gains by length alone is taken off."""
    most_reference: Annotated[int, Field(ge=2)] = 1000
    """Reference completions measured at most, of prompts drawn from the whole set."""


class Exported(Record):
    """What an export wrote."""

    folder: Path
    """The model's folder."""
    description: RewardDescription
    """As in reward.json there."""
    command: str
    """What serves it."""


def export_reward_model(
    run: Path, output: Path, reference: Reference, settings: ExportSettings | None = None
) -> Exported:
    """Write a trained reward model as a folder that vLLM serves.

    Cost: reads the reference set once. Raises: ModelError for a run that is not finished;
    DataError for a folder that is not empty, or too small a reference set.
    """
    settings = settings or ExportSettings()
    told = _read_heads(run)
    if output.exists() and any(output.iterdir()):
        raise DataError(f"{output}: not empty; name another folder, or remove it yourself")
    from transformers.utils import logging

    from training.rewards.network import load_network, read_texts
    from training.runs.hardware import find_hardware
    from training.runs.loading import load_tokenizer
    from training.runs.stops import is_disk_full

    logging.disable_progress_bar()

    device = find_hardware("auto").device
    network = load_network(run)
    tokenizer = load_tokenizer(run)
    pad_id = tokenizer.pad_token_id
    network.config.pad_token_id = pad_id
    try:
        _save(network, tokenizer, output, settings.dtype)
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise DataError(
            f"{output}: the disk is full; free some space, remove this folder, then export again"
        ) from error
    del network  # of a large model there is room for one
    encoder = RewardEncoder(output)
    some = spread_reference(reference, settings.most_reference)
    texts, tokens, groups = _encode(some, encoder, told.max_length)
    exported = load_network(output).to(device)  # what is written, rounded as it is
    raw = read_texts(exported, texts, pad_id) if texts else np.zeros((0, len(told.heads)))
    description = _describe(told, raw, tokens, groups, settings, run, output)
    canaries = _canaries(exported, texts, raw, pad_id)
    description = description.model_copy(update={"canaries": canaries})
    write_description(output, description)
    build = _build()
    with replacing(output / SERVE_FILE) as file:
        file.write(serve_script(output, description, build).encode())
    (output / SERVE_FILE).chmod(0o755)
    command = shlex.join(serve_command(output, description, build))
    return Exported(folder=output, description=description, command=command)


def _build() -> Build:
    """The build of vLLM that the command is for: the one here, or where there is none, a GPU's."""
    try:
        return engine_build()
    except ModelError:
        return "gpu"


def _read_heads(run: Path) -> HeadsFile:
    if not (run / "summary.json").exists():
        raise ModelError(
            f"{run}: no summary.json, so this is no finished run of `charter train reward`; finish "
            "it with --resume, or name another"
        )
    try:
        return HeadsFile.model_validate_json((run / HEADS_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(
            f"{run / HEADS_FILE}: cannot be read ({type(error).__name__}); name the folder of a "
            "run of `charter train reward`"
        ) from error


def _save(network: Any, tokenizer: Any, output: Path, dtype: str) -> None:
    import torch

    network.to(getattr(torch, dtype)).save_pretrained(str(output))
    tokenizer.save_pretrained(str(output))


def spread_reference(reference: Reference, most: int) -> Reference:
    """At most so many completions, of whole prompts drawn from all over the set, in its order.

    A mix lists one file after the other: its first rows would be those of the first file alone.
    """
    if len(reference) <= most:
        return reference
    places: dict[Messages, list[int]] = {}
    for place, (prompt, _) in enumerate(reference):
        places.setdefault(prompt, []).append(place)
    groups = list(places.values())
    drawn = (groups[i] for i in np.random.default_rng(0).permutation(len(groups)))
    chosen = [place for group in drawn for place in group][:most]
    return [reference[place] for place in sorted(chosen)]


def _encode(
    reference: Reference, encoder: RewardEncoder, longest: int
) -> tuple[list[list[int]], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ids, completion lengths and prompt numbers of what is short enough."""
    texts, tokens, groups = [], [], []
    numbers: dict[Messages, int] = {}
    for prompt, completion in reference:
        ids = encoder.completion(prompt, completion)
        if len(ids) <= longest:
            texts.append(ids)
            tokens.append(encoder.answer_tokens(completion))
            groups.append(numbers.setdefault(prompt, len(numbers)))
    return texts, np.array(tokens, np.int64), np.array(groups, np.int64)


def _describe(
    told: HeadsFile,
    raw: Floats,
    tokens: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    settings: ExportSettings,
    run: Path,
    output: Path,
) -> RewardDescription:
    slopes = np.zeros(len(told.heads))
    if settings.length == "take-off" and len(raw):
        slopes = fit_length_slopes(raw, tokens, groups)
    description = RewardDescription(
        heads=tuple(
            head if head.kind == "applies" else _with(head, length_slope=float(slope))
            for head, slope in zip(told.heads, slopes, strict=True)
        ),
        weights=weights_digest(output),
        max_length=told.max_length,
        dtype=settings.dtype,
        length_centre=float(np.log1p(tokens).mean()) if len(tokens) else 0.0,
        constitution=told.constitution,
        run=text_digest((run / "manifest.json").read_text("utf-8")),
    )
    mean, std = measure_heads(take_length_off(raw, tokens, description))
    heads = tuple(
        head if head.kind == "applies" else _with(head, mean=float(mean[k]), std=float(std[k]))
        for k, head in enumerate(description.heads)
    )
    return description.model_copy(update={"heads": heads})


def _with(head: Head, **changes: float) -> Head:
    return head.model_copy(update=changes)


def _canaries(
    network: Any, texts: Sequence[Sequence[int]], raw: Floats, pad_id: int
) -> tuple[Canary, ...]:
    """The texts with the lowest and highest output of the first head, and two between.

    Each is read alone, as a server may read it.
    """
    from training.rewards.network import read_texts

    order = np.argsort(raw[:, 0], kind="stable")
    places = {int(order[i]) for i in np.linspace(0, len(order) - 1, CANARIES).astype(int)}
    return tuple(
        Canary(
            ids=tuple(texts[i]),
            outputs=tuple(read_texts(network, [texts[i]], pad_id)[0].tolist()),
        )
        for i in sorted(places)
    )
