"""References, parents and published versions: on made-up folders and on the shipped one."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from judges.constitutions.constitution import Constitution
from judges.constitutions.files import (
    constitution_folders,
    list_constitutions,
    load_constitution,
    parse_constitution,
)
from judges.constitutions.yaml_source import MAX_BYTES
from judges.errors import ConstitutionError
from tests.judges.constitutions.constitution_folder import principle, write

SHIPPED = Path(__file__).parents[3] / "constitutions"


def refusal(reference: str | Path, *folders: Path) -> str:
    with pytest.raises(ConstitutionError) as caught:
        load_constitution(str(reference), folders)
    return str(caught.value)


def ids(constitution: Constitution) -> list[str]:
    return [each.id for each in constitution.principles]


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with several versions of one constitution and one of another."""
    for version in ("1.0.0", "1.2.0", "1.10.0", "2.0.0"):
        write(tmp_path, f"manners@{version}", "kind")
    write(tmp_path, "brevity@0.1.0", "short")
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param("manners@1.2.0", "manners@1.2.0", id="an exact version"),
        pytest.param("manners@1", "manners@1.10.0", id="the newest of a major version"),
        pytest.param("manners@1.2", "manners@1.2.0", id="the newest of a minor version"),
        pytest.param("manners", "manners@2.0.0", id="the newest of all"),
        pytest.param("brevity", "brevity@0.1.0", id="another name"),
    ],
)
def test_a_reference_means_one_version(shelf: Path, reference: str, expected: str) -> None:
    assert load_constitution(reference, [shelf]).reference == expected


def test_a_path_is_a_reference(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    draft = tmp_path_factory.mktemp("drafts") / "draft.yaml"
    draft.write_bytes((shelf / "manners" / "1.2.0.yaml").read_bytes())
    assert load_constitution(str(draft), [shelf]).reference == "manners@1.2.0"


@pytest.mark.parametrize("digits", [12, 20, 64])
def test_a_digest_is_a_reference(shelf: Path, digits: int) -> None:
    wanted = load_constitution("manners@1.2.0", [shelf])
    assert load_constitution(f"sha256:{wanted.digest[:digits]}", [shelf]) == wanted


def test_a_broken_neighbour_does_not_hide_a_digest(shelf: Path) -> None:
    wanted = load_constitution("manners@1.2.0", [shelf])
    write(shelf, "broken@1.0.0", principle("kind", tier="vital"))
    assert load_constitution(f"sha256:{wanted.digest[:12]}", [shelf]) == wanted
    assert "passed over: " in refusal(f"sha256:{'0' * 12}", shelf)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param("maners", "(did you mean 'manners'?)", id="a misspelt name"),
        pytest.param("manners@3", "manners has 1.0.0, 1.2.0, 1.10.0, 2.0.0", id="no such version"),
        pytest.param("manners@latest", "is no reference; use name@1.0.0", id="a word for version"),
        pytest.param("manners@1.", "is no reference", id="half a version"),
        pytest.param("", "is no reference", id="nothing"),
        pytest.param("sha256:abc", "give 12 to 64 hex digits", id="too few digits"),
        pytest.param("sha256:" + "0" * 64, "is not in ", id="a digest of nothing"),
        pytest.param("no/such/file.yaml", "there is no folder 'no/such'", id="a missing file"),
        pytest.param(
            "../etc@1.0.0",
            "no such file; check the path; or give name@",
            id="a way out of the folder",
        ),
    ],
)
def test_a_reference_to_nothing_says_what_there_is(
    shelf: Path, reference: str, expected: str
) -> None:
    assert expected in refusal(reference, shelf)


@pytest.mark.parametrize("name", ["1.0.yaml", "1.0.0.yml", "draft.yaml"])
def test_a_file_with_a_name_that_is_no_version_is_mentioned(tmp_path: Path, name: str) -> None:
    write(tmp_path, "manners@1.0.0", "kind").rename(tmp_path / "manners" / name)
    message = refusal("manners", tmp_path)
    assert f"{name} is passed over; a file is called 1.0.0.yaml" in message


def test_files_are_listed_by_name_and_number(shelf: Path) -> None:
    listed = [file.reference for file in list_constitutions([shelf])]
    assert listed == [
        "brevity@0.1.0", "manners@1.0.0", "manners@1.2.0", "manners@1.10.0", "manners@2.0.0",
    ]  # fmt: skip


def test_folders_of_the_environment_come_after_the_shipped_one(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTER_CONSTITUTIONS", f"{shelf}{os.pathsep}")
    assert constitution_folders() == (SHIPPED, shelf)
    assert load_constitution("brevity").reference == "brevity@0.1.0"


def test_the_same_file_in_two_folders_is_one_constitution(shelf: Path, tmp_path: Path) -> None:
    write(tmp_path / "copy", "brevity@0.1.0", "short")
    assert load_constitution("brevity", [shelf, tmp_path / "copy"]).reference == "brevity@0.1.0"


def test_two_files_that_claim_one_version_are_refused(shelf: Path, tmp_path: Path) -> None:
    write(tmp_path / "copy", "brevity@0.1.0", "long")
    assert "both claim brevity@0.1.0" in refusal("brevity", shelf, tmp_path / "copy")


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        pytest.param({"name": "maners"}, ":2:2: name is 'maners', but the folder is", id="name"),
        pytest.param({"version": "1.0.1"}, ":3:2: version is '1.0.1', but the file", id="version"),
    ],
)
def test_a_file_says_what_it_is_called(tmp_path: Path, top: dict[str, Any], expected: str) -> None:
    path = write(tmp_path, "manners@1.0.0", "kind", **top)
    assert f"{path}{expected}" in refusal("manners", tmp_path)
    assert f"{path}{expected}" in refusal(path, tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"name: \xff\n", ":1:7: byte 0xff is not UTF-8", id="not UTF-8"),
        pytest.param(
            b"# " + b"x" * MAX_BYTES, ":1:1048577: the file is larger than 1 MiB", id="too large"
        ),
        pytest.param(b"a: &x [1]\nb: [*x, *x]\n", ":1:4: anchors (&)", id="a YAML bomb"),
        pytest.param(b"", ":1:1: the file is empty", id="empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}{expected}")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    assert "cannot be read" in refusal(tmp_path / "a.yaml")


def test_parents_come_first_and_the_same_id_replaces_in_place(tmp_path: Path) -> None:
    write(tmp_path, "first@1.0.0", "kind", "true", "short")
    write(tmp_path, "second@1.0.0", principle("true", "By the second."), "even")
    own = principle("short", "By the child.")
    write(tmp_path, "child@1.0.0", own, "new", extends=["first@1.0.0", "second@1.0.0"])
    child = load_constitution("child", [tmp_path])
    assert ids(child) == ["kind", "true", "short", "even", "new"]
    assert child.principles[1].text == "By the second."
    assert child.principles[2].text == "By the child."
    assert child.extends == ("first@1.0.0", "second@1.0.0")


def test_dropped_principles_are_gone_for_grandchildren_too(tmp_path: Path) -> None:
    write(tmp_path, "base@1.0.0", "kind", "true")
    write(tmp_path, "child@1.0.0", extends=["base@1.0.0"], drop=["kind"])
    write(tmp_path, "grandchild@1.0.0", "new", extends=["child@1.0.0"])
    assert ids(load_constitution("grandchild", [tmp_path])) == ["true", "new"]


def test_a_replaced_principle_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path, "base@1.0.0", principle("kind", weight=5, source="A book."))
    write(tmp_path, "child@1.0.0", "kind", extends=["base@1.0.0"])
    (kind,) = load_constitution("child", [tmp_path]).principles
    assert (kind.weight, kind.source) == (1.0, None)


def test_parents_may_lie_in_another_folder(shelf: Path, tmp_path: Path) -> None:
    write(tmp_path / "mine", "house@1.0.0", "new", extends=["brevity@0.1.0"])
    assert ids(load_constitution("house", [shelf, tmp_path / "mine"])) == ["short", "new"]


def test_a_parent_is_the_exact_version_though_a_newer_one_is_there(shelf: Path) -> None:
    write(shelf, "manners@1.2.1", "kinder")
    write(shelf, "house@1.0.0", extends=["manners@1.2.0"])
    assert ids(load_constitution("house", [shelf])) == ["kind"]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param({}, 2.0, id="the parents' hold when the file has none"),
        pytest.param({"aggregate": {"tie_margin": 0.1}}, 1.0, id="the file's own hold whole"),
        pytest.param({"aggregate": {}}, 1.0, id="an empty block is the defaults"),
    ],
)
def test_settings_of_the_parents(tmp_path: Path, own: dict[str, Any], expected: float) -> None:
    write(tmp_path, "base@1.0.0", "kind", aggregate={"decisive": 2})
    write(tmp_path, "child@1.0.0", extends=["base@1.0.0"], **own)
    assert load_constitution("child", [tmp_path]).aggregate.decisive == expected


def test_parents_that_differ_in_settings_must_be_settled(tmp_path: Path) -> None:
    write(tmp_path, "one@1.0.0", "kind", aggregate={"decisive": 2})
    write(tmp_path, "two@1.0.0", "true")
    write(tmp_path, "child@1.0.0", extends=["one@1.0.0", "two@1.0.0"])
    assert "the parents differ in aggregate; write `aggregate: {…}`" in refusal("child", tmp_path)


def test_a_circle_of_parents_is_shown_whole(tmp_path: Path) -> None:
    write(tmp_path, "entry@1.0.0", "kind", extends=["a@1.0.0"])
    write(tmp_path, "a@1.0.0", "kind", extends=["b@1.0.0"])
    path = write(tmp_path, "b@1.0.0", "kind", extends=["a@1.0.0"])
    message = refusal("entry", tmp_path)
    assert message.startswith(f"{path}:7:3: ")
    assert "circle: a@1.0.0 → b@1.0.0 → a@1.0.0;" in message


def test_a_constitution_is_not_its_own_parent(tmp_path: Path) -> None:
    write(tmp_path, "a@1.0.0", "kind", extends=["a@1.0.0"])
    assert "circle: a@1.0.0 → a@1.0.0;" in refusal("a", tmp_path)


def test_many_ways_to_one_ancestor_are_walked_once(tmp_path: Path) -> None:
    write(tmp_path, "p0@1.0.0", "kind")
    for level in range(1, 40):
        parents = [f"p{level - 1}@1.0.0"] * 2
        write(tmp_path, f"p{level}@1.0.0", extends=parents)
    assert ids(load_constitution("p39", [tmp_path])) == ["kind"]


def test_parents_without_end_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "p0@1.0.0", "kind")
    for level in range(1, 70):
        write(tmp_path, f"p{level}@1.0.0", extends=[f"p{level - 1}@1.0.0"])
    assert "more than 64 generations of parents" in refusal("p69", tmp_path)


@pytest.mark.parametrize(
    ("own", "top", "expected"),
    [
        pytest.param(
            ["new"],
            {"extends": ["bse@1.0.0"]},
            "7:3: extends: constitution 'bse@1.0.0' is not found in ",
            id="an unknown parent",
        ),
        pytest.param(
            ["new"],
            {"extends": ["base@1.0.1"]},
            "7:3: extends: constitution 'base@1.0.1' is not there; base has 1.0.0",
            id="an unknown version of a parent",
        ),
        pytest.param(
            ["new"],
            {"extends": ["base@1.0.0"], "drop": ["kid"]},
            "10:3: drop: no principle of the parents is called 'kid' (did you mean 'kind'?)",
            id="a drop of nothing",
        ),
        pytest.param(
            ["new"],
            {"drop": ["new"]},
            "7:3: drop: no principle of the parents is called 'new'; remove it from the list",
            id="a drop without parents",
        ),
        pytest.param(
            ["kind"],
            {"extends": ["base@1.0.0"], "drop": ["kind"]},
            "10:3: 'kind' is dropped and also defined here; to replace a principle, define it and "
            "do not drop it",
            id="dropped and defined",
        ),
        pytest.param(
            [],
            {"extends": ["base@1.0.0"], "drop": ["kind"]},
            "9:2: no principle is left; drop fewer",
            id="everything dropped",
        ),
    ],
)
def test_a_family_that_does_not_fit_together(
    tmp_path: Path, own: list[str], top: dict[str, Any], expected: str
) -> None:
    write(tmp_path, "base@1.0.0", "kind")
    path = write(tmp_path, "child@1.0.0", *own, **top)
    assert refusal("child", tmp_path).startswith(f"{path}:{expected}")


def test_a_fault_in_a_parent_names_the_parent_s_file(tmp_path: Path) -> None:
    path = write(tmp_path, "base@1.0.0", principle("kind", tier="vital"))
    write(tmp_path, "child@1.0.0", "new", extends=["base@1.0.0"])
    assert refusal("child", tmp_path).startswith(f"{path}:")


def test_inherited_and_written_out_principles_judge_alike(tmp_path: Path) -> None:
    write(tmp_path, "base@1.0.0", "kind", "true")
    write(tmp_path, "child@1.0.0", "new", extends=["base@1.0.0"])
    write(tmp_path, "whole@1.0.0", "kind", "true", "new")
    child, whole = (load_constitution(name, [tmp_path]) for name in ("child", "whole"))
    assert child.digests == whole.digests
    assert child.digest != whole.digest


def test_content_is_read_without_a_file(shelf: Path) -> None:
    content = (
        b"name: house\nversion: 1.0.0\ntitle: House\nlicence: CC0-1.0\nextends: [manners@1.0.0]\n"
    )
    assert ids(parse_constitution(content, "request", [shelf])) == ["kind"]


def test_the_worked_example_of_the_guide_loads(tmp_path: Path) -> None:
    guide = (SHIPPED / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    assert examples
    for example in examples:
        draft = tmp_path / "draft.yaml"
        draft.write_text(example, encoding="utf-8")
        assert load_constitution(str(draft), [SHIPPED]).principles
