"""A reward function for TRL's GRPO, RLOO and online DPO trainers, judged by the service.

    from service.client.trl import RewardFunction, stop_callback
    reward = RewardFunction("helpful-harmless@1", run="first", group=8)
    trainer = GRPOTrainer(model, reward_funcs=reward, callbacks=[stop_callback(reward)], …)

It works in each process by itself: with `group`, the service puts the group of a prompt together,
wherever its completions were sampled. A sample without a reward is None, which TRL leaves out.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.client.client import AsyncClient
from service.client.requests import Patience

Message = Mapping[str, Any]
Text = str | Sequence[Message]


class RewardFunction:
    """`reward_funcs=` of a TRL trainer: asynchronous, for standard and conversational data."""

    def __init__(
        self,
        constitution: str,
        *,
        run: str = "",
        group: int = 1,
        url: str | None = None,
        key: str | None = None,
        answer_column: str = "answer",
        name: str = "charter",
        patience: Patience | None = None,
        **address: Any,
    ) -> None:
        """`group` is the trainer's `num_generations`, to rank each prompt's completions as a group.

        `answer_column` is the data's column of right answers, for rules that compare with one;
        `address` is what else `/v1/rewards` takes, such as `judge` or `group_timeout`.
        """
        self.__name__ = name  # as the trainer logs it
        self.stopping: tuple[str, ...] = ()
        """The signals for which the service says the run should stop."""
        self.unscored: Counter[str] = Counter()
        """Samples without a reward so far, by reason."""
        self._client = AsyncClient(url, key, patience)
        self._constitution, self._answers = constitution, answer_column
        self._address = {"run": run, "group": group if group > 1 else None, **address}
        self._calls = 0

    async def __call__(
        self,
        prompts: Sequence[Text],
        completions: Sequence[Text],
        completion_ids: object = None,  # noqa: ARG002 (what the trainer passes)
        trainer_state: Any = None,
        log_extra: Callable[..., None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """The reward of each completion; None where there is none. Called by the trainer."""
        if not prompts:
            return []
        self._calls += 1
        caller = f"{os.environ.get('RANK', '0')}.{self._calls}"
        answers = columns.get(self._answers) or [None] * len(prompts)
        samples = [
            {**as_sample(prompt, completion, answer), "id": f"{caller}.{number}"}
            for number, (prompt, completion, answer) in enumerate(
                zip(prompts, completions, answers, strict=True)
            )
        ]
        step = {} if trainer_state is None else {"step": str(trainer_state.global_step)}
        address = {**self._address, **step}
        # One call a step: nothing is left open for the trainer, which closes nothing.
        async with self._client:
            told = await self._client.rewards(samples, self._constitution, **address)
        self.stopping = tuple(told["stop"])
        reasons = [one["reason"] for one in told["rewards"] if one["value"] is None]
        self.unscored.update(reasons)
        if log_metric is not None:
            log_metric(f"{self.__name__}/unscored", len(reasons) / len(prompts))
            log_metric(f"{self.__name__}/stop", float(bool(self.stopping)))
        if log_extra is not None:
            log_extra(f"{self.__name__}_reason", [one["reason"] for one in told["rewards"]])
        return [one["value"] for one in told["rewards"]]


def as_sample(prompt: Text, completion: Text, answer: Any = None) -> dict[str, Any]:
    """A prompt and a completion, each text or messages, as `/v1/rewards` takes them.

    Of a completion of several turns the last is judged, the others as part of the conversation.
    """
    turns: list[Message] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else []
    turns += [] if isinstance(prompt, str) else prompt
    text = completion if isinstance(completion, str) else ""
    if not isinstance(completion, str):
        turns += completion[:-1]
        text = _content(completion[-1]) if completion else ""
    plain = [{"role": _role(turn), "content": _content(turn)} for turn in turns]
    sample: dict[str, Any] = {"prompt": plain, "completion": text}
    return sample | ({"answer": answer} if isinstance(answer, str) else {})


def _role(turn: Message) -> str:
    role = str(turn.get("role", "user"))
    return "system" if role == "developer" else role


def _content(turn: Message) -> str:
    """A turn's text; parts that are no text are left out, calls of tools are told as text."""
    content = turn.get("content") or ""
    if not isinstance(content, str):
        content = "".join(str(part.get("text", "")) for part in content)
    calls = [str(call.get("function", call)) for call in turn.get("tool_calls") or []]
    return "\n".join(filter(None, [content, *calls]))


def stop_callback(reward: RewardFunction) -> Any:
    """A trainer callback that stops training when the service's watch says so."""
    from transformers import TrainerCallback

    class StopOnAlarm(TrainerCallback):  # type: ignore[misc]  # transformers is not read here
        """Ends training after the step in which an alarm was raised."""

        def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> Any:
            """Called by the trainer."""
            if reward.stopping:
                control.should_training_stop = True
            return control

    return StopOnAlarm()
