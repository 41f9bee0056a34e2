"""What Prometheus is told of watched runs: a few numbers of each that this process sums up for."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.metrics import Metrics
from service.watch.watcher import OpenRun, Watch

TOLD = 100
"""Runs told of at most, those last seen first: every run is a series of its own."""
LABELS = ["tenant", "run", "signal"]


class _Runs(Collector):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterable[Metric]:
        """The numbers as they are now."""
        samples = GaugeMetricFamily(
            "charter_run_samples", "Samples of a training run", labels=LABELS[:2]
        )
        now = GaugeMetricFamily(
            "charter_run_mean", "Latest mean of a signal's quantity", labels=LABELS
        )
        drift = GaugeMetricFamily(
            "charter_run_drift", "Evidence of a drift; from 1 on it is certain", labels=LABELS
        )
        alarm = GaugeMetricFamily(
            "charter_run_stop", "1 where the run should stop for a signal", labels=LABELS
        )
        for (tenant, name), run in self._latest():
            samples.add_metric([tenant, name], run.samples)
            for one in run.standings:
                place = [tenant, name, one.signal]
                if one.now is not None:
                    now.add_metric(place, one.now)
                drift.add_metric(place, max(0.0, one.evidence) / one.needed)
                alarm.add_metric(place, float(one.signal in run.stop))
        dropped = CounterMetricFamily(
            "charter_run_blocks_dropped", "Blocks of runs that the database did not take"
        )
        dropped.add_metric([], self._watch.dropped)
        return samples, now, drift, alarm, dropped

    def _latest(self) -> Iterator[tuple[tuple[str, str], OpenRun]]:
        # A copy in one step: requests open and close runs while this reads.
        yield from list(self._watch.open.items())[-TOLD:]


def add_run_metrics(metrics: Metrics, watch: Watch) -> None:
    """Tell `/metrics` of the runs of this watch."""
    metrics.registry.register(_Runs(watch))
