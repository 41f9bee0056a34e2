"""What the service counts, for Prometheus: on a registry of its own, under `/metrics`."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 600)


class Metrics:
    """The counters of one running service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "charter_requests",
            "Requests answered",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "charter_request_seconds", "Time to a request's answer, streams to their end",
            ("route",), buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.items = Counter(
            "charter_items",
            "Items judged, by how they ended",
            ("verb", "status"),
            registry=self.registry,
        )
        self.unscored = Counter(
            "charter_unscored",
            "Items without a score, by reason",
            ("verb", "reason"),
            registry=self.registry,
        )
        self.item_seconds = Histogram(
            "charter_item_seconds", "Time from an item's coming in to its line", ("verb",),
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.votes = Counter(
            "charter_votes",
            "Votes used: cast now (new), or stored or by code (kept)",
            ("source",),
            registry=self.registry,
        )
        self.tokens = Counter(
            "charter_prompt_tokens", "Prompt tokens of new votes", ("kind",), registry=self.registry
        )
        self.orders = Counter(
            "charter_order_pairs", "Pairs judged in both orders, by whether the orders agree",
            ("agree",), registry=self.registry,
        )  # fmt: skip
        self.refused = Counter(
            "charter_refused",
            "Requests refused before any work, by code",
            ("code",),
            registry=self.registry,
        )

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A number that is read when somebody looks."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def gauges(
        self, name: str, text: str, label: str, read: Callable[[], Mapping[Any, float]]
    ) -> None:
        """Numbers by a label, read when somebody looks."""
        self.registry.register(_Read(name, text, label, read))

    def observe_line(self, verb: str, line: Mapping[str, Any], seconds: float) -> None:
        """Count one item's line."""
        self.items.labels(verb, line["status"]).inc()
        self.item_seconds.labels(verb).observe(seconds)
        if line["status"] != "scored":
            self.unscored.labels(verb, line["reason"] or "unknown").inc()
        if usage := line.get("usage"):
            self.votes.labels("new").inc(usage["new_votes"])
            self.votes.labels("kept").inc(usage["votes"] - usage["new_votes"])
            self.tokens.labels("cached").inc(usage["cached_tokens"])
            self.tokens.labels("fresh").inc(usage["prompt_tokens"] - usage["cached_tokens"])
        if verb == "compare" and line["status"] == "scored":
            for agree in map(_orders_agree, line["principles"].values()):
                if agree is not None:
                    self.orders.labels("yes" if agree else "no").inc()


class _Read(Collector):
    def __init__(
        self, name: str, text: str, label: str, read: Callable[[], Mapping[Any, float]]
    ) -> None:
        self._name, self._text, self._label, self._read = name, text, label, read

    def collect(self) -> Iterable[Metric]:
        """The numbers as they are now."""
        family = GaugeMetricFamily(self._name, self._text, labels=[self._label])
        for key, value in self._read().items():
            family.add_metric([key], value)
        yield family


def _orders_agree(told: Mapping[str, Any]) -> bool | None:
    """Whether both orders prefer the same completion; None where there are no two orders.

    Each order's logit is the mean plus or minus half the gap.
    """
    p, gap = told.get("p"), told.get("order_gap")
    if p is None or gap is None or not 0 < p < 1:
        return None
    return bool(abs(math.log(p / (1 - p))) >= abs(gap) / 2)
