"""A server that fails, stalls and lies: every item ends somewhere, and no answer is paid twice."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from judges.errors import ModelError
from judges.jsonl import parse_line
from judges.models.http_retry import HttpClient, ServerUnavailable
from judges.store.schema import NO_TEXT, votes
from judges.store.vote_store import VoteStore
from tests.judges.chaos_proxy import FAULTS, Chaos, chaotic, rank_made_up
from tests.judges.models.scripted_server import IMPATIENT
from tests.judges.models.tiny_model import byte_level_bpe, write_model
from tests.judges.planted import verdicts

ITEMS = 60
QUESTIONS = ITEMS * 2 * 3
"""Both orders, under each of three principles."""
RUNS = 8
COMMIT = 32
"""Questions that are committed together."""
_SECOND = list(votes.columns.keys()).index("second_id")
TRANSPORTS = ("token_ids", "chat_logprobs", "sampled")
SHARE = 0.005
"""Of the requests befallen by each of the ten faults, besides one of each."""
CONTACT = 2
"""Requests of first contact, let through unharmed: failing then, nothing is paid yet."""
PRECIOUS = 24
"""These, and the first answers by chats: without log-probabilities they stop the run."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny"), byte_level_bpe())


@pytest.fixture
def chaos(model: Path) -> Iterator[Chaos]:
    with chaotic(model) as chaos:
        chaos.script.models = [{"id": "tiny", "owned_by": "vllm", "max_model_len": 4000}]
        chaos.script.refused = {"LONG": (400, "maximum context length is 9 tokens")}
        yield chaos


class Run:
    """Ranking with one judge, to one store and one file, as often as wanted."""

    def __init__(self, chaos: Chaos, model: Path, folder: Path, transport: str) -> None:
        folder.mkdir(exist_ok=True)
        self.chaos = chaos
        self.database = f"sqlite:///{folder}/votes.db"
        self.output = folder / "rankings.jsonl"
        self.judges = folder / "judges.toml"
        self.judges.write_text(
            f'[chaos]\nurl = "{chaos.url}"\nmodel = "tiny"\nrevision = "1"\n'
            f'tokenizer = "{model}"\ntransport = "{transport}"\n'
        )
        self.arguments = (ITEMS, "chaos", self.database, str(self.output))

    async def rank(self, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
        """Rank in this process; how many items have each status."""
        monkeypatch.setenv("CHARTER_JUDGES", str(self.judges))
        return await rank_made_up(*self.arguments)

    def start(self) -> subprocess.Popen[bytes]:
        """Rank in a process of its own."""
        command = [sys.executable, "-m", "tests.judges.chaos_proxy", *map(str, self.arguments)]
        path = ":".join(["/usr/bin", "/bin"])
        environment = {"PATH": path, "CHARTER_JUDGES": str(self.judges)}
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def lines(self) -> list[dict[str, Any]]:
        """The ranking lines."""
        written = self.output.read_text("utf-8").splitlines()
        return [parse_line(line.encode(), "a line") for line in written]

    def rows(self) -> set[tuple[Any, ...]]:
        """Every stored vote, as it is."""
        with VoteStore.open(self.database) as store, store.engine.begin() as connection:
            return {tuple(row) for row in connection.execute(select(votes))}

    @property
    def missing(self) -> int:
        """Judge's questions whose vote is not in the store."""
        return QUESTIONS - sum(bool(row[_SECOND] != NO_TEXT) for row in self.rows())


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_item_ends_somewhere_and_reruns_ask_only_what_is_missing(
    chaos: Chaos, model: Path, tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(chaos, model, tmp_path / "chaos", transport)
    chaos.shares, chaos.owed = dict.fromkeys(FAULTS, SHARE), list(FAULTS)
    chaos.spared = PRECIOUS if transport == "chat_logprobs" else CONTACT
    missing, first_rows, errors = QUESTIONS, set[Any](), []
    for _ in range(RUNS):
        before = Counter(chaos.asked)
        status = await run.rank(monkeypatch)
        lines = run.lines()
        assert len(chaos.asked - before) == missing
        assert [line["id"] for line in lines] == _names()
        assert Counter(line["status"] for line in lines) == status
        assert status.keys() <= {"scored", "unscored", "error"}
        assert all((line["reason"] is None) == (line["status"] == "scored") for line in lines)
        first_rows = first_rows or run.rows()
        missing = run.missing
        assert (missing > 0) == (status["error"] > 0)
        errors.append(status["error"])
        if not missing:
            break
        chaos.spared = PRECIOUS if transport == "chat_logprobs" else CONTACT
    assert errors[0] > 0 and errors[-1] == 0
    assert first_rows < run.rows(), "what was committed stays as it was"
    assert chaos.befallen.keys() == set(FAULTS)

    asked = chaos.total
    assert await run.rank(monkeypatch) == {"scored": ITEMS - 2, "unscored": 2}
    assert chaos.total == asked
    ends = {line["id"]: line["reason"] for line in run.lines() if line["status"] != "scored"}
    assert ends == {"missing": "option_missing", "long": "too_long"}

    chaos.shares = {}
    calm = Run(chaos, model, tmp_path / "calm", transport)
    await calm.rank(monkeypatch)
    assert list(map(verdicts, calm.lines())) == list(map(verdicts, run.lines()))


def _names() -> list[str]:
    return [*(f"i{k}" for k in range(ITEMS - 2)), "missing", "long"]


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_kill_costs_at_most_what_was_in_flight(
    chaos: Chaos, model: Path, tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(chaos, model, tmp_path / "killed", transport)
    chaos.script.refused = {}
    chaos.held_after = QUESTIONS // 2
    with run.start() as process:
        try:
            flying = _wait_until_held(chaos, process)
        finally:
            process.kill()
            chaos.held_after = None
    assert process.returncode == -9, "it was still at work"
    assert 0 < run.missing < QUESTIONS, "something was committed, not all"
    status = await run.rank(monkeypatch)
    assert status == {"scored": ITEMS - 1, "unscored": 1}
    assert len(chaos.asked) == QUESTIONS, "nothing is skipped"
    # By token ids a request is a commit; by chats an answer waits for those committed with it.
    waiting = 0 if transport == "token_ids" else 2 * COMMIT
    assert chaos.total - QUESTIONS <= flying + waiting
    assert run.missing == 0


def _wait_until_held(chaos: Chaos, process: subprocess.Popen[bytes]) -> int:
    """How many questions are in flight, once all that will be answered are, and no more come."""
    since, seen = time.monotonic(), (0, 0)
    while process.poll() is None:
        now, state = time.monotonic(), (chaos.total, sum(chaos.flying.values()))
        if state != seen or not state[1]:
            since, seen = now, state
        elif now - since > 0.3:
            return state[1]
        time.sleep(0.01)
    raise AssertionError("it was done before it could be killed")


async def test_a_server_that_never_tells_probabilities_stops_the_run_before_it_is_paid(
    chaos: Chaos, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chaos.script.no_logprobs = True
    run = Run(chaos, model, tmp_path / "none", "chat_logprobs")
    with pytest.raises(ModelError, match="no log-probabilities"):
        await run.rank(monkeypatch)
    assert chaos.total < QUESTIONS / 10
    run = Run(chaos, model, tmp_path / "sampled", "sampled")
    assert await run.rank(monkeypatch) == {"scored": ITEMS - 2, "unscored": 2}


@pytest.mark.parametrize("fault", ["reset", "lost", "cut", "truncated", "503"])
async def test_an_answer_cut_off_at_first_contact_is_asked_for_again(
    chaos: Chaos, fault: str
) -> None:
    chaos.shares = {fault: 0.5}
    for number in range(4):
        body = {"model": "tiny", "messages": [{"role": "user", "content": str(number)}]}
        async with HttpClient(chaos.url, None, IMPATIENT.model_copy(update={"attempts": 9})) as one:
            answer = await one.json("POST", "/v1/chat/completions", body)
        assert answer["choices"]
    assert chaos.befallen[fault] > 0


async def test_an_answer_that_is_always_cut_off_is_told_of(chaos: Chaos) -> None:
    chaos.shares = {"truncated": 1.0}
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
    async with HttpClient(chaos.url, None, IMPATIENT) as client:
        with pytest.raises(ServerUnavailable, match="cut off after"):
            await client.json("POST", "/v1/chat/completions", body)
    assert chaos.befallen["truncated"] == IMPATIENT.attempts
