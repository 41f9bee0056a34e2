"""Constitution files made for a test."""

import json
from pathlib import Path
from typing import Any


def principle(name: str, text: str = "", **more: Any) -> dict[str, Any]:
    text = text or f"It is more {name}."
    return {"id": name, "family": "tone", "title": name.title(), "text": text, **more}


def write(folder: Path, reference: str, *principles: str | dict[str, Any], **top: Any) -> Path:
    """A constitution file in a folder; JSON is YAML. A bare word makes a principle of that id."""
    name, version = reference.split("@")
    path = folder / name / f"{version}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = [principle(each) if isinstance(each, str) else each for each in principles]
    data = {"name": name, "version": version, "title": name, "licence": "CC0-1.0", **top}
    path.write_text(json.dumps(data | ({"principles": whole} if whole else {}), indent=1))
    return path
