"""The output of critiquing and revising: kept as it is made, taken over by the next run."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from judges.critiques.windows import Lines
from judges.jsonl import Journal, dump_line, parse_line
from judges.progress import say
from judges.records import Item
from judges.verbs import say_resumed


class Output:
    """The journal of one verb's lines, and the items that have none yet."""

    def __init__(
        self,
        path: Path,
        items: Sequence[Item],
        made: Mapping[str, Any],
        digests: Mapping[str, Any],
        stack: AsyncExitStack,
    ) -> None:
        """Takes over what an earlier run kept of PATH, where its settings and texts are these."""
        self._items, self._told = items, {"digests": dict(digests), "made": dict(made)}
        self._known = {item.id: item for item in items}
        self._made = parse_line(dump_line(made), "settings")  # as a file gives them back
        self._journal = stack.enter_context(Journal(path, self._keep))
        self.left = [item for item in items if item.id not in self._journal]
        say_resumed(len(self._journal), len(items), path)

    def _keep(self, row: Mapping[str, Any]) -> bool:
        item = self._known.get(str(row["id"]))
        if item is None or row.get("status") == "error" or row.get("made") != self._made:
            return False
        asked = [message.model_dump() for message in item.prompt]
        texts = [completion.text for completion in item.completions]
        try:
            return row["prompt"] == asked and [c["text"] for c in row["completions"]] == texts
        except (KeyError, TypeError):
            return False

    async def write(self, lines: AsyncGenerator[Lines]) -> Counter[str]:
        """Keep the lines as they come, then write all in the items' order; counts by status."""
        async for part in lines:
            self._journal.append([line | self._told for line in part])
        status = Counter(str(row["status"]) for row in self._journal.rows())
        details = Counter(row["detail"] for row in self._journal.rows() if row["detail"])
        for detail, count in details.most_common(1):
            say(f"the model failed on {count} items: {detail}; run again to ask for these only")
        self._journal.finish(item.id for item in self._items)
        return status
