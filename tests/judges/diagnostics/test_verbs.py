"""The verbs: from files to a page, numbers on stdout."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from judges.diagnostics.commands import add_verbs
from judges.diagnostics.run_files import Run, read_run
from judges.diagnostics.verbs import run_diagnose, run_impact
from judges.errors import ConfigError, DataError
from judges.store.vote_store import VoteStore
from tests.judges.diagnostics.made_run import MILK, TASTES, planted_items, write_labels

HEAD = "name: {name}\nversion: 1.0.0\ntitle: t\nlicence: CC0-1.0\nprinciples:\n"
PRINCIPLE = "  - id: {id}\n    family: f\n    title: t\n    text: {text}\n    weight: {weight}\n"


def _constitution(folder: Path, name: str, milk: float, text: str = "Praise milk.") -> str:
    path = folder / name / "1.0.0.yaml"
    path.parent.mkdir()
    rows = (("tea", "Praise tea.", 1.0), ("milk", text, milk))
    body = "".join(PRINCIPLE.format(id=i, text=t, weight=w) for i, t, w in rows)
    path.write_text(HEAD.format(name=name) + body)
    return str(path)


def _judges(folder: Path) -> Path:
    """A judges file with the judge of the planted run."""
    tastes = ", ".join(
        f"{json.dumps(text)} = {json.dumps(taste)}" for text, taste in TASTES.items()
    )
    path = folder / "judges.toml"
    path.write_text(
        f'[planted]\ntransport = "fake"\nfake = {{preferences = {{{tastes}}}, '
        'applies = {Mars = "never"}}\n'
    )
    return path


def _options(verb: str, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_verbs(parser.add_subparsers())
    return parser.parse_args([verb, *arguments])


@pytest.fixture
def flags(planted_run: Run, planted_store: VoteStore, tmp_path: Path) -> list[str]:
    url = planted_store.engine.url.render_as_string(hide_password=False)
    labels = write_labels(tmp_path / "l.jsonl", planted_items(), "milk")
    return [
        "--rankings", str(planted_run.path), "--store", url, "--labels", str(labels),
        "--output", str(tmp_path / "report.html"),
    ]  # fmt: skip


def test_diagnose_writes_a_page_and_prints_json(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    under = _constitution(tmp_path, "a", 2.0)
    assert run_diagnose(_options("diagnose", "--constitution", under, "--json", *flags)) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["labelled"] == 120 and [one["id"] for one in told["principles"]] == ["tea", "milk"]
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.lstrip().startswith("<!doctype html>") and "</html>" in page


def test_impact_says_flips_and_what_an_edit_costs(
    flags: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHARTER_JUDGES", str(_judges(tmp_path)))
    old = _constitution(tmp_path, "a", 0.5)
    new = _constitution(tmp_path, "b", 2.0)
    assert run_impact(_options("impact", old, new, *flags)) == 0
    told = capsys.readouterr().out
    assert "25.0 % (18.1 to 33.4 %, n 120) of labels flip" in told and "+25.0 points" in told
    worded = _constitution(tmp_path, "c", 2.0, "Love milk.")
    assert run_impact(_options("impact", old, worded, "--judge", "planted", *flags)) == 0
    told = capsys.readouterr().out
    assert "milk needs 240 votes; left out of this preview" in told
    assert "planted: 240 votes to cast, 0 stored already" in told


def test_a_slice_that_no_line_has_is_refused(flags: list[str], tmp_path: Path) -> None:
    under = _constitution(tmp_path, "a", 2.0)
    options = _options("diagnose", "--constitution", under, *flags, "--slice", "subsett")
    with pytest.raises(DataError, match="no line has metadata 'subsett'"):
        run_diagnose(options)


def test_an_output_that_is_no_page_is_refused(flags: list[str], tmp_path: Path) -> None:
    under = _constitution(tmp_path, "a", 2.0)
    options = _options("diagnose", "--constitution", under, *flags)
    options.output = tmp_path / "report.json"
    with pytest.raises(ConfigError, match=r"REPORT\.html"):
        run_diagnose(options)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": "x"}', "no ranking line"),
        ('{"id": "x", "votes": {}}', "where the votes lie"),
        ("", "no line in it"),
    ],
)
def test_a_file_that_is_no_ranking_is_refused(line: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=told):
        read_run(path)


def test_the_planted_principle_is_the_one_in_the_file() -> None:
    assert MILK["text"] == "Praise milk."  # else the votes of the files above are not found
