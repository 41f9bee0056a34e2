"""Revisions as rows to fine-tune on, in TRL's conversational prompt-completion format."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from judges.critiques.revise import ACCEPTED

SFTRounds = Literal["all", "last"]


def sft_rows(lines: Iterable[Mapping[str, Any]], rounds: SFTRounds) -> Iterator[dict[str, Any]]:
    """The rows of some lines of `charter revise`: every accepted revision, or each text's last.

    Revisions of all rounds are the published recipe. Every row has the same columns: TRL's two,
    then where the text is from.
    Source: Bai et al. 2022, arXiv 2212.08073, section 3.2.
    """
    for line in lines:
        for index, completion in enumerate(line["completions"]):
            accepted = [made for made in completion["rounds"] if made["status"] in ACCEPTED]
            for made in accepted[-1:] if rounds == "last" else accepted:
                yield _row(line, index, made)


def _row(line: Mapping[str, Any], index: int, made: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "prompt": line["prompt"],
        "completion": [{"role": "assistant", "content": made["revision"]}],
        "id": f"{line['id']}:{index}:{made['round']}",
        "principle": made["principle"],
        "checked": made["status"] == "kept",
        "p": made["p"],
        "digests": line["digests"],
    }
