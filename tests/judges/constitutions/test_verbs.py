"""`charter constitution`: the way of a newcomer, from a copy to a version of one's own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from charter import main
from judges.constitutions.verbs import marked_words
from judges.jsonl import write_jsonl

TEXT = "reaches the one thing that the user can do next sooner"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, with a folder for constitutions of one's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("CHARTER_CONSTITUTIONS", str(tmp_path / "own"))
    return tmp_path


def edit(path: str, before: str, after: str) -> None:
    text = Path(path).read_text()
    assert text.count(before) == 1
    Path(path).write_text(text.replace(before, after))


def said(capsys: pytest.CaptureFixture[str], *arguments: str, exit_code: int = 0) -> str:
    """What a verb prints, on stdout and stderr."""
    assert main(["constitution", *arguments]) == exit_code
    read = capsys.readouterr()
    return read.out + read.err


def test_from_a_starter_to_a_second_version(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "front-desk.yaml: edit it" in said(capsys, "new", "front-desk")
    lint = said(capsys, "lint", "front-desk.yaml")
    assert "front-desk.yaml:41:5: principle 'short' has no tests" in lint
    first = said(capsys, "publish", "front-desk.yaml", "--message", "To begin with.")
    assert first.startswith("front-desk@1.0.0  ") and "its first version" in first

    said(capsys, "new", "front-desk", "--copy", "front-desk", "--output", "draft.yaml")
    edit("draft.yaml", TEXT, TEXT.replace("sooner", "earlier"))
    edit("draft.yaml", "weight: 1.0", "weight: 2.0")
    diff = said(capsys, "diff", "front-desk", "draft.yaml")
    assert "do next [-sooner,-]{+earlier,+} counted" in diff
    assert "labels     weight of 'next-step-first': 1 → 2" in diff
    assert "next-step-first, text: 2 votes a pair and judge" in diff
    assert "version: the major step, 2.0.0" in diff

    refused = said(capsys, "publish", "draft.yaml", "--message", "Sooner.", exit_code=1)
    assert "write `version: 2.0.0`" in refused and "major: reworded 'next-step-first'" in refused
    edit("draft.yaml", "version: 1.0.1", "version: 2.0.0")
    assert "the major step after front-desk@1.0.0" in said(
        capsys, "publish", "draft.yaml", "--message", "Sooner."
    )
    changelog = (work / "own" / "front-desk" / "CHANGELOG.md").read_text()
    assert changelog.index("## 2.0.0\n\nSooner.\n\n- reworded") < changelog.index("## 1.0.0")

    arguments = ("--reason", "Replaced.", "--successor", "front-desk@2.0.0")
    said(capsys, "deprecate", "front-desk@1.0.0", *arguments)
    listed = said(capsys, "list")
    assert "Front desk  (deprecated)\n" in listed and "is deprecated" not in listed
    shown = said(capsys, "show", "front-desk@1")
    assert "front-desk@1.0.0 is deprecated: Replaced.; use front-desk@2.0.0" in shown

    edit("own/front-desk/2.0.0.yaml", "earlier", "later")
    broken = said(capsys, "show", "front-desk", exit_code=1)
    assert "2.0.0.yaml:3:1: front-desk@2.0.0 is published with digest" in broken
    listed = said(capsys, "list", exit_code=1)
    assert "front-desk@1.0.0 " in listed and "left out: " in listed and "plain-speech@" in listed


def test_a_diff_counts_votes_and_tokens_of_the_edit_alone(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "new", "a")
    Path("b.yaml").write_text(Path("a.yaml").read_text())
    edit("b.yaml", TEXT, f"quickly {TEXT}")
    rows = [{"id": str(n), "prompt": f"p{n}", "completions": ["x", "y", "z"]} for n in range(25)]
    write_jsonl(work / "c.jsonl", rows)
    store = f"sqlite:///{work}/votes.db"
    counted = ("--input", "c.jsonl", "--judge", "fake", "--store", store)
    fresh = said(capsys, "diff", "a.yaml", "b.yaml", *counted)
    assert "fake: 150 votes to cast, 0 stored already" in fresh
    assert "and 25 votes on what did not change, not stored yet either" in fresh
    assert "minutes unknown" in fresh

    rank = ["rank", "--constitution", "a.yaml", "--output", "r.jsonl", *counted]
    assert main(rank) == 0
    capsys.readouterr()
    told = json.loads(said(capsys, "diff", "a.yaml", "b.yaml", "--json", *counted))
    (one,) = told["estimates"]
    assert (one["questions"], one["stored"], told["lacking"]) == (150, 0, 0)
    assert one["completion_tokens"] == 150 and one["prompt_tokens"] > 150
    assert told["step"] == "major"

    run = ("--rankings", "r.jsonl", "--rate", "tokens=100", *counted[2:])
    of_run = json.loads(said(capsys, "diff", "a.yaml", "b.yaml", "--json", *run))["estimates"]
    assert of_run[0]["questions"] == 150
    assert of_run[0]["seconds"] == one["fresh_tokens"] / 100
    edit("b.yaml", f"quickly {TEXT}", TEXT)
    edit("b.yaml", "weight: 1.0", "weight: 3.0")
    free = said(capsys, "diff", "a.yaml", "b.yaml", *counted)
    assert "fake: 0 votes to cast" in free and "to aggregate again (no model call" in free


@pytest.mark.usefixtures("work")
def test_nothing_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing differs" in said(capsys, "diff", "plain-speech@1.0.0", "plain-speech@1.0.0")


def test_publishing_needs_a_folder_of_one_s_own(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said(capsys, "new", "a")
    monkeypatch.delenv("CHARTER_CONSTITUTIONS")
    refused = said(capsys, "publish", "a.yaml", "--message", "x", exit_code=2)
    assert "no folder to publish into; give --into FOLDER" in refused
    told = said(capsys, "publish", "a.yaml", "--message", "x", "--into", "other")
    assert f"to use it by name: export CHARTER_CONSTITUTIONS={work}/other" in told


@pytest.mark.usefixtures("work")
def test_importing_and_exporting(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rules.md").write_text("# Rules\n\n- **Kind.** It is kinder.\n")
    made = said(capsys, "import", "rules.md", "--name", "rules", "--licence", "CC0-1.0")
    assert "rules.yaml: 1 principles" in made
    assert Path("rules.yaml").read_text().startswith("# yaml-language-server: $schema=")
    refused = said(
        capsys, "import", "rules.md", "--name", "rules", "--licence", "CC0-1.0", exit_code=2
    )
    assert "rules.yaml is there already" in refused
    told = said(capsys, "export", "rules.yaml", "--dialect", "markdown")
    assert told.startswith("# Rules\n\n## general\n\n- **Kind** (`kind`): It is kinder.\n")
    assert "these are lost: source of 1" in told


@pytest.mark.usefixtures("work")
def test_lint_fails_for_what_forbids_publishing(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "new", "a")
    edit("a.yaml", "worse: Our rota closes at noon each day. Call the desk.", "worse: x")
    edit("a.yaml", "better: Hand it in at desk two.", "better: x")
    edit(
        "a.yaml",
        "worse: Forms help us to keep your record complete and correct. Hand it in at desk two.",
        "worse: x",
    )
    assert "(same-answers)" in said(capsys, "lint", "a.yaml", exit_code=1)


@pytest.mark.usefixtures("work")
def test_lint_shows_a_text_that_a_remark_cuts_short(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "new", "a")
    assert "cut-text" not in said(capsys, "lint", "a.yaml")  # its remarks follow no judged text
    edit("a.yaml", "better: Hand it in at desk two.", "better: Hand it in at desk #2.")
    told = said(capsys, "lint", "a.yaml")
    assert "principle 'next-step-first', test 2, better ends before the '#'" in told
    assert re.search(r"^a.yaml:\d+:9: .*\(cut-text\)$", told, re.MULTILINE)


def test_checking_a_file_loads_nothing_that_only_judging_needs() -> None:
    """An editor may run `lint` at every save; imports would be most of its time."""
    program = (
        "import sys, judges.constitutions.verbs, judges.constitutions.lifecycle_verbs;"
        "print({'numpy', 'sqlalchemy', 'aiohttp'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip() == "set()", run.stderr


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("a b c", "a x c", "a [-b-]{+x+} c"),
        ("a b", "a", "a [-b-]"),
        ("", "a b", "{+a b+}"),
        ("a", "a", "a"),
    ],
)
def test_words_are_marked_as_git_does(before: str, after: str, expected: str) -> None:
    assert marked_words(before, after) == expected
