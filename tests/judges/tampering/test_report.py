"""Recall per principle and critique precision find what was planted."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

import charter
from judges.constitutions.files import load_constitution as load
from judges.errors import ConstitutionError, DataError
from judges.jsonl import write_jsonl
from judges.model import Sampling
from judges.records import Message
from judges.store.vote_store import VoteStore
from judges.tampering.pairs import TamperedPair, golden_pairs
from judges.tampering.report import (
    CritiqueSpan,
    critique_copies,
    measure_critiques,
    measure_recall,
    overlaps,
)
from tests.judges.planted import HONEST, KIND, WORDS, asked, constitution, judge
from tests.judges.tampering.scripted_model import Answer, ScriptedModel, said

UNDER = constitution(HONEST, KIND, WORDS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as opened:
        yield opened


def pair(name: str, principle: str = "honest", rejected: str = "tea is BAD now") -> TamperedPair:
    return TamperedPair(
        id=name,
        prompt=(Message(role="user", content=f"What is tea? {name}"),),
        chosen="tea is good now",
        rejected=rejected,
        principle=principle,
        span=(7, 10),
        made_by="model",
    )


async def test_recall_is_per_principle_and_finds_a_blind_judge(store: VoteStore) -> None:
    sees = judge(
        preferences={"honest": "avoids:BAD", "kind": "contains:BAD", "few": "random"},
        position_bias=1.0,
    )
    pairs = [pair(f"h{k}") for k in range(4)] + [pair(f"k{k}", "kind") for k in range(3)]
    honest, kind = await measure_recall(pairs, UNDER, [sees], store)
    assert (honest.principle, honest.n, kind.principle, kind.n) == ("honest", 4, "kind", 3)
    assert honest.recall is not None and kind.recall is not None
    assert (honest.recall.value, kind.recall.value) == (1.0, 0.0)
    assert honest.recall.low < 1
    assert asked(sees) == 2 * len(pairs)
    await measure_recall(pairs, UNDER, [sees], store)
    assert asked(sees) == 2 * len(pairs), "a second report costs nothing"


async def test_a_tie_is_a_half_and_a_failure_no_number(store: VoteStore) -> None:
    ties = judge(preferences={"": "indifferent"}, fail_containing={"h0": "refused"})
    (honest,) = await measure_recall([pair("h0"), pair("h1")], UNDER, [ties], store)
    assert (honest.n, honest.unscored) == (1, 1)
    assert honest.recall is not None and honest.recall.value == 0.5
    (lost,) = await measure_recall([pair("h0")], UNDER, [ties], store)
    assert (lost.n, lost.recall) == (0, None)


async def test_a_rule_is_recalled_without_a_judge(store: VoteStore) -> None:
    none = judge()
    pairs = [pair("w", "few-words", "tea is BAD now and then")]
    (words,) = await measure_recall(pairs, UNDER, [none], store)
    assert words.recall is not None and words.recall.value == 1.0
    assert asked(none) == 0


async def test_a_pair_of_an_unknown_principle_is_an_error(store: VoteStore) -> None:
    with pytest.raises(ConstitutionError, match="'gone'"):
        await measure_recall([pair("a", "gone")], UNDER, [judge()], store)


@pytest.mark.parametrize(
    ("start", "end", "hit"),
    [(0, 7, False), (0, 8, True), (9, 14, True), (10, 14, False), (8, 8, False)],
)
def test_a_quote_hits_where_it_shares_a_character(start: int, end: int, hit: bool) -> None:
    critique = CritiqueSpan(pair="a", principle="honest", start=start, end=end)
    assert overlaps(pair("a"), critique) is hit


def test_precision_counts_critiques_and_recall_copies() -> None:
    pairs = [pair("a"), pair("b"), pair("c", "kind")]
    spots = [
        ("a", "honest", 7, 10),
        ("a", "honest", 0, 3),
        ("a", "kind", 7, 10),
        ("c", "kind", 0, 9),
    ]
    told = [
        CritiqueSpan(pair=name, principle=principle, start=start, end=end)
        for name, principle, start, end in spots
    ]
    both, honest, kind = measure_critiques(pairs, told)
    assert (both.critiques, both.copies, both.set_aside) == (3, 3, 1)
    assert both.precision is not None and both.recall is not None
    assert [both.precision.value, both.recall.value] == pytest.approx([2 / 3, 2 / 3])
    assert honest.precision is not None and honest.precision.value == 0.5
    assert (honest.principle, honest.set_aside) == ("honest", 1)
    assert kind.recall is not None and kind.recall.value == 1.0


def test_no_critique_is_no_precision_but_a_recall_of_nothing() -> None:
    both, _ = measure_critiques([pair("a")], [])
    assert both.precision is None
    assert both.recall is not None and both.recall.value == 0.0


def test_a_critique_of_an_unknown_pair_is_an_error() -> None:
    with pytest.raises(DataError, match="'z'"):
        measure_critiques([pair("a")], [CritiqueSpan(pair="z", principle="honest", start=0, end=1)])


async def test_a_critic_is_asked_about_the_violated_principle_of_each_copy() -> None:
    def answer(text: str, tail: str) -> Answer:
        assert "Be honest?" in tail
        quote = "BAD" if "BAD" in text else "nobody said this"
        return said(orjson.dumps({"quote": quote, "comment": "x", "severity": "major"}).decode())

    critical = HONEST | {"critique": "Be honest? Say where not."}
    copies = [pair("a"), pair("b", rejected="tea is so now"), pair("c", "kind")]
    spans, outcomes = await critique_copies(
        copies, constitution(critical, KIND), ScriptedModel(answer), Sampling(max_tokens=64)
    )
    assert [(span.pair, span.start, span.end) for span in spans] == [("a", 7, 10)]
    assert outcomes == {"found": 1, "quote_not_found": 1, "no critique request": 1}
    together = measure_critiques(copies, spans)[0]
    assert together.recall is not None and together.recall.value == 1 / 3


def test_the_verb_writes_recall_and_critiques(tmp_path: Path) -> None:
    pairs, report = tmp_path / "pairs.jsonl", tmp_path / "report.json"
    write_jsonl(pairs, [one.model_dump(mode="json") for one in golden_pairs(load("honest"))])
    flags = ["--constitution", "honest", "--judge", "fake", "--store", f"sqlite:///{tmp_path}/v.db"]
    command = ["recall", "--pairs", str(pairs), "--output", str(report), "--critiques", *flags]
    assert charter.main(command) == 0
    told = orjson.loads(report.read_bytes())
    assert [row["principle"] for row in told["recall"]] == [p.id for p in load("honest").principles]
    assert sum(row["n"] + row["unscored"] for row in told["recall"]) == told["pairs"]
    assert sum(told["critique_outcomes"].values()) == told["pairs"]


def test_a_file_without_pairs_says_how_to_make_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.jsonl").touch()
    command = f"recall --constitution honest --pairs {tmp_path}/pairs.jsonl --output {tmp_path}/r"
    assert charter.main(command.split()) == 1
    assert "`charter tamper` makes some" in capsys.readouterr().err
