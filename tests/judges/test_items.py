"""Every line that cannot be used is named with its file, its number and the remedy."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import DataError
from judges.items import load_items, load_prompts, parse_item
from judges.jsonl import write_jsonl
from judges.records import CompletionText, Item, Message


def write(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_an_item_as_charter_writes_it(tmp_path: Path) -> None:
    completion = {"text": "Yes.", "finish_reason": "stop", "tokens": 2, "policy": "p", "extra": 1}
    row = {
        "id": 7,
        "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "completions": [completion, "No."],
        "metadata": {"topic": "x"},
    }
    (item,) = load_items(write(tmp_path, row))
    assert item.id == "7"
    assert [m.role for m in item.prompt] == ["system", "user"]
    assert item.completions[0].model_dump() == completion
    assert item.completions[1] == CompletionText(text="No.")
    assert item.metadata == {"topic": "x"}


HI = [{"role": "user", "content": "hi"}]


def says(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"prompt": "hi", "chosen": "A", "rejected": "B"}, id="three strings"),
        pytest.param(
            {"prompt": HI, "chosen": says("A"), "rejected": says("B")}, id="TRL's message lists"
        ),
        pytest.param(
            {"chosen": HI + says("A"), "rejected": HI + says("B")}, id="TRL's implicit prompt"
        ),
        pytest.param(
            {"prompt": "hi", "chosen": HI + says("A"), "rejected": HI + says("B")},
            id="a prompt repeated in both",
        ),
    ],
)
def test_preference_rows_are_items_with_chosen_first(row: dict[str, Any]) -> None:
    item = parse_item({**row, "p_chosen": 0.9}, "here")
    assert item.prompt == (Message(role="user", content="hi"),)
    assert [c.text for c in item.completions] == ["A", "B"]
    assert item.metadata == {"p_chosen": 0.9}


def good(**changed: Any) -> dict[str, Any]:
    row = {"id": "x", "prompt": "hi", "completions": ["a", "b"], **changed}
    return {key: value for key, value in row.items() if value != "absent"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param(
            good(completion=["a"]),
            "unknown key 'completion' (did you mean 'completions'?)",
            id="a key misspelt",
        ),
        pytest.param(good(zzz=1), "unknown key 'zzz'; put your own columns under", id="own column"),
        pytest.param(good(prompt="absent"), "`prompt` is missing", id="no prompt"),
        pytest.param(good(prompt=None), "`prompt` is null", id="prompt null"),
        pytest.param(good(prompt=[]), "`prompt` is a list", id="no message in the prompt"),
        pytest.param(good(prompt=3), "`prompt` is a int", id="prompt a number"),
        pytest.param(
            good(prompt=[{"role": "usr", "content": "hi"}]),
            "role is 'usr'; use system, user, assistant or tool",
            id="wrong role",
        ),
        pytest.param(
            good(prompt=[{"role": "user"}]), "needs `role` and `content`", id="no content"
        ),
        pytest.param(good(prompt=["hi"]), "message 0 of the prompt needs", id="no message"),
        pytest.param(
            good(prompt=[{"role": "user", "content": ["hi"]}]), "content is a list", id="parts"
        ),
        pytest.param(good(completions="absent"), "`completions` is missing", id="no completions"),
        pytest.param(good(completions=[]), "`completions` is missing or empty", id="none of them"),
        pytest.param(good(completions="ab"), "`completions` is a str", id="one string, no list"),
        pytest.param(good(completions=None), "`completions` is null", id="completions null"),
        pytest.param(good(completions=["a", None]), "a completion is null", id="completion null"),
        pytest.param(good(completions=[{"txt": "a"}]), "a completion is a dict", id="no text"),
        pytest.param(
            good(completions=[{"text": "a", "tokens": "many"}]), "tokens: ", id="tokens no number"
        ),
        pytest.param(good(metadata=[1]), "metadata: ", id="metadata no object"),
        pytest.param(good(id=None), "id is None; use a string or a whole number", id="id null"),
        pytest.param(good(id=True), "id is True", id="id true"),
        pytest.param(good(id=""), "id is ''", id="id empty"),
        pytest.param(good(id=1.5), "id is 1.5", id="id a fraction"),
        pytest.param({"chosen": "A", "rejected": "B"}, "no `prompt`", id="no prompt to share"),
        pytest.param(
            {"prompt": "hi", "chosen": [], "rejected": "B"}, "`chosen` is a list", id="no turn"
        ),
        pytest.param(
            {"prompt": "hi", "chosen": [{"role": "assistant"}], "rejected": "B"},
            "has no text content",
            id="a turn without text",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    path = write(tmp_path, good(), row)
    with pytest.raises(DataError) as caught:
        load_items(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert message in str(caught.value)


def test_an_id_met_twice_names_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path, good(), good(id="y"), good(id="x"))
    with pytest.raises(DataError, match=r":3: id 'x' stands on line 1 too; give each line its own"):
        load_items(path)


def test_rows_without_ids_get_lasting_ones_and_repeats_stay_apart(tmp_path: Path) -> None:
    same = {"prompt": "hi", "chosen": "A", "rejected": "B"}
    other = {"prompt": "hi", "chosen": "A", "rejected": "C"}
    ids = [item.id for item in load_items(write(tmp_path, same, other, same, same))]
    assert ids[2:] == [f"{ids[0]}-2", f"{ids[0]}-3"]
    assert ids[1] != ids[0]
    assert [item.id for item in load_items(write(tmp_path, other, same))] == [ids[1], ids[0]]


@pytest.mark.parametrize("content", ["", "\n\n"], ids=["no byte", "only blank lines"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match="no line in it; expected one JSON object a line"):
        load_items(path)


def test_prompts_need_no_completions_but_may_have_some(tmp_path: Path) -> None:
    path = write(tmp_path, {"id": "a", "prompt": "hi"}, good())
    assert [len(item.completions) for item in load_prompts(path)] == [0, 2]
    with pytest.raises(DataError, match="`completions` is a str"):
        load_prompts(write(tmp_path, good(completions="ab")))


text = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(text, st.lists(text, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_any_text_survives_the_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, list[str]]]
) -> None:
    path = tmp_path_factory.mktemp("items") / "items.jsonl"
    write_jsonl(
        path,
        ({"id": i, "prompt": prompt, "completions": c} for i, (prompt, c) in enumerate(rows)),
    )
    items = load_items(path)
    assert [(i.prompt[0].content, [c.text for c in i.completions]) for i in items] == rows
    write_jsonl(path, (item.model_dump() for item in items))
    assert load_items(path) == items


def test_the_conversation_text_is_told_apart_by_roles_and_turns() -> None:
    def item(*turns: tuple[str, str]) -> Item:
        prompt = tuple(Message.model_validate({"role": r, "content": c}) for r, c in turns)
        return Item(id="x", prompt=prompt, completions=())

    distinct = {
        item(("user", "ab")).conversation_text,
        item(("system", "ab")).conversation_text,
        item(("user", "a"), ("user", "b")).conversation_text,
    }
    assert len(distinct) == 3
