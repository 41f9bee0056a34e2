"""Items out of a request, each checked by itself: a bad one spoils no other."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from judges.errors import DataError
from judges.items import parse_item
from judges.records import Item
from service.judging.desk import Line, failed_line
from service.judging.tasks import Task


def one_item(row: dict[str, Any], task: Task) -> Item:
    """The item of a request for one. Raises: DataError for what is wrong with it."""
    item = parse_item(row, "request")
    _check(item, task, "request")
    return item


def parse_items(rows: Sequence[Any], task: Task) -> tuple[list[Item], list[Line]]:
    """The items that can be judged, and a line for each that cannot, with the reason why."""
    good: list[Item] = []
    bad: list[Line] = []
    names = _Names()
    for number, row in enumerate(rows):
        where = f"items[{number}]"
        try:
            if not isinstance(row, dict):
                raise DataError(f"{where}: a {type(row).__name__}, not an object")
            item = names.unique(parse_item(row, where), "id" in row, where)
            _check(item, task, where)
            good.append(item)
        except DataError as error:
            told = row.get("id") if isinstance(row, dict) else None
            name = str(told) if isinstance(told, str | int) and told != "" else where
            bad.append(failed_line(None, "invalid_item", str(error), name))
    return good, bad


def _check(item: Item, task: Task, where: str) -> None:
    try:
        task.check(item)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


class _Names:
    """Ids met so far: those made of content are numbered when they repeat, given ones must not."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._made: Counter[str] = Counter()

    def unique(self, item: Item, named: bool, where: str) -> Item:
        """The item under an id of its own. Raises: DataError for an id that is given twice."""
        name = item.id
        if not named:
            name = next(name for name in self._numbered(item.id) if name not in self._seen)
        elif name in self._seen:
            raise DataError(f"{where}: id {name!r} is given twice; give each item its own")
        self._seen.add(name)
        return item if name == item.id else item.model_copy(update={"id": name})

    def _numbered(self, name: str) -> Iterator[str]:
        while True:
            self._made[name] += 1
            yield name if self._made[name] == 1 else f"{name}-{self._made[name]}"
