import math
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings

from judges.canonical import text_digest
from judges.errors import DataError
from judges.records import Vote
from judges.store.vote_store import VoteStore, list_text
from tests.judges.made_votes import SETTING, Cast, cast, casts, joined

same_store = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
ELSEWHERE = text_digest("a setting, or a conversation, that no vote names")


def expected_row(store: VoteStore, vote: Vote, conversations: list[str]) -> tuple[object, ...]:
    question = vote.question
    shown = list(question.completions)
    if len(shown) > 2:
        first, second = int(store.ids([text_digest(list_text(question))])[0]), -1
    else:
        first, second = [*store.ids(shown).tolist(), 0, 0][:2]
    return (
        conversations.index(question.conversation),
        1,
        int(store.ids([question.principle])[0]),
        first,
        second,
        question.sample,
        vote.value if vote.status == "scored" else None,
    )


@same_store
@given(made=casts())
def test_columns_hold_what_the_votes_say(store: VoteStore, made: Cast) -> None:
    store.add(*made)
    conversations = [ELSEWHERE, *{vote.question.conversation for vote in made.votes}]
    columns = store.columns([ELSEWHERE, SETTING.digest], conversations)
    assert [math.isnan(value) for value in columns.value] == [not s for s in columns.scored]
    rows = zip(
        columns.conversation.tolist(),
        columns.setting.tolist(),
        columns.principle.tolist(),
        columns.first.tolist(),
        columns.second.tolist(),
        columns.sample.tolist(),
        (None if math.isnan(value) else value for value in columns.value.tolist()),
        strict=True,
    )
    assert set(rows) == {expected_row(store, vote, conversations) for vote in made.votes}
    assert len(columns) == len(made.votes)


def test_rows_of_one_conversation_lie_side_by_side(store: VoteStore) -> None:
    principles = tuple(f"principle {number}" for number in range(5))
    rounds = [
        cast(f"prompt {n}", principles=principles[k : k + 1]) for k in range(5) for n in range(9)
    ]
    for made in rounds:
        store.add(*made)
    conversations = list(dict.fromkeys(made.votes[0].question.conversation for made in rounds))
    found = store.columns([SETTING.digest], conversations[::-1]).conversation.tolist()
    assert len(found) == 45
    assert len(list(dict.fromkeys(found))) == 9
    assert sum(a != b for a, b in pairwise(found)) == 8


def test_more_conversations_than_one_query_takes(store: VoteStore) -> None:
    made = joined(*(cast(f"prompt {number}", value=float(number)) for number in range(4_100)))
    store.add(*made)
    conversations = [vote.question.conversation for vote in made.votes]
    columns = store.columns([SETTING.digest], conversations)
    assert columns.value.tolist() == [float(i) for i in columns.conversation]
    assert sorted(columns.conversation.tolist()) == list(range(4_100))


def test_only_the_principles_asked_for_are_read(store: VoteStore) -> None:
    names = tuple(f"principle {number}" for number in range(5))
    made = joined(*(cast(f"prompt {n}", principles=names, value=float(n)) for n in range(3)))
    store.add(*made)
    conversations = list(dict.fromkeys(vote.question.conversation for vote in made.votes))
    wanted = [text_digest(names[3]), ELSEWHERE, text_digest(names[0])]
    columns = store.columns([SETTING.digest], conversations, wanted)
    assert set(columns.principle) == set(store.ids(wanted)) - {0}
    assert sorted(columns.value.tolist()) == [0, 0, 1, 1, 2, 2]
    assert len(store.columns([SETTING.digest], conversations, [ELSEWHERE])) == 0


@pytest.mark.parametrize(
    ("settings_asked", "conversations_asked"),
    [([], []), ([ELSEWHERE], [ELSEWHERE]), ([SETTING.digest], [ELSEWHERE]), ([SETTING.digest], [])],
    ids=["nothing asked", "nothing known", "unknown conversation", "no conversation"],
)
def test_no_votes_are_empty_columns(
    store: VoteStore, settings_asked: list[str], conversations_asked: list[str]
) -> None:
    store.add(*cast("prompt"))
    columns = store.columns(settings_asked, conversations_asked)
    assert len(columns) == len(columns.conversation) == len(columns.scored) == 0


def test_asking_for_one_conversation_twice_is_refused(store: VoteStore) -> None:
    with pytest.raises(DataError, match=f"conversation {ELSEWHERE} is asked for twice"):
        store.columns([SETTING.digest], [ELSEWHERE, ELSEWHERE])
