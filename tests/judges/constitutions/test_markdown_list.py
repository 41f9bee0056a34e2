"""A Markdown list reads as people write one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.constitutions.constitution import Constitution, Principle
from judges.constitutions.markdown_list import markdown_text, read_markdown
from judges.errors import ConstitutionError

TEXT = """\
# House rules

What we ask of it.

## Good tone

- **Kind.** It is kinder
  to the reader.
- It insults nobody, whatever they said before that.

1. **Calm** (`no-panic`): It is calmer.

Words in between.

## Honesty

* It says what it
  does not know:
  - dates
  - names
"""


def test_items_headings_and_what_is_around_them() -> None:
    items, about, notes = read_markdown(TEXT, "f.md")
    assert [(i["id"], i["family"], i["title"], i["text"]) for i in items] == [
        ("kind", "good-tone", "Kind", "It is kinder to the reader."),
        (
            "it-insults-nobody-whatever-they-said-before-that",
            "good-tone",
            "It insults nobody, whatever they said before that.",
            "It insults nobody, whatever they said before that.",
        ),
        ("no-panic", "good-tone", "Calm", "It is calmer."),
        (
            "it-says-what-it-does-not-know",
            "honesty",
            "It says what it does not know: -",
            "It says what it does not know: - dates - names",
        ),
    ]
    assert about == {"title": "House rules", "description": "What we ask of it."}
    assert notes == ["f.md:13: text outside the list is passed over"]
    assert items[2]["source"] == "Imported, line 11."


def test_a_title_without_text_is_refused_with_its_line() -> None:
    with pytest.raises(ConstitutionError, match="f:2:1: this item has a title and no text"):
        read_markdown("- Kind.\n- **True**\n", "f")


WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
LINES = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)


@given(st.lists(st.tuples(st.sampled_from(["tone", "f-2"]), LINES, LINES), min_size=1, max_size=4))
def test_a_list_that_was_written_reads_back(rows: list[tuple[str, str, str]]) -> None:
    principles = [
        Principle(id=f"p-{n}", family=family, title=title, text=text)
        for n, (family, title, text) in enumerate(rows)
    ]
    made = Constitution(
        name="a", version="1.0.0", title="A", licence="CC0-1.0", principles=tuple(principles)
    )
    items, about, notes = read_markdown(markdown_text(made, principles), "f")
    assert [Principle.model_validate(i | {"source": None}) for i in items] == principles
    assert (about, notes) == ({"title": "A"}, [])


@given(st.text(alphabet="ab*_`()#-: \n1.", max_size=60))
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        read_markdown(text, "f")
    except ConstitutionError as error:
        assert str(error).startswith("f:")
