"""Single completions to learn from: rows to fine-tune on, and completions called good or bad.

| format | recognised by |
|---|---|
| charter, TRL | `prompt`, `completion` (text or messages); with `label` or `kto_tag`, good or bad |
| revisions | `completions` with `rounds`: the lines of `charter revise`, all accepted rounds |
| conversations | `messages`, or sharegpt's `conversations`: the last turn is the completion |
| alpaca | `instruction` (`input`, `system`, `history`), `output` |
| pairs | whatever `judges.formats.pairs` reads: chosen, and for good or bad rejected too |
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judges.critiques.sft import sft_rows
from judges.errors import DataError
from judges.formats.messages import Messages, as_messages, short
from judges.formats.pairs import prompt_of
from judges.records import Record
from training.data.columns import as_dataset
from training.data.preferences import better_first
from training.data.reading import RowSet, read_source
from training.data.recipe import DataRecipe
from training.data.selection import RowData, row_key, select_rows
from training.data.sources import DataSource


class Example(Record):
    """One completion of a prompt."""

    place: str
    """`file:line` it is from."""
    prompt: Messages
    """The conversation so far."""
    completion: Messages
    """What follows."""
    good: bool = True
    """Whether it is wanted."""


Parse = Callable[[Mapping[str, Any], str, str, Counter[str]], Iterator[Example]]


@dataclass
class ExampleData(RowData[Example]):
    """Completions to learn from and completions held out."""

    def dataset(self, rows: list[Example], labels: bool) -> Any:
        """TRL's columns with ours, as a data set of the datasets library."""

        def columns(some: Sequence[Example]) -> dict[str, list[Any]]:
            told: dict[str, list[Any]] = {
                "prompt": [list(row.prompt) for row in some],
                "completion": [list(row.completion) for row in some],
            }
            return told | ({"label": [row.good for row in some]} if labels else {})

        return as_dataset(rows, columns).add_column("row", self.numbers(rows))


def load_examples(sources: Sequence[DataSource], recipe: DataRecipe, parse: Parse) -> ExampleData:
    """The completions of all sources. Raises: DataError."""
    weighted: list[str] = []

    def read(source: DataSource) -> RowSet[Example]:
        def parsed(row: Mapping[str, Any], where: str, lost: Counter[str]) -> Iterator[Example]:
            if row.get("weight") not in (None, 1):
                weighted.append(where)
            return parse(row, where, source.pairing, lost)

        return read_source(source, parsed, "make some with `charter revise --sft`")

    data = select_rows(sources, read, recipe, _copies)
    if weighted:
        data.told.append(
            f"{len(weighted)} rows have a `weight`, such as {weighted[0]}, which is left aside: "
            f"{recipe.METHOD} counts all rows alike; weigh whole files of a mix"
        )
    return ExampleData(data.used, data.train, data.held_out, data.told)


def wanted_completions(
    row: Mapping[str, Any], where: str, pairing: str, dropped: Counter[str]
) -> Iterator[Example]:
    """The completions of a row to fine-tune on. Raises: DataError."""
    if _is_revision(row):
        for found in _revisions(row, where, dropped):
            yield _example(found["prompt"], found["completion"], where)
    elif "completion" in row:
        yield _example(_prompt(row, where), row["completion"], where)
    elif "output" in row and "instruction" in row:
        yield _example(_prompt(row, where), row["output"], where)
    elif (turns := row.get("messages") or row.get("conversations")) and "chosen" not in row:
        yield _last_turn(turns, where)
    elif "text" in row:
        raise DataError(
            f"{where}: a row of `text` has no prompt, so nothing says what is to be learnt; use "
            "prompt and completion, or messages"
        )
    else:
        for pair in better_first(row, where, pairing, dropped):
            yield _example(pair.prompt, pair.chosen, where)


def good_and_bad_completions(
    row: Mapping[str, Any], where: str, pairing: str, dropped: Counter[str]
) -> Iterator[Example]:
    """The completions of a row called good or bad; a pair gives one of each. Raises: DataError."""
    if "completion" in row or "kto_tag" in row or "label" in row:
        good = row.get("label", row.get("kto_tag"))
        if not isinstance(good, bool):
            raise DataError(f"{where}: label is {short(good)}; use true or false")
        for found in wanted_completions(row, where, pairing, dropped):
            yield found.model_copy(update={"good": good})
        return
    for pair in better_first(row, where, pairing, dropped):
        yield _example(pair.prompt, pair.chosen, where)
        yield _example(pair.prompt, pair.rejected, where, good=False)


def _is_revision(row: Mapping[str, Any]) -> bool:
    made = row.get("completions")
    return (
        isinstance(made, list) and bool(made) and isinstance(made[0], dict) and "rounds" in made[0]
    )


def _revisions(row: Mapping[str, Any], where: str, dropped: Counter[str]) -> list[dict[str, Any]]:
    """The accepted revisions of a line; the others are counted."""
    try:
        found = list(sft_rows([row], "all"))
        made = sum(len(completion["rounds"]) for completion in row["completions"])
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{where}: no line of revisions ({error!r}); make it with `charter revise`"
        ) from None
    dropped["not accepted"] += made - len(found)
    return found


def _prompt(row: Mapping[str, Any], where: str) -> Messages:
    prompt = prompt_of(row, where)
    if prompt is None:
        raise DataError(f"{where}: no `prompt` beside the completion; add it")
    return prompt


def _last_turn(turns: Any, where: str) -> Example:
    messages = as_messages(turns, "user", f"{where}: messages")
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise DataError(
            f"{where}: the conversation does not end with an assistant's turn after another; "
            "nothing in it can be learnt"
        )
    return _example(messages[:-1], messages[-1:], where)


def _example(prompt: Any, completion: Any, where: str, good: bool = True) -> Example:
    return Example.model_construct(
        place=where,
        prompt=as_messages(prompt, "user", f"{where}: prompt"),
        completion=as_messages(completion, "assistant", f"{where}: completion"),
        good=good,
    )


def _copies(rows: Sequence[Example]) -> tuple[list[int], list[int]]:
    """Rows that repeat an earlier one; rows that call bad what one calls good, or the reverse."""
    seen: dict[bytes, bool] = {}
    again: list[int] = []
    against: list[int] = []
    for number, row in enumerate(rows):
        key = row_key(row.prompt, row.completion)
        if key in seen:
            (again if seen[key] == row.good else against).append(number)
        seen.setdefault(key, row.good)
    return again, against
