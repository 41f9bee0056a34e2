"""`charter audit` as it is called: what it prints, writes, and returns."""

import gzip
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from charter import main
from judges.audit.pairs import read_pairs
from judges.errors import DataError
from tests.judges.audit.made_preferences import made, ranking


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pairs = made(120, 1, lambda text: "Great question! <b>" + text, share=0.5)
    rows = [
        {
            "id": pairs.ids[k],
            "prompt": [{"role": "user", "content": pairs.prompts[k]}],
            "chosen": [{"role": "assistant", "content": pairs.chosen[k]}],
            "rejected": [{"role": "assistant", "content": pairs.rejected[k]}],
            "p_chosen": 0.9,
            "principles": {"<i>fair": 0.7 if k % 2 else 0.3, "silent": None},
        }
        for k in range(120)
    ]
    write(tmp_path / "p.jsonl", rows)
    write(tmp_path / "held-out.jsonl", [{"prompt": rows[5]["prompt"]}])
    write(tmp_path / "r.jsonl", [ranking([[0.5, 0.6], [0.4, 0.5]], gap=1.0)] * 3)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.usefixtures("folder")
def test_findings_are_printed_the_gravest_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["audit", "--preferences", "p.jsonl", "--against", "held-out.jsonl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("error   leakage: 1 of 120 pairs")
    assert any(line.startswith("error   tampering signature: any flattery") for line in lines)
    assert any("none of 1 principles favours it: suspect" in line for line in lines)
    ranks = [["error", "warning", "info"].index(line.split()[0]) for line in lines]
    assert ranks == sorted(ranks)


def test_labels_that_reasoning_turns_are_told_and_drawn(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reasoned = [ranking([[0.5, p], [1 - p, 0.5]]) | {"id": str(n)} for n, p in enumerate([0.1] * 9)]
    plain = [ranking([[0.5, 0.6], [0.4, 0.5]]) | {"id": str(number)} for number in range(9)]
    write(folder / "reasoned.jsonl", reasoned)
    write(folder / "plain.jsonl", plain)
    audit = ["audit", "--preferences", "p.jsonl", "--without-rationale", "plain.jsonl"]
    assert main([*audit, "--rankings", "reasoned.jsonl", "--output", "audit.html"]) == 0
    assert "warning rationale: all principles: reasoning turns 100.0 %" in capsys.readouterr().out
    assert "Winner changes when the judge reasons" in (folder / "audit.html").read_text("utf-8")
    assert main(audit) == 2
    assert "name them by --rankings" in capsys.readouterr().err


def test_the_folder_that_preferences_wrote_is_read(folder: Path) -> None:
    (folder / "made").mkdir()
    (folder / "p.jsonl").rename(folder / "made" / "train.jsonl")
    assert len(read_pairs(folder / "made").ids) == 120
    with pytest.raises(DataError, match="a folder; name a file in it"):
        read_pairs(folder)


@pytest.mark.usefixtures("folder")
def test_json_holds_the_whole_report(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["audit", "--preferences", "p.jsonl", "--rankings", "r.jsonl", "--json"]
    assert main(given) == 0
    first = capsys.readouterr().out
    report = json.loads(first)
    assert report["n"] == 120 and report["expected_noise"]["value"] == pytest.approx(0.1)
    assert report["position"][0]["flips"]["value"] == 1
    assert main(given) == 0
    assert capsys.readouterr().out == first, "equal input, equal report"


@pytest.mark.parametrize(
    ("least", "code"), [("error", 1), ("warning", 1), ("info", 1), (None, 0)], ids=str
)
@pytest.mark.usefixtures("folder")
def test_fail_on_sets_the_exit_code(least: str | None, code: int) -> None:
    flags = ["--fail-on", least] if least else []
    assert main(["audit", "--preferences", "p.jsonl", *flags]) == code


@pytest.mark.usefixtures("folder")
def test_the_page_is_one_file_with_figures_and_no_text_of_the_data_as_markup() -> None:
    given = ["audit", "--preferences", "p.jsonl", "--rankings", "r.jsonl", "--output"]
    assert main([*given, "a.html"]) == 0
    page = Path("a.html").read_text("utf-8")
    assert page.count("<svg") >= 4
    assert "<i>fair" not in page and "&lt;i&gt;fair" in page
    assert "src=" not in page and "<script" not in page and "http://" not in bare(page)
    parser = HTMLParser()
    parser.feed(page)


def bare(page: str) -> str:
    return page.replace("http://www.w3.org/", "")


def test_foreign_pairs_are_read_and_ties_left_out(folder: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "q", "completions": ["bad", "good"], "preferred_index": 1},
        {"prompt": "q", "completions": ["bad", "good"], "preferred_index": None},
        {"chosen": "\n\nHuman: q\n\nAssistant: good", "rejected": "\n\nHuman: q\n\nAssistant: bad"},
    ]
    with gzip.open(folder / "foreign.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    pairs = read_pairs(folder / "foreign.jsonl.gz")
    assert (pairs.chosen, pairs.rejected) == (["good"] * 2, ["bad"] * 2)
    assert (pairs.left_out.counts, pairs.prompts) == ({"tie": 1}, ["q", "q"])
    assert pairs.groups.tolist() == [0, 0]


def test_rows_that_are_no_pair_are_counted_and_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = {"prompt": "q", "chosen": "a", "rejected": "b"}
    rated = {"instruction": "r", "generations": ["x", "y", "z"], "ratings": [3, 2, 1], "id": "r"}
    write(folder / "some.jsonl", [pair, pair | {"chosen": None}, rated, pair | {"rejected": [{}]}])
    with pytest.raises(DataError, match=r"some\.jsonl:4: rejected: role is None"):
        read_pairs(folder / "some.jsonl")
    write(folder / "some.jsonl", [pair, pair | {"chosen": None}, rated])
    assert read_pairs(folder / "some.jsonl").ids[1:] == ["r", "r#1", "r#2"]
    assert main(["audit", "--preferences", "some.jsonl"]) == 0
    told = "warning unusable rows: some.jsonl: 1 of 5 rows cannot be used, and are dropped: null 1"
    assert f"{told} (some.jsonl:2)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b", "p_chosen": 2}, "p_chosen is 2"),
        ({"prompt": "q", "chosen": "a"}, "no `rejected` beside `chosen`"),
        ({"prompt": "q", "text": "a"}, "no label"),
        ({"prompt": "q", "chosen": "a", "rejected": None}, r"left out: null 1 \(.*bad.jsonl:1\)"),
        ({"prompt": "q", "completions": ["a", "b"], "preferred_index": None}, "no pair"),
    ],
    ids=["a probability over 1", "half a pair", "no label", "null", "only ties"],
)
def test_what_cannot_be_audited_is_said(folder: Path, row: dict[str, Any], says: str) -> None:
    write(folder / "bad.jsonl", [row])
    with pytest.raises(DataError, match=says):
        read_pairs(folder / "bad.jsonl")


def test_another_language_is_found_where_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    german = "Das ist eine sehr gute Antwort auf die Frage, und sie ist auch nicht zu lang."
    english = "This is a very good answer to the question, and it is not too long either."
    prompt = "Please write down a good answer to the following question about the weather today."
    write(
        folder / "l.jsonl",
        [{"prompt": f"{prompt} {k}", "chosen": german, "rejected": english} for k in range(20)],
    )
    assert main(["audit", "--preferences", "l.jsonl", "--languages"]) == 0
    assert "another language" in capsys.readouterr().out


def test_the_output_must_not_be_the_input(folder: Path) -> None:
    (folder / "p.json").write_bytes(Path("p.jsonl").read_bytes())
    assert main(["audit", "--preferences", "p.json", "--output", "p.json"]) == 2
