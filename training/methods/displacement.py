"""Likelihood displacement: the chosen answers, too, become less likely while margins still grow.

The loss of a pair sees differences only. A policy may widen them by making both sides unlikely, and
its probability then goes to answers nobody chose: accuracy looks best where the model is ruined.
Source: Razin et al. 2024, arXiv:2410.08847; Pal et al. 2024, arXiv:2402.13228.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

METRIC = "logps/chosen_per_token"
"""Log-probability of a chosen token; with a reference model, less the reference's."""
STEPS = 8
FALL = 0.5
"""Nats a token, averaged over STEPS: each token is then held at 0.6 of its likelihood before."""


class DisplacementWatch:
    """Says once when chosen answers have become much less likely than they were at the start.

    A resumed run has `earlier` metrics: what they told is not told again.
    """

    def __init__(
        self,
        message: Callable[[str], None],
        relative: bool,
        earlier: Iterable[dict[str, Any]] = (),
    ) -> None:
        self.message = message
        self.start: float | None = 0.0 if relative else None
        self._last: deque[float] = deque(maxlen=STEPS)
        self.warned = False
        for metrics in earlier:
            self.warned |= self._fall(metrics) > FALL

    def see(self, step: int, metrics: dict[str, Any]) -> None:
        """Look at one step's metrics."""
        if not self.warned and (fall := self._fall(metrics)) > FALL:
            self.warned = True
            self.message(
                f"step {step}: the chosen answers became less likely by {fall:.2f} nats a token "
                "(likelihood displacement): the policy moves away from what was chosen, too; lower "
                "trainer.learning_rate, raise beta, or add nll_weight"
            )

    def _fall(self, metrics: dict[str, Any]) -> float:
        """Nats a token lost since the start, over the last steps; 0 while there are too few."""
        if METRIC in metrics:
            self._last.append(float(metrics[METRIC]))
        if len(self._last) < STEPS:
            return 0.0
        mean = sum(self._last) / STEPS
        if self.start is None:
            self.start = mean
        return self.start - mean
