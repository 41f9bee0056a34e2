"""The steps of a method that samples as it learns: draw, score and reward at once, update.

Each step: completions are rewarded while the models score them. The step's number and the recipe's
seed decide all that is drawn, so a resumed run is the run. PPO and online DPO differ in how they
build their models and what their update is.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from judges.errors import CharterError, ModelError, VerdictError
from judges.policies import model_folder
from judges.records import CompletionText
from training.guard.guard import Guard
from training.online.background import Background, finish
from training.online.draws import prompt_rows
from training.online.prompts import Prompt, encode_prompts, prompts_used, read_prompts
from training.online.reward import Reward, Score
from training.online.reward_settings import open_rewards
from training.online.samples_file import SamplesFile
from training.online.waiting import patient_scores
from training.ppo.full_memory import naming_knobs
from training.ppo.recipe import SamplingRecipe
from training.ppo.reporting import reporting
from training.runs.run import Message, Progress, Run, RunSummary, open_run

if TYPE_CHECKING:
    from training.ppo.checkpoint import PpoState
    from training.ppo.learner import Learner


class SamplingSummary(RunSummary):
    """What came of a run that samples as it learns."""

    first_reward: float | None
    """Mean reward of the first step's completions, before penalties."""
    last_reward: float | None
    """Mean reward of the last step's."""
    last_kl: float | None
    """KL divergence to the reference at the last step, nats a completion."""
    unscored: int
    """Completions left out for want of a reward."""


def train_by_steps(
    recipe: SamplingRecipe,
    kind: "type[Loop[Any]]",
    resume: bool,
    progress: Progress,
    message: Message,
) -> SamplingSummary:
    """Run the steps of a method; returns the summary. Raises: as `train_ppo`."""
    items = read_prompts(recipe.prompts)
    used = prompts_used(recipe.prompts, items)
    with open_run(recipe, [used], resume=resume, progress=progress, message=message) as run:
        if (done := run.finished(SamplingSummary)) is not None:
            return done
        folder = model_folder(recipe.model)
        longest = recipe.max_length - recipe.rollout.max_tokens
        prompts, dropped = encode_prompts(items, folder, longest, message, recipe.max_dropped)
        with Background() as background, naming_knobs(recipe):
            loop = kind(recipe, run, prompts, background)
            try:
                with reporting(run, recipe.report_to):
                    loop.train()
                loop.publish()
            finally:
                loop.close()
        return loop.summary(dropped)


R = TypeVar("R", bound=SamplingRecipe)


class Loop(Generic[R]):
    """The steps of a run, and what they share; a method says how it builds and how it updates."""

    def __init__(
        self, recipe: R, run: Run, prompts: Sequence[Prompt], background: Background
    ) -> None:
        from training.ppo.building import build_sampler
        from training.ppo.checkpoint import load_checkpoint

        self.recipe, self.run, self.prompts = recipe, run, prompts
        self.background = background
        self.state = self.first_state()
        self._is_whole = True
        """Whether weights are those of a step's end."""
        self.learner, self.tokenizer = self.build()
        self.is_main = bool(self.learner.accelerator.is_main_process)
        if run.checkpoint is not None:
            self.state = load_checkpoint(self.learner, run.checkpoint[1])
        self.samples = SamplesFile(run.folder.path)
        if self.is_main:
            self.samples.cut(self.state.step)
        self.sampler, self._engine = build_sampler(recipe, run, self.learner, self.tokenizer)
        self.reward: Reward = background.run(open_rewards(recipe.rewards, run.folder.path))
        self.guard = Guard(recipe.guard, recipe, run, background, self.reward, recipe.rewards)

    @abstractmethod
    def first_state(self) -> "PpoState":
        """Where a new run stands."""

    @abstractmethod
    def build(self) -> "tuple[Learner, Any]":
        """The learner and the policy's tokenizer."""

    @abstractmethod
    def update(
        self, step: int, drawn: "Sequence[Any]", scored: Any, scores: Sequence[Score],
        outcomes: "Sequence[Any]",
    ) -> dict[str, float]:  # fmt: skip
        """Learn from a step's completions; metrics, `loss` and `kl` among them."""

    def train(self) -> None:
        """Step until done. Whatever stops it between two steps leaves a checkpoint behind."""
        self._look()
        while self.state.step < self.recipe.steps and not self.guard.stopped:
            try:
                self._step(self.state.step + 1)
                self._look()
            except (CharterError, KeyboardInterrupt):
                self._save()
                raise
            if self.state.step % self.recipe.save_steps == 0:
                self._save()
        self._save()

    def _look(self) -> None:
        """Have the guard look at the policy, where a look is due."""
        from training.guard.drawing import Policy

        plain, accelerator = self.learner.plain, self.learner.accelerator
        self.guard.look(
            self.state.step,
            self.recipe.steps,
            lambda: Policy(plain.policy, plain.reference, accelerator, self.tokenizer),
        )

    def publish(self) -> None:
        """Put the policy and its tokenizer into the run folder."""
        from training.runs.publishing import copying, publish

        def save(folder: str) -> None:
            if self.is_main:  # each process holds the same whole policy
                self.learner.plain.policy.save_pretrained(folder)
                self.tokenizer.save_pretrained(folder)

        better = self.run.better if self.is_main else None
        chosen = copying(better) if better else save
        publish(chosen, self.run.folder.path, self.recipe.model, self.run.processes)

    def summary(self, dropped: int) -> SamplingSummary:
        """Write the summary of the finished run."""
        lines = [line for line in self.run.folder.read_metrics() if "reward" in line]
        return self.run.finish(
            SamplingSummary,
            steps=self.state.step,
            rows=self.state.completions,
            rows_dropped=dropped,
            first_reward=lines[0]["reward"],
            last_reward=lines[-1]["reward"],
            last_kl=lines[-1]["kl"],
            unscored=self.state.unscored,
        )

    def close(self) -> None:
        """Release servers, engines and connections."""
        self.guard.close()
        self.background.run(self.reward.close())
        self.background.run(self.sampler.close())
        self._engine.close()

    def _step(self, step: int) -> None:
        from training.ppo.outcomes import gather_outcomes, outcome_metrics
        from training.ppo.phases import Phases

        phases = Phases(self.run.manifest.hardware.device)
        drawn, scored, scores, failure = self._experience(step, phases)
        try:
            outcomes = gather_outcomes(drawn, scores, failure, self.run.processes.count)
            self._log_samples(step, drawn, scores)
            constant = self._constant_steps(outcomes, step)
        except CharterError:
            # All processes stop here. Once one has ended, the launcher ends the one that saves.
            self._save()
            self.run.processes.wait()
            raise
        self._is_whole = False
        self.state = self.state.model_copy(update={"constant_steps": constant})
        with phases.timed("update"):
            metrics = self.update(step, drawn, scored, scores, outcomes)
        phases.count("update", _tokens(drawn) * self.recipe.optimisation.epochs)
        self._finish(step, outcome_metrics(outcomes) | metrics | phases.metrics, len(outcomes))

    def _experience(self, step: int, phases: Any) -> tuple[list[Any], Any, list[Score], Any]:
        """Completions, what the models say of them, their scores; or what went wrong.

        A fault is handed on, not raised: the other processes have to learn of it first.
        """
        try:
            with phases.timed("rollout"):
                prompts, drawn = self._draw(step)
            phases.count("rollout", sum(len(one.sequence.completion) for one in drawn))
            asked = self.background.start(self._rewarded(prompts, drawn))
            with phases.timed("score"):
                scored = self.learner.score(drawn)
            phases.count("score", _tokens(drawn))
            with phases.timed("reward"):
                return drawn, scored, finish(asked), None
        except CharterError as error:
            return [], None, [], error

    def _draw(self, step: int) -> tuple[list[Prompt], "list[Any]"]:
        """The step's completions with their prompts; those that no server would write are left."""
        from training.ppo.batches import TokenSequence
        from training.ppo.experience import Drawn

        recipe, accelerator = self.recipe, self.learner.accelerator
        count, index = accelerator.num_processes, accelerator.process_index
        rows = prompt_rows(len(self.prompts), count * recipe.prompts_per_step, step, recipe.seed)
        mine = rows[index::count]
        prompts = [self.prompts[row] for row in mine for _ in range(recipe.samples_per_prompt)]
        written = self.background.run(self.sampler.draw(prompts, step))
        pairs = [(p, w) for p, w in zip(prompts, written, strict=True) if w is not None]
        if not pairs:
            raise ModelError(
                f"training step {step}: the server refused all {len(prompts)} prompts; look at its "
                "log"
            )
        drawn = [
            Drawn(
                prompt.item.id,
                TokenSequence(prompt.token_ids, one.token_ids),
                self.tokenizer.decode(list(one.token_ids), skip_special_tokens=True),
                one.finished,
                one.logprobs,
            )
            for prompt, one in pairs
        ]
        return [prompt for prompt, _ in pairs], drawn

    async def _rewarded(self, prompts: Sequence[Prompt], drawn: "Sequence[Any]") -> list[Score]:
        completions = [
            CompletionText(
                text=one.text,
                finish_reason="stop" if one.finished else "length",
                tokens=len(one.sequence.completion),
            )
            for one in drawn
        ]
        items = [prompt.item for prompt in prompts]
        return await patient_scores(
            self.reward, items, completions, self.recipe.patience, self.run.message
        )

    def _constant_steps(self, outcomes: "Sequence[Any]", step: int) -> int:
        """Steps in a row whose reward tells nothing apart. Raises: VerdictError for too many."""
        from training.ppo.outcomes import scored_values

        values = scored_values(outcomes)
        constant = self.state.constant_steps + 1 if max(values) == min(values) else 0
        if constant == 1:
            self.run.message(
                f"training step {step}: all {len(values)} completions have the reward {values[0]}: "
                "nothing can be learned from it"
            )
        if constant and constant == self.recipe.constant_steps:
            raise VerdictError(
                f"training step {step}: the reward was the same for all completions of {constant} "
                f"steps in a row (now {values[0]}); look at [[rewards]], or set constant_steps = 0"
            )
        return constant

    def _finish(self, step: int, metrics: dict[str, float], completions: int) -> None:
        """Log the step, and move to the next."""
        recipe, unscored = self.recipe, int(metrics["unscored"])
        asked = self.run.processes.count * recipe.prompts_per_step * recipe.samples_per_prompt
        self.state = self.state.model_copy(
            update={
                "step": step,
                "completions": self.state.completions + completions - unscored,
                "unscored": self.state.unscored + unscored,
            }
        )
        self._is_whole = True
        if self.is_main:
            refused = {"refused": asked - completions}
            self.run.log(step, recipe.steps, metrics | refused)

    def _log_samples(self, step: int, drawn: "Sequence[Any]", scores: Sequence[Score]) -> None:
        from training.ppo.outcomes import sample_lines

        if self.is_main:
            kept = self.recipe.samples_kept
            self.samples.append(sample_lines(step, drawn[:kept], scores[:kept]))

    def _save(self) -> None:
        """A checkpoint of where the run stands, unless there is one, or an update is half done."""
        from training.ppo.checkpoint import LAST_WRITTEN, save_checkpoint

        folder = self.run.folder.checkpoints
        done = folder / f"checkpoint-{self.state.step}" / LAST_WRITTEN
        if self.is_main and self._is_whole and self.state.step and not done.exists():
            save_checkpoint(self.learner, self.state, folder, self.recipe.keep_checkpoints)


def _tokens(drawn: "Sequence[Any]") -> int:
    """Tokens of prompts and completions."""
    return sum(len(one.sequence.prompt) + len(one.sequence.completion) for one in drawn)
