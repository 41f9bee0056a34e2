"""A training process that asks for rewards loads neither the service nor anything heavy for it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = ("fastapi", "sqlalchemy", "torch", "transformers", "trl", "vllm", "numpy", "sklearn")


@pytest.mark.parametrize(
    "module", ["service.client.sync", "service.client.trl", "service.client.verl"]
)
def test_clients_load_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"
