"""Relabelling is ranking anew, byte for byte, for the price of what is lacking."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charter import main
from judges.constitutions.yaml_text import yaml_text
from judges.jsonl import read_jsonl, write_jsonl
from judges.store.upkeep import store_stats
from judges.store.vote_store import VoteStore
from tests.judges.planted import FULL, HONEST, KIND, SHORTER, WORDS, constitution, item, items

SCOPED = {"id": "warm", "text": "Be warm.", "applies_when": "It is about tea."}
ANSWER = {"id": "answer", "rule": {"kind": "exact_match"}}
OLD: list[dict[str, Any]] = [SHORTER, HONEST, KIND, WORDS, SCOPED]
EDITS: dict[str, dict[str, Any]] = {
    "reworded": {"principles": [{**SHORTER, "text": "Be short."}, *OLD[1:]]},
    "weights only": {"principles": [{**HONEST, "weight": 9.0}, *OLD[2:]], "decisive": 0.2},
    "added": {"principles": [*OLD, {"id": "new", "text": "Be new.", "tier": "hard"}, FULL]},
    "scope reworded": {"principles": [*OLD[:4], {**SCOPED, "applies_when": "Is it about i1?"}]},
    "scope removed": {"principles": [*OLD[:4], {**SCOPED, "applies_when": None}]},
    "two swap their words": {
        "principles": [{**SHORTER, "text": HONEST["text"]}, {**HONEST, "text": SHORTER["text"]}]
    },
    "rules alone": {"principles": [WORDS, FULL]},
    "an answer compared": {"principles": [*OLD, ANSWER]},
}
JUDGES = """\
[noisy]
transport = "fake"
fake = {noise = 3.0, position_bias = 0.7, failure_rates = {refused = 0.05}, \
applies = {"about tea" = "contains:i1", "about i1" = "contains:i1"}}
[other]
transport = "fake"
fake = {seed = 7}
[broken]
transport = "fake"
fake = {fail_containing = {"Be new" = "engine_error"}}
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with judges, completions, and a run under OLD."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARTER_HOME", str(tmp_path / "home"))
    (tmp_path / "judges.toml").write_text(JUDGES)
    rows = [
        {
            "id": one.id,
            "prompt": one.prompt[0].content,
            "completions": [completion.text for completion in one.completions],
            "answer": "answer 0 word",
            "metadata": {"subset": one.id[-1]},
        }
        for one in [
            *items(5, 3),
            item("same", "x", "x", "y"),
            item("empty", "", "x", "y z"),
            item("alone", "x"),
        ]
    ]
    write_jsonl(Path("c.jsonl"), [*rows, {**rows[0], "id": "twin"}])
    write("old", {"principles": OLD})
    return tmp_path


def write(name: str, edit: dict[str, Any]) -> None:
    made = constitution(*edit["principles"], **{k: v for k, v in edit.items() if k != "principles"})
    Path(f"{name}.yaml").write_text(yaml_text(made))


def rank(under: str, output: str, store: str, *more: str, judge: str = "noisy") -> int:
    return main(
        ["rank", "--constitution", f"{under}.yaml", "--input", "c.jsonl", "--output", output,
         "--store", f"sqlite:///{store}", "--max-unscored", "1", "--judge", judge, *more]
    )  # fmt: skip


def relabel(under: str, *more: str, judge: str = "noisy", source: str = "r.jsonl") -> int:
    return main(
        ["relabel", "--rankings", source, "--constitution", f"{under}.yaml", "--output",
         "r2.jsonl", "--store", "sqlite:///votes.db", "--max-unscored", "1", "--judge", judge,
         *more]
    )  # fmt: skip


@pytest.mark.parametrize("way", [(), ("--pairs", "ring"), ("--ask", "rating"), ("--ask", "list")])
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.usefixtures("work")
def test_relabelling_is_ranking_anew_byte_for_byte(edit: str, way: tuple[str, ...]) -> None:
    write("new", EDITS[edit])
    assert rank("old", "r.jsonl", "votes.db", *way) == 0
    shutil.copy("votes.db", "copy.db")
    assert rank("new", "anew.jsonl", "copy.db", *way) == 0
    assert relabel("new") == 0
    assert Path("r2.jsonl").read_bytes() == Path("anew.jsonl").read_bytes()
    with VoteStore.open("sqlite:///votes.db") as ours, VoteStore.open("sqlite:///copy.db") as anew:
        assert store_stats(ours).votes == store_stats(anew).votes


weights = st.lists(st.floats(0.1, 5), min_size=5, max_size=5)


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(weights=weights, reworded=st.sets(st.integers(0, 2)), margin=st.floats(0, 0.5))
@pytest.mark.usefixtures("work")
def test_any_edit_of_words_and_weights(
    weights: list[float], reworded: set[int], margin: float
) -> None:
    edited = [{**p, "weight": w} for p, w in zip(OLD, weights, strict=True)]
    for k in reworded:
        edited[k] = {**edited[k], "text": f"{edited[k]['text']} Always {weights[k]}."}
    write("new", {"principles": edited, "tie_margin": margin})
    for file in ("votes.db", "r.jsonl", "anew.jsonl"):
        Path(file).unlink(missing_ok=True)
    rank("old", "r.jsonl", "votes.db")
    shutil.copy("votes.db", "copy.db")
    rank("new", "anew.jsonl", "copy.db")
    relabel("new")
    assert Path("r2.jsonl").read_bytes() == Path("anew.jsonl").read_bytes()


@pytest.mark.usefixtures("work")
def test_it_says_beforehand_and_afterwards_what_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("new", EDITS["reworded"])
    rank("old", "r.jsonl", "votes.db")
    capsys.readouterr()
    assert relabel("new", "--estimate", "--rate", "votes=2") == 0
    told = capsys.readouterr().out
    assert "shorter, text: 34 votes lacking\n34 votes to ask for, " in told
    assert "noisy: 34 votes to cast, " in told and "  17 s: 2 votes a second, as given" in told
    assert not Path("r2.jsonl").exists()
    assert relabel("new") == 0
    assert "r2.jsonl: 34 votes were asked for, 34 were lacking" in capsys.readouterr().err
    assert relabel("new") == 0
    assert "no vote is lacking: all is aggregated again" in capsys.readouterr().err


@pytest.mark.usefixtures("work")
def test_weights_alone_need_no_judge(capsys: pytest.CaptureFixture[str]) -> None:
    write("new", EDITS["weights only"])
    rank("old", "r.jsonl", "votes.db")
    # A judge that would have to be opened is not even looked up.
    assert relabel("new", judge="no-such-judge") == 0
    assert "no vote is lacking" in capsys.readouterr().err


@pytest.mark.usefixtures("work")
def test_another_judge_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write("new", EDITS["reworded"])
    rank("old", "r.jsonl", "votes.db")
    assert relabel("new", judge="other") == 2
    told = capsys.readouterr().err
    assert "--judge other: votes on other keys than the run's judges" in told
    assert "name the judges it was ranked with" in told


@pytest.mark.usefixtures("work")
def test_a_failed_vote_is_asked_for_again_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    write("new", EDITS["added"])
    rank("old", "r.jsonl", "votes.db", judge="broken")
    relabel("new", judge="broken")
    rows = [row for _, row in read_jsonl(Path("r2.jsonl"))]
    assert {row["status"] for row in rows} == {"error", "unscored"}
    assert "run again to ask for these only" in capsys.readouterr().err
    broken = Path("judges.toml").read_text()
    Path("judges.toml").write_text(broken.replace('"Be new" = ', '"never said" = '))
    # Another fake is another judge: what its votes are keyed by says so.
    assert relabel("new", judge="broken") == 2


@pytest.mark.usefixtures("work")
def test_at_the_budget_asking_ends_and_a_second_run_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = next(row for _, row in read_jsonl(Path("c.jsonl")))
    many = [
        {**rows, "id": f"m{n}", "prompt": f"Prompt {n}", "completions": ["x", "y"]}
        for n in range(200)
    ]
    write_jsonl(Path("c.jsonl"), many)
    write("new", EDITS["reworded"])
    rank("old", "r.jsonl", "votes.db")
    relabel("new", "--budget", "votes=10")
    first = [row for _, row in read_jsonl(Path("r2.jsonl"))]
    assert {row["reason"] for row in first if row["status"] == "error"} == {"over_budget"}
    shutil.copy("votes.db", "copy.db")
    capsys.readouterr()
    relabel("new")
    second = [row for _, row in read_jsonl(Path("r2.jsonl"))]
    paid = [sum(row["usage"]["new_votes"] for row in rows) for rows in (first, second)]
    assert 10 <= paid[0] < 400 and sum(paid) == 400
    rank("new", "anew.jsonl", "copy.db")
    assert Path("r2.jsonl").read_bytes() == Path("anew.jsonl").read_bytes()


@pytest.mark.usefixtures("work")
def test_few_chosen_pairs_stay_those_that_were_judged() -> None:
    write("new", EDITS["reworded"])
    rank("old", "r.jsonl", "votes.db", "--pairs", "active", "--pairs-budget", "2", judge="other")
    assert relabel("new", judge="other") == 0
    before, after = ([row for _, row in read_jsonl(Path(f))] for f in ("r.jsonl", "r2.jsonl"))
    assert [row["observed"] for row in before] == [row["observed"] for row in after]
    assert {row["asked"]["pairs"] for row in after} == {"active"}
    paid = sum(row["usage"]["new_votes"] for row in after)
    # The twin's questions are the first item's.
    assert paid == 2 * sum(len(row["observed"]) for row in before if row["id"] != "twin")


@pytest.mark.usefixtures("work")
def test_a_file_changed_by_hand_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write("new", EDITS["reworded"])
    rank("old", "r.jsonl", "votes.db")
    text = Path("r.jsonl").read_text()
    Path("r.jsonl").write_text(text.replace('"x","y z"', '"x","y zz"'))
    assert relabel("new") == 1
    assert "its votes are not of these texts" in capsys.readouterr().err
    Path("r.jsonl").write_text("")
    assert relabel("new") == 1
    assert "no line in it" in capsys.readouterr().err
