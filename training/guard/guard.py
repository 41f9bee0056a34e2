"""A guard beside a run: it looks every so many steps, tells, and ends the run when it must.

A method makes one, then either hands it a trainer to watch, or calls `look` itself. Without a
`[guard]` table it does nothing.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from judges.canonical import digest
from judges.errors import ConfigError
from judges.jsonl import replacing
from judges.policies import model_folder
from judges.records import Item
from training.evaluation.refusals import read_probes
from training.guard.observation import PROXY, Answer, Observation, best_of, observe
from training.guard.page import guard_page
from training.guard.record_file import GuardFile
from training.guard.settings import BLIND, GuardSettings
from training.online.background import Background
from training.online.prompts import Prompt, encode_prompts, read_prompts
from training.online.reward import Reward
from training.online.reward_settings import RewardSettings, open_rewards
from training.online.waiting import patient_scores
from training.runs.recipe import RunRecipe
from training.runs.run import Run

if TYPE_CHECKING:
    from training.guard.drawing import Policy

SAFE_SEED = 1
PAGE = "guard.html"


class Guard:
    """Looks at the policy of one run, and remembers."""

    def __init__(
        self,
        settings: GuardSettings | None,
        recipe: RunRecipe,
        run: Run,
        background: Background,
        proxy: Reward | None,
        own: Sequence[RewardSettings],
    ) -> None:
        """`proxy` is the run's reward, `own` the settings it comes from, if it has one."""
        self.settings, self.run, self.background = settings, run, background
        self.stopped = False
        if settings is None:
            return
        self._rewards, self._owned = self._open(settings, proxy, own)
        step = run.checkpoint[0] if run.checkpoint else 0
        self._file = GuardFile(run.folder.path)
        self.looks = self._file.read(step) if run.processes.is_main else []
        self.stopped = run.processes.share(any(look.stopped for look in self.looks))
        if self.stopped and settings.keep_best and (best := best_of(self.looks)) is not None:
            run.better = self._folder(best.step)
        self._prompts = self._encoded(read_prompts(settings.prompts), recipe)
        probes = read_probes(settings.safe_prompts) if settings.safe_prompts else []
        safe = [probe.item for probe in probes if probe.side == "safe"]
        self._safe = self._encoded(safe, recipe) if safe else []
        self._digest = digest([one.item.conversation_text for one in self._prompts])
        self._check(recipe, settings)
        per_look = len(self._prompts) * settings.samples + len(self._safe)
        run.message(
            f"guard: every {settings.every} steps it draws {per_look} completions of at most "
            f"{settings.max_tokens} tokens and asks {1 + len(settings.held_out)} rewards; see "
            f"{run.folder.path / PAGE} as it goes"
        )

    def is_due(self, step: int, total: int) -> bool:
        """Whether there is a look after this many steps that has not been taken."""
        if self.settings is None or self.stopped:
            return False
        if step % self.settings.every and step != total:
            return False
        taken = any(look.step == step for look in self.looks)
        return not self.run.processes.share(taken)

    def look(self, step: int, total: int, policy: Callable[[], "Policy"]) -> bool:
        """Look where one is due; whether the run should end.

        All processes call this; the first draws and asks, the others wait for what it says.
        """
        if self.is_due(step, total) and self.settings is not None:
            if self.run.processes.is_main:
                self._take(step, total, policy(), self.settings)
            self.stopped = self.run.processes.share(self.stopped)
        return self.stopped

    def watch(self, trainer: Any) -> None:
        """Look at what a trainer of transformers or TRL trains. Raises: ConfigError."""
        if self.settings is not None:
            from training.guard.watching import GuardCallback

            trainer.add_callback(GuardCallback(self, trainer))

    def close(self) -> None:
        """Release the rewards that are the guard's own."""
        if self.settings is not None:
            for reward in self._owned:
                self.background.run(reward.close())

    def _take(self, step: int, total: int, policy: "Policy", settings: GuardSettings) -> None:
        began = time.monotonic()
        answers = policy.answers(self._prompts, settings, step, settings.samples, kl=True)
        safe: list[Answer] = []
        if self._safe:
            other = settings.model_copy(update={"seed": settings.seed + SAFE_SEED})
            safe = policy.answers(self._safe, other, step, 1, kl=False)
        items = [self._prompts[one.prompt].item for one in answers]
        scores = {}
        for name, reward in self._rewards.items():
            asking = patient_scores(
                reward, items, [a.completion for a in answers], settings.patience, self.run.message
            )
            scores[name] = self.background.run(asking)
        planned = -(-total // settings.every)
        look = observe(
            step, answers, scores, [one.completion.text for one in safe], len(self._prompts),
            self.looks, planned, settings.level, settings.seed, time.monotonic() - began,
            settings.least_fall,
        )  # fmt: skip
        self._record(look, settings, total, policy)

    def _record(
        self, look: Observation, settings: GuardSettings, total: int, policy: "Policy"
    ) -> None:
        look = look.model_copy(
            update={"stopped": self._verdict(look, settings), "prompts": self._digest}
        )
        self.looks.append(look)
        best = best_of(self.looks)
        if settings.keep_best and best is look:
            self._keep(policy, look.step)
        self._file.append(look)
        with replacing(self.run.folder.path / PAGE) as file:
            file.write(guard_page(self.looks, self.run.folder.path.name).encode())
        self.run.log(look.step, total, guard_metrics(look))
        if look.stopped and settings.keep_best and best is not None:
            self.run.better = self._folder(best.step)

    def _verdict(self, look: Observation, settings: GuardSettings) -> str | None:
        """Why the run ends here; a fall that does not end it is told."""
        fallen = {name: fall for name, fall in look.falls.items() if fall.shown}
        if not fallen:
            return None
        name, fall = next(iter(fallen.items()))
        best = best_of([*self.looks, look])
        words = (
            f"Over-optimised at step {look.step}: {name} fell by {fall.drop.value:.3f} "
            f"({fall.drop.low:.3f} to {fall.drop.high:.3f}, n {fall.drop.n}) from step "
            f"{self.looks[fall.best].step}, p {fall.p:.4f} against {fall.level:.4f}"
        )
        if best is not None and settings.keep_best:
            words += f"; the best policy is that of step {best.step}, in {self._folder(best.step)}"
        self.run.message(words)
        self.stopped = settings.stop
        return words if settings.stop else None

    def _keep(self, policy: "Policy", step: int) -> None:
        """Save the policy; of earlier bests the last stays, for a run resumed from before."""
        folder = self._folder(step)
        folder.parent.mkdir(exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        policy.model.save_pretrained(str(folder))
        policy.tokenizer.save_pretrained(str(folder))
        old = sorted(folder.parent.glob("best-*"), key=lambda path: int(path.name[5:]))
        for path in [one for one in old if one != folder][:-1]:
            shutil.rmtree(path)

    def _folder(self, step: int) -> Path:
        return self.run.folder.path / "guard" / f"best-{step}"

    def _check(self, recipe: RunRecipe, settings: GuardSettings) -> None:
        """Raises: ConfigError for other prompts than at earlier looks. Tells of trained ones."""
        if any(look.prompts != self._digest for look in self.looks):
            raise ConfigError(
                f"{settings.prompts}: changed since the looks in {self._file.path}, which cannot "
                "be compared with new ones; restore it, or name another `output`"
            )
        trained = getattr(recipe, "prompts", None)
        if trained is None:
            return
        known = {item.conversation_text for item in read_prompts(trained)}
        both = sum(one.item.conversation_text in known for one in self._prompts)
        if both:
            self.run.message(
                f"guard: {both} of {len(self._prompts)} prompts of {settings.prompts} are trained "
                "on, too; take them out, or the guard sees what was learned by heart"
            )

    def _encoded(self, items: Sequence[Item], recipe: RunRecipe) -> list[Prompt]:
        assert self.settings is not None
        longest = recipe.max_length - self.settings.max_tokens
        if longest <= 0:
            raise ConfigError(
                f"guard.max_tokens is {self.settings.max_tokens}, which fills max_length "
                f"({recipe.max_length}); leave room for the prompt"
            )
        folder = model_folder(recipe.model)
        return encode_prompts(items, folder, longest, self.run.message)[0]

    def _open(
        self, settings: GuardSettings, proxy: Reward | None, own: Sequence[RewardSettings]
    ) -> tuple[Mapping[str, Reward], list[Reward]]:
        """The proxy and the held-out rewards by name, and those to close."""
        folder, owned = self.run.folder.path, []
        if not settings.proxy and any(one.kind == "ranking" for one in own):
            raise ConfigError(
                f'guard.proxy is missing; [[rewards]] holds kind = "ranking", {BLIND} as '
                "[[guard.proxy]]"
            )
        if settings.proxy or proxy is None:
            if not (settings.proxy or own):
                raise ConfigError(
                    "guard.proxy is missing; this method has no [[rewards]], so name what stands "
                    "for them, such as the reward model of the same preferences"
                )
            proxy = self.background.run(open_rewards(settings.proxy or own, folder))
            owned.append(proxy)
        named = {PROXY: proxy}
        for number, one in enumerate(settings.held_out, 1):
            reward = self.background.run(open_rewards([one.model_copy(update={"weight": 1.0})],
                                                      folder))  # fmt: skip
            owned.append(reward)
            same = sum(other.kind == one.kind for other in settings.held_out) > 1
            named[f"{one.kind}-{number}" if same else one.kind] = reward
        return named, owned


def train_guarded(
    settings: GuardSettings | None, recipe: RunRecipe, run: Run, trainer: Any
) -> None:
    """Train by a method without a reward of its own, watched where its recipe has a `[guard]`."""
    with (
        Background() as background,
        closing(Guard(settings, recipe, run, background, None, ())) as guard,
    ):
        guard.watch(trainer)
        run.train(trainer)


def guard_metrics(look: Observation) -> dict[str, float]:
    """A look as a line of metrics.jsonl."""
    told = {
        "proxy": look.proxy, "kl": look.kl, "words": look.words, "sane": look.sane,
        "repeated": look.repeated, "refused": look.refused, "variance": look.variance,
        **{f"held_out/{name}": one for name, one in look.held_out.items()},
    }  # fmt: skip
    values = {f"guard/{name}": one.value for name, one in told.items() if one is not None}
    falls = {f"guard/p/{name}": fall.p for name, fall in look.falls.items()}
    return values | falls | {"guard/distinct_2": look.distinct_2}
