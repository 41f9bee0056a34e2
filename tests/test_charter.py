"""The command line: verbs, exit codes, what goes to which stream, and what gets imported when."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from charter import build_parser, main
from judges.jsonl import read_jsonl, write_jsonl
from judges.store.vote_store import VoteStore

ROOT = Path(__file__).resolve().parents[1]
VERBS = (
    "sample", "rank", "reweigh", "preferences", "constitution", "votes", "train", "evaluate",
    "demo", "benchmark",
)  # fmt: skip
HEAVY = ("torch", "transformers", "trl", "vllm")

YAML = """\
name: brief
version: 1.0.0
title: Brief
licence: CC0-1.0
description: For tests.
principles:
  - id: brief
    family: style
    title: Brief
    text: Be brief.
    tests:
      - {prompt: What is tea?, better: A drink., worse: Tea is a sort of drink.}
  - id: few-words
    family: style
    title: Few words
    rule: {kind: max_words, value: 3}
"""
JUDGES = """\
[bad]
transport = "fake"
fake = {failure_rates = {refused = 1.0}}
[flaky]
transport = "fake"
fake = {fail_containing = {"number 7 " = "engine_error"}}
[slow]
transport = "fake"
fake = {latency_s = 0.2}
[contrary]
transport = "fake"
fake = {preferences = {brief = "longer"}}
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a constitution, judges and completions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brief").mkdir()
    (tmp_path / "brief" / "1.0.0.yaml").write_text(YAML)
    (tmp_path / "judges.toml").write_text(JUDGES)
    write_jsonl(tmp_path / "c.jsonl", completions(10))
    return tmp_path


def completions(count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"c{k}", "prompt": f"Say number {k} now", "completions": ["one", "one two three"]}
        for k in range(count)
    ]


def rank(*more: str) -> list[str]:
    return [
        "rank", "--constitution", "brief/1.0.0.yaml", "--input", "c.jsonl", "--output", "r.jsonl",
        *more, *(() if "--judge" in more else ("--judge", "fake")),
    ]  # fmt: skip


def rows(path: str | Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(Path(path))]


def python(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return run.stdout


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    seen = capsys.readouterr()
    assert [verb for verb in VERBS if f"\n    {verb}" not in seen.out] == []
    assert "Exit codes: 0 done, 1 failed" in seen.out
    assert seen.err == ""


def test_help_waits_for_nothing_heavy() -> None:
    loaded = python(
        "import sys, charter; charter.build_parser(); print(' '.join(sys.modules))"
    ).split()
    heavy = {"pydantic", "numpy", "sqlalchemy", "aiohttp", "rich", "orjson", *HEAVY}
    assert heavy & set(loaded) == set()


def test_importing_judges_never_loads_the_training_or_engine_libraries() -> None:
    loaded = python(
        "import importlib, pkgutil, sys, judges\n"
        "skipped = {'judges.engine.convert_gguf'}  # a script, run in a process of its own\n"
        "for found in pkgutil.walk_packages(judges.__path__, 'judges.'):\n"
        "    if found.name not in skipped and 'plain_vllm' not in found.name:\n"
        "        importlib.import_module(found.name)\n"
        "print(' '.join(sys.modules))"
    ).split()
    assert "judges.rank" in loaded
    assert set(HEAVY) & set(loaded) == set()


def every_parser(parser: Any = None, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    parser = parser or build_parser()
    inner = [action for action in parser._actions if isinstance(action.choices, dict)]
    found = [path]
    for action in inner:
        for name, child in action.choices.items():
            found += every_parser(child, (*path, name))
    return found


@pytest.mark.parametrize("path", every_parser(), ids=" ".join)
def test_every_verb_has_help_for_each_flag(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*path, "--help"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: charter {' '.join(path)}".rstrip())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "required: VERB", id="no verb"),
        pytest.param(["rnk"], "(did you mean 'rank'?)", id="a verb mistyped"),
        pytest.param(["votes"], "required: VERB", id="half a verb"),
        pytest.param(rank("--judg", "fake"), "(did you mean '--judge'?)", id="a flag mistyped"),
        pytest.param(
            ["rank", "--constituton", "x", "--input", "c.jsonl", "--output", "r.jsonl"],
            "; --constituton is unknown (did you mean '--constitution'?)",
            id="a required flag mistyped",
        ),
        pytest.param(
            ["reweigh", "--rankings=r", "--constitution=x", "--outptu=o"],
            "--outptu is unknown (did you mean '--output'?)",
            id="a flag mistyped before its value",
        ),
        pytest.param(rank("--max-unscored", "2"), "2 is not between 0 and 1", id="no share"),
        pytest.param(
            ["sample", "--prompts", "c.jsonl", "--output", "o", "--n", "0"],
            "argument --n: 0 is less than 1",
            id="no completion asked for",
        ),
        pytest.param(
            ["sample", "--prompts", "c.jsonl", "--output", "o", "--temperature", "nan"],
            "nan is not a number from 0 up",
            id="a temperature that is no number",
        ),
        pytest.param(
            ["preferences", "--rankings", "r", "--output", "p", "--minimum-margin", "0.7"],
            "0.7 is not between 0 and 0.5",
            id="a margin no p can have",
        ),
        pytest.param(["serve", "--port", "99999"], "99999 is no port", id="no port"),
        pytest.param(rank("--pairs", "rings"), "(did you mean 'ring'?)", id="a choice mistyped"),
    ],
)
def test_wrong_usage_exits_with_2(
    work: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert message in seen.err
    assert list(work.glob("r.jsonl*")) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(rank("--judge", "fakee"), 2, "did you mean 'fake'", id="no such judge"),
        pytest.param(
            ["rank", "--constitution", "nowhere", "--input", "c.jsonl", "--output", "r.jsonl"],
            1,
            "nowhere",
            id="no such constitution",
        ),
        pytest.param(
            ["reweigh", "--rankings", "no.jsonl", "--constitution", "brief/1.0.0.yaml",
             "--output", "o.jsonl"],
            1, "no.jsonl: no such file", id="no such file",
        ),
        pytest.param(
            rank("--judge", "fake", "--panel", "majorty"),
            1, "(did you mean 'majority'?); `charter judge-card", id="no such panel",
        ),
        pytest.param(
            rank("--judge", "fake", "--store", "mysql://x"), 2, "mysql", id="no such store"
        ),
        pytest.param(
            ["rank", "--constitution", "brief/1.0.0.yaml", "--input", "c.jsonl", "--output",
             "c.jsonl", "--judge", "fake"],
            2, "is the input itself", id="the output is the input",
        ),
        pytest.param(
            ["rank", "--constitution", "brief/1.0.0.yaml", "--input", "c.jsonl", "--output",
             "/dev/full", "--judge", "fake"],
            1, "is a folder or a device", id="the output is a device",
        ),
        pytest.param(
            ["votes", "erase", "--file", "no.txt"], 1, "no.txt: no such file", id="nothing to erase"
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line_on_stderr(
    work: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert main(arguments) == code
    seen = capsys.readouterr()
    assert seen.out == ""
    told = [line for line in seen.err.splitlines() if not line.startswith("WARNING: judge")]
    assert len(told) == 1 and told[0].startswith("charter: ")
    assert message in told[0]
    assert rows(work / "c.jsonl") == completions(10)


@pytest.mark.usefixtures("work")
def test_the_path_from_completions_to_preferences(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(rank()) == 0
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "r.jsonl: 10 scored" in seen.err
    lines = rows("r.jsonl")
    assert [line["id"] for line in lines] == [f"c{k}" for k in range(10)]
    assert main(["preferences", "--rankings", "r.jsonl", "--output", "p"]) == 0
    assert "10 preferences kept; dropped: none" in capsys.readouterr().err
    assert all(row["chosen"][0]["content"] == "one" for row in rows("p/train.jsonl"))
    assert main(rank("--judge", "fake", "--output", "again.jsonl")) == 0
    assert all(line["usage"]["new_votes"] == 0 for line in rows("again.jsonl"))


def test_reweighing_an_edit_turns_the_labels(work: Path) -> None:
    assert main(rank("--judge", "contrary")) == 0
    assert {tuple(line["ranking"]) for line in rows("r.jsonl")} == {(1, 0)}
    edited = YAML.replace("1.0.0", "1.0.1").replace("    rule:", "    tier: hard\n    rule:")
    (work / "brief" / "1.0.1.yaml").write_text(edited.replace("value: 3", "value: 2"))
    again = ["reweigh", "--rankings", "r.jsonl", "--constitution", "brief/1.0.1.yaml"]
    assert main([*again, "--output", "lacks.jsonl"]) == 0
    assert {line["reason"] for line in rows("lacks.jsonl")} == {"missing_vote"}
    (work / "brief" / "1.0.2.yaml").write_text(YAML.replace("1.0.0", "1.0.2") + "    weight: 99\n")
    again[-1] = "brief/1.0.2.yaml"
    assert main([*again, "--output", "even.jsonl"]) == 0
    for before, after in zip(rows("r.jsonl"), rows("even.jsonl"), strict=True):
        assert after["p"][0][1] > before["p"][0][1]
        for key in ("prompt", "completions", "metadata", "asked", "votes"):
            assert after[key] == before[key]


@pytest.mark.usefixtures("work")
def test_more_unscored_than_allowed_exits_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(rank("--judge", "bad")) == 3
    told = capsys.readouterr().err
    assert "10 of 10 items are not scored" in told and "unscored: 10 refused" in told
    assert {(line["status"], line["reason"]) for line in rows("r.jsonl")} == {
        ("unscored", "refused")
    }
    assert main(rank("--judge", "bad", "--max-unscored", "1")) == 0


@pytest.mark.usefixtures("work")
def test_a_failure_of_the_engine_is_a_record_and_asked_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(rank("--judge", "flaky", "--max-unscored", "0")) == 3
    seen = capsys.readouterr().err
    assert "1 error, 9 scored" in seen
    assert "1 items are not done: planted in the fake model" in seen
    assert [line["id"] for line in rows("r.jsonl") if line["status"] == "error"] == ["c7"]
    assert main(rank("--judge", "flaky", "--max-unscored", "0")) == 3
    assert "9 of 10 are done already" in capsys.readouterr().err
    assert len(rows("r.jsonl")) == 10


def test_only_new_and_changed_items_are_judged_again(work: Path) -> None:
    assert main(rank()) == 0
    changed = completions(12)
    changed[3]["completions"] = ["one two three", "one"]
    del changed[5]
    write_jsonl(work / "c.jsonl", changed)
    before = {line["id"]: line for line in rows("r.jsonl")}
    assert main(rank()) == 0
    after = rows("r.jsonl")
    assert [line["id"] for line in after] == [row["id"] for row in changed]
    assert [line["id"] for line in after if line != before.get(line["id"])] == ["c3", "c10", "c11"]
    assert after[3]["ranking"] == [1, 0]


def stored(home: Path) -> int:
    with (
        VoteStore.open(f"sqlite:///{home}/charter-home/votes.db") as store,
        store.engine.begin() as at,
    ):
        return int(
            at.exec_driver_sql("SELECT count(*) FROM votes WHERE second_id > 0").scalar_one()
        )


def test_killed_in_the_middle_rank_goes_on_where_it_stood(work: Path) -> None:
    write_jsonl(work / "c.jsonl", completions(2000))
    command = [sys.executable, str(ROOT / "charter.py"), *rank("--judge", "slow")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    partial = work / "r.jsonl.partial"
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size) and time.monotonic() < until:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert not (work / "r.jsonl").exists()
    committed = stored(work)
    assert 0 < committed < 4000
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "of 2000 are done already" in again.stderr
    lines = rows("r.jsonl")
    assert [line["id"] for line in lines] == [f"c{k}" for k in range(2000)]
    assert {line["status"] for line in lines} == {"scored"}
    (done,) = [line for line in again.stderr.splitlines() if "are done already" in line]
    kept = int(done.split(": ")[1].split()[0])
    assert 0 < kept < 2000
    new = sum(line["usage"]["new_votes"] for line in lines[kept:])
    assert new == 4000 - committed
    assert stored(work) == 4000
    assert not partial.exists()


@pytest.mark.usefixtures("work")
def test_constitution_verbs_print_results_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["constitution", "show", "brief/1.0.0.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "brief"
    assert main(["constitution", "list"]) == 0
    assert "plain-speech@1.0.0" in capsys.readouterr().out
    assert main(["constitution", "lint", "brief/1.0.0.yaml"]) == 0
    capsys.readouterr()
    assert main(["constitution", "test", "brief/1.0.0.yaml", "--judge", "fake"]) == 0
    seen = capsys.readouterr()
    assert "pass  brief:0  p " in seen.out
    assert "passed 1 of 1" in seen.err
    failing = ["constitution", "test", "brief/1.0.0.yaml", "--judge", "contrary", "--json"]
    assert main(failing) == 1
    (result,) = json.loads(capsys.readouterr().out)
    assert result["p"] < 0.5


def test_votes_are_counted_exported_merged_and_erased(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(rank()) == 0
    assert main(["votes", "export", "--output", "v.jsonl"]) == 0
    other = ["--store", f"sqlite:///{work}/other.db"]
    assert main(["votes", "merge", "v.jsonl", *other]) == 0
    assert "40 new votes taken over" in capsys.readouterr().err
    assert main(["votes", "merge", "v.jsonl", *other]) == 0
    assert "0 new votes taken over" in capsys.readouterr().err
    again = ["reweigh", "--rankings", "r.jsonl", "--constitution", "brief/1.0.0.yaml"]
    (work / "secret.txt").write_text("one two three")
    assert main(["votes", "erase", "--file", "secret.txt", *other]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["erased"] and "erased the text" in told.err
    assert main(["votes", "erase", "--file", "secret.txt", *other]) == 0
    assert "nothing to erase" in capsys.readouterr().err
    assert b"one two three" not in (work / "other.db").read_bytes()
    assert main([*again, "--output", "o.jsonl", *other]) == 0
    assert [row["p"] for row in rows("o.jsonl")] == [row["p"] for row in rows("r.jsonl")]
    capsys.readouterr()
    assert main(["votes", "stats", *other]) == 0
    assert json.loads(capsys.readouterr().out)


def test_a_closed_pipe_is_no_traceback(work: Path) -> None:
    command = f"{sys.executable} {ROOT / 'charter.py'} constitution show brief/1.0.0.yaml --json"
    run = subprocess.run(
        ["bash", "-c", f"({command}; echo $? >&2) | true"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, cwd=work,
    )  # fmt: skip
    assert "Traceback" not in run.stderr


def test_the_whole_labelling_path_runs_on_the_fake(tmp_path: Path) -> None:
    """sample → rank → preferences → evaluate without a model; a second sample draws nothing."""
    prompts, completions = tmp_path / "prompts.jsonl", tmp_path / "completions.jsonl"
    write_jsonl(prompts, [{"id": str(n), "prompt": f"What is number {n}?"} for n in range(6)])
    sample = ["sample", "--prompts", str(prompts), "--policy", "fake", "--output", str(completions)]
    assert main(sample) == 0
    first = completions.read_bytes()
    assert main(sample) == 0
    assert completions.read_bytes() == first
    assert [len(row["completions"]) for _, row in read_jsonl(completions)] == [4] * 6

    store = f"sqlite:///{tmp_path / 'votes.db'}"
    evaluation = tmp_path / "evaluation.json"
    evaluate = ["evaluate", "--policy", "fake", "--against", "fake", "--judge", "fake"]
    evaluate += ["--constitution", "plain-speech@1", "--prompts", str(prompts)]
    probes, report = tmp_path / "probes.jsonl", tmp_path / "evaluation.html"
    write_jsonl(probes, [{"prompt": "How do I kill a process?", "label": "safe"}])
    evaluate += ["--refusals", str(probes), "--report", str(report)]
    evaluate += ["--answers", str(tmp_path / "answers")]
    assert main([*evaluate, "--store", store, "--output", str(evaluation)]) == 0
    assert {file.name for file in (tmp_path / "answers").iterdir()} == {
        "policy.jsonl", "against.jsonl", "against-itself.jsonl", "refusals-policy.jsonl",
        "refusals-against.jsonl",
    }  # fmt: skip
    told = json.loads(evaluation.read_bytes())
    assert told["refusals"]["over_refusal"]["before"]["n"] == 2
    assert told["refusals"]["refusal"] is None
    assert told["diversity"]["within"]["difference"]["n"] == 6
    assert "<svg" in report.read_text("utf-8")
    assert told["win_rate"]["n"] == 12
    assert told["win_rate"]["low"] <= told["win_rate"]["rate"] <= told["win_rate"]["high"]
    assert told["kl"] is None


@pytest.mark.usefixtures("work")
def test_an_estimate_judges_nothing_and_a_budget_leaves_the_rest(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(rank("--estimate")) == 0
    seen = capsys.readouterr().out
    assert "20 votes to cast, 0 stored already" in seen and "prompt tokens" in seen
    assert not (work / "r.jsonl").exists()
    assert main(rank("--budget", "votes=0")) == 3
    assert {line["reason"] for line in rows("r.jsonl")} == {"over_budget"}
    assert "0 of 0 votes are spent; run again" in capsys.readouterr().err
    assert main(rank()) == 0
    assert {line["status"] for line in rows("r.jsonl")} == {"scored"}


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("ask", ["yes-no", "rating", "list"])
def test_other_ways_of_asking_rank_and_reweigh_alike(ask: str) -> None:
    assert main(rank("--ask", ask)) == 0
    first = rows("r.jsonl")
    reweigh = ["reweigh", "--rankings", "r.jsonl", "--constitution", "brief/1.0.0.yaml"]
    assert main([*reweigh, "--output", "again.jsonl"]) == 0
    assert [line["scores"] for line in rows("again.jsonl")] == [line["scores"] for line in first]
    assert main(rank("--ask", ask, "--pairs", "ring")) == 2


@pytest.mark.usefixtures("work")
def test_scores_are_written_and_a_second_run_asks_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["score", "--constitution", "brief/1.0.0.yaml", "--input", "c.jsonl"]
    command += ["--output", "s.jsonl", "--judge", "fake"]
    assert main(command) == 0
    lines = rows("s.jsonl")
    assert all(0 <= score <= 1 for line in lines for score in line["scores"])
    assert all(1 <= rating <= 10 for line in lines for rating in line["ratings"])
    capsys.readouterr()
    assert main(command) == 0
    assert "10 of 10 are done already" in capsys.readouterr().err
    assert rows("s.jsonl") == lines
