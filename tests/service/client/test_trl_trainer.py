"""The reward function within TRL's own GRPOTrainer, on a tiny model and a running service."""

from pathlib import Path
from typing import Any

import pytest

from service.client.trl import RewardFunction, stop_callback
from tests.service.client.conftest import Serve
from tests.training.tiny_policy import make_policy

RULES = """
name: short-answers
version: 1.0.0
title: Short answers
licence: CC0-1.0
principles:
  - {id: short, family: f, title: Short, rule: {kind: max_words, value: 6}}
  - {id: calm, family: f, title: Calm, text: Be calm.}
"""
FAILS = '[fake]\ntransport = "fake"\n[fake.fake]\nfailure_rates = {truncated = 0.2}\n'


class StopAtOnce(RewardFunction):
    """Behaves as if the service's watch had raised an alarm in the first step."""

    async def __call__(self, *args: Any, **more: Any) -> list[float | None]:
        values = await super().__call__(*args, **more)
        self.stopping = ("exploits",)
        return values


def train(folder: Path, reward: RewardFunction, *, conversational: bool) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    texts = [f"What is tea, {number}?" for number in range(8)]
    prompts = [[{"role": "user", "content": text}] if conversational else text for text in texts]
    config = GRPOConfig(
        output_dir=str(folder / "run"), max_steps=3, per_device_train_batch_size=8,
        num_generations=4, max_completion_length=8, use_cpu=True, bf16=False, report_to="none",
        logging_steps=1, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = GRPOTrainer(
        str(make_policy(folder / "model")), reward_funcs=reward, args=config,
        train_dataset=Dataset.from_dict({"prompt": prompts, "topic": list(range(8))}),
        callbacks=[stop_callback(reward)],
    )  # fmt: skip
    trainer.train()
    return trainer.state


@pytest.mark.slow
@pytest.mark.parametrize("conversational", [False, True])
@pytest.mark.filterwarnings("default")
def test_grpo_trains_on_rewards_with_gaps(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conversational: bool
) -> None:
    (tmp_path / "own" / "short-answers").mkdir(parents=True)
    (tmp_path / "own" / "short-answers" / "1.0.0.yaml").write_text(RULES)
    (tmp_path / "judges.toml").write_text(FAILS)
    monkeypatch.setenv("CHARTER_CONSTITUTIONS", str(tmp_path / "own"))
    monkeypatch.setenv("CHARTER_JUDGES", str(tmp_path / "judges.toml"))
    group = 4 if conversational else 1
    with serve() as url:
        reward = RewardFunction("short-answers", url=url, run="grpo", group=group)
        state = train(tmp_path, reward, conversational=conversational)
        assert state.global_step == 3
        logs = [entry for entry in state.log_history if "rewards/charter/mean" in entry]
        assert len(logs) == 3
        assert all(0 < entry["rewards/charter/mean"] < 1 for entry in logs)
        assert all(entry["charter/stop"] == 0 for entry in logs)
        if group == 1:
            assert reward.unscored["truncated"] > 0, "the planted failures came as None"
        stopped = train(tmp_path, StopAtOnce("short-answers", url=url), conversational=False)
        assert stopped.global_step == 1
