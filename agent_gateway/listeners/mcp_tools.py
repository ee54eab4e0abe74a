"""MCP's `tools/call` through the pipeline.

Describing a call and sending it on is all that is MCP's own here; what happens
in between is `agent_gateway.pipeline.run`, the same for every kind of traffic.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from agent_gateway.listeners import mcp_rounds
from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_ask import CallSink
from agent_gateway.listeners.mcp_carry import Begun, carry, require_scope
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_rounds import Turn, converse
from agent_gateway.listeners.mcp_state import RoundState
from agent_gateway.listeners.mcp_task_ids import as_created, as_legacy_created
from agent_gateway.listeners.mcp_task_ways import by_way, way_of
from agent_gateway.listeners.reply import Reply
from agent_gateway.listeners.steps import StepsOf
from agent_gateway.listeners.tool_outcome import is_tool_error
from agent_gateway.pipeline.authorize import unknown
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.ports import UpstreamAnswer, UpstreamRequest
from gateway_policies.call import Call
from gateway_policies.decision import Permit
from mcp_registry.entries import Entry
from mcp_registry.protocol import envelope, results
from mcp_registry.protocol import inbound as rules
from mcp_registry.protocol.errors import INVALID_PARAMS, ProtocolError, translate_error


async def call_tool(request: McpRequest) -> None:
    """Answer `tools/call`."""
    await carry(request, begin_call)


def begin_call(request: McpRequest, reply: Reply) -> Begun:
    """Describe the call that a `tools/call` asks for; raises a `Refusal` for what is none."""
    inbound = request.inbound
    entry, arguments = _described(request)
    exchange = inbound.gateway.exchange(inbound.principal, inbound.route.name, request.trace_context())
    exchange.arguments = bytes(request.message.params.get("arguments", b"{}"))
    exchange.asked = inbound.route.view.shown_name(entry.capability)
    call = Call(
        exchange.id, inbound.principal, "call", entry.capability, arguments, exchange.started_at,
        inbound.route.name, "tools/call",
    )  # fmt: skip
    sent = Sent(request, entry, exchange, CallSink(request, reply))
    sent.state = mcp_rounds.begin(request, exchange, entry.capability)
    return Begun(exchange, call, sent)


def _described(request: McpRequest) -> tuple[Entry, Mapping[str, object]]:
    """Return the tool and the arguments that a request names; raises a `Refusal` for what is no call."""
    inbound, parsed = request.inbound, request.message.parsed
    require_scope(inbound.principal)
    name, arguments = parsed.get("name"), parsed.get("arguments", {})
    if not isinstance(name, str):
        raise ProtocolError(INVALID_PARAMS, "`name` must be a string")
    if not isinstance(arguments, dict):
        raise ProtocolError(INVALID_PARAMS, "`arguments` must be an object")
    entry = inbound.route.view.find(name)
    if entry is None:
        raise unknown(name)
    arguments = cast("dict[str, object]", arguments)
    if request.era == "modern" and entry.header_params and not request.is_indirect:
        _check_mirrored(inbound, entry, arguments)
    return entry, arguments


def _check_mirrored(inbound: Inbound, entry: Entry, arguments: Mapping[str, object]) -> None:
    """Refuse headers and arguments that disagree; of a tool that is hidden from the caller, say no more than that."""
    try:
        rules.check_params(entry.header_params, arguments, inbound.mcp_headers())
    except ProtocolError:
        capability, route = entry.capability, inbound.route
        if not inbound.snapshot.bundle.visible(inbound.principal, [capability], route=route.name):
            raise unknown(route.view.shown_name(capability)) from None
        raise


class Sent:
    """One call on its way to the upstream, and what came of it as the caller will read it."""

    def __init__(self, request: McpRequest, entry: Entry, exchange: Exchange, sink: CallSink) -> None:
        self._request = request
        self._entry = entry
        self._exchange = exchange
        self.sink = sink
        self.state: RoundState | None = None  # of a call that goes on
        self.body = b""

    async def forward(self, permit: Permit) -> UpstreamAnswer:
        """Send the call on and translate its answer."""
        capability = permit.call.capability
        upstream = self._request.inbound.snapshot.upstreams[capability.upstream]
        turn = Turn(self._request, self._exchange, permit.call, self.sink, self.state)
        way = way_of(self._request, self._entry)
        asked = by_way(way, upstream, self._request.inbound.gateway.farewells)
        outgoing = self.outgoing(permit.call, keeps_task=way == "as_it_is")
        if way == "plain":
            outgoing = replace(outgoing, caller_era=self._request.era)
        if capability.steps:
            outgoing = replace(outgoing, steps=StepsOf(self._request, self._exchange, permit.call, self.sink))
        answer = await converse(turn, asked, outgoing)
        if way in ("as_it_is", "declare"):
            answer = await as_legacy_created(self._request, capability, answer)
        self.take(answer)
        return answer

    def hand_on(self, permit: Permit, answer: UpstreamAnswer) -> UpstreamAnswer:
        """Take a modern answer to what a modern caller sent: it may ask something of that caller."""
        answer = mcp_rounds.as_asked(Turn(self._request, self._exchange, permit.call, self.sink, None), answer)
        self.take(answer)
        return answer

    def outgoing(self, call: Call, *, keeps_task: bool = False) -> UpstreamRequest:
        """Return the request that the upstream gets; `keeps_task`: with the task that a legacy caller asks for."""
        request, capability = self._request, call.capability
        snapshot = request.inbound.snapshot
        changes: dict[str, bytes | None] = {"name": envelope.write(capability.native)}
        if not keeps_task:
            changes["task"] = None
        if "arguments" not in request.message.params:
            changes["arguments"] = b"{}"
        limit_s = snapshot.config.limits.call_timeout_s
        return UpstreamRequest(
            method="tools/call",
            params=envelope.edit(request.message.params, changes),
            principal=call.principal,
            timeout_s=min(snapshot.config.upstreams[capability.upstream].timeout_s, limit_s),
            wants_progress=self.sink.token is not None,
            trace=self._exchange.trace.onward(),
            name_header=capability.native,
            input_schema=self._entry.input_schema if self._entry.header_params else None,
            client_capabilities=request.client.capabilities,
            client_info=request.client.info,
            log_level=request.client.log_level,
            let_go=self.sink.let_go if request.session_id else None,
        )

    def take(self, answer: UpstreamAnswer) -> None:
        """Translate an answer for the caller; raises `UpstreamFailed` for one that it cannot read."""
        request = self._request
        answer = as_created(request, self._entry.capability, answer)
        self.body = body_of(answer, self._exchange, request.message.id, request.reader)


def body_of(answer: UpstreamAnswer, exchange: Exchange, id_raw: bytes, reader: results.Reader) -> bytes:
    """Return an upstream's answer as its reader gets it, and note in `exchange` how the call went."""
    exchange.bytes_out = answer.size_bytes
    if answer.result is None:
        assert answer.error is not None
        error = translate_error(answer.error, source=answer.era, target=reader.era, method="tools/call")
        return envelope.failure(id_raw, error)
    if is_tool_error(answer.result):
        exchange.status = "tool_error"
    return envelope.response(id_raw, results.call_result(answer.result, answer.era, reader))
