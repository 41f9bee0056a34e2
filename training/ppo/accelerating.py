"""The accelerator of one run: accelerate keeps its settings for the whole process otherwise."""

from typing import Any

SHARDED = ("FSDP", "DEEPSPEED", "MEGATRON_LM", "TP")


def make_accelerator(device: str = "cpu", *, bfloat16: bool = False) -> Any:
    """An accelerator with these settings, whatever an earlier run of this process had.

    Matrices are multiplied in bfloat16 where asked for; weights that are trained stay float32.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state()
    GradientState._reset_state()  # after a run that broke off in mid-step, optimisers skip theirs
    return Accelerator(cpu=device == "cpu", mixed_precision="bf16" if bfloat16 else "no")


def sharding_of(accelerator: Any) -> str | None:
    """How the model lies in parts over several processes; None where each holds it whole."""
    kind = str(accelerator.distributed_type.value)
    return kind if kind in SHARDED else None
