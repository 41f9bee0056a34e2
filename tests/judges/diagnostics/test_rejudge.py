"""A sample judged for an edit: what it asks, what it tells of the run, and that it is paid once."""

import json
from pathlib import Path
from typing import Any

import pytest

from charter import main
from judges.constitutions.yaml_text import yaml_text
from judges.jsonl import read_jsonl, write_jsonl
from tests.judges.diagnostics.made_run import write_labels
from tests.judges.planted import constitution, item

TEA = {"id": "tea", "text": 'Mention "tea".', "weight": 2.0}
MILK = {
    "id": "milk",
    "text": "Praise milk.",
    "weight": 1.5,
    "tests": [{"prompt": "A drink?", "better": "milk", "worse": "tea"}],
}
KIND = {"id": "kind", "text": "Be kind.", "applies_when": "Is it about five?"}
REWORDED = {**MILK, "text": "Shun milk."}
JUDGES = """\
[planted]
transport = "fake"
fake = {preferences = {"Praise milk" = "contains:milk", "Shun milk" = "avoids:milk"}, \
applies = {five = "contains:5"}}
"""
PROMPTS = 160


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run under OLD; on every fourth pair milk alone speaks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARTER_HOME", str(tmp_path / "home"))
    (tmp_path / "judges.toml").write_text(JUDGES)
    made = [
        item(f"i{n}", f"milk {n}" if n % 4 == 0 else f"tea {n}", f"water {n}")
        for n in range(PROMPTS)
    ]
    rows = [
        {"id": i.id, "prompt": i.prompt[0].content, "completions": [c.text for c in i.completions]}
        for i in made
    ]
    write_jsonl(Path("c.jsonl"), rows)
    write_labels(Path("labels.jsonl"), made, "milk")
    for name, milk in (("old", MILK), ("new", REWORDED), ("heavy", {**MILK, "weight": 9.0})):
        Path(f"{name}.yaml").write_text(yaml_text(constitution(TEA, milk, KIND)))
    judged = ("--judge", "planted", "--store", "sqlite:///votes.db")
    assert main(["rank", "--constitution", "old.yaml", "--input", "c.jsonl", "--output", "r.jsonl",
                 *judged]) == 0  # fmt: skip
    return tmp_path


def impact(capsys: pytest.CaptureFixture[str], new: str, *more: str) -> Any:
    capsys.readouterr()
    assert main(
                ["constitution", "impact", "old.yaml", f"{new}.yaml", "--rankings", "r.jsonl",
                 "--output", "i.html", "--store", "sqlite:///votes.db", "--json", *more],
    ) == 0  # fmt: skip
    return json.loads(capsys.readouterr().out)


SAMPLE = ("--judge", "planted", "--sample", "60")


@pytest.mark.usefixtures("work")
def test_only_the_changed_principle_is_asked_about_on_the_sample(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = impact(capsys, "new", *SAMPLE, "--labels", "labels.jsonl")
    sample = told["sample"]
    assert (sample["prompts"], sample["taken"], sample["judged"]) == (PROMPTS, 60, 60)
    # Two a prompt, and two a golden test, under the old words and under the new.
    assert sample["new_votes"] == 2 * 60 + 2 * 2
    assert sum(one["judged"] for one in sample["strata"]) == 60
    flips = told["flips"]
    assert flips["share"]["low"] < 0.25 < flips["share"]["high"] and told["pairs"] == 60
    assert abs(flips["turned"] - PROMPTS / 4) <= PROMPTS / 8 and told["needs"] == []
    assert told["agreement"]["difference"]["high"] < 0
    golden = told["golden"]
    assert golden["alone_before"]["passed"] == 1 and golden["alone_after"]["failed"] == 1
    (cost,) = told["cost"]
    assert cost["questions"] - cost["stored"] == 2 * (PROMPTS - 60)
    page = Path("i.html").read_text()
    assert "60 of 160 prompts were judged" in page and "near a tie" in page


@pytest.mark.usefixtures("work")
def test_a_second_look_is_free_and_relabelling_pays_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = impact(capsys, "new", *SAMPLE)
    again = impact(capsys, "new", *SAMPLE)
    assert again["sample"]["new_votes"] == 0
    assert {**again, "sample": None, "cost": None} == {**first, "sample": None, "cost": None}
    main(["relabel", "--rankings", "r.jsonl", "--constitution", "new.yaml", "--output", "r2.jsonl",
          "--judge", "planted", "--store", "sqlite:///votes.db"])  # fmt: skip
    assert f"{2 * (PROMPTS - 60)} votes were asked for" in capsys.readouterr().err
    exact = impact(capsys, "new")
    assert exact["sample"] is None and exact["needs"] == [] and exact["pairs"] == PROMPTS
    assert exact["flips"]["share"]["value"] == 0.25
    before, after = ([row for _, row in read_jsonl(Path(f))] for f in ("r.jsonl", "r2.jsonl"))
    flipped = [a["ranking"] != b["ranking"] for a, b in zip(before, after, strict=True)]
    assert exact["flips"]["turned"] == sum(flipped) == PROMPTS / 4


@pytest.mark.usefixtures("work")
def test_a_budget_ends_it_with_a_smaller_sample_and_a_rerun_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = ("--judge", "planted", "--sample", "1000")
    cut = impact(capsys, "new", *whole, "--budget", "votes=100")["sample"]
    assert 100 <= cut["new_votes"] <= 130 and cut["new_votes"] == 2 * cut["judged"]
    assert cut["stopped"] == f"{cut['new_votes']} of 100 votes are spent"
    # The beginning of a sample is one.
    assert all(one["judged"] for one in cut["strata"] if one["prompts"] > 3)
    done = impact(capsys, "new", *whole)
    # All prompts are judged: it is no sample any more.
    assert done["sample"] is None and done["flips"]["share"]["value"] == 0.25
    main(["constitution", "impact", "old.yaml", "new.yaml", "--rankings", "r.jsonl", "--output",
          "i.html", "--store", "sqlite:///empty.db", *whole, "--budget", "votes=0"])  # fmt: skip
    assert "not one prompt of the sample was judged (0 of 0 votes" in capsys.readouterr().err


@pytest.mark.usefixtures("work")
def test_without_a_sample_a_principle_with_some_votes_is_still_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    impact(capsys, "new", *SAMPLE)
    told = impact(capsys, "new")
    (need,) = told["needs"]
    assert (need["principle"], need["votes"]) == ("milk", 2 * (PROMPTS - 60))


@pytest.mark.usefixtures("work")
def test_weights_alone_are_told_exactly_and_ask_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    told = impact(capsys, "heavy", "--judge", "no-such-judge", "--sample", "50")
    assert told["sample"] is None and told["cost"] == [] and told["pairs"] == PROMPTS


@pytest.mark.usefixtures("work")
def test_it_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["constitution", "impact", "old.yaml", "new.yaml", "--rankings", "r.jsonl",
                 "--output", "i.html", "--store", "sqlite:///votes.db", "--rate", "votes=10",
                 *SAMPLE]  # fmt: skip
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "60 of 160 prompts judged for the edit, 124 votes cast now" in told
    assert "of labels flip: about" in told and "golden tests 1 of 1 pass before" in told
    assert "planted: 200 votes to cast" in told and "20 s: 10 votes a second, as given" in told
