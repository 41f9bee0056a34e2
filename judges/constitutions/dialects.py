"""Constitutions as others write them, read and written: two JSON dialects and a Markdown list.

None of them says all that ours does. What is lost, made up or passed over is said, never silent.
Source: the paper's file is `prompts/CritiqueRevisionInstructions.json` of Bai et al. 2022
(arXiv 2212.08073); the critic and revision pairs are those of Hugging Face's recipe.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

from pydantic import ValidationError

from judges.constitutions.constitution import Constitution, Principle
from judges.constitutions.markdown_list import markdown_text, read_markdown
from judges.constitutions.yaml_text import yaml_text
from judges.errors import ConstitutionError
from judges.records import Record

Dialect = Literal["critic-revision", "critique-request", "markdown"]
Target = Literal["critic-revision", "critique-request", "markdown", "yaml"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
TARGETS: tuple[Target, ...] = get_args(Target)

DERIVED = 'The better completion gives less cause for what this request asks to find: "{}"'
"""A judge's text made of a critique request, which itself compares nothing."""
_FRAMES = (("CritiqueRequest:", "Critique:"), ("RevisionRequest:", "Revision:"))
_WORDS_OF_TITLE = 8


class Imported(Record):
    """A constitution made of another dialect."""

    constitution: Constitution
    """Version 1.0.0 of a draft."""
    notes: tuple[str, ...]
    """What was made up or passed over: one line each."""


class Exported(Record):
    """A constitution in another dialect."""

    text: str
    """The file's text."""
    notes: tuple[str, ...]
    """What the dialect cannot say: one line each."""


def import_constitution(
    text: str, where: str, name: str, licence: str, dialect: Dialect | None = None
) -> Imported:
    """A draft from a file of another dialect, which is recognised where none is named.

    Raises: ConstitutionError naming the file, the entry, and what it should look like.
    """
    if dialect is None:
        dialect = _recognised(text, where)
    if dialect == "markdown":
        entries, about, notes = read_markdown(text, where)
    else:
        data = _json(text, where)
        read = _critic_revision if dialect == "critic-revision" else _critique_request
        about = {}
        entries, notes = read(data, where)
        notes.append(
            f"{len(entries)} texts for judges are made of critique requests; reword them to "
            "compare two completions"
        )
    if not entries:
        raise ConstitutionError(f"{where}: no principle is in it; {_FORMS[dialect]}")
    record = {"title": name.replace("-", " ").capitalize(), **about} | {
        "name": name,
        "version": "1.0.0",
        "licence": licence,
        "principles": _distinct(entries, notes),
    }
    try:
        constitution = Constitution.model_validate_json(json.dumps(record))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise ConstitutionError(f"{where}: {place}: {fault['msg']}; correct it") from error
    return Imported(constitution=constitution, notes=tuple(notes))


def export_constitution(constitution: Constitution, dialect: Target) -> Exported:
    """A constitution's text in another dialect, or as one YAML file without parents."""
    if dialect == "yaml":
        notes = ("parents are written out; `extends` is gone",) if constitution.extends else ()
        return Exported(text=yaml_text(constitution), notes=notes)
    if dialect == "markdown":
        kept = [p for p in constitution.principles if p.text is not None]
        said = {"title", "description", "id", "family", "text"}
        text = markdown_text(constitution, kept)
    else:
        kept = [p for p in constitution.principles if p.critique and p.revise]
        said = {"critique", "revise"} | ({"id"} if dialect == "critique-request" else set())
        data = _as_pairs(kept) if dialect == "critic-revision" else _as_requests(kept)
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    if not kept:
        needed = "a text" if dialect == "markdown" else "both critique and revise"
        raise ConstitutionError(
            f"{constitution.reference}: no principle has {needed}, all that {dialect} can hold"
        )
    return Exported(text=text, notes=tuple(_losses(constitution, kept, said)))


_FORMS: dict[Dialect, str] = {
    "critic-revision": '{"constitutions": [{"critic": "…", "revision": "…"}]} is expected',
    "critique-request": '{"harmful0": {"prompt": ["CritiqueRequest: … Critique:"], "edit_request": '
    '"RevisionRequest: … Revision:"}} is expected',
    "markdown": "write a list, one `- …` to a principle",
}


def _recognised(text: str, where: str) -> Dialect:
    if not text.lstrip().startswith(("{", "[")):
        return "markdown"
    return "critic-revision" if "constitutions" in _json(text, where) else "critique-request"


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        data = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ConstitutionError(
            f"{where}:{error.lineno}:{error.colno}: is not JSON ({error.msg}); correct it"
        ) from error
    except _TwiceError as error:
        raise ConstitutionError(
            f"{where}: key {error.args[0]!r} is there twice; keep one"
        ) from None
    except RecursionError as error:
        raise ConstitutionError(f"{where}:1:1: is nested too deep to be a constitution") from error
    if isinstance(data, list):  # how early files of the recipe have it
        return {"constitutions": data}
    if not isinstance(data, dict):
        forms = " or ".join(_FORMS[each] for each in DIALECTS[:2])
        raise ConstitutionError(f"{where}:1:1: is no mapping; {forms}")
    return data


class _TwiceError(Exception):
    """A key that one mapping holds twice, of which JSON would keep the last."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise _TwiceError(key)
        data[key] = value
    return data


def _critic_revision(data: dict[str, Any], where: str) -> tuple[list[dict[str, Any]], list[str]]:
    pairs = data.get("constitutions")
    if not isinstance(pairs, list):
        raise ConstitutionError(f"{where}: constitutions is no list; {_FORMS['critic-revision']}")
    entries = []
    for number, pair in enumerate(pairs, start=1):
        place = f"{where}: constitutions, entry {number}"
        critic, revision = _texts(pair, ("critic", "revision"), place, "critic-revision")
        entries.append(_entry(f"principle-{number}", critic, revision, f"entry {number}"))
    notes = [f"{key} is passed over" for key in data if key not in ("constitutions", "system_chat")]
    if data.get("system_chat"):
        notes.append("system_chat, the examples shown before each request, is passed over")
    return entries, notes


def _critique_request(data: dict[str, Any], where: str) -> tuple[list[dict[str, Any]], list[str]]:
    entries, notes = [], []
    for key, value in data.items():
        place = f"{where}: {key!r}"
        prompts = value.get("prompt") if isinstance(value, dict) else None
        if not isinstance(prompts, list) or not prompts:
            raise ConstitutionError(
                f"{place} has no list called prompt; {_FORMS['critique-request']}"
            )
        for number, prompt in enumerate(prompts, start=1):
            texts = {"prompt": prompt, "edit_request": value.get("edit_request")}
            critique, revise = (
                _bare(text)
                for text in _texts(texts, ("prompt", "edit_request"), place, "critique-request")
            )
            name = key if number == 1 else f"{key}-{number}"
            entries.append(_entry(name, critique, revise, repr(key)))
        notes += [
            f"{key!r}: {other} is passed over"
            for other in value
            if other not in ("prompt", "edit_request")
        ]
    return entries, notes


def _texts(value: Any, keys: Sequence[str], place: str, dialect: Dialect) -> list[str]:
    texts = [value.get(key) if isinstance(value, dict) else None for key in keys]
    for key, text in zip(keys, texts, strict=True):
        if not isinstance(text, str) or not _bare(text):
            raise ConstitutionError(f"{place} has no text called {key}; {_FORMS[dialect]}")
    return [str(text).strip() for text in texts]


def _bare(text: str) -> str:
    """A request without the words that frame it."""
    bare = text.strip()
    for begin, end in _FRAMES:
        if bare.startswith(begin):
            bare = bare.removeprefix(begin).removesuffix(end).strip()
    return bare


def _entry(name: str, critique: str, revise: str, source: str) -> dict[str, Any]:
    words = critique.split()
    title = " ".join(words[:_WORDS_OF_TITLE]) + (" …" if len(words) > _WORDS_OF_TITLE else "")
    return {
        "id": name,
        "family": "imported",
        "title": title,
        "text": DERIVED.format(critique),
        "critique": critique,
        "revise": revise,
        "source": f"Imported, {source}.",
    }


def _distinct(entries: Iterable[dict[str, Any]], notes: list[str]) -> list[dict[str, Any]]:
    """The entries with ids that a constitution may have, each once; what was renamed is noted."""
    taken: set[str] = set()
    named = []
    for entry in entries:
        wish = str(entry["id"])
        base = re.sub(r"[^a-z0-9]+", "-", wish.lower()).strip("-")[:56].strip("-") or "principle"
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        if name != wish:
            notes.append(f"{wish!r} is called {name!r} here")
        taken.add(name)
        named.append({**entry, "id": name})
    return named


def _as_pairs(principles: Sequence[Principle]) -> dict[str, Any]:
    pairs = [{"critic": p.critique, "revision": p.revise} for p in principles]
    return {"constitutions": pairs, "system_chat": []}


def _as_requests(principles: Sequence[Principle]) -> dict[str, Any]:
    return {
        p.id: {
            "prompt": [f"\n\nCritiqueRequest: {p.critique}\n\nCritique:"],
            "edit_request": f"\n\nRevisionRequest: {p.revise}\n\nRevision:",
        }
        for p in principles
    }


def _losses(constitution: Constitution, kept: Sequence[Principle], said: set[str]) -> Iterable[str]:
    """What does not come along: whole principles, then fields, then the constitution's own."""
    if left := [p.id for p in constitution.principles if p not in kept]:
        yield f"{len(left)} principles are left out: {', '.join(left)}"
    fields = {
        field: sum(1 for p in kept if field in p.model_dump(exclude_defaults=True))
        for field in Principle.model_fields
        if field not in said
    }
    lost = [f"{field} of {number}" for field, number in fields.items() if number]
    if lost:
        yield f"of the {len(kept)} principles written these are lost: {', '.join(lost)}"
    top = set(constitution.model_dump(exclude_defaults=True)) - {"principles"} - said
    if top:
        yield f"of the constitution itself these are lost: {', '.join(sorted(top))}"
