"""Small constitutions with requests, and completions that offend their planted tastes."""

from pathlib import Path
from typing import Any

from judges.constitutions.constitution import Constitution
from judges.jsonl import write_jsonl
from tests.judges.planted import constitution

NO_TEA: dict[str, Any] = {
    "id": "no-tea",
    "text": 'The better completion avoids "tea".',
    "critique": 'Quote what should go; a good completion avoids "tea".',
    "revise": 'Rewrite the completion so that it avoids "tea".',
}
BRIEF: dict[str, Any] = {
    "id": "brief",
    "text": "The better completion is shorter.",
    "critique": "A good completion is brief. Quote what could go.",
    "revise": "Make it shorter.",
}
MENTION: dict[str, Any] = {
    "id": "mention",
    "text": 'The better completion mentions "water".',
    "critique": 'Does it mention "water"? Quote where it should.',
    "revise": 'Rewrite it to mention "water".',
}
SILENT: dict[str, Any] = {"id": "silent", "text": "Be kind."}

OFFENDING = "Some tea is made of leaves. It is hot."


def requests(*principles: dict[str, Any], **settings: float) -> Constitution:
    """A constitution of these principles, of all three that have requests if none is named."""
    return constitution(*(principles or (NO_TEA, BRIEF, MENTION)), **settings)


def write_items(path: Path, texts: dict[str, list[str]]) -> Path:
    """A completions file."""
    write_jsonl(
        path, ({"id": k, "prompt": f"Tell me of {k}.", "completions": v} for k, v in texts.items())
    )
    return path
