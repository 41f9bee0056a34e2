"""Rows of every format become the same pair; what is no pair is counted or refused."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judges.audit.pairs import read_pairs, read_prompts
from judges.errors import DataError
from judges.formats.pairs import parse_pairs

PROMPT = ({"role": "user", "content": "What is tea?"},)
CHOSEN = ({"role": "assistant", "content": "A drink."},)
REJECTED = ({"role": "assistant", "content": "No idea."},)
RATED = [
    {"response": "No idea.", "annotations": {"honesty": {"Rating": "2"}, "help": {"Rating": "1"}}},
    {"response": "A drink.", "annotations": {"honesty": {"Rating": "5"}, "help": {"Rating": "4"}}},
    {"response": "Unrated.", "annotations": {"honesty": {"Rating": "N/A"}}},
]
RANKING = {
    "id": "q", "status": "scored", "prompt": list(PROMPT), "completions": ["No idea.", "A drink."],
    "p": [[0.5, 0.2], [0.8, 0.5]], "ranking": [1, 0], "scores": [-0.7, 0.7], "principles": {},
    "digests": {}, "observed": [[0, 1]],
}  # fmt: skip
TURNS = [{"from": "human", "value": "What is tea?"}]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            {"prompt": "What is tea?", "chosen": "A drink.", "rejected": "No idea."},
            id="TRL, standard",
        ),
        pytest.param(
            {"prompt": list(PROMPT), "chosen": list(CHOSEN), "rejected": list(REJECTED)},
            id="TRL, conversational",
        ),
        pytest.param(
            {"chosen": [*PROMPT, *CHOSEN], "rejected": [*PROMPT, *REJECTED]},
            id="TRL, prompt shared",
        ),
        pytest.param(
            {"prompt": "What is tea?", "chosen": [*PROMPT, *CHOSEN],
             "rejected": [*PROMPT, *REJECTED], "score_chosen": 9.0},
            id="ultrafeedback_binarized",
        ),
        pytest.param(
            {"chosen": "\n\nHuman: What is tea?\n\nAssistant: A drink.",
             "rejected": "\n\nHuman: What is tea?\n\nAssistant: No idea."},
            id="hh-rlhf",
        ),
        pytest.param(
            {"prompt": "\n\nHuman: What is tea?\n\nAssistant:", "chosen": "A drink.",
             "rejected": "No idea."},
            id="a transcript as prompt",
        ),
        pytest.param(
            {"messages": [*PROMPT], "chosen": CHOSEN[0], "rejected": REJECTED[0]},
            id="LLaMA-Factory, openai",
        ),
        pytest.param(
            {"instruction": "What is", "input": "tea?", "chosen": "A drink.",
             "rejected": "No idea."},
            id="LLaMA-Factory, alpaca",
        ),
        pytest.param(
            {"conversations": TURNS, "chosen": {"from": "gpt", "value": "A drink."},
             "rejected": {"from": "gpt", "value": "No idea."}},
            id="LLaMA-Factory, sharegpt",
        ),
        pytest.param({"instruction": "What is tea?", "completions": RATED}, id="UltraFeedback"),
        pytest.param(
            {"instruction": "What is tea?", "generations": ["No idea.", "A drink."],
             "ratings": [1.0, 4.5]},
            id="distilabel",
        ),
        pytest.param(RANKING, id="a ranking"),
        pytest.param(
            {"prompt": "What is tea?", "completions": ["No idea.", "A drink."],
             "preferred_index": 1},
            id="labelled",
        ),
    ],
)  # fmt: skip
def test_every_format_gives_the_same_pair(row: dict[str, Any], tmp_path: Path) -> None:
    (found,) = parse_pairs(row, "f:1", "all", Counter())
    texts = [[turn["content"] for turn in side] for side in (found.chosen, found.rejected)]
    assert texts == [["A drink."], ["No idea."]]
    assert "".join(found.prompt[0]["content"].split()) == "Whatistea?"
    assert found.prompt[0]["role"] == "user"
    assert found.p_chosen == (0.8 if row is RANKING else None)
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([row]))
    audited = read_pairs(file)
    assert [audited.chosen, audited.rejected] == [["A drink."], ["No idea."]]
    assert [audited.prompts, read_prompts(file)] == [[found.prompt[0]["content"]]] * 2
    assert audited.p_chosen.tolist() == pytest.approx([found.p_chosen or np.nan], nan_ok=True)


def test_turns_of_a_conversation_keep_their_roles() -> None:
    row = {
        "system": "Be brief.", "instruction": "And milk?",
        "history": [["What is tea?", "A drink."]],
        "chosen": "Yes.", "rejected": "No.",
    }  # fmt: skip
    (found,) = parse_pairs(row, "f:1", "all", Counter())
    assert [turn["role"] for turn in found.prompt] == ["system", "user", "assistant", "user"]
    (tools,) = parse_pairs(
        {"prompt": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}],
         "chosen": "c", "rejected": "d"}, "f:1", "all", Counter(),
    )  # fmt: skip
    assert [turn["role"] for turn in tools.prompt] == ["user", "tool"]


def test_completions_of_several_turns_part_where_they_differ() -> None:
    shared = [*PROMPT, *CHOSEN, {"role": "user", "content": "More?"}]
    row = {"chosen": [*shared, *CHOSEN], "rejected": [*shared, *REJECTED]}
    (found,) = parse_pairs(row, "f:1", "all", Counter())
    assert (list(found.prompt), found.chosen) == (shared, CHOSEN)


def test_ties_and_unrated_completions_are_counted() -> None:
    dropped: Counter[str] = Counter()
    row = {"instruction": "a", "generations": ["x", "y", "z", "w"], "ratings": [3, 3, 1, "N/A"]}
    assert len(list(parse_pairs(row, "f:1", "all", dropped))) == 2
    assert dropped == {"tie": 1, "unrated": 1}
    assert len(list(parse_pairs(row, "f:1", "best-worst", dropped))) == 1
    tie = {"prompt": "a", "completions": ["x", "y"], "preferred_index": None}
    assert list(parse_pairs(tie, "f:1", "all", dropped)) == []
    assert dropped["tie"] == 2
    empty = {"prompt": "a", "completions": ["x", " "], "preferred_index": 0}
    assert list(parse_pairs(empty, "f:1", "all", dropped)) == []
    assert dropped["empty"] == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param({"chosen": "a", "rejected": "b"}, "no `prompt` beside it", id="no prompt"),
        pytest.param({"chosen": "a"}, "no `rejected` beside `chosen`", id="half a pair"),
        pytest.param({"text": "a"}, "no label", id="no pair at all"),
        pytest.param(
            {"prompt": "a", "chosen": [{"role": "bot", "content": "b"}], "rejected": "c"},
            "role is 'bot'", id="role",
        ),
        pytest.param(
            {"chosen": [*CHOSEN], "rejected": [*REJECTED]}, "do not start with the same turns",
            id="nothing shared",
        ),
        pytest.param({"ranking": [0], "p": [[0.5]]}, "no ranking line", id="half a ranking"),
        pytest.param(
            {"instruction": "a", "completions": [{"response": "b", "rating": "good"}]},
            "use numbers", id="a rating in words",
        ),
        pytest.param(
            {"instruction": "a", "generations": ["b", "c"], "ratings": [3]},
            "no lists of one length", id="a rating short",
        ),
        pytest.param(
            {"instruction": "a", "generations": ["b", "c"], "ratings": [3, "good"]},
            "a rating is 'good'; use numbers", id="a generation's rating in words",
        ),
    ],
)  # fmt: skip
def test_faults_name_the_place(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        list(parse_pairs(row, "f:7", "all", Counter()))
    assert str(caught.value).startswith("f:7")
    assert message in str(caught.value)
