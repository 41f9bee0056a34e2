"""Prompts as token ids: the model's own chat template, with every message's content inert.

The template is rendered once per sequence of roles, with random placeholders for the contents.
What it puts around them is tokenized with control tokens; the contents, encoded without any, are
set in. So judged text can neither become a control token nor steer the template, and texts that
many prompts share are tokenized once.
"""

import functools
import json
import re
import secrets
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from judges.errors import ConfigError
from judges.model import ModelPrompt
from judges.models.inert_tokenizer import (
    continuing,
    encodable,
    inert,
    load,
    opening,
    read_tokenizer_json,
)

_KEPT_PIECES = 8192
_KEPT_CHARACTERS = 32768
_GENERATION = re.compile(r"\{%(-?)\s*(end)?generation\s*(-?)%\}")
_TOKEN_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")

Scaffold = tuple[tuple[int, ...] | int, ...]
"""What stands around the contents: token ids, or the index of the message that goes there."""


class PromptEncoder:
    """Encodes prompts for one model from its tokenizer files, without transformers."""

    def __init__(self, folder: Path, *, answering: bool = True) -> None:
        """Without `answering`, prompts end where their last message does, no answer begun.

        Raises: ConfigError when the folder has no usable tokenizer or chat template.
        """
        self.folder = folder
        parsed = read_tokenizer_json(folder)
        try:
            first, further = opening(parsed), continuing(parsed)
            self._opening = load(first)
            self._continuing = self._opening if first == further else load(further)
            self._inert = load(inert(parsed))
        except Exception as error:  # the library raises plain Exception
            raise ConfigError(
                f"tokenizer cannot be used: {error} · {folder / 'tokenizer.json'} · "
                "fetch the file again, or use chat_logprobs"
            ) from error
        self._render = _read_template(folder, answering)
        self._nonce = secrets.token_hex(16)
        self._scaffold = functools.lru_cache(maxsize=256)(self._make_scaffold)
        self._kept = functools.lru_cache(maxsize=_KEPT_PIECES)(self._tokenize)
        newline = self._tokenize("\n")
        self._newline = newline[0] if len(newline) == 1 else None

    def vocabulary(self) -> dict[str, int]:
        """The id of each token, special ones too."""
        return dict(self._opening.get_vocab(with_added_tokens=True))

    def encode(self, prompt: ModelPrompt, pad_to: int = 0) -> list[int]:
        """The token ids of a prompt, up to where the model answers, prefill included.

        With `pad_to`, newline tokens are put in at every break so that the tokens so far are a
        multiple of it: the shared part then fills whole blocks of the prefix cache.
        Raises: ConfigError when the chat template refuses the roles.
        """
        ids: list[int] = []
        last = len(prompt.messages) - 1
        for part in self._scaffold(tuple(message.role for message in prompt.messages)):
            if not isinstance(part, int):
                ids.extend(part)
            elif part == last:
                self._extend_to_breaks(ids, prompt, pad_to)
            else:
                ids.extend(self._pieces(prompt.messages[part].content))
        ids.extend(self._pieces(prompt.prefill))
        return ids

    def encode_text(self, text: str) -> list[int]:
        """The token ids of a text as it stands inside a message."""
        return list(self._tokenize(text))

    def option_ids(self, prefill: str, options: tuple[str, ...]) -> tuple[int, ...]:
        """The one token each option is, written after the prefill.

        Raises: ConfigError when an option is several tokens, or two are the same one.
        """
        before = list(self._tokenize(prefill))
        ids = []
        for option in options:
            after = list(self._tokenize(prefill + option))
            if after[:-1] != before:
                raise ConfigError(
                    f"option {option!r} after {prefill!r} is not one token · {self.folder} · "
                    "use options that this tokenizer writes as one token, such as ' A' and ' B'"
                )
            ids.append(after[-1])
        if len(set(ids)) < len(ids):
            raise ConfigError(
                f"two of the options {options!r} are the same token · {self.folder} · "
                "use options that this tokenizer tells apart"
            )
        return tuple(ids)

    def _extend_to_breaks(self, ids: list[int], prompt: ModelPrompt, pad_to: int) -> None:
        """The last message, cut at its breaks, with padding at each."""
        text, start = prompt.messages[-1].content, 0
        for end in sorted(set(prompt.breaks)):
            ids.extend(self._pieces(text[start:end]))
            start = end
            if pad_to and self._newline is not None:
                ids.extend([self._newline] * (-len(ids) % pad_to))
        ids.extend(self._pieces(text[start:]))

    def _pieces(self, text: str) -> "array[int]":
        return self._kept(text) if len(text) <= _KEPT_CHARACTERS else self._tokenize(text)

    def _tokenize(self, text: str) -> "array[int]":
        """A content's ids; an array takes a ninth of a list's memory in the cache."""
        return array("I", self._inert.encode(encodable(text), add_special_tokens=False).ids)

    def _make_scaffold(self, roles: tuple[str, ...]) -> Scaffold:
        names = [f"x{self._nonce}x{i}x" for i in range(len(roles))]
        text = self._render_roles(roles, names)
        parts: list[tuple[int, ...] | int] = []
        for i, piece in enumerate(re.split(f"x{self._nonce}x([0-9]+)x", text)):
            tokenizer = self._continuing if i else self._opening
            encoded = tokenizer.encode(piece, add_special_tokens=False).ids
            parts.append(int(piece) if i % 2 else tuple(encoded))
        return tuple(parts)

    def _render_roles(self, roles: tuple[str, ...], names: list[str]) -> str:
        """The template's text for these roles, with every name in it."""
        messages = [{"role": r, "content": n} for r, n in zip(roles, names, strict=True)]
        attempts = [messages]
        if roles[:2] == ("system", "user"):
            # Some templates know no system turn: its text then opens the first user turn.
            joined = {"role": "user", "content": f"{names[0]}\n\n{names[1]}"}
            attempts.append([joined, *messages[2:]])
        seen = "it leaves out or alters a message"
        for attempt in attempts:
            try:
                text = self._render(attempt)
            except TemplateError as error:
                seen = str(error)
                continue
            if all(name in text for name in names):
                return text
        raise ConfigError(
            f"the chat template refuses the roles {', '.join(roles)}: {seen} · {self.folder} · "
            "use the roles and order that this model was trained on"
        )


def _read_template(folder: Path, answering: bool) -> Callable[[list[dict[str, str]]], str]:
    """The function that renders messages with the folder's chat template."""
    config = _read_config(folder / "tokenizer_config.json")
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    # `strftime_now` stays undefined: a prompt that holds today's date has another key tomorrow.
    source = _GENERATION.sub(_as_condition, _template_source(folder, config))
    try:
        template = environment.from_string(source)
    except TemplateError as error:
        raise ConfigError(f"chat template: {error} · {folder} · correct the template") from error
    tokens = {name: _token_text(config.get(name)) for name in _TOKEN_NAMES}
    return lambda messages: template.render(
        messages=messages, add_generation_prompt=answering, tools=None, documents=None, **tokens
    )


def _read_config(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"not JSON: {error} · {path} · fetch the file again") from error
    return parsed if isinstance(parsed, dict) else {}


def _template_source(folder: Path, config: dict[str, Any]) -> str:
    path = folder / "chat_template.jinja"
    if path.exists():
        return path.read_text(encoding="utf-8")
    source = config.get("chat_template")
    if isinstance(source, list):
        source = {entry["name"]: entry["template"] for entry in source}.get("default")
    if not isinstance(source, str):
        raise ConfigError(
            f"no chat template · {folder} · use an instruction-tuned model, or put its "
            "chat_template.jinja there"
        )
    return source


def _as_condition(match: re.Match[str]) -> str:
    """`generation` marks what to train on, which is no matter here: a block that is always on."""
    left, end, right = match.groups()
    return f"{{%{left} {'endif' if end else 'if true'} {right}%}}"


def _token_text(token: Any) -> str:
    """A special token's text, written in the configuration as a text or as a record."""
    return str((token.get("content") if isinstance(token, dict) else token) or "")


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise TemplateError(message)
