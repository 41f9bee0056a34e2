"""The guard beside a trainer of transformers or TRL."""

from typing import Any

from transformers import TrainerCallback

from judges.errors import ConfigError
from training.guard.drawing import Policy
from training.guard.guard import Guard, guard_metrics
from training.ppo.accelerating import sharding_of


class GuardCallback(TrainerCallback):
    """Looks before the first step, after every so many, and after the last."""

    def __init__(self, guard: Guard, trainer: Any) -> None:
        """Raises: ConfigError for a policy that is in parts over several processes."""
        self.guard, self.trainer, self._loaded = guard, trainer, None
        if kind := sharding_of(trainer.accelerator):
            raise ConfigError(
                f"accelerate is set to {kind}, but [guard] needs the whole policy in one process "
                "to draw completions; drop [guard] and compare checkpoints by `charter evaluate`, "
                "or use deploy/accelerate/ddp.yaml with [lora]"
            )

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002
        """The look at the reference, or the one that a kill came before."""
        self._look(args, state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002
        """A look where one is due."""
        self._look(args, state, control)

    def _look(self, args: Any, state: Any, control: Any) -> None:
        before = len(self.guard.looks)
        if self.guard.look(state.global_step, state.max_steps, self._policy):
            control.should_training_stop = control.should_save = True
        if len(self.guard.looks) > before:
            # Straight to what reports: `trainer.log` would empty TRL's running averages.
            logs = guard_metrics(self.guard.looks[-1])
            should_log = control.should_log  # or the step's own metrics would not be logged
            self.trainer.callback_handler.on_log(args, state, control, logs)
            control.should_log = should_log

    def _policy(self) -> Policy:
        trainer = self.trainer
        model = trainer.accelerator.unwrap_model(trainer.model)
        return Policy(model, self._reference(model), trainer.accelerator, trainer.processing_class)

    def _reference(self, model: Any) -> Any | None:
        """TRL's own, the base under adapters, or a copy of the model that training began from."""
        if hasattr(model, "peft_config"):
            return None
        if getattr(self.trainer, "ref_model", None) is not None:
            return self.trainer.accelerator.unwrap_model(self.trainer.ref_model)
        if self._loaded is None:
            from transformers import AutoModelForCausalLM

            folder = self.guard.run.manifest.recipe["model"]
            self._loaded = load_reference(AutoModelForCausalLM, folder, model)
        return self._loaded


def load_reference(kind: Any, model: str, like: Any) -> Any:
    """The model that training began from, in the number format and place of the policy."""
    from judges.policies import model_folder

    loaded = kind.from_pretrained(str(model_folder(model)), dtype=like.dtype)
    return loaded.to(like.device).requires_grad_(False).eval()
