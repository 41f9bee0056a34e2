"""Labelled pairs: a completion, a worse one, and the one principle that tells them apart."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from judges.constitutions.constitution import Constitution
from judges.errors import ConstitutionError, DataError
from judges.items import first_problem
from judges.jsonl import read_jsonl
from judges.records import CompletionText, Item, Message, Record
from judges.suggest import did_you_mean

Maker = Literal["model", "code", "golden"]
Offset = Annotated[int, Field(ge=0)]


class TamperedPair(Record):
    """A completion and a copy that violates one principle: a labelled pair of that principle."""

    id: str
    """`ITEM:PRINCIPLE`, or `golden:PRINCIPLE:NUMBER`."""
    prompt: tuple[Message, ...]
    """The conversation up to the completion."""
    chosen: str
    """The completion as it was."""
    rejected: str
    """The copy that violates the principle."""
    principle: str
    """The id of the principle it violates."""
    span: tuple[Offset, Offset]
    """Start and end, in characters of `rejected`, of all that was changed."""
    made_by: Maker
    """A model's edit, a code-made violation of a rule, or a golden test of the constitution."""

    @model_validator(mode="after")
    def _span_lies_within(self) -> Self:
        if not self.span[0] <= self.span[1] <= len(self.rejected):
            raise ValueError(f"span is {self.span}, not within the {len(self.rejected)} characters")
        return self

    @property
    def item(self) -> Item:
        """The pair as an item to rank, the better completion first."""
        texts = (CompletionText(text=self.chosen), CompletionText(text=self.rejected))
        return Item(id=self.id, prompt=self.prompt, completions=texts)


def read_pairs(path: Path) -> Iterator[TamperedPair]:
    """The pairs of a file that `charter tamper` wrote. Raises: DataError naming file and line."""
    for number, row in read_jsonl(path):
        try:
            yield TamperedPair.model_validate(row)
        except ValidationError as error:
            raise DataError(f"{path}:{number}: {first_problem(error)}") from None


def golden_pairs(constitution: Constitution) -> list[TamperedPair]:
    """The golden tests as labelled pairs: known answers that need no model to make.

    Their worse completion is often another text altogether, so their span can be all of it.
    """
    return [
        TamperedPair(
            id=f"golden:{principle.id}:{number}",
            prompt=test.conversation,
            chosen=test.better,
            rejected=test.worse,
            principle=principle.id,
            span=changed_span(test.better, test.worse),
            made_by="golden",
        )
        for principle in constitution.principles
        for number, test in enumerate(principle.tests)
    ]


def alone(constitution: Constitution, principle: str) -> Constitution:
    """The constitution with one principle only, its scope left out.

    Raises: ConstitutionError when there is no such principle.
    """
    for candidate in constitution.principles:
        if candidate.id == principle:
            kept = candidate.model_copy(update={"applies_when": None})
            return constitution.model_copy(update={"principles": (kept,)})
    known = [candidate.id for candidate in constitution.principles]
    raise ConstitutionError(
        f"no principle {principle!r} in {constitution.reference}{did_you_mean(principle, known)}; "
        f"use one of {', '.join(known)}"
    )


def changed_span(original: str, copy: str) -> tuple[int, int]:
    """Where a copy differs: from the first changed character to the last, in whole words.

    Where words were only taken out, the words on both sides of the gap: a quote must hold some.
    """
    before, after = _parts(original), _parts(copy)
    changes = [c for c in _matcher(before, after).get_opcodes() if c[0] != "equal"]
    if not changes:
        return 0, 0
    start, end = changes[0][3], changes[-1][4]
    if not "".join(after[start:end]).strip():
        # A part is a word or the space after it: two steps reach over a space to a word.
        start, end = max(0, start - 2), min(len(after), end + 2)
    offset = len("".join(after[:start]))
    return offset, offset + len("".join(after[start:end]))


def changed_share(original: str, copy: str) -> float:
    """The share of the longer text's words that are not in the other, in order: 0 to 1."""
    before, after = original.split(), copy.split()
    same = sum(block.size for block in _matcher(before, after).get_matching_blocks())
    return 1 - same / max(len(before), len(after), 1)


def _parts(text: str) -> list[str]:
    """Words and the spaces between them: together the text again."""
    return re.findall(r"\s+|\S+", text)


def _matcher(before: list[str], after: list[str]) -> SequenceMatcher[str]:
    # Without autojunk: it drops words that occur often in long texts, which are still unchanged.
    return SequenceMatcher(None, before, after, autojunk=False)
