"""Drafts: a commented starter, or a copy of a version, each with the line that editors read."""

import os
import re
from pathlib import Path

from judges.constitutions.constitution import SLUG
from judges.constitutions.yaml_source import YamlSource, read_yaml
from judges.errors import ConstitutionError

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "constitutions" / "schema.json"
HINT = re.compile(r"^# yaml-language-server: \$schema=.*\n", re.MULTILINE)
REMARK = re.compile(r"\A# A published version never changes.*\n")

STARTER = """\
name: {name}                # the name of its folder once published
version: 1.0.0
title: {title}
licence: CC0-1.0            # of this text, by its SPDX identifier
description: >-
  What it is for, and what it leaves out.
# Take over another constitution whole: exact versions only. A principle with an inherited id
# replaces that one; `drop` leaves inherited ones out.
# extends: [helpful-harmless@1.0.0]
# drop: [even-handed]
principles:
  - id: next-step-first     # stable for ever: a renamed principle is a new one
    family: clarity
    title: The next step comes first
    # The judge reads this, beside two completions and nothing else. One criterion, 25 to 35 words.
    text: >-
      The better completion reaches the one thing that the user can do next sooner, counted from
      its first word; explanations may follow.
    # hard, high, normal or style: the highest tier with a clear verdict decides.
    tier: normal
    # How much it counts within its tier.
    weight: 1.0
    # Only where it has nothing to say on most prompts: a yes/no question about the conversation.
    applies_when: Does the user ask what to do, or how to do something?
    # The requests of `charter critique` and `charter revise`.
    critique: Quote what comes before the first thing that the user can do.
    revise: Put the first thing that the user can do at the beginning. Leave all else as it is.
    # What you are sure of, both ways: in one the better completion is longer, in one shorter.
    tests:
      - prompt: I need to move my appointment.
        better: >-
          Call the desk before noon, and have your number ready. Changes after noon count for the
          following day, because the rota is closed by then.
        worse: Our rota closes at noon each day. Call the desk.
      - prompt: Where do I send the form?
        better: Hand it in at desk two.
        worse: Forms help us to keep your record complete and correct. Hand it in at desk two.
    source: Where the idea comes from.

  - id: short
    family: brevity
    title: Sixty words or fewer
    tier: style
    # In place of `text`: checked by code, without a model.
    rule: {{kind: max_words, value: 60}}
"""


def starter(name: str, schema: str) -> str:
    """A constitution to begin with: it loads, and says at each key what it is for."""
    _refuse_name(name)
    title = name.replace("-", " ").capitalize()
    return with_hint(STARTER.format(name=name, title=title), schema)


def copied(content: bytes, where: str, name: str, version: str, schema: str) -> str:
    """A file's text, remarks included, under another name and version.

    Raises: ConstitutionError where name and version do not stand on lines of their own.
    """
    _refuse_name(name)
    source = read_yaml(content, where)
    text = REMARK.sub("", HINT.sub("", _plain(content)))
    for key, value in (("name", name), ("version", version)):
        text, found = re.subn(rf"^{key}:[^#\n]*?(?=\s*(#|$))", f"{key}: {value}", text, flags=re.M)
        if found != 1 or not isinstance(source.data, dict):
            raise ConstitutionError(
                f"{source.position((key,))}: `{key}: …` does not stand on a line of its own at "
                "the margin; write it so, once"
            )
    _refuse_other(source, read_yaml(text.encode(), where), where)
    return with_hint(text, schema)


def with_hint(text: str, schema: str) -> str:
    """The text with the line by which editors find the JSON Schema, in place of an earlier one."""
    return f"# yaml-language-server: $schema={schema}\n{HINT.sub('', text)}"


def schema_beside(path: Path) -> str:
    """The way from a draft to the JSON Schema that comes with charter.

    Relative where both lie in one tree, so that the draft can be committed; else absolute.
    """
    folder, root = path.resolve().parent, SCHEMA_FILE.parents[1]
    if folder.is_relative_to(root):
        return Path(os.path.relpath(SCHEMA_FILE, folder)).as_posix()
    return SCHEMA_FILE.as_posix()


def _plain(content: bytes) -> str:
    return content.decode("utf-8-sig").replace("\r\n", "\n")


def _refuse_name(name: str) -> None:
    if not re.fullmatch(SLUG, name) or len(name) > 64:
        raise ConstitutionError(
            f"{name!r} is no name for a constitution; use lower-case letters, digits and single "
            "hyphens, 64 at most"
        )


def _refuse_other(before: YamlSource, after: YamlSource, where: str) -> None:
    """Raises: ConstitutionError when more than name and version came out otherwise."""
    rest = [
        {key: value for key, value in source.data.items() if key not in ("name", "version")}
        for source in (before, after)
    ]
    if rest[0] != rest[1]:
        raise ConstitutionError(
            f"{where}:1:1: a text in it looks like its `name:` or `version:` line; copy it by hand"
        )
