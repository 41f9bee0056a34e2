import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from judges.canonical import text_digest
from judges.errors import DataError
from judges.store.vote_store import VoteStore
from tests.judges.made_votes import (
    BATCH,
    ODD_TEXTS,
    SETTING,
    Cast,
    batch,
    batch_conversation,
    cast,
    casts,
    joined,
)

same_store = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@same_store
@given(made=casts())
def test_what_was_added_is_what_is_found(store: VoteStore, made: Cast) -> None:
    assert store.add(*made) == len(made.votes)
    assert store.get([v.question for v in made.votes]) == {v.question: v for v in made.votes}
    assert store.texts([text_digest(body) for body in made.bodies]) == {
        text_digest(body): body for body in made.bodies
    }


@same_store
@given(made=casts())
def test_adding_again_adds_nothing(store: VoteStore, made: Cast) -> None:
    store.add(*made)
    assert store.add(*made) == 0
    assert store.add(made.votes, []) == 0


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS.keys())
def test_odd_texts_survive(store: VoteStore, text: str) -> None:
    made = cast("prompt", (text, "other"), provenance="engine\0one")
    store.add(*made)
    assert store.texts([text_digest(text)]) == {text_digest(text): text}
    assert store.get([made.votes[0].question]) == {made.votes[0].question: made.votes[0]}


def test_the_first_answer_stays(store: VoteStore) -> None:
    first, second = cast("prompt", value=1.0), cast("prompt", value=2.0)
    assert store.add(*first) == 1
    assert store.add(*second) == 0
    assert store.get([second.votes[0].question]) == {first.votes[0].question: first.votes[0]}


def test_the_first_answer_of_one_batch_stays(store: VoteStore) -> None:
    made = joined(cast("prompt", value=1.0), cast("prompt", value=2.0))
    assert store.add(*made) == 1
    assert store.get([made.votes[0].question]) == {made.votes[0].question: made.votes[0]}


def test_orders_groups_samples_and_scopes_are_different_questions(store: VoteStore) -> None:
    shown = [
        (),
        ("a",),
        ("b",),
        ("a", "b"),
        ("b", "a"),
        ("a", "a"),
        ("a", "b", "c"),
        ("b", "a", "c"),
    ]
    made = joined(
        *(
            cast("prompt", completions, value=10.0 * sample + index, sample=sample)
            for sample in range(2)
            for index, completions in enumerate(shown)
        )
    )
    assert store.add(*made) == 2 * len(shown)
    assert store.get([v.question for v in made.votes]) == {v.question: v for v in made.votes}


def test_only_what_was_asked_is_found(store: VoteStore) -> None:
    here = cast("prompt", principles=("Be brief.", "Be kind."))
    never = cast("another prompt").votes[0].question
    store.add(*here)
    assert store.get([never, here.votes[1].question]) == {here.votes[1].question: here.votes[1]}
    assert store.get([]) == {}


def test_more_questions_than_one_statement_can_take(store: VoteStore) -> None:
    made = joined(*(cast(f"prompt {number}", value=float(number)) for number in range(5_100)))
    assert store.add(*made) == 5_100
    assert store.get([v.question for v in made.votes]) == {v.question: v for v in made.votes}


def test_an_unknown_digest_is_refused_and_nothing_kept(store: VoteStore) -> None:
    known, made = cast("first"), cast("second", ("one", "never given"))
    store.add(*known)
    with pytest.raises(DataError, match=f"unknown text {text_digest('never given')}; pass"):
        store.add(made.votes, made.bodies[:-2])
    assert store.ids([text_digest(made.bodies[1])]).tolist() == [0]


@pytest.mark.parametrize(
    "fields",
    [
        {"value": None},
        {"value": float("nan")},
        {"logprobs": (float("nan"), -1.0)},
        {"status": "unscored", "value": float("nan")},
    ],
    ids=["scored without a value", "value", "log-probability", "unscored value"],
)
def test_what_is_no_number_is_refused(store: VoteStore, fields: dict[str, Any]) -> None:
    made = cast("prompt", **fields)
    with pytest.raises(DataError, match="store what has no number as unscored"):
        store.add(*made)
    assert store.get([made.votes[0].question]) == {}


def test_texts_have_one_integer_each_and_unknown_ones_have_none(store: VoteStore) -> None:
    made = cast("prompt", ("one", "two"))
    store.add(*made)
    digests = [text_digest(body) for body in ("two", "never", "one", "two")]
    two, never, one, again = store.ids(digests).tolist()
    assert never == 0
    assert two == again
    assert len({0, one, two}) == 3


def test_votes_outlive_the_process_that_cast_them(database_url: str) -> None:
    made = cast("prompt")
    with VoteStore.open(database_url) as store:
        store.add(*made)
    with VoteStore.open(database_url) as store:
        assert store.get([made.votes[0].question]) == {made.votes[0].question: made.votes[0]}


def values_of_batches(store: VoteStore, batches: int) -> list[list[float]]:
    """The values that the store holds of each batch."""
    conversations = [text_digest(batch_conversation(number)) for number in range(batches)]
    columns = store.columns([SETTING.digest], conversations)
    return [columns.value[columns.conversation == number].tolist() for number in range(batches)]


@pytest.mark.parametrize("own_store", [False, True], ids=["one store", "a store each"])
@pytest.mark.parametrize("known", [False, True], ids=["new texts", "known texts"])
def test_threads_that_race_keep_one_answer_each(
    database_url: str, own_store: bool, known: bool
) -> None:
    writers, batches = 4, 6
    start = Barrier(writers)

    def write(store: VoteStore, value: float) -> int:
        order = [batch(number, value) for number in range(batches)]
        random.Random(value).shuffle(order)
        start.wait()
        return sum(store.add(random.Random(value).sample(m.votes, BATCH), m.bodies) for m in order)

    stores = [VoteStore.open(database_url) for _ in range(writers if own_store else 1)]
    if known:
        # Then nothing but the votes themselves keeps the writers apart.
        stores[0].add([], joined(*(batch(number, 0.0) for number in range(batches))).bodies)
    with ThreadPoolExecutor(writers) as pool:
        added = list(pool.map(write, (stores * writers)[:writers], map(float, range(writers))))
    assert sum(added) == batches * BATCH
    for values in values_of_batches(stores[0], batches):
        assert len(values) == BATCH
        assert len(set(values)) == 1, "a transaction of one writer was torn"
    for opened in stores:
        opened.close()


def test_more_threads_than_connections_are_served(store: VoteStore) -> None:
    made = [cast(f"prompt {number}") for number in range(40)]
    with ThreadPoolExecutor(40) as pool:
        assert sum(pool.map(lambda each: store.add(*each), made)) == 40
    assert len(store.get([each.votes[0].question for each in made])) == 40


def test_many_may_open_a_new_store_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(VoteStore.open, [database_url] * 6))
    assert stores[0].add(*cast("prompt")) == 1
    assert [store.add(*cast("prompt")) for store in stores] == [0] * 6
    for opened in stores:
        opened.close()


@contextmanager
def writing_process(url: str, value: float, batches: int) -> Iterator[subprocess.Popen[str]]:
    """A process that writes as soon as it is sent a line."""
    command = [sys.executable, "-m", "tests.judges.made_votes", url, str(value), str(batches)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def set_off(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_processes_that_race_keep_one_answer_each(database_url: str) -> None:
    batches = 10
    with (
        writing_process(database_url, 1.0, batches) as one,
        writing_process(database_url, 2.0, batches) as two,
    ):
        set_off(one)
        set_off(two)
        lines = [
            line.split() for process in (one, two) for line in process.communicate()[0].splitlines()
        ]
    assert sum(int(added) for _, added in lines) == batches * BATCH
    with VoteStore.open(database_url) as store:
        for values in values_of_batches(store, batches):
            assert values in ([1.0] * BATCH, [2.0] * BATCH)


def test_a_killed_writer_leaves_whole_transactions(database_url: str) -> None:
    batches, commits = 500, 5
    with writing_process(database_url, 1.0, batches) as process:
        set_off(process)
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(commits)]
        process.kill()
        told += process.stdout.readlines()
    # The last line may be cut off; a batch that was told of was committed before.
    committed = {int(line.split()[0]) for line in told if line.endswith("\n")}
    assert commits <= len(committed) < batches
    with VoteStore.open(database_url) as store:
        kept = list(map(len, values_of_batches(store, batches)))
        assert set(kept) == {0, BATCH}
        assert {number for number, votes in enumerate(kept) if votes} >= committed
        assert sum(map(bool, kept)) <= len(committed) + 1
        unfinished = kept.index(0)
        assert store.add(*batch(unfinished, 3.0)) == BATCH
