"""The guide's way from a copy to a relabelled edit is walked as it stands there."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from charter import main
from judges.jsonl import read_jsonl, write_jsonl

GUIDE = Path(__file__).parents[3] / "constitutions" / "README.md"
SECTION = GUIDE.read_text("utf-8").partition("### A principle reworded, start to finish")[2]
COMMANDS = re.search(r"```\n(.*?)```", SECTION, re.S)


def test_the_walk_from_a_copy_to_a_relabelled_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARTER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CHARTER_CONSTITUTIONS", raising=False)
    rows = [
        {
            "id": str(n),
            "prompt": f"How do I mend a kettle of kind {n}?",
            "completions": [
                f"Unscrew plate {n}, and dry it.",
                f"It is hard to say of kind {n}, as",
            ],
        }
        for n in range(40)
    ]
    write_jsonl(Path("completions.jsonl"), rows)
    assert COMMANDS is not None
    said = {}
    for line in COMMANDS[1].strip().splitlines():
        words = shlex.split(line)
        if words[0] == "sed":
            subprocess.run(words, check=True)
            continue
        assert words[0] == "charter"
        code = main(words[1:])
        verb = words[2] if words[1] == "constitution" else words[1]
        assert code == 0 or (verb == "test" and code == 1), line
        read = capsys.readouterr()
        said[verb] = read.out + read.err
    assert "version: the major step, 2.0.0" in said["diff"]
    assert "20 of 40 prompts judged for the edit" in said["impact"]
    asked = int(re.search(r"(\d+) votes were asked for", said["relabel"])[1])  # type: ignore[index]
    wanted = int(re.search(r"fake: (\d+) votes to cast", said["diff"])[1])  # type: ignore[index]
    # The sample of impact, half of the prompts, is paid for already.
    assert 0 < asked == wanted // 2
    assert len(list(read_jsonl(Path("r2.jsonl")))) == 40
    assert Path("impact.html").stat().st_size > 5_000
