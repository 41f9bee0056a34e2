"""Precedents stand before the question as turns, and which ones is fixed by pool, k and prompt."""

from pathlib import Path

import pytest

from judges.errors import DataError
from judges.layout import Case, read_prompt, vote_prompt
from judges.precedents import Precedent, Precedents, read_precedents
from judges.records import Message


def ask(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def case(text: str) -> Case:
    return Case(kind="pair", conversation=ask(text), completions=("x", "y"), words="Be kind.")


POOL = [
    Precedent(conversation=ask("How do I brew tea?"), better="good tea", worse="bad tea"),
    Precedent(conversation=ask("What is a bicycle?"), better="good bike", worse="bad bike"),
    Precedent(
        conversation=ask("Who was Ada?"), better="good Ada", worse="bad Ada", principle="kind"
    ),
]


def shown(turns: tuple[Message, ...]) -> list[tuple[tuple[str, ...], str]]:
    pairs = zip(turns[::2], turns[1::2], strict=True)
    prompts = [(vote_prompt(case("x")), asked, told) for asked, told in pairs]
    return [
        (read_prompt(p.model_copy(update={"messages": (asked,)})).completions, told.content)
        for p, asked, told in prompts
    ]


def test_all_are_shown_in_order_and_sides_alternate() -> None:
    assert shown(Precedents(POOL).turns(case("Tea?"), "kind")) == [
        (("good tea", "bad tea"), "Answer: A"),
        (("bad bike", "good bike"), "Answer: B"),
        (("good Ada", "bad Ada"), "Answer: A"),
    ]


def test_one_that_belongs_to_a_principle_is_shown_under_it_only() -> None:
    assert len(Precedents(POOL).turns(case("Tea?"), "brief")) == 4


def test_the_nearest_comes_last() -> None:
    turns = Precedents(POOL, k=2).turns(case("Is a bicycle a machine?"), "kind")
    assert [told[0] for told in shown(turns)][-1] == ("bad bike", "good bike")
    assert len(turns) == 4


def test_other_kinds_of_question_see_none() -> None:
    alone = Case(kind="yes_no", conversation=ask("Tea?"), completions=("x",), words="It is kind.")
    assert Precedents(POOL).turns(alone, "kind") == ()


def test_pool_and_k_are_part_of_the_name() -> None:
    digests = {Precedents(POOL).digest, Precedents(POOL, 2).digest, Precedents(POOL[:2]).digest}
    assert len(digests) == 3
    assert Precedents(POOL, 2).digest == Precedents(list(POOL), 2).digest


def test_reading_names_the_line_that_is_no_precedent(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": "a"}\n')
    with pytest.raises(DataError, match=r"p.jsonl:2: lacks `chosen` or `rejected`"):
        read_precedents(path)
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c", "principle": "kind"}\n')
    assert read_precedents(path).pool[0] == Precedent(
        conversation=ask("a"), better="b", worse="c", principle="kind"
    )
