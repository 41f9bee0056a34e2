"""What the guide for writers shows is what works: its examples load and fit the schema."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from judges.constitutions.files import parse_constitution
from judges.constitutions.lint import lint_constitution

FOLDER = Path(__file__).parents[3] / "constitutions"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (FOLDER / "README.md").read_text("utf-8"), re.S)


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split("\n")[0])
def test_an_example_loads_and_fits_the_schema(text: str) -> None:
    made = parse_constitution(text.encode(), "README.md", [FOLDER])
    assert not any(finding.forbids for finding in lint_constitution(made))
    schema = json.loads((FOLDER / "schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(YAML(typ="safe", pure=True).load(text))


def test_scope_tier_and_extends_each_have_an_example() -> None:
    whole = "\n".join(EXAMPLES)
    for key in ("applies_when:", "tier:", "extends:", "drop:", "rule:", "tests:"):
        assert key in whole


def test_an_example_replaces_and_drops_what_it_says() -> None:
    (text,) = (text for text in EXAMPLES if text.startswith("name: house-style"))
    made = parse_constitution(text.encode(), "README.md", [FOLDER])
    (own,) = (p for p in made.principles if p.title == "No praise at all")
    assert own.tier == "high" and made.principles.index(own) < len(made.principles) - 1
    assert "even-handed" not in {p.id for p in made.principles}
