"""The documents say what is: every command in them parses, every setting is in the README."""

import re
import shlex
from pathlib import Path

import pytest

from charter import build_parser

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "constitutions" / "README.md",
    ROOT / "judges" / "README.md",
    ROOT / "service" / "README.md",
    ROOT / "training" / "README.md",
    ROOT / "training" / "rewards" / "README.md",
    *sorted((ROOT / "training").rglob("*.toml")),
]
COMMAND = re.compile(r"^[ #]*(?:\.venv/bin/)?(charter (?!VERB)[a-z].*)$", re.MULTILINE)


def commands() -> list[str]:
    texts = (document.read_text("utf-8").replace("\\\n", " ") for document in DOCUMENTS)
    found = (COMMAND.findall(text) for text in texts)
    return [line.split("   #")[0].strip() for lines in found for line in lines]


@pytest.mark.parametrize("line", commands())
def test_a_documented_command_parses(line: str) -> None:
    build_parser().parse_args(shlex.split(line)[1:])


def test_every_setting_is_in_the_readme() -> None:
    folders = (ROOT / name for name in ("judges", "training", "service"))
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    settings = {
        name
        for path in sources
        for name in re.findall(r"\bCHARTER_[A-Z_]+", path.read_text("utf-8"))
    }
    readme = (ROOT / "README.md").read_text("utf-8")
    assert settings
    assert sorted(name for name in settings if f"`{name}`" not in readme) == []


def test_the_help_lists_every_verb() -> None:
    listed = re.findall(r"^    ([a-z]+)(?=\s)", build_parser().format_help(), re.MULTILINE)
    assert set(listed) >= {"sample", "rank", "reweigh", "preferences", "constitution", "votes"}
    assert set(listed) >= {"train", "evaluate", "demo", "benchmark", "serve", "keys"}
