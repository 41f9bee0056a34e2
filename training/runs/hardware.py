"""What a run trains on, and in which number format."""

from typing import Literal

from judges.engine.command import cpu_dtype
from judges.errors import ConfigError
from judges.records import Record


class Hardware(Record):
    """The device of a run."""

    device: Literal["cpu", "cuda"]
    """Where the model is."""
    name: str
    """The GPU's name, or `cpu`."""
    bfloat16: bool
    """Whether it multiplies bfloat16 matrices natively; if not, float32 is much faster."""

    @property
    def dtype(self) -> str:
        """The number format that matrices are multiplied in."""
        return "bfloat16" if self.bfloat16 else "float32"


def find_hardware(device: Literal["auto", "cpu", "cuda"]) -> Hardware:
    """The device asked for; `auto` is the GPU where there is one.

    Cost: imports torch, some seconds, unless the CPU is asked for.
    Raises: ConfigError when a GPU is asked for and torch sees none.
    """
    if device != "cpu":
        found = _find_gpu()
        if found is not None:
            return found
        if device == "cuda":
            raise ConfigError(
                'device is "cuda", but torch sees no GPU; check `nvidia-smi` and that torch is a '
                'CUDA build, or set device = "auto"'
            )
    return Hardware(device="cpu", name="cpu", bfloat16=cpu_dtype() == "bfloat16")


def _find_gpu() -> Hardware | None:
    try:
        import torch
    except ImportError:
        raise ConfigError(
            "torch is not installed, so nothing can be trained; run "
            "`pip install 'charter[training]'`"
        ) from None
    if not torch.cuda.is_available():
        return None
    return Hardware(
        device="cuda",
        name=torch.cuda.get_device_name(0),
        bfloat16=torch.cuda.is_bf16_supported(including_emulation=False),
    )
