"""OpenTelemetry spans, made from the record after the call, and only for sampled traces.

A live SDK span costs as much as the whole gateway; a call that is not sampled
pays one attribute test here. Span ids are those the upstream already saw in
`traceparent`. Names follow the MCP and GenAI conventions (Development), mapped
in this file alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from agent_gateway.telemetry.trace import Trace


class _GivenIds(IdGenerator):
    """Hands out the ids that went on the wire; one span at a time, on one thread."""

    def __init__(self) -> None:
        self.trace_id = 1
        self.span_id = 1

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


@dataclass(frozen=True, slots=True)
class EndedCall:
    """What a span says of a call. Times in unix nanoseconds."""

    name: str  # `tools/call git__git_log`
    start_ns: int
    end_ns: int
    is_error: bool
    error_code: str
    attributes: Mapping[str, str | int | bool]


class Spans:
    """Exports spans of sampled calls in the background."""

    def __init__(self, exporter: SpanExporter, service: str = "agent-gateway") -> None:
        self._ids = _GivenIds()
        self._provider = TracerProvider(
            id_generator=self._ids, resource=Resource.create({"service.name": service}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("agent_gateway")

    @classmethod
    def to_collector(cls, endpoint: str) -> "Spans":
        """Return spans that go to an OTLP/HTTP collector, `http(s)://host:4318/v1/traces`."""
        return cls(OTLPSpanExporter(endpoint=endpoint))

    def offer(self, trace: Trace, ended: EndedCall) -> None:
        """Build the span of one ended call; does nothing when its trace is not sampled."""
        if not trace.is_sampled:
            return
        self._ids.trace_id = int(trace.trace_id, 16)
        self._ids.span_id = int(trace.span_id, 16)
        parent = None
        if trace.parent_id:
            context = SpanContext(
                self._ids.trace_id, int(trace.parent_id, 16), is_remote=True, trace_flags=TraceFlags(1)
            )
            parent = set_span_in_context(NonRecordingSpan(context))
        span = self._tracer.start_span(
            ended.name,
            context=parent,
            kind=SpanKind.SERVER,
            attributes=dict(ended.attributes),
            start_time=ended.start_ns,
        )
        if ended.is_error:
            span.set_status(Status(StatusCode.ERROR, ended.error_code))
            span.set_attribute("error.type", ended.error_code or "error")
        span.end(end_time=ended.end_ns)

    def close(self) -> None:
        """Send what is left and stop."""
        self._provider.shutdown()
