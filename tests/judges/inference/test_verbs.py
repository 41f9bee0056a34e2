"""From a preferences file to a constitution that loads, lints clean and passes its own tests."""

import asyncio
import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import pytest

from judges.benchmarks.planted_pairs import PLANTED, TOPICS, candidates, labelled_pairs
from judges.constitutions.files import load_constitution
from judges.constitutions.lint import lint_constitution
from judges.errors import ConfigError
from judges.golden import run_golden_tests
from judges.inference.commands import add_verbs
from judges.inference.explain import explain, explanation_text
from judges.inference.infer import Inferring
from judges.inference.verbs import run_infer
from judges.inference.write import golden_tests
from judges.jsonl import write_jsonl
from judges.judge import Judge
from judges.models.fake import FakeModel
from judges.store.vote_store import VoteStore
from tests.judges.planted import constitution

FOUR = [c.text for c in candidates() if c.text.split('"')[1] in TOPICS[:2]]
AGAINST = next(c for c in candidates() if c.text.endswith('avoids "amber".'))
TWO = dict.fromkeys(list(PLANTED)[:2], 6.0)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """preferences.jsonl and candidates.txt."""
    rows = [
        {
            "id": pair.item.id,
            "prompt": pair.item.prompt[0].content,
            "completions": [c.text for c in pair.item.completions],
            "preferred_index": 0 if pair.preferred == 1 else 1,
        }
        for pair in labelled_pairs(160, 2, TWO)
    ]
    write_jsonl(tmp_path / "preferences.jsonl", rows)
    (tmp_path / "candidates.txt").write_text("\n".join(FOUR))
    return tmp_path


def options(folder: Path, *more: str) -> Namespace:
    """The flags as the command line reads them."""
    parser = ArgumentParser()
    add_verbs(parser.add_subparsers())
    given = [
        "infer",
        *("--preferences", f"{folder}/preferences.jsonl", "--judge", "fake"),
        *("--candidates", f"{folder}/candidates.txt", "--store", f"sqlite:///{folder}/votes.db"),
        *more,
    ]
    return parser.parse_args(given)


def test_preferences_become_a_constitution(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = files / "taste.yaml"
    assert run_infer(options(files, "--output", str(output), "--no-hypotheses")) == 0
    made = load_constitution(str(output))
    assert {principle.text for principle in made.principles} == set(TWO)
    assert lint_constitution(made) == []
    assert all("Held out" in (principle.source or "") for principle in made.principles)
    with VoteStore.open(f"sqlite:///{files}/votes.db") as store:
        results = asyncio.run(run_golden_tests(made, [Judge("fake", FakeModel())], store))
    assert len(results) == 4
    assert all(result.passed for result in results)
    report = json.loads((files / "taste.report.json").read_text())
    dropped = {c["text"]: c["dropped"] for c in report["candidates"] if c["dropped"]}
    assert set(dropped) == set(FOUR) - set(TWO)
    assert report["proposals"]["failed"], "the fake proposes nothing, and the report says so"
    first = output.read_bytes()
    capsys.readouterr()
    assert run_infer(options(files, "--output", str(output), "--no-hypotheses")) == 0
    assert output.read_bytes() == first
    assert " 0 new votes" in capsys.readouterr().err, "a rerun is free"


def test_no_tests_copies_no_text(files: Path) -> None:
    output = files / "taste.yaml"
    flags = ("--output", str(output), "--no-hypotheses", "--no-propose", "--tests", "0")
    assert run_infer(options(files, *flags)) == 0
    assert "Speak about subject" not in output.read_text()


def test_nothing_found_writes_no_constitution(files: Path) -> None:
    (files / "candidates.txt").write_text("The better completion is blue.\n")
    output = files / "taste.yaml"
    assert run_infer(options(files, "--output", str(output), "--no-hypotheses")) == 1
    assert not output.exists()
    report = json.loads((files / "taste.report.json").read_text())
    assert report["candidates"][0]["dropped"] == "no_better_than_chance"


def test_explaining_adds_what_the_constitution_lacks(files: Path) -> None:
    lacking = {"id": "amber", "text": FOUR[0], "weight": 1.0}
    useless = {"id": "blue", "text": "The better completion is blue.", "weight": 1.0}
    settings = Inferring(hypotheses=False)
    with VoteStore.open(f"sqlite:///{files}/votes.db") as store:
        found = asyncio.run(
            explain(
                labelled_pairs(160, 2, TWO),
                constitution(lacking, useless, tie_margin=0.0),
                [Judge("fake", FakeModel())],
                store,
                settings,
                given=[c for c in candidates() if c.text in FOUR[1:]],
            )
        )
    assert [principle.text for principle in found.added] == [list(TWO)[1]]
    assert found.weights["blue"][1] < 0.3
    before, after, weighed = (variant.accuracy for variant in found.variants)
    assert before and after and weighed
    assert weighed.value > before.value
    assert found.inferred
    reverse = next(c for c in found.inferred.selection.candidates if c.id == AGAINST.id)
    assert reverse.dropped, "what contradicts the constitution explains nothing"
    gap = found.variants[-1].difference
    assert gap and gap.value == pytest.approx(weighed.value - before.value)
    assert gap.low <= gap.value <= gap.high
    text = explanation_text(found)
    assert list(TWO)[1].replace('"', '\\"') in text
    assert "planted@1.0.0" in text


def test_explain_writes_text_only(files: Path) -> None:
    with pytest.raises(ConfigError, match=r"writes a \.md or \.txt file"):
        run_infer(options(files, "--output", f"{files}/x.yaml", "--explain", "plain-speech"))


def test_golden_tests_are_pairs_that_the_votes_get_right() -> None:
    pairs = labelled_pairs(40, 3, TWO)
    votes = np.array([1.0 if pair.preferred == 1 else -1.0 for pair in pairs])
    votes[::2] *= -1
    right = {pair.item.completions[0 if pair.preferred else 1].text for pair in pairs[1::2]}
    made = golden_tests(pairs, votes, 3)
    assert len(made) == 3
    assert all(test.better in right for test in made)
    assert golden_tests(pairs, np.full(40, np.nan), 3) == ()
