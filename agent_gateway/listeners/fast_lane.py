"""Lanes: all that the calls of one tool, sent by one client in one way, have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from msgspec import Raw

from agent_gateway.audit.lines import Lines, lines_of
from agent_gateway.listeners.fast_message import METHOD, Shape, shape_of
from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_ask import CallSink
from agent_gateway.listeners.mcp_client import Client
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_tools import Sent
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.ports import Charge
from agent_gateway.upstreams.direct import ARGUMENTS_MARK, TRACE_MARK, Direct, Form, is_plain_json
from agent_gateway.upstreams.h1_response import H1Response
from agent_gateway.upstreams.mcp_http import HttpUpstream
from gateway_policies.call import Call, Capability
from gateway_policies.decision import Decision
from gateway_policies.refusal import Refusal
from mcp_registry.protocol import envelope
from mcp_registry.protocol import inbound as rules
from mcp_registry.protocol.envelope import Request
from mcp_registry.protocol.results import Reader
from mcp_registry.protocol.versions import (
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_SERVER_INFO,
    META_VERSION,
)

MAX_LANES: Final = 64  # of one connection's head
_PLAIN_META: Final = frozenset({META_VERSION, META_CLIENT_CAPABILITIES, META_CLIENT_INFO})


@dataclass(slots=True)
class Lane:
    """What is constant; `lines` are those of the last decision, `plain_headers` of the last answer that was plain.

    own_meta     the `_meta` of a result that has none
    name_header  what the request's own `mcp-name` must be
    """

    capability: Capability
    asked: str
    name_header: bytes
    upstream: HttpUpstream
    direct: Direct
    version: str
    form: Form
    reader: Reader
    timeout_s: float
    own_meta: bytes
    shape: Shape | None = None
    lines: Lines | None = None
    plain_headers: Mapping[bytes, bytes] | None = None

    def text_of(self, id_raw: bytes, result: bytes) -> bytes:
        """Return the answer to a caller around a usual result: what `mcp_tools.body_of` returns for it."""
        inside = result[1:].lstrip()
        return b'{"jsonrpc":"2.0","id":%b,"result":{%b%b%b}' % (
            id_raw, self.own_meta, b"" if inside == b"}" else b",", inside,
        )  # fmt: skip

    @property
    def is_warm(self) -> bool:
        """Whether the upstream may be called, and still speaks as it did."""
        return self.upstream.modern_version == self.version and self.direct.is_open

    def is_plain(self, response: H1Response) -> bool:
        """Say whether a response is what the short way reads; its head is remembered, as connections do."""
        is_plain = is_plain_json(response)
        if is_plain:
            self.plain_headers = response.headers
        return is_plain

    def lines_for(self, call: Call, decided: Decision, charges: Sequence[Charge], snapshot: str) -> Lines | None:
        """Return the records' lines of calls decided like this one."""
        if self.lines is None or not self.lines.fit(decided, charges):
            self.lines = lines_of(call, decided, charges, snapshot)
        return self.lines


def request_of(inbound: Inbound) -> McpRequest | None:
    """Return a modern, plain request as the long way reads it; None when it is anything else."""
    message = envelope.read_message(inbound.body, max_depth=inbound.snapshot.config.limits.json_depth)
    if not isinstance(message, Request) or message.method != METHOD:
        return None
    try:
        route = rules.route(inbound.mcp_headers(), message, has_session=False)
    except Refusal:
        return None
    if route.era != "modern":
        return None
    client = Client(route.client_capabilities, route.client_info, route.log_level)
    return McpRequest(inbound, message, route.era, route.version, "", route, client)


def open_lane(request: McpRequest, exchange: Exchange) -> Lane | None:
    """Return the lane of calls like `request`; None when they must go the long way.

    exchange  of this very call: only its name and its principal are looked at
    """
    inbound, message = request.inbound, request.message
    name = str(message.parsed["name"])
    entry = inbound.route.view.find(name)
    if entry is None or entry.header_params or not _PLAIN_META.issuperset(message.meta):
        return None
    capability = entry.capability
    upstream = inbound.snapshot.upstreams.get(capability.upstream)
    if not isinstance(upstream, HttpUpstream) or not upstream.modern_version:
        return None
    credentials = upstream.credentials_now(inbound.principal)
    if credentials is None:
        return None
    marked = replace(message, params=_marked(message.params))
    call = Call(exchange.id, inbound.principal, "call", capability, {}, 0.0, inbound.route.name, METHOD)
    sink = CallSink(request, inbound.gateway.reply(inbound.send, inbound.headers))
    outgoing = Sent(replace(request, message=marked), entry, exchange, sink).outgoing(call)
    form = upstream.direct.form(
        replace(outgoing, trace={"traceparent": TRACE_MARK}), upstream.modern_version, credentials
    )
    if form is None:
        return None
    return Lane(
        capability=capability,
        asked=inbound.route.view.shown_name(capability),
        name_header=inbound.headers[b"mcp-name"],
        upstream=upstream,
        direct=upstream.direct,
        version=upstream.modern_version,
        form=form,
        reader=request.reader,
        timeout_s=outgoing.timeout_s,
        own_meta=b'"_meta":{"%b":%b}' % (META_SERVER_INFO.encode(), bytes(inbound.gateway.server_info)),
        shape=shape_of(inbound.body),
    )


def _marked(params: Mapping[str, Raw]) -> dict[str, Raw]:
    return {**params, "arguments": Raw(ARGUMENTS_MARK.encode())}
