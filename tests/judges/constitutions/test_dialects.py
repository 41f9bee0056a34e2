"""Other people's constitutions come in and go out; what cannot be kept is said."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.constitutions.constitution import Constitution
from judges.constitutions.dialects import (
    DIALECTS,
    Dialect,
    export_constitution,
    import_constitution,
)
from judges.constitutions.files import load_constitution, parse_constitution
from judges.constitutions.yaml_text import yaml_text
from judges.errors import ConstitutionError

PAIRS = {
    "constitutions": [
        {"critic": "Find what is rude.", "revision": "Make it kind."},
        {"critic": "Find what is false in all of the words said here.", "revision": "Mend it."},
    ],
    "system_chat": [[{"role": "user", "content": "Hello"}]],
}
REQUESTS = {
    "harmful0": {
        "prompt": ["\n\nCritiqueRequest: Find what is rude.\n\nCritique:"],
        "edit_request": "\n\nRevisionRequest: Make it kind.\n\nRevision:",
    },
    "Harmful_1": {
        "prompt": [
            "\n\nCritiqueRequest: Find lies.\n\nCritique:",
            "\n\nCritiqueRequest: Find guesses.\n\nCritique:",
        ],
        "edit_request": "\n\nRevisionRequest: Mend it.\n\nRevision:",
        "note": "mine",
    },
}
WHOLE = Constitution.model_validate(
    {
        "name": "house",
        "version": "2.1.0",
        "title": "House",
        "licence": "CC0-1.0",
        "description": "For the house.",
        "principles": [
            {
                "id": "kind",
                "family": "tone",
                "title": "Kind",
                "text": "The kinder one.",
                "tier": "hard",
                "critique": "Find what is rude.",
                "revise": "Make it kind.",
            },
            {"id": "true", "family": "honesty", "title": "True", "text": "The truer one."},
            {"id": "short", "family": "f", "title": "S", "rule": {"kind": "max_words", "value": 9}},
        ],
    }
)


def imported(data: Any, dialect: Dialect | None = None) -> tuple[Constitution, tuple[str, ...]]:
    text = data if isinstance(data, str) else json.dumps(data)
    made = import_constitution(text, "f", "mine", "CC0-1.0", dialect)
    return made.constitution, made.notes


def test_critic_and_revision_become_the_requests_of_a_principle() -> None:
    made, notes = imported(PAIRS)
    assert made.reference == "mine@1.0.0" and made.title == "Mine"
    first, second = made.principles
    assert (first.id, first.critique, first.revise) == (
        "principle-1", "Find what is rude.", "Make it kind."
    )  # fmt: skip
    assert first.text == (
        "The better completion gives less cause for what this request asks to find: "
        '"Find what is rude."'
    )
    assert second.title == "Find what is false in all of the …"
    assert any("system_chat" in note for note in notes)
    assert any("reword them" in note for note in notes)


def test_a_bare_list_of_pairs_is_read_as_well() -> None:
    assert imported(PAIRS["constitutions"])[0] == imported(PAIRS)[0]


def test_the_paper_s_requests_lose_their_frame() -> None:
    made, notes = imported(REQUESTS)
    assert [(p.id, p.critique, p.revise) for p in made.principles] == [
        ("harmful0", "Find what is rude.", "Make it kind."),
        ("harmful-1", "Find lies.", "Mend it."),
        ("harmful-1-2", "Find guesses.", "Mend it."),
    ]
    assert "'Harmful_1': note is passed over" in notes
    assert "'Harmful_1' is called 'harmful-1' here" in notes


def test_an_import_can_be_written_and_loaded() -> None:
    for data in (PAIRS, REQUESTS, "- Be kind.\n- Be true.\n"):
        made, _ = imported(data)
        assert parse_constitution(yaml_text(made).encode(), "f.yaml", []) == made


REQUEST = st.text(
    st.characters(exclude_categories=["C"]) | st.just("\n"), min_size=1, max_size=40
).map(str.strip)
PLAIN = REQUEST.filter(
    lambda text: text and not text.startswith(("CritiqueR", "RevisionR"))
    and not text.endswith(("Critique:", "Revision:"))
)  # fmt: skip


@given(st.lists(st.tuples(PLAIN, PLAIN), min_size=1, max_size=3))
def test_both_json_dialects_come_back_as_they_were(pairs: list[tuple[str, str]]) -> None:
    said = [{"critic": critic, "revision": revision} for critic, revision in pairs]
    data = {"constitutions": said, "system_chat": []}
    made, _ = imported(data, "critic-revision")
    assert json.loads(export_constitution(made, "critic-revision").text) == data
    requests = export_constitution(made, "critique-request").text
    back, _ = imported(requests, "critique-request")
    assert json.loads(export_constitution(back, "critic-revision").text) == data
    assert [p.id for p in back.principles] == [p.id for p in made.principles]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_shipped_constitution_survives_each_dialect_as_far_as_it_reaches(
    dialect: Dialect,
) -> None:
    whole = load_constitution("helpful-harmless@1.0.0")
    back, _ = imported(export_constitution(whole, dialect).text)
    fields = {
        "critic-revision": ("critique", "revise"),
        "critique-request": ("id", "critique", "revise"),
        "markdown": ("id", "family", "title", "text"),
    }[dialect]
    for field in fields:
        assert [getattr(p, field) for p in back.principles] == [
            " ".join(getattr(p, field).split()) for p in whole.principles
        ]


def test_what_is_lost_is_said() -> None:
    assert export_constitution(WHOLE, "critic-revision").notes == (
        "2 principles are left out: true, short",
        "of the 1 principles written these are lost: id of 1, family of 1, title of 1, text of 1, "
        "tier of 1",
        "of the constitution itself these are lost: description, licence, name, title, version",
    )
    assert export_constitution(WHOLE, "markdown").notes == (
        "1 principles are left out: short",
        "of the 2 principles written these are lost: tier of 1, critique of 1, revise of 1",
        "of the constitution itself these are lost: licence, name, version",
    )


def test_yaml_loses_nothing_but_the_parents() -> None:
    made = export_constitution(WHOLE, "yaml")
    assert made.notes == ()
    assert parse_constitution(made.text.encode(), "f.yaml", []) == WHOLE


def test_nothing_to_export_is_an_error() -> None:
    bare = WHOLE.model_copy(update={"principles": WHOLE.principles[1:]})
    with pytest.raises(ConstitutionError, match="no principle has both critique and revise"):
        export_constitution(bare, "critique-request")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("{", "f:1:2: is not JSON", id="no JSON"),
        pytest.param("[]", "f: no principle is in it; {", id="an empty list"),
        pytest.param("[5]", "f: constitutions, entry 1 has no text called critic", id="a number"),
        pytest.param('{"a": 1, "a": 2}', "f: key 'a' is there twice; keep one", id="twice"),
        pytest.param(
            '{"constitutions": 5}', "f: constitutions is no list; {", id="no list of pairs"
        ),
        pytest.param(
            '{"constitutions": [{"critic": "x"}]}',
            "f: constitutions, entry 1 has no text called revision; {",
            id="half a pair",
        ),
        pytest.param('{"a": {}}', "f: 'a' has no list called prompt; {", id="no prompt"),
        pytest.param(
            '{"a": {"prompt": ["x"]}}', "f: 'a' has no text called edit_request; {", id="no edit"
        ),
        pytest.param("{}", "f: no principle is in it; {", id="nothing"),
        pytest.param("Words.", "f: no principle is in it; write a list", id="no list"),
        pytest.param("[" * 100_000, "f:1:1: is nested too deep", id="endless"),
    ],
)
def test_a_file_that_cannot_be_imported_says_what_it_should_be(text: str, expected: str) -> None:
    with pytest.raises(ConstitutionError) as caught:
        imported(text)
    assert str(caught.value).startswith(expected)
