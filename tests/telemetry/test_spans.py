"""Spans are made from ended calls, with the ids that were on the wire, and only when sampled."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from agent_gateway.telemetry.spans import EndedCall, Spans
from agent_gateway.telemetry.trace import Trace

TRACE_ID, OURS, THEIRS = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "b7ad6b7169203331"


class Kept(SpanExporter):
    """Keeps what is exported."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


def ended(*, is_error: bool = False) -> EndedCall:
    return EndedCall(
        "tools/call git__git_log", 1_000, 5_000, is_error, "forbidden", {"gen_ai.tool.name": "git__git_log"}
    )


def exported(trace: Trace, call: EndedCall) -> list[ReadableSpan]:
    kept = Kept()
    spans = Spans(kept)
    spans.offer(trace, call)
    spans.close()
    return kept.spans


def test_a_sampled_call_becomes_a_span_under_its_callers() -> None:
    (span,) = exported(Trace(TRACE_ID, OURS, THEIRS, is_sampled=True), ended())
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    assert parent is not None
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{parent.span_id:016x}") == (TRACE_ID, OURS, THEIRS)
    assert (span.name, span.start_time, span.end_time) == ("tools/call git__git_log", 1_000, 5_000)
    assert span.status.status_code is StatusCode.UNSET


def test_a_call_that_is_not_sampled_makes_no_span() -> None:
    assert exported(Trace(TRACE_ID, OURS, THEIRS), ended()) == []


def test_a_trace_that_begins_here_has_a_span_without_parent() -> None:
    (span,) = exported(Trace(TRACE_ID, OURS, is_sampled=True), ended())
    assert span.parent is None


def test_a_failed_call_is_an_error_with_its_code() -> None:
    (span,) = exported(Trace(TRACE_ID, OURS, is_sampled=True), ended(is_error=True))
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "forbidden"
