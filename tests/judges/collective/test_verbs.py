"""From a file of votes to a weighted constitution that loads."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import pytest

from judges.collective.commands import add_verbs
from judges.collective.verbs import run_collect
from judges.constitutions.files import load_constitution
from judges.constitutions.lint import lint_constitution
from judges.errors import ConfigError, DataError
from tests.judges.collective.test_consensus import two_camps

TEXTS = [
    "The better completion gives sources for its claims.",
    "The better completion respects the reader's time.",
    "The better completion admits uncertainty plainly.",
    "The better completion treats all faiths alike.",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    votes, _ = two_camps(1)
    lines = ["participant,statement,vote"]
    lines += [f"p{p},s{s},{vote:g}" for (p, s), vote in np.ndenumerate(votes) if not np.isnan(vote)]
    (tmp_path / "votes.csv").write_text("\n".join(lines))
    texts = [f"The better completion keeps camp rule {n}." for n in "abcdefgh"] + TEXTS
    rows = [f"s{k},{text}" for k, text in enumerate(texts)]
    (tmp_path / "statements.csv").write_text("\n".join(["statement,text", *rows]))
    return tmp_path


def options(folder: Path, *more: str) -> Namespace:
    parser = ArgumentParser()
    add_verbs(parser.add_subparsers())
    files = ["--votes", f"{folder}/votes.csv", "--statements", f"{folder}/statements.csv"]
    return parser.parse_args(["collect", *files, "--output", f"{folder}/us.yaml", *more])


def test_what_both_camps_want_becomes_the_constitution(folder: Path) -> None:
    assert run_collect(options(folder)) == 0
    made = load_constitution(str(folder / "us.yaml"))
    assert {principle.text for principle in made.principles} == set(TEXTS)
    assert {finding.check for finding in lint_constitution(made)} == {"no-tests"}
    weights = [principle.weight for principle in made.principles]
    assert weights == sorted(weights, reverse=True)
    assert all(0.5 <= weight <= 1 for weight in weights)
    report = json.loads((folder / "us.report.json").read_text())
    assert sum(report["sizes"]) + report["ungrouped"] == 42
    assert len(report["sizes"]) == 2
    assert len(report["statements"]) == 12
    assert len(report["dropped"]) == 8
    source = made.principles[0].source or ""
    assert "group 2" in source
    assert "95 % interval" in source
    first = (folder / "us.yaml").read_bytes()
    assert run_collect(options(folder)) == 0
    assert (folder / "us.yaml").read_bytes() == first


def test_one_group_lets_the_majority_decide(folder: Path) -> None:
    assert run_collect(options(folder, "--most-groups", "1")) == 0
    made = load_constitution(str(folder / "us.yaml"))
    assert len(made.principles) > len(TEXTS)


def test_what_cannot_be_used_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="none of 12 statements is adopted"):
        run_collect(options(folder, "--least", "1"))
    with pytest.raises(ConfigError, match=r"writes a \.yaml file"):
        run_collect(options(folder, "--output", f"{folder}/us.txt"))
    (folder / "statements.csv").write_text(f"statement,text\ns0,{TEXTS[0]}\n")
    with pytest.raises(DataError, match=r"votes on statement 's1' \(11 such\)"):
        run_collect(options(folder))
