"""DAPO's dynamic sampling on TRL's trainers: groups that teach nothing are drawn again.

A group whose completions all have the same reward has advantage 0 throughout: it costs its rollout
and dilutes the batch. Its place goes to another prompt, a few times at most; what is still equal
then stays, where it moves nothing.
Source: Yu et al. 2025, arXiv:2503.14476, section 3.2.
"""

import random
from collections.abc import Sequence
from typing import Any

from judges.errors import ConfigError
from training.online.draws import seed_for
from training.online.reward import Score
from training.online.trl_reward import TrlReward


def equal_groups(scores: Sequence[Score], size: int, parts: Sequence[str] = ()) -> list[int]:
    """Numbers of the groups of `size` whose scored completions all have the same reward.

    So has a group with fewer than two scores. Where `parts` are normalised apart, one of them that
    differs is enough to learn from, and nothing else is.
    """
    groups = [scores[start : start + size] for start in range(0, len(scores), size)]
    return [number for number, group in enumerate(groups) if not _differs(group, parts)]


def _differs(group: Sequence[Score], parts: Sequence[str]) -> bool:
    scored = [score for score in group if score.value is not None]
    if not parts:
        return len({score.value for score in scored}) > 1
    return any(len({score.parts.get(name) for score in scored}) > 1 for name in parts)


class DynamicSampling:
    """Mixin before a group trainer of TRL's, whose dataset has a `row` column.

    TRL draws, then asks for rewards. Here rewards are asked for as soon as there are completions,
    and TRL finds them known: everything after the draw is TRL's own.
    """

    COMPLETIONS: int
    """Which of the things that TRL's `_generate` returns are the completions."""
    model: Any
    args: Any
    state: Any
    accelerator: Any
    train_dataset: Any
    num_generations: int
    _metrics: Any

    def __init__(self, *arguments: Any, redraws: int, asked: TrlReward, **named: Any) -> None:
        self._redraws, self._asked = redraws, asked
        super().__init__(*arguments, **named)
        mine = self.args.per_device_train_batch_size * self.args.steps_per_generation
        if mine % self.num_generations:
            raise ConfigError(
                f"dynamic_sampling needs whole groups in each process, but {mine} completions "
                f"(per_device_train_batch_size times steps_per_generation) are no multiple of "
                f"num_generations, {self.num_generations}; change one"
            )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        self._drawn_for = inputs
        return super()._generate_and_score_completions(inputs)  # type: ignore[misc]

    def _generate(self, prompts: list[Any]) -> Any:
        """TRL's draw; `prompts`, and the rows they came from, name the prompts put in place."""
        drawn = list(super()._generate(prompts))  # type: ignore[misc]
        if not self.model.training:
            return tuple(drawn)
        scores = self._scores(drawn, self._drawn_for)
        redrawn = 0
        for attempt in range(self._redraws):
            equal = equal_groups(scores, self.num_generations, self._asked.parts)
            most = int(self._of_processes(len(equal)).max())
            if not most:
                break
            redrawn += len(equal)
            self._draw_again(prompts, drawn, scores, equal, most, attempt)
        self._metrics["train"]["groups/redrawn"].append(float(self._of_processes(redrawn).sum()))
        rows = [one["row"] for one in self._drawn_for]
        self._asked.remember(drawn[self.COMPLETIONS], rows, scores)
        return tuple(drawn)

    def _draw_again(
        self,
        prompts: list[Any],
        drawn: list[Any],
        scores: list[Score],
        equal: Sequence[int],
        most: int,
        attempt: int,
    ) -> None:
        """Give the places of some groups to other prompts, where these tell more apart."""
        size = self.num_generations
        # As many as the process that lacks most: TRL's draw gathers one number a completion from
        # all processes, which only goes with equally many.
        others = self._other_rows(most, attempt)
        fresh = [row for row in others for _ in range(size)]
        again = list(super()._generate([row["prompt"] for row in fresh]))  # type: ignore[misc]
        told = self._scores(again, fresh[: len(equal) * size]) if equal else []
        still = set(equal_groups(told, size, self._asked.parts))
        for number, group in enumerate(equal):
            if number in still:
                continue
            for offset in range(size):
                here, there = group * size + offset, number * size + offset
                self._drawn_for[here], prompts[here] = fresh[there], fresh[there]["prompt"]
                scores[here] = told[there]
                for part, new in zip(drawn, again, strict=True):
                    if isinstance(part, list) and part:
                        part[here] = new[there]

    def _other_rows(self, count: int, attempt: int) -> list[dict[str, Any]]:
        """Prompts that are not in the batch, while there are such."""
        used = [one["row"] for one in self._drawn_for]
        place = (self.state.global_step, attempt, self.accelerator.process_index, used[0])
        rest = [row for row in range(len(self.train_dataset)) if row not in set(used)]
        rest = rest or list(range(len(self.train_dataset)))
        chosen = random.Random(seed_for(self.args.seed, "again", *place))
        return [dict(self.train_dataset[chosen.choice(rest)]) for _ in range(count)]

    def _scores(self, drawn: Sequence[Any], rows: Sequence[dict[str, Any]]) -> list[Score]:
        """Scores of as many of the completions drawn as there are rows."""
        completions, ids = (part[: len(rows)] for part in (drawn[self.COMPLETIONS], drawn[1]))
        return list(self._asked.scores(completions, ids, [one["row"] for one in rows]))

    def _of_processes(self, count: int) -> Any:
        """What each process counted."""
        import torch

        return self.accelerator.gather(torch.tensor([count], device=self.accelerator.device))


def with_dynamic_sampling(trainer: type[Any]) -> type[Any]:
    """A group trainer of TRL's with dynamic sampling."""
    completions = {"GRPOTrainer": 3, "RLOOTrainer": 2}[trainer.__name__]
    return type(trainer.__name__, (DynamicSampling, trainer), {"COMPLETIONS": completions})
