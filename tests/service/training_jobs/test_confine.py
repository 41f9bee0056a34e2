import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import DataError
from service.training_jobs.confine import Confinement, toml_text


@pytest.fixture
def confined(tmp_path: Path) -> Confinement:
    """A tenant's folder beside another's, and a folder of shared models."""
    for name in ("ours/data", "theirs", "models/large"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ours" / "data" / "train.jsonl").touch()
    (tmp_path / "ours" / "out").symlink_to(tmp_path / "theirs")
    return Confinement(tmp_path / "ours", tmp_path / "models", lambda file: tmp_path / file)


def test_paths_inside_are_made_whole_and_words_left_alone(
    confined: Confinement, tmp_path: Path
) -> None:
    recipe = {
        "model": "embedded",
        "preferences": "data/train.jsonl",
        "rows": "file-12ab",
        "base": str(tmp_path / "models" / "large"),
        "trainer": {"optim": "adamw_torch", "max_steps": 3, "lr": 1e-5, "on": [True, "data"]},
    }
    checked = confined.check(recipe)
    assert checked["model"] == "embedded"
    assert checked["preferences"] == str(tmp_path / "ours" / "data" / "train.jsonl")
    assert checked["rows"] == str(tmp_path / "file-12ab")
    assert checked["base"] == str(tmp_path / "models" / "large")
    assert checked["trainer"]["on"] == [True, str(tmp_path / "ours" / "data")]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"preferences": "/etc/passwd"}, "outside your folder"),
        ({"preferences": "../theirs"}, "outside your folder"),
        ({"preferences": "data/../../theirs"}, "outside your folder"),
        ({"preferences": "out"}, "outside your folder"),
        ({"preferences": "out/x.jsonl"}, "outside your folder"),
        ({"preferences": "~root"}, "use a path in your folder"),
        ({"policy": "http://inside:8000#m"}, "use a path in your folder"),
        ({"a": {"b": ["x", "../y"]}}, "a.b is '../y'"),
        ({"a": "x\0y"}, "use a path"),
        ({"output": "runs"}, "a run folder of its own"),
        ({"trainer": {"output": "x"}}, "trainer.output may not be set"),
        ({"trainer": {"push_to_hub": True}}, "sends what is trained"),
        ({"model_init_kwargs": {"trust_remote_code": True}}, "runs code"),
        ({"a": None}, "leave it out"),
        ({"a": float("nan")}, "finite"),
        ({"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}}}, "deep"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_points_out_or_runs_code_is_refused(
    confined: Confinement, recipe: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said.replace(".", r"\.")):
        confined.check(recipe)


keys = st.text(min_size=1, max_size=8)
values = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=12)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(keys, values, max_size=4))
def test_toml_says_the_same(recipe: dict[str, Any]) -> None:
    try:
        for text in str(recipe):
            text.encode()
    except UnicodeEncodeError:
        return
    assert tomllib.loads(toml_text(recipe)) == recipe


def test_a_recipe_is_read_from_the_tenants_folder_only(
    confined: Confinement, tmp_path: Path
) -> None:
    (tmp_path / "ours" / "mine.toml").write_text("a = 1")
    (tmp_path / "theirs" / "secret.toml").write_text("a = 1")
    assert confined.read("mine.toml") == {"a": 1}
    for reference in ("../theirs/secret.toml", "out/secret.toml", "none.toml", "data"):
        with pytest.raises(DataError):
            confined.read(reference)
