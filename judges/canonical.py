"""Canonical JSON and its sha-256: the identity of everything charter stores.

The form is RFC 8785 restricted to what we use: keys sorted, no spaces, UTF-8 unescaped, no NaN.
"""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: equal values give equal text.

    Raises: ValueError for NaN or infinity, which have no JSON form.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: Any) -> str:
    """The sha-256 of the canonical JSON of a value, 64 hexadecimal digits."""
    return text_digest(canonical_json(value))


def text_digest(text: str) -> str:
    """The sha-256 of a text itself; lone surrogates count as they stand."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
