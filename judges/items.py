"""Reading prompts and completions: charter's own lines and preference rows, checked one by one."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from judges.canonical import digest
from judges.errors import DataError
from judges.jsonl import read_jsonl
from judges.records import Item
from judges.suggest import did_you_mean

ITEM_KEYS = ("id", "prompt", "completions", "answer", "metadata")
ROLES = ("system", "user", "assistant", "tool")


def load_items(path: Path) -> list[Item]:
    """The prompts and completions of a file: `completions` lines, or `chosen`/`rejected` rows.

    Raises: DataError naming file and line, for a broken line, an unknown key or an id met twice.
    """
    return list(_unique(path, need_completions=True))


def load_prompts(path: Path) -> list[Item]:
    """The prompts of a file; completions, where a line has some, come along."""
    return list(_unique(path, need_completions=False))


def _unique(path: Path, need_completions: bool) -> Iterator[Item]:
    seen: dict[str, int] = {}
    unnamed: Counter[str] = Counter()
    for number, row in read_jsonl(path):
        where = f"{path}:{number}"
        item = parse_item(row, where, need_completions)
        if "id" not in row:
            unnamed[item.id] += 1
            if unnamed[item.id] > 1:
                item = item.model_copy(update={"id": f"{item.id}-{unnamed[item.id]}"})
        if item.id in seen:
            raise DataError(
                f"{where}: id {item.id!r} stands on line {seen[item.id]} too; "
                "give each line its own id"
            )
        seen[item.id] = number
        yield item
    if not seen:
        raise DataError(f"{path}: no line in it; expected one JSON object a line")


def refuse_unknown_keys(row: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Raises: DataError for a key of a row that is none of these."""
    for key in row:
        if key not in known:
            raise DataError(f"{where}: unknown key {key!r}{did_you_mean(key, known)}")


def parse_item(row: Mapping[str, Any], where: str, need_completions: bool = True) -> Item:
    """One line as an Item. Raises: DataError that says what, where and what to do."""
    if "chosen" in row and "rejected" in row:
        row = _from_preference(row, where)
    for key in row:
        if key not in ITEM_KEYS:
            raise DataError(
                f"{where}: unknown key {key!r}{did_you_mean(key, ITEM_KEYS)}; "
                "put your own columns under `metadata`"
            )
    if "prompt" not in row:
        raise DataError(f"{where}: `prompt` is missing; a string or a list of messages")
    prompt = _messages(row["prompt"], where)
    completions = row.get("completions", [])
    if not isinstance(completions, list):
        raise DataError(f"{where}: `completions` is {_kind(completions)}; use a list of strings")
    if need_completions and not completions:
        raise DataError(f"{where}: `completions` is missing or empty; a list of strings")
    fields = {
        "id": _identity(row["id"], where) if "id" in row else digest([prompt, completions])[:16],
        "prompt": prompt,
        "completions": [_completion(c, where) for c in completions],
        "answer": row.get("answer"),
        "metadata": row.get("metadata", {}),
    }
    try:
        return Item.model_validate(fields)
    except ValidationError as error:
        raise DataError(f"{where}: {first_problem(error)}") from None


def _identity(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DataError(f"{where}: id is {value!r}; use a string or a whole number")
    return str(value)


def first_problem(error: ValidationError) -> str:
    """The first thing wrong with a record, as `field: reason`."""
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def _messages(value: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: `prompt` is {_kind(value)}; use a string or a list of messages")
    for index, message in enumerate(value):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise DataError(f"{where}: message {index} of the prompt needs `role` and `content`")
        if message["role"] not in ROLES:
            raise DataError(
                f"{where}: role is {message['role']!r}; use system, user, assistant or tool"
            )
        if not isinstance(message["content"], str):
            raise DataError(f"{where}: message {index}: content is {_kind(message['content'])}")
    return value


def _completion(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        return value
    raise DataError(f"{where}: a completion is {_kind(value)}; use a string or {{'text': …}}")


def _kind(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"


def _from_preference(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A TRL row as prompt and two completions, chosen first; other columns become metadata."""
    chosen, rejected = (_turns(row[key], where, key) for key in ("chosen", "rejected"))
    prompt = row.get("prompt")
    if prompt is None:
        prompt, chosen, rejected = _split_shared(chosen, rejected, where)
    rest = {k: v for k, v in row.items() if k not in ("id", "prompt", "chosen", "rejected")}
    kept = {"id": row["id"]} if "id" in row else {}
    completions = [_last_content(turns, where) for turns in (chosen, rejected)]
    return {**kept, "prompt": prompt, "completions": completions, "metadata": rest}


def _turns(value: Any, where: str, key: str) -> list[Any]:
    if isinstance(value, str):
        return [{"role": "assistant", "content": value}]
    if isinstance(value, list) and value:
        return value
    raise DataError(f"{where}: `{key}` is {_kind(value)}; use a string or a list of messages")


def _split_shared(
    chosen: list[Any], rejected: list[Any], where: str
) -> tuple[list[Any], list[Any], list[Any]]:
    if len(chosen) < 2 or chosen[:-1] != rejected[:-1]:
        raise DataError(
            f"{where}: no `prompt`, and `chosen` and `rejected` do not share all turns but the "
            "last; add the prompt as a column of its own"
        )
    return chosen[:-1], chosen[-1:], rejected[-1:]


def _last_content(turns: list[Any], where: str) -> str:
    last = turns[-1]
    if isinstance(last, dict) and isinstance(last.get("content"), str):
        return str(last["content"])
    raise DataError(f"{where}: the last turn of `chosen` or `rejected` has no text content")
