"""OpenTelemetry traces as an option: a span for each request, and for each request to an engine.

`CHARTER_TRACES=1` and the extra `traces` turn them on; where they go, OpenTelemetry's own
variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, ...). Nothing judged is in them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from judges.errors import ConfigError
from service.settings import Settings

NO_SPANS = frozenset({"/health", "/ready", "/metrics"})


class Tracing:
    """Makes spans, or nothing where traces are off."""

    def __init__(self, tracer: Any = None, provider: Any = None) -> None:
        self._tracer, self._provider = tracer, provider

    @contextmanager
    def request(self, scope: Mapping[str, Any], number: str) -> Iterator[Any]:
        """The span of one HTTP request, child of the caller's where it names one."""
        if self._tracer is None or scope["path"] in NO_SPANS:
            yield None
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        told = {"http.request.method": scope["method"], "charter.request_id": number}
        with self._tracer.start_as_current_span(
            scope["method"], context=extract(headers), kind=SpanKind.SERVER, attributes=told
        ) as span:
            yield span

    @contextmanager
    def engine(self, verb: str, prompts: int) -> Iterator[None]:
        """The span of one request to an engine, which several callers' prompts may share."""
        if self._tracer is None:
            yield
            return
        with self._tracer.start_as_current_span(
            f"engine {verb}", attributes={"charter.prompts": prompts}
        ):
            yield

    def close(self) -> None:
        """Send what is left."""
        if self._provider is not None:
            self._provider.shutdown()


def name_span(span: Any, method: str, route: str, status: int) -> None:
    """What is known of a request's span only at its end."""
    if span is None:
        return
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.route": route, "http.response.status_code": status})


def open_tracing(settings: Settings, exporter: Any = None) -> Tracing:
    """Traces as the settings say, to the exporter or else by OTLP over HTTP.

    Raises: ConfigError without the packages.
    """
    if not settings.traces:
        return Tracing()
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter()
    except ImportError as error:
        raise ConfigError(
            f"CHARTER_TRACES is set, but {error.name!r} is not installed · environment · install "
            "charter with the extra `traces`, or unset it"
        ) from None
    resource = Resource.create({"service.name": "charter"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider.get_tracer("charter"), provider)
