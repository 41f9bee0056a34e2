"""Rows to fine-tune on have TRL's columns, the same in every row, of accepted revisions only."""

from typing import Any

import pytest

from judges.critiques.sft import sft_rows


def line(*statuses: str, name: str = "a") -> dict[str, Any]:
    rounds = [
        {
            "round": k,
            "principle": f"p{k}",
            "status": status,
            "revision": f"text {k}" if status not in ("failed", "unneeded") else None,
            "p": 0.75 if status == "kept" else None,
        }
        for k, status in enumerate(statuses, start=1)
    ]
    return {
        "id": name,
        "prompt": [{"role": "user", "content": "What is tea?"}],
        "completions": [{"text": "x", "rounds": rounds}, {"text": "y", "rounds": []}],
        "digests": {"constitution": "c"},
    }


MARKED = ("empty", "identical", "worse", "failed", "unneeded")


@pytest.mark.parametrize(
    ("rounds", "ids"),
    [("all", ["a:0:1", "a:0:3", "b:0:1"]), ("last", ["a:0:3", "b:0:1"])],
)
def test_accepted_revisions_become_rows(rounds: Any, ids: list[str]) -> None:
    made = [line("kept", "worse", "kept", *MARKED), line("unchecked", name="b"), line(name="c")]
    rows = list(sft_rows(made, rounds))
    assert [row["id"] for row in rows] == ids
    assert {tuple(row) for row in rows} == {
        ("prompt", "completion", "id", "principle", "checked", "p", "digests")
    }
    assert rows[0]["prompt"] == [{"role": "user", "content": "What is tea?"}]
    assert rows[-2]["completion"] == [{"role": "assistant", "content": "text 3"}]
    assert [row["checked"] for row in rows][-1] is False


def test_what_is_marked_never_becomes_a_row() -> None:
    assert list(sft_rows([line(*MARKED)], "all")) == []
