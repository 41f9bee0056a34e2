"""A tokenizer for quoted text that knows no control token, made from any `tokenizer.json`.

Every control token keeps its id but gets a random name that no text can contain, so that judged
text holding `<|im_end|>` becomes the ordinary characters it is made of.
"""

import json
import secrets
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from judges.errors import ConfigError


def read_tokenizer_json(folder: Path) -> dict[str, Any]:
    """The parsed `tokenizer.json` of a model folder.

    Raises: ConfigError when it is missing or no tokenizer.
    """
    path = folder / "tokenizer.json"
    try:
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"no tokenizer.json ({error.strerror}) · {path} · "
            "name the model's own folder as the judge's tokenizer, or use chat_logprobs"
        ) from error
    except ValueError as error:
        raise ConfigError(f"not JSON: {error} · {path} · fetch the file again") from error
    if not isinstance(parsed, dict) or "model" not in parsed:
        raise ConfigError(f"no tokenizer model in it · {path} · fetch the file again")
    return parsed


def control_tokens(tokenizer: dict[str, Any]) -> list[str]:
    """The added tokens that steer a model: all but plain white space, longest first.

    `special: false` is no safe sign: reasoning and tool-call marks are often declared so.
    """
    added = tokenizer.get("added_tokens") or []
    names = {t["content"] for t in added if t.get("special") or not t["content"].isspace()}
    return sorted(names, key=lambda name: (-len(name), name))


def inert(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """The same tokenizer with every control token out of the reach of text; ids unchanged.

    Characters that a design cannot write still become its unknown token, as anywhere else.
    """
    nonce = secrets.token_hex(16)
    renamed = {name: f"{nonce}-{i}" for i, name in enumerate(control_tokens(tokenizer))}
    added = [
        t | {"content": renamed.get(t["content"], t["content"])}
        for t in tokenizer.get("added_tokens") or []
    ]
    model = _rename_in_model(tokenizer["model"], renamed)
    return continuing(tokenizer) | {"added_tokens": added, "model": model, "post_processor": None}


def _rename_in_model(model: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    """The model with control tokens renamed, and without the merges that would spell one."""
    changed = dict(model)
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        changed["vocab"] = {renamed.get(text, text): i for text, i in vocabulary.items()}
    else:
        changed["vocab"] = [[renamed.get(text, text), score] for text, score in vocabulary]
    if model.get("merges"):
        changed["merges"] = [m for m in model["merges"] if not _spells(m, renamed)]
    if model.get("unk_token"):
        changed["unk_token"] = renamed.get(model["unk_token"], model["unk_token"])
    return changed


def _spells(merge: str | list[str], renamed: dict[str, str]) -> bool:
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left in renamed or right in renamed or left + right in renamed


def opening(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """The same tokenizer for text at the start of a prompt: never cut, never padded."""
    return tokenizer | {"truncation": None, "padding": None}


def continuing(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """The same tokenizer for text in the middle: no space is put before the first word."""
    parts = {part: _without_prefix(tokenizer.get(part)) for part in ("normalizer", "pre_tokenizer")}
    return opening(tokenizer) | parts


def _without_prefix(part: Any) -> Any:
    if isinstance(part, list):
        kept = [_without_prefix(step) for step in part]
        return [step for step in kept if step is not None]
    if not isinstance(part, dict):
        return part
    if part.get("type") == "Prepend":
        return None
    changed = {key: _without_prefix(value) for key, value in part.items()}
    if "prepend_scheme" in part:
        changed["prepend_scheme"] = "never"
    if "add_prefix_space" in part:
        changed["add_prefix_space"] = False
    return changed


def load(tokenizer: dict[str, Any]) -> Tokenizer:
    """The tokenizer that a parsed `tokenizer.json` describes."""
    return Tokenizer.from_str(json.dumps(tokenizer))


def encodable(text: str) -> str:
    """The text as UTF-8 can hold it: lone surrogates become U+FFFD, pairs become one character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
