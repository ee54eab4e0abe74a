"""Spans are made from ended calls, with the ids that were on the wire, and only when sampled; a collector gets them."""

import gzip
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from threading import Thread
from typing import ClassVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from agent_gateway.telemetry.spans import EndedCall, Spans
from agent_gateway.telemetry.trace import Trace
from support.gateways import call, gateway
from support.raw_upstream import echo, raw_upstream
from support.scenes import FILES, world

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


class Collector(BaseHTTPRequestHandler):
    """Keeps the names of the spans that are posted to it."""

    names: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        """Take one export."""
        body = self.rfile.read(int(self.headers["content-length"]))
        body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        export = ExportTraceServiceRequest.FromString(body)
        for resource in export.resource_spans:
            self.names.extend(span.name for scope in resource.scope_spans for span in scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def collecting() -> Generator[str]:
    """Run a collector; give its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = Thread(target=collector.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{collector.server_port}/v1/traces"
        finally:
            collector.shutdown()
            thread.join()


async def test_a_gateway_sends_its_sampled_calls_to_the_collector(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        up = await stack.enter_async_context(raw_upstream({"echo": echo}))
        url = stack.enter_context(collecting())
        config = world([up.entry()]).replace("telemetry: {", f"telemetry: {{otlp_endpoint: '{url}', ")
        gate = await stack.enter_async_context(gateway(tmp_path, config, **FILES))
        client = await stack.enter_async_context(gate.client(gate.token("planner")))
        for flag in ("00", "01"):
            client.headers["traceparent"] = f"00-{TRACE_ID}-{THEIRS}-{flag}"
            await call(client, "raw__echo")
    assert Collector.names == ["tools/call raw__echo"]


@pytest.mark.requirement("invariant.telemetry-never-denies")
async def test_calls_go_on_while_no_collector_is_there(tmp_path: Path) -> None:
    with socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and nobody listens
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1/traces"
        config = ("telemetry: {", f"telemetry: {{otlp_endpoint: '{url}', ")
        async with (
            raw_upstream({"echo": echo}) as up,
            gateway(tmp_path, world([up.entry()]).replace(*config), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            client.headers["traceparent"] = f"00-{TRACE_ID}-{THEIRS}-01"
            assert all(["result" in await call(client, "raw__echo") for _ in range(5)])
