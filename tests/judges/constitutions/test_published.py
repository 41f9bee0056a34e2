"""A published version never changes, and never goes away."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from judges.constitutions.files import list_constitutions, load_constitution
from judges.constitutions.published import published_digests, record_digest
from judges.errors import ConstitutionError
from tests.judges.constitutions.constitution_folder import write

SHIPPED = Path(__file__).parents[3] / "constitutions"


def refusal(reference: str, folder: Path) -> str:
    with pytest.raises(ConstitutionError) as caught:
        load_constitution(reference, [folder])
    return str(caught.value)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with one constitution, not yet published."""
    write(tmp_path, "brevity@0.1.0", "short")
    return tmp_path


def test_a_published_version_is_refused_once_it_is_changed(shelf: Path) -> None:
    record_digest(load_constitution("brevity", [shelf]), shelf)
    assert load_constitution("brevity", [shelf]).reference == "brevity@0.1.0"
    path = write(shelf, "brevity@0.1.0", "longer")
    message = refusal("brevity", shelf)
    assert message.startswith(f"{path}:3:2: brevity@0.1.0 is published with digest ")
    assert "save it as a new version" in message
    with pytest.raises(ConstitutionError, match="is published with digest"):
        load_constitution(str(path), [])  # by its path, from where no setting names the folder


def test_a_remark_in_a_published_version_is_no_change(shelf: Path) -> None:
    record_digest(load_constitution("brevity", [shelf]), shelf)
    path = shelf / "brevity" / "0.1.0.yaml"
    path.write_text(f"# A remark.\n{path.read_text()}")
    assert load_constitution("brevity", [shelf]).reference == "brevity@0.1.0"


def test_a_version_is_published_once(shelf: Path) -> None:
    record_digest(load_constitution("brevity", [shelf]), shelf)
    before = published_digests(shelf)
    record_digest(load_constitution("brevity", [shelf]), shelf)
    changed = load_constitution("brevity", [shelf]).model_copy(update={"title": "Changed"})
    with pytest.raises(ConstitutionError, match="is published with digest"):
        record_digest(changed, shelf)
    assert published_digests(shelf) == before


def test_who_publish_at_once_lose_nothing(shelf: Path) -> None:
    made = load_constitution("brevity", [shelf])
    versions = [made.model_copy(update={"version": f"0.1.{number}"}) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: record_digest(each, shelf), versions))
    assert published_digests(shelf) == {each.reference: each.digest for each in versions}


@pytest.mark.parametrize("content", ["{", "[]", '{"a@1.0.0": 5}', "\xff"])
def test_a_damaged_list_of_digests_is_refused_by_name(shelf: Path, content: str) -> None:
    (shelf / "digests.json").write_bytes(content.encode("latin-1"))
    assert "digests.json: is no" in refusal("brevity", shelf)


def test_every_shipped_version_is_published_and_unchanged() -> None:
    there = {
        file.reference: load_constitution(str(file.path), [SHIPPED]).digest
        for file in list_constitutions([SHIPPED])
    }
    assert there == published_digests(SHIPPED), (
        "a new version is missing in digests.json (see record_digest), or a published one is gone"
    )
