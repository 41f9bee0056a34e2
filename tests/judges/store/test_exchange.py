import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from judges.canonical import text_digest
from judges.errors import ConfigError, DataError
from judges.store.exchange import export_votes, merge_votes, read_store
from judges.store.files import StoredText
from judges.store.upkeep import erase_text
from judges.store.vote_store import VoteStore
from tests.judges.made_votes import ODD_TEXTS, Cast, cast, casts, joined

few_examples = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15
)
FORMATS = pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
ENDS = cast(
    "ends",
    tuple(ODD_TEXTS.values()),
    ("p", "q"),
    value=-math.inf,
    logprobs=(-math.inf, -0.0, 5e-324, 0.1 + 0.2),
    label_mass=1.0,
    provenance="engine",
)


def contents(store: VoteStore) -> set[object]:
    return set(read_store(store))


@FORMATS
@few_examples
@given(made=casts())
def test_an_export_merged_into_an_empty_store_gives_an_equal_one(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, made: Cast
) -> None:
    folder = tmp_path_factory.mktemp("exchange")
    export = folder / f"votes.{suffix}"
    with (
        VoteStore.open(f"sqlite:///{folder}/one.db") as one,
        VoteStore.open(f"sqlite:///{folder}/two.db") as two,
    ):
        one.add(*made)
        assert export_votes(one, export) == len(made.votes)
        assert merge_votes(two, export) == len(made.votes)
        assert contents(two) == contents(one) >= set(made.votes)
        assert merge_votes(two, export) == 0
        assert merge_votes(two, f"sqlite:///{folder}/one.db") == 0
        assert contents(two) == contents(one)


@FORMATS
def test_votes_move_between_kinds_of_database(
    store: VoteStore, sqlite_url: str, postgresql_url: str, tmp_path: Path, suffix: str
) -> None:
    store.add(*ENDS)
    erase_text(store, ODD_TEXTS["emoji"])
    export_votes(store, tmp_path / f"votes.{suffix}")
    other_url = sqlite_url if store.engine.dialect.name == "postgresql" else postgresql_url
    with VoteStore.open(other_url) as other:
        assert merge_votes(other, tmp_path / f"votes.{suffix}") == 2
        assert contents(other) == contents(store)
        assert other.get([ENDS.votes[0].question])[ENDS.votes[0].question] == ENDS.votes[0]
        store.add(*cast("later"))
        assert merge_votes(other, store.engine.url.render_as_string(hide_password=False)) == 1
        assert contents(other) == contents(store)


def test_a_store_is_merged_by_its_path(store: VoteStore, tmp_path: Path) -> None:
    with VoteStore.open(f"sqlite:///{tmp_path}/other.db") as other:
        other.add(*joined(*(cast(f"prompt {n}", value=1.0) for n in range(3))))
    store.add(*cast("prompt 0", value=2.0))
    assert merge_votes(store, tmp_path / "other.db") == 2
    asked = cast("prompt 0").votes[0].question
    assert store.get([asked])[asked].value == 2.0, "what was here first stays"


def test_an_erased_text_does_not_come_back(store: VoteStore, tmp_path: Path) -> None:
    store.add(*cast("prompt", ("secret", "other")))
    export_votes(store, tmp_path / "before.jsonl")
    erase_text(store, "secret")
    assert merge_votes(store, tmp_path / "before.jsonl") == 0
    assert store.texts([text_digest("secret")]) == {text_digest("secret"): None}
    export_votes(store, tmp_path / "after.jsonl")
    assert "secret" not in (tmp_path / "after.jsonl").read_text()
    with VoteStore.open(f"sqlite:///{tmp_path}/new.db") as new:
        assert merge_votes(new, tmp_path / "after.jsonl") == 1
        merge_votes(new, tmp_path / "before.jsonl")
        assert StoredText(text_digest("secret"), None) in contents(new)


def exported(store: VoteStore, tmp_path: Path) -> list[str]:
    store.add(*cast("prompt"))
    export_votes(store, tmp_path / "votes.jsonl")
    return (tmp_path / "votes.jsonl").read_text().splitlines()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"vote": {"status": "scored"}}', "holds no text and no vote"),
        ('{"note": 1}', r"holds no text and no vote \(KeyError\('text'\)\)"),
        ('{"text": {"digest": "00", "body": "x"}}', "text is not the one its digest names"),
        ('{"text": {"digest": "00", "base64": "?"}}', "holds no text and no vote"),
        ('{"text": []}', "holds no text and no vote"),
        ('{"text": {"dige', "not JSON"),
    ],
    ids=["half a vote", "something else", "altered text", "no base64", "a list", "cut off"],
)
def test_an_altered_line_is_named_and_what_came_before_is_kept(
    store: VoteStore, tmp_path: Path, line: str, told: str
) -> None:
    lines = exported(store, tmp_path)
    path = tmp_path / "altered.jsonl"
    path.write_text("\n".join([*lines, line]))
    with (
        VoteStore.open(f"sqlite:///{tmp_path}/other.db") as other,
        pytest.raises(DataError, match=rf"altered\.jsonl:{len(lines) + 1}: {told}"),
    ):
        merge_votes(other, path)
    assert merge_votes(store, tmp_path / "votes.jsonl") == 0


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("prompts.jsonl", '{"id": "1", "prompt": "x"}', "is no export of votes"),
        ("empty.jsonl", "", "is no export of votes"),
        ("new.jsonl", '{"format": "charter votes", "version": 2}', "format version 2, this"),
        ("text.parquet", "prompt", "cannot be read as Parquet"),
    ],
)
def test_what_is_no_export_is_refused(
    sqlite_url: str, tmp_path: Path, name: str, content: str, told: str
) -> None:
    (tmp_path / name).write_text(content)
    with VoteStore.open(sqlite_url) as store, pytest.raises(DataError, match=told):
        merge_votes(store, tmp_path / name)


@pytest.mark.parametrize("name", ["absent.jsonl", "absent.parquet", "absent.db"])
def test_an_absent_source_is_refused_and_not_made(
    sqlite_url: str, tmp_path: Path, name: str
) -> None:
    with VoteStore.open(sqlite_url) as store, pytest.raises(DataError, match=name):
        merge_votes(store, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_parquet_of_something_else_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"prompt": ["x"]}), tmp_path / "rows.parquet")
    with VoteStore.open(sqlite_url) as store, pytest.raises(DataError, match="is no export"):
        merge_votes(store, tmp_path / "rows.parquet")


def test_an_export_overwrites_nothing_and_needs_a_known_format(
    sqlite_url: str, tmp_path: Path
) -> None:
    (tmp_path / "votes.jsonl").write_text("precious")
    with VoteStore.open(sqlite_url) as store:
        with pytest.raises(DataError, match="is there already"):
            export_votes(store, tmp_path / "votes.jsonl")
        with pytest.raises(ConfigError, match=r"\.jsonl or \.parquet"):
            export_votes(store, tmp_path / "votes.csv")
    assert (tmp_path / "votes.jsonl").read_text() == "precious"


@FORMATS
def test_an_export_that_fails_leaves_no_file(sqlite_url: str, tmp_path: Path, suffix: str) -> None:
    import resource
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    noise = "".join(chr(0x4E00 + (n * n * 7919) % 20_000) for n in range(700_000))
    with VoteStore.open(sqlite_url) as store:
        store.add(*cast("prompt", (noise,)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with pytest.raises(DataError, match="disk is full"):
                export_votes(store, tmp_path / f"votes.{suffix}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in tmp_path.iterdir() if "votes." in path.name] == ["votes.db"]
