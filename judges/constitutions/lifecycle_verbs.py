"""What new, publish, deprecate, import and export do: read, call one function, write, say it."""

import argparse
import os
from pathlib import Path

from judges.constitutions.dialects import export_constitution, import_constitution
from judges.constitutions.drafts import copied, schema_beside, starter, with_hint
from judges.constitutions.files import constitution_folders, find_constitution, load_constitution
from judges.constitutions.lifecycle import deprecate, publish
from judges.constitutions.semver import next_version
from judges.constitutions.yaml_text import yaml_text
from judges.errors import ConfigError
from judges.jsonl import read_text, replacing
from judges.progress import say
from judges.verbs import emit


def run_new(options: argparse.Namespace) -> int:
    """`charter constitution new`"""
    output = options.output or Path(f"{options.name}.yaml")
    schema = schema_beside(output)
    if options.copy is None:
        text = starter(options.name, schema)
    else:
        source = load_constitution(options.copy)
        path = find_constitution(options.copy)
        same = source.name == options.name
        version = next_version(source.version, "patch") if same else "1.0.0"
        text = copied(path.read_bytes(), str(path), options.name, version, schema)
    _write_new(output, text)
    say(f"{output}: edit it, then `charter constitution lint {output}`")
    return 0


def run_publish(options: argparse.Namespace) -> int:
    """`charter constitution publish`"""
    into = options.into or _own_folder()
    done = publish(options.draft, into, options.message)
    for finding in done.findings:
        say(f"to look at again: {finding.sentence}")
    emit(f"{done.reference}  {done.digest}")
    after = f"the {done.step} step after {done.previous}" if done.previous else "its first version"
    say(f"{done.path}: published, {after}; {done.path.parent / 'CHANGELOG.md'} says so")
    if into.resolve() not in {folder.resolve() for folder in constitution_folders()}:
        say(f"to use it by name: export CHARTER_CONSTITUTIONS={into.resolve()}")
    return 0


def _own_folder() -> Path:
    """Where users' own constitutions go: never, unasked, among those that come with charter."""
    first = os.environ.get("CHARTER_CONSTITUTIONS", "").split(os.pathsep)[0]
    if not first:
        raise ConfigError(
            "no folder to publish into; give --into FOLDER, or set CHARTER_CONSTITUTIONS to one"
        )
    return Path(first)


def run_deprecate(options: argparse.Namespace) -> int:
    """`charter constitution deprecate`"""
    folder = deprecate(options.reference, options.reason, options.successor)
    say(f"{folder / 'deprecated.json'}: {options.reference} is deprecated; it still loads")
    return 0


def run_import(options: argparse.Namespace) -> int:
    """`charter constitution import`"""
    output = options.output or Path(f"{options.name}.yaml")
    made = import_constitution(
        read_text(options.file), str(options.file), options.name, options.licence, options.dialect
    )
    _write_new(output, with_hint(yaml_text(made.constitution), schema_beside(output)))
    for note in made.notes:
        say(note)
    say(f"{output}: {len(made.constitution.principles)} principles; edit it, then lint it")
    return 0


def run_export(options: argparse.Namespace) -> int:
    """`charter constitution export`"""
    made = export_constitution(load_constitution(options.reference), options.dialect)
    if options.output is None:
        emit(made.text.rstrip("\n"))
    else:
        _write_new(options.output, made.text)
    for note in made.notes:
        say(note)
    return 0


def _write_new(path: Path, text: str) -> None:
    """Raises: ConfigError when the file is there; nothing written by hand is replaced."""
    if path.exists():
        raise ConfigError(f"{path} is there already; name another file with --output")
    with replacing(path) as file:
        file.write(text.encode())
