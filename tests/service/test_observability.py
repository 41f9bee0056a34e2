"""Metrics count what happened, traces follow a request to the engine, the dashboard is of them."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from judges.errors import ConfigError
from service import tracing
from service.app import create_app
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "charter.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
ENGINE_METRICS = ROOT / ".venv/lib/python3.11/site-packages/vllm/v1/metrics/loggers.py"
ASKED = {"constitution": "helpful-harmless", "prompt": "p", "completions": ["a b c", "d"]}
BIASED = '[biased]\ntransport = "fake"\nfake = {position_bias = 50.0}\n'


async def counted(client: httpx.AsyncClient) -> dict[str, float]:
    text = (await client.get("/metrics")).text
    return {
        name: float(value)
        for name, value in re.findall(r"^(charter_[^ ]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
    }


async def test_votes_tokens_latency_and_reasons_are_counted(client: httpx.AsyncClient) -> None:
    await client.post("/v1/compare", json=ASKED)
    first = await counted(client)
    assert first['charter_items_total{status="scored",verb="compare"}'] == 1
    new = first['charter_votes_total{source="new"}']
    assert new > 10 and first['charter_prompt_tokens_total{kind="fresh"}'] > 0
    await client.post("/v1/compare", json=ASKED)
    await client.post("/v1/rank", json=ASKED | {"completions": ["a", " "]})
    again = await counted(client)
    assert again['charter_votes_total{source="new"}'] == new
    kept = 'charter_votes_total{source="kept"}'
    assert again[kept] >= first[kept] + new
    assert again['charter_unscored_total{reason="empty_completion",verb="rank"}'] == 1
    assert again['charter_item_seconds_count{verb="compare"}'] == 2
    assert again['charter_requests_total{method="POST",route="/v1/compare",status="200"}'] == 2
    await client.get("/v1/no/such/1234567")
    assert 'charter_requests_total{method="GET",route="unmatched",status="404"}' in (
        await counted(client)
    )
    assert again['charter_prompts_waiting{lane="batch"}'] == again["charter_items_inside"] == 0


async def test_a_judge_that_follows_positions_shows_in_the_flip_rate(
    opened: Callable[..., Any], judges: Callable[[str], None], client: httpx.AsyncClient
) -> None:
    await client.post("/v1/compare", json=ASKED)
    fair = await counted(client)
    assert 'charter_order_pairs_total{agree="no"}' not in fair
    judges(BIASED)
    async with opened(judges=("biased",)) as other:
        await other.post("/v1/compare", json=ASKED)
        biased = await counted(other)
    assert 'charter_order_pairs_total{agree="yes"}' not in biased
    assert biased['charter_order_pairs_total{agree="no"}'] > 5


def metrics_of(expressions: str) -> set[str]:
    return set(re.findall(r"\b(?:charter_[a-z_]+|vllm:[a-z_]+)", expressions))


def exposed(tmp_path: Path) -> Iterator[str]:
    """The name of every series that a service can expose."""
    app = create_app(Settings(home=tmp_path, judges=("fake",)))
    service = app.state.service
    from service.watch.run_metrics import add_run_metrics
    from service.watch.watcher import Watch

    add_run_metrics(service.metrics, Watch(service.database))
    for family in service.metrics.registry.collect():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        for end in ends.get(family.type, ("",)):
            yield family.name + end
    service.votes.close()
    service.database.dispose()


def test_every_metric_of_dashboard_and_alerts_exists(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    shown = " ".join(t["expr"] for panel in panels for t in panel.get("targets", ()))
    wanted = metrics_of(shown + ALERTS.read_text("utf-8"))
    assert len(wanted) > 12
    known = set(exposed(tmp_path))
    if ENGINE_METRICS.exists():
        source = ENGINE_METRICS.read_text("utf-8")
        engine = set(re.findall(r'"(vllm:[a-z_]+)"', source))
        known |= engine | {f"{name}_total" for name in engine}
    else:
        wanted = {name for name in wanted if not name.startswith("vllm:")}
    assert sorted(wanted - known) == []


async def test_a_trace_goes_from_the_caller_through_the_request_to_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = InMemorySpanExporter()
    settings = Settings(home=tmp_path, judges=("fake",), traces=True)
    app = create_app(settings, tracing=tracing.open_tracing(settings, spans))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        while (await client.get("/ready")).status_code != 200:
            await asyncio.sleep(0.01)
        headers = {"traceparent": parent, "X-Request-Id": "mine-1"}
        answer = await client.post("/v1/compare", json=ASKED, headers=headers)
        assert answer.headers["x-request-id"] == "mine-1"
    found = {span.name: span for span in spans.get_finished_spans()}
    request = found["POST /v1/compare"]
    assert request.context is not None and request.attributes is not None
    assert f"{request.context.trace_id:032x}" == parent.split("-")[1]
    assert request.attributes["charter.request_id"] == "mine-1"
    engine = [span for span in spans.get_finished_spans() if span.name == "engine choose"]
    assert any(s.context and s.context.trace_id == request.context.trace_id for s in engine)
    assert "GET /ready" not in found
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match="extra `traces`"):
        tracing.open_tracing(settings)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CHARTER_MAX_ITEMS", "many", "valid integer"),
        ("CHARTER_MAX_ITEMS", "0", "greater than or equal to 1"),
        ("CHARTER_KEYS_REQUIRED", "perhaps", "write 1 or 0"),
        ("CHARTER_DEADLINE_S", "inf", "finite"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str, says: str) -> None:
    from service.settings import read_settings

    with pytest.raises(ConfigError, match=f"{name} is '{value}'.*{says}"):
        read_settings({name: value})


def test_settings_are_read_from_the_environment() -> None:
    from service.settings import VARIABLES, read_settings

    assert set(VARIABLES) == set(Settings.model_fields)
    read = read_settings(
        {"CHARTER_SERVICE_JUDGES": "a, b", "CHARTER_LOG_JSON": "off", "CHARTER_MAX_ITEMS": "7"}
    )
    assert (read.judges, read.log_json, read.max_items) == (("a", "b"), False, 7)
