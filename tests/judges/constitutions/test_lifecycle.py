"""A draft becomes a version once, by the right step, and only whole; a version can be retired."""

import json
from pathlib import Path
from typing import Any

import pytest

from judges.constitutions.constitution import constitution_schema_text
from judges.constitutions.files import load_constitution
from judges.constitutions.lifecycle import Publication, deprecate, publish
from judges.constitutions.published import deprecations, published_digests
from judges.errors import ConstitutionError
from tests.judges.constitutions.constitution_folder import principle, write


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder in which house@1.0.0 is published."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    published(folder, draft(tmp_path, "house@1.0.0", "kind"))
    return folder


def draft(folder: Path, reference: str, *principles: Any, **top: Any) -> Path:
    return write(folder / "drafts", reference, *principles, **top)


def published(shelf: Path, path: Path, message: str = "A line.") -> Publication:
    return publish(path, shelf, message, [shelf])


def refusal(shelf: Path, path: Path, message: str = "A line.") -> str:
    before = {each: each.read_bytes() for each in shelf.rglob("*") if each.is_file()}
    with pytest.raises(ConstitutionError) as caught:
        published(shelf, path, message)
    assert {each: each.read_bytes() for each in shelf.rglob("*") if each.is_file()} == before
    return str(caught.value)


def test_a_version_is_copied_pinned_and_listed(shelf: Path, tmp_path: Path) -> None:
    path = draft(tmp_path, "house@1.1.0", "kind", "true")
    done = published(shelf, path, "  Truth\n counts. ")
    assert (done.previous, done.step) == ("house@1.0.0", "minor")
    assert done.path == shelf / "house" / "1.1.0.yaml"
    hint, _, text = done.path.read_text().partition("\n")
    assert hint == "# yaml-language-server: $schema=../schema.json"
    assert text == path.read_text()
    assert (shelf / "schema.json").read_text() == constitution_schema_text()
    assert load_constitution("house", [shelf]).digest == done.digest
    assert published_digests(shelf)["house@1.1.0"] == done.digest
    assert (shelf / "house" / "CHANGELOG.md").read_text() == (
        "# Changes of house\n\n## 1.1.0\n\nTruth counts.\n\n- added 'true'\n\n## 1.0.0\n\nA line.\n"
    )


def test_an_older_line_can_be_carried_on(shelf: Path, tmp_path: Path) -> None:
    published(shelf, draft(tmp_path, "house@2.0.0", "true"))
    done = published(shelf, draft(tmp_path, "house@1.0.1", "kind", title="House"))
    assert (done.previous, done.step) == ("house@1.0.0", "patch")


def test_a_draft_in_its_place_is_published_where_it_lies(shelf: Path) -> None:
    path = write(shelf, "house@1.1.0", "kind", "true")
    assert published(shelf, path).path == path
    assert "house@1.1.0" in published_digests(shelf)


def test_a_publication_that_was_cut_short_is_done_again(shelf: Path, tmp_path: Path) -> None:
    path = draft(tmp_path, "house@1.1.0", "kind", "true")
    done = published(shelf, path)
    digests = published_digests(shelf)
    changelog = (shelf / "house" / "CHANGELOG.md").read_text()
    left = {key: value for key, value in digests.items() if key != "house@1.1.0"}
    (shelf / "digests.json").write_text(json.dumps(left))
    assert published(shelf, path) == done
    assert published_digests(shelf) == digests
    assert (shelf / "house" / "CHANGELOG.md").read_text() == changelog


TEST = {"prompt": "p", "better": "same", "worse": "same"}


@pytest.mark.parametrize(
    ("reference", "principles", "message", "expected"),
    [
        pytest.param("house@1.0.0", ["true"], "x", "is published already, in ", id="there"),
        pytest.param("house@1.0.1", ["true"], "x", "write `version: 2.0.0`", id="wrong step"),
        pytest.param("house@1.0.1", ["kind"], "x", "says the same as", id="no change"),
        pytest.param("house@2.0.0", ["true"], " ", "changelog line is empty", id="no message"),
        pytest.param("house@2.0.0", [], "x", "has no principles", id="does not load"),
        pytest.param(
            "house@2.0.0",
            [principle("true", tests=[TEST])],
            "x",
            "principle 'true' test 1: better and worse are the same text (same-answers)",
            id="a lint error",
        ),
    ],
)
def test_what_must_not_be_published_leaves_the_folder_alone(
    shelf: Path, tmp_path: Path, reference: str, principles: list[Any], message: str, expected: str
) -> None:
    path = draft(tmp_path, reference, *principles)
    told = refusal(shelf, path, message)
    assert told.startswith(str(path)) and expected in told


def test_another_file_in_its_place_is_not_replaced(shelf: Path, tmp_path: Path) -> None:
    other = write(shelf, "house@2.0.0", "even")
    told = refusal(shelf, draft(tmp_path, "house@2.0.0", "true"))
    assert f"{other} claims house@2.0.0 already" in told


def test_a_parent_may_be_shipped_and_the_child_one_s_own(shelf: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    path = draft(tmp_path, "flat@1.0.0", "new", extends=["house@1.0.0"])
    done = publish(path, own, "First.", [shelf])
    assert done.previous is None and done.step is None
    assert load_constitution("flat", [shelf, own]).digest == done.digest


def test_a_deprecated_version_loads_and_says_so_once(
    shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (shelf / "house" / "1.0.0.yaml").read_bytes()
    published(shelf, draft(tmp_path, "house@2.0.0", "true"))
    assert deprecate("house@1.0.0", f"Why {tmp_path}.", "house@2.0.0", [shelf]) == shelf.resolve()
    assert (shelf / "house" / "1.0.0.yaml").read_bytes() == before
    write(shelf, "child@1.0.0", "new", extends=["house@1.0.0"])
    assert load_constitution("house@1", [shelf], warn=False).version == "1.0.0"
    assert capsys.readouterr().err == ""
    for reference in ("house@1", "house@1.0.0", "child", "house@2"):
        load_constitution(reference, [shelf])
    line = f"house@1.0.0 is deprecated: Why {tmp_path}.; use house@2.0.0\n"
    assert capsys.readouterr() == ("", line)


def test_a_parent_that_is_deprecated_is_said_too(
    shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deprecate("house@1.0.0", f"Parent {tmp_path}.", None, [shelf])
    write(shelf, "child@1.0.0", "new", extends=["house@1.0.0"])
    load_constitution("child", [shelf])
    assert capsys.readouterr().err == f"house@1.0.0 is deprecated: Parent {tmp_path}.\n"


@pytest.mark.parametrize(
    ("reference", "reason", "successor", "expected"),
    [
        pytest.param("house", "x", None, "'house' is not exact", id="not one version"),
        pytest.param("house@3.0.0", "x", None, "house has 1.0.0, 1.1.0", id="not there"),
        pytest.param("house@1.1.0", "x", None, "is not published", id="a draft"),
        pytest.param("house@1.0.0", " ", None, "the reason is empty", id="no reason"),
        pytest.param("house@1.0.0", "x", "house@9.0.0", "house has", id="no such successor"),
        pytest.param("house@1.0.0", "x", "house@1.0.0", "its own successor", id="itself"),
    ],
)
def test_what_cannot_be_deprecated(
    shelf: Path, reference: str, reason: str, successor: str | None, expected: str
) -> None:
    write(shelf, "house@1.1.0", "kind", "true")
    with pytest.raises(ConstitutionError) as caught:
        deprecate(reference, reason, successor, [shelf])
    assert expected in str(caught.value)
    assert deprecations(shelf) == {}


@pytest.mark.parametrize("content", ["{", "[]", '{"a@1.0.0": {"why": "x"}}'])
def test_a_damaged_list_of_deprecations_is_refused_by_name(shelf: Path, content: str) -> None:
    (shelf / "deprecated.json").write_text(content)
    with pytest.raises(ConstitutionError, match=r"deprecated\.json: is no"):
        load_constitution("house", [shelf])
