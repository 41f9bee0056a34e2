"""`charter judge-card` and the gate of `charter rank`, as they are called."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from charter import main
from judges.calibration.scaling import read_calibration
from tests.judges.cards.made_pairs import made_pairs

CONSTITUTION = """\
name: goodness
version: 1.0.0
title: Goodness
licence: CC0-1.0
principles:
  - id: good
    family: f
    title: t
    text: Be good.
"""
JUDGES = """\
[sees]
transport = "fake"
[sees.fake.preferences]
"violates this: Be good" = "avoids:GOOD"
"Be good" = "contains:GOOD"
[guesses]
transport = "fake"
[guesses.fake]
seed = 4
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "goodness").mkdir()
    (tmp_path / "goodness" / "1.0.0.yaml").write_text(CONSTITUTION)
    (tmp_path / "judges.toml").write_text(JUDGES)
    rows = [
        {
            "id": pair.item.id,
            "prompt": pair.item.prompt[0].content,
            "completions": [one.text for one in pair.item.completions],
            "preferred_index": 0 if pair.preferred == 1 else 1,
            "subset": "<b>" + pair.slice,
        }
        for pair in made_pairs(40)
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for row in rows:
        del row["preferred_index"], row["subset"]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def judge_card(*flags: str, data: str = "data.jsonl", output: str = "card.json") -> int:
    place = ["--data", data, "--constitution", "goodness/1.0.0.yaml", "--output", output]
    return main(["judge-card", *place, *flags])


def rank(*flags: str) -> int:
    place = ["--input", "items.jsonl", "--constitution", "goodness/1.0.0.yaml"]
    return main(["rank", *place, "--output", "rankings.jsonl", *flags])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Page(HTMLParser):
    """Elements of a page, and what it would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        named = dict(attrs)
        self.ids += [value for key, value in attrs if key == "id" and value]
        self.fetched += [
            value
            for key in ("src", "href", "xlink:href")
            if (value := named.get(key)) and not value.startswith("#")
        ]


def test_a_card_its_page_and_its_temperature_are_written_and_a_rerun_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge_card("--judge", "sees") == 0
    told = capsys.readouterr()
    assert told.out.startswith("ok: better than chance and than every null: accuracy 100.0%")
    card = json.loads((folder / "card.json").read_text())
    assert {
        "n", "accuracy", "accuracy_low", "accuracy_high", "flip_rate", "inversion", "ece", "nll",
        "unscored", "nulls", "gate",
    } <= card.keys()  # fmt: skip
    assert set(card["nulls"]) == {"first", "longest", "shortest", "random"}
    assert (card["n"], card["accuracy"], card["inversion"], card["gate"]) == (40, 1.0, 1.0, "ok")
    assert [part["name"] for part in card["slices"]] == ["<b>even", "<b>odd"]
    assert read_calibration(folder / "calibration.json").n == 40
    html = (folder / "card.html").read_text()
    page = Page(html)
    assert page.fetched == [] and "script" not in page.tags and "b" not in page.tags
    assert "svg" in page.tags and len(page.ids) == len(set(page.ids))
    first = {name: (folder / name).read_bytes() for name in ("card.json", "card.html")}
    assert judge_card("--judge", "sees") == 0
    assert "80 votes on 40 pairs, 0 of them new" in capsys.readouterr().err
    assert first == {name: (folder / name).read_bytes() for name in first}


def test_a_panel_has_calibrations_of_its_own_judges_and_attacks_a_table(folder: Path) -> None:
    flags = ["--judge", "sees", "--judge", "guesses", "--limit", "24", "--seed", "2"]
    assert judge_card(*flags, "--attacks", "--attack-pairs", "2", output="both.json") == 0
    card = json.loads((folder / "both.json").read_text())
    assert card["n"] == 24 and card["attacks"]["pairs"] == 2
    assert [row["name"] for row in card["panel"]["judges"]] == ["sees", "guesses"]
    for name in ("calibration", "calibration.sees", "calibration.guesses"):
        assert read_calibration(folder / f"both.{name}.json").n == 24
    stacker = json.loads((folder / "both.stacker.json").read_text())
    assert stacker == card["panel"]["stacker"] and len(stacker["weights"]) == 2
    panel = ["--judge", "sees", "--judge", "guesses", "--panel", "both.stacker.json"]
    assert rank(*panel, "--card", "both.json") == 0
    page = (folder / "both.html").read_text()
    assert 'id="panel"' in page and 'id="attacks"' in page


def test_rank_says_loudly_what_is_not_known_and_preferences_repeat_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rank("--judge", "sees") == 0
    assert "WARNING: judge sees has no judge card" in capsys.readouterr().err
    assert {line["card"]["gate"] for line in lines(folder / "rankings.jsonl")} == {"missing"}
    preferences = ["preferences", "--rankings", "rankings.jsonl", "--output", "set"]
    assert main(preferences) == 0
    assert "**The judge has no judge card" in (folder / "set" / "README.md").read_text()

    assert judge_card("--judge", "sees") == 0
    capsys.readouterr()
    assert rank("--judge", "sees", "--require-card") == 0
    assert "WARNING" not in capsys.readouterr().err
    (mark,) = {json.dumps(line["card"]) for line in lines(folder / "rankings.jsonl")}
    assert json.loads(mark)["gate"] == "ok"
    assert {line["usage"]["new_votes"] for line in lines(folder / "rankings.jsonl")} == {0}
    assert main(preferences) == 0
    text = (folder / "set" / "README.md").read_text()
    assert "- ok: better than chance and than every null" in text
    assert json.loads(mark)["digest"] in text

    reweigh = ["--rankings", "rankings.jsonl", "--constitution", "goodness/1.0.0.yaml"]
    assert main(["reweigh", *reweigh, "--output", "again.jsonl"]) == 0
    assert main(["preferences", "--rankings", "again.jsonl", "--output", "again"]) == 0
    assert "- ok: better than chance" in (folder / "again" / "README.md").read_text()


def test_require_card_refuses_a_judge_that_guesses(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rank("--judge", "guesses", "--require-card") == 2
    assert "--require-card: judge guesses has no judge card" in capsys.readouterr().err
    assert judge_card("--judge", "guesses") == 0
    assert capsys.readouterr().out.startswith("chance: not better than chance")
    assert rank("--judge", "guesses", "--require-card") == 2
    assert "--require-card: judge guesses is not better than chance" in capsys.readouterr().err
    assert not (folder / "rankings.jsonl").exists()
    assert rank("--judge", "sees", "--card", "card.json") == 2
    assert "card.json: is the card of guesses" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ({"output": "card.html"}, 2, "--output card.html · writes a .json file"),
        ({"output": "data.json", "data": "data.json"}, 2, "--output data.json is the input itself"),
        ({"data": "absent.jsonl"}, 1, "absent.jsonl: no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: dict[str, str], code: int, message: str
) -> None:
    (folder / "data.json").write_text("{}")
    assert judge_card("--judge", "sees", **flags) == code
    assert message in capsys.readouterr().err
    assert judge_card("--judge", "sees", "--judge", "sees") == 2
    assert "--judge sees is given twice" in capsys.readouterr().err
