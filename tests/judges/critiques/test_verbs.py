"""The verbs write whole files, resume what a kill cut off, and make anew what has changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from charter import main
from judges.critiques.check import Check
from judges.critiques.plan import chosen_principles
from judges.critiques.revise import Revising
from judges.critiques.verbs import critique_file, revise_file
from judges.items import load_items
from judges.jsonl import write_jsonl
from judges.judge import Judge
from judges.model import Sampling
from judges.models.fake import FakeModel, FakeSettings
from judges.store.vote_store import VoteStore
from tests.judges.critiques.made_requests import BRIEF, NO_TEA, OFFENDING, requests, write_items

SAMPLING = Sampling(max_tokens=200, seed=1)
TEXTS = {f"i{k}": [f"{k}. {OFFENDING}", "Water."] for k in range(40)}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def files(folder: Path) -> list[str]:
    """The flags that name input and output, and a constitution whose tastes the fake knows."""
    write_items(folder / "c.jsonl", {"a": [OFFENDING, "Water."], "b": [OFFENDING]})
    of = requests(NO_TEA, BRIEF).model_dump(mode="json", exclude_defaults=True)
    path = folder / "planted" / "1.0.0.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(of, indent=1), "utf-8")
    return ["--constitution", str(path), "--input", str(folder / "c.jsonl"), "--output"]


def test_critique_writes_a_line_for_each_item(tmp_path: Path) -> None:
    output = tmp_path / "k.jsonl"
    assert main(["critique", *files(tmp_path), str(output), "--judge", "fake"]) == 0
    lines = read(output)
    assert [line["id"] for line in lines] == ["a", "b"]
    found = lines[0]["completions"][0]["critiques"]
    assert [(c["principle"], c["severity"]) for c in found] == [
        ("no-tea", "major"),
        ("brief", "none"),
    ]
    assert set(lines[0]["digests"]) == {
        "constitution",
        "revision",
        "critic",
        "reviser",
        "judge",
        "few_shot",
    }
    chosen = [*files(tmp_path), str(output), "--judge", "fake", "--principles", "brief"]
    assert main(["critique", *chosen]) == 0
    found = read(output)[0]["completions"][0]["critiques"]
    assert [c["principle"] for c in found] == ["brief"]


def test_revise_writes_all_rounds_and_rows_to_fine_tune_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, rows = tmp_path / "r.jsonl", tmp_path / "s.jsonl"
    flags = ["revise", *files(tmp_path), str(output), "--judge", "fake", "--rounds", "2"]
    assert main([*flags, "--sft", str(rows)]) == 0
    lines = read(output)
    assert [len(c["rounds"]) for line in lines for c in line["completions"]] == [2, 2, 2]
    assert lines[0]["completions"][0]["accepted"] == OFFENDING.replace("tea", "it")
    assert lines[0]["made"]["rounds"] == 2
    made = read(rows)
    assert [row["completion"][0]["content"] for row in made] == [OFFENDING.replace("tea", "it")] * 2
    assert all(row["digests"]["judge"] for row in made)
    assert "rounds: 4 unneeded, 2 kept" in capsys.readouterr().err


def test_the_rows_load_as_a_dataset(tmp_path: Path) -> None:
    datasets = pytest.importorskip("pyarrow.json")
    rows = tmp_path / "s.jsonl"
    flags = ["revise", *files(tmp_path), str(tmp_path / "r.jsonl"), "--judge", "fake"]
    assert main([*flags, "--principles", "all", "--no-check", "--sft", str(rows)]) == 0
    table = datasets.read_json(rows)
    assert table.num_rows == 2
    turns = "list<item: struct<role: string, content: string>>"
    assert str(table.schema.field("prompt").type) == turns
    assert str(table.schema.field("completion").type) == turns
    assert table.column("checked").to_pylist() == [False, False]


def test_examples_are_shown_and_recorded(tmp_path: Path) -> None:
    shots = tmp_path / "shots.jsonl"
    critique = {"quote": "tea", "comment": "It says so.", "severity": "major"}
    shot = {"prompt": "Hm?", "completion": "tea", "critique": critique, "revision": "Water."}
    write_jsonl(shots, [shot])
    flags = ["critique", *files(tmp_path), str(tmp_path / "k.jsonl"), "--judge", "fake"]
    assert main([*flags, "--few-shot", str(shots)]) == 0
    assert read(tmp_path / "k.jsonl")[0]["digests"]["few_shot"]


@pytest.mark.parametrize(
    ("flags", "code", "seen"),
    [
        pytest.param(["--rounds", "3", "--principles", "all"], 2, "leave one", id="both"),
        pytest.param(["--principles", "no-te"], 2, "did you mean 'no-tea'", id="a misspelt one"),
        pytest.param(["--sft", "c.jsonl"], 2, "name another file", id="rows over the input"),
        pytest.param(["--sft", "r.jsonl"], 2, "name another file", id="rows over the output"),
        pytest.param(["--few-shot", "none.jsonl"], 1, "no such file", id="no examples"),
    ],
)
def test_flags_that_cannot_go_together_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    code: int,
    seen: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["revise", *files(tmp_path), "r.jsonl", "--judge", "fake", *flags]) == code
    assert seen in capsys.readouterr().err


def test_too_many_items_without_a_result_are_told_by_the_exit_code(tmp_path: Path) -> None:
    planted = "transport = 'fake'\n[broken.fake.critiques]\ninvalid_json = 1.0\n"
    (tmp_path / "judges.toml").write_text(f"[broken]\n{planted}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARTER_JUDGES", str(tmp_path / "judges.toml"))
        flags = [*files(tmp_path), str(tmp_path / "k.jsonl"), "--judge", "broken"]
        assert main(["critique", *flags]) == 3
        assert main(["critique", *flags, "--max-unscored", "1"]) == 0


class Work:
    """Revising one file again and again, each time on a fresh model that counts."""

    def __init__(self, folder: Path, store: VoteStore) -> None:
        self.items = load_items(write_items(folder / "c.jsonl", TEXTS))
        self.store = store

    async def revise(self, output: Path, planted: Any = None, **changed: Any) -> int:
        """How often the model was asked."""
        model = FakeModel(FakeSettings.model_validate(planted or {}))
        of = requests(NO_TEA, BRIEF)
        how = Revising(
            constitution=of,
            principles=chosen_principles(of, None, ["critique", "revise"]),
            critic=model,
            reviser=model,
            sampling=changed.pop("sampling", SAMPLING),
            rounds=changed.pop("rounds", 2),
            seed=changed.pop("seed", 0),
            check=Check([Judge("fake", model)], self.store),
            **changed,
        )
        await revise_file(self.items, how, output)
        return model.prompts


@pytest.fixture
def work(tmp_path: Path) -> Any:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as store:
        yield Work(tmp_path, store)


async def test_cut_off_and_run_again_it_is_as_if_nothing_happened(
    work: Work, tmp_path: Path
) -> None:
    output, partial = tmp_path / "r.jsonl", tmp_path / "r.jsonl.partial"
    assert await work.revise(output) > 200
    whole = output.read_bytes()
    lines = whole.splitlines(keepends=True)
    partial.write_bytes(b"".join(lines[5:25]) + lines[25][:100])
    output.unlink()
    # What is lacking is asked for again, the votes are not.
    assert await work.revise(output) == 20 * (2 * 2 + 1)
    assert output.read_bytes() == whole
    assert not partial.exists()
    assert await work.revise(output) == 0


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"seed": 1}, id="another seed"),
        pytest.param({"rounds": 1}, id="fewer rounds"),
        pytest.param({"sampling": Sampling(max_tokens=100, seed=1)}, id="another sampling"),
        pytest.param({"planted": {"seed": 3}}, id="another model"),
    ],
)
async def test_what_was_made_otherwise_is_made_anew(
    work: Work, tmp_path: Path, changed: dict[str, Any]
) -> None:
    await work.revise(tmp_path / "r.jsonl")
    assert await work.revise(tmp_path / "r.jsonl", **changed) >= 40 * 2


async def test_only_errors_and_changed_items_are_asked_about_again(tmp_path: Path) -> None:
    output = tmp_path / "k.jsonl"
    of = requests(NO_TEA)

    async def critiqued(file: Path) -> dict[str, int]:
        status = await critique_file(load_items(file), of, of.principles, "fake", SAMPLING, output)
        return dict(status)

    first = write_items(tmp_path / "first.jsonl", {"a": [OFFENDING], "b": [OFFENDING]})
    assert await critiqued(first) == {"scored": 2}
    spoilt = read(output)
    spoilt[0] |= {"status": "error", "reason": "engine_error"}
    spoilt[1]["metadata"] = {"kept": True}
    write_jsonl(output, spoilt)
    assert await critiqued(first) == {"scored": 2}
    assert [line["metadata"] for line in read(output)] == [{}, {"kept": True}]
    changed = write_items(tmp_path / "first.jsonl", {"b": ["Other."], "c": ["New."]})
    assert await critiqued(changed) == {"scored": 2}
    assert [(line["id"], line["metadata"]) for line in read(output)] == [("b", {}), ("c", {})]
