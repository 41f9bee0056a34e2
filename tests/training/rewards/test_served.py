"""An exported reward model behind the real vLLM, started by the script that lies beside it."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from charter import main
from judges.errors import DataError
from judges.judge_files import open_judges
from judges.model import Failure
from judges.rank import rank
from judges.records import Item, Message
from judges.rewards.score import Rewards, ServedModel
from judges.store.vote_store import VoteStore
from tests.training.rewards.tiny_rewards import TEXTS, make_constitution, make_recipe
from tests.training.tiny_policy import make_policy
from training.rewards.export import ExportSettings, export_reward_model
from training.rewards.loaded import LoadedModel
from training.rewards.recipe import read_examples
from training.rewards.train import train_reward

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model with a head for each principle, whose attention heads are 64 wide."""
    folder = tmp_path_factory.mktemp("served")
    model = make_policy(folder / "model")
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=700, hidden_size=128, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, tie_word_embeddings=True, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(model)
    recipe = make_recipe(folder, model, heads="principles", max_length=256)
    train_reward(recipe, message=lambda _: None)
    prompts = read_examples(recipe).train
    reference = [(one.prompt, text) for one in prompts for text in one.completions]
    export_reward_model(folder / "run", folder / "rm", reference, ExportSettings(dtype="float32"))
    return folder / "rm"


@pytest.fixture(scope="module")
def url(exported: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log = (exported.parent / "server.log").open("wb")
    process = subprocess.Popen(
        ["sh", str(exported / "serve.sh"), "--port", str(port)],
        env={**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1"},
        stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(process, address, exported.parent / "server.log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def _wait(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    for _ in range(1000):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(log.read_text()[-3000:])


def write_labelled(file: Path) -> None:
    """Pairs as people label them: the shorter answer is the better one."""
    rows = [
        {"prompt": f"Which tea is better, {number}?", "completions": list(TEXTS[:2]),
         "preferred_index": 0}
        for number in range(64, 76)
    ]  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_judge_card_of_an_exported_model(
    exported: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_constitution(tmp_path)
    (tmp_path / "judges.toml").write_text(
        f'[rm]\ntransport = "reward"\nreward_model = "{exported}"\nurl = "{url}"\n'
    )
    write_labelled(tmp_path / "data.jsonl")
    card = ["judge-card", "--data", "data.jsonl", "--constitution", "tea.yaml", "--judge", "rm"]
    assert main([*card, "--output", "card.json"]) == 0
    told = json.loads((tmp_path / "card.json").read_text())
    assert (told["n"], told["unscored"], told["flip_rate"]) == (12, 0, 0)
    assert told["accuracy"] > 0.9, "it was trained to prefer brevity"


def classify(address: str, **body: Any) -> Any:
    request = urllib.request.Request(
        f"{address}/classify", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


async def test_vllm_gives_the_same_raw_rewards_and_ranks_by_them(
    exported: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, served = LoadedModel(exported), ServedModel(exported, url)
    items = [
        Item.model_validate(
            {
                "id": str(n),
                "prompt": [{"role": "user", "content": f"Which tea is better, {90 + n}?"}],
                "completions": [{"text": text + " kind" * n} for text in TEXTS],
            }
        )
        for n in range(4)
    ]
    texts = [
        loaded.encoder.completion(item.prompt, (Message(role="assistant", content=c.text),))
        for item in items
        for c in item.completions
    ]
    ours, theirs = loaded.outputs(texts), served.outputs(texts)
    assert not any(isinstance(one, Failure) for one in theirs)
    assert np.array(theirs) == pytest.approx(np.array(ours), abs=2e-3)

    constitution = make_constitution(tmp_path)
    prompts = [item.prompt for item in items for _ in item.completions]
    completions = [c.text for item in items for c in item.completions]
    here = Rewards([loaded], constitution).score(prompts, completions)
    there = Rewards([served], constitution).score(prompts, completions)
    assert there == pytest.approx(here, abs=5e-3)

    # Unless told not to, vLLM squashes outputs: what it then gives is no reward.
    squashed = classify(url, input=[texts[0]])["data"][0]["probs"]
    assert squashed != pytest.approx(list(theirs[0]), abs=0.05)

    (tmp_path / "judges.toml").write_text(
        f'[rm]\ntransport = "reward"\nreward_model = "{exported}"\nurl = "{url}"\n'
    )
    monkeypatch.setenv("CHARTER_JUDGES", str(tmp_path / "judges.toml"))
    async with AsyncExitStack() as stack:
        store = stack.enter_context(VoteStore.open(f"sqlite:///{tmp_path}/votes.db"))
        (judge,) = await open_judges(["rm"], stack)
        lines = [line async for part in rank(items, constitution, [judge], store) for line in part]
    assert [line["status"] for line in lines] == ["scored"] * 4
    assert judge.setting("pair").judge == f"weights:{loaded.description.weights}"
    for line in lines:
        for table in line["principles"].values():
            assert table["order_gap"] == pytest.approx(0, abs=1e-6)


def test_a_full_disk_at_export_is_told(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("training.rewards.export._save", full)
    with pytest.raises(DataError, match=r"rm: the disk is full; free some space, remove this"):
        export_reward_model(exported.parent / "run", tmp_path / "rm", [])
