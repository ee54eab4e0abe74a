"""The steps of a composite: calls within a call, each of them a whole one. Implements `ports.Steps`.

A step is decided as its caller's own call at the same endpoint, checked against its tool's schema, paid from the
same budgets and recorded; its record names the composite's. What the caller may not call, no composite calls for it.
"""

import json
from collections.abc import Mapping

from msgspec import Raw

from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.tool_outcome import is_tool_error
from agent_gateway.pipeline.authorize import unknown
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.run import run
from agent_gateway.ports import Sink, UpstreamAnswer, UpstreamRequest
from gateway_policies import strict_json
from gateway_policies.call import Call
from gateway_policies.decision import Permit
from gateway_policies.refusal import Refusal
from mcp_registry.protocol import envelope


class StepsOf:
    """The calls that one call makes."""

    def __init__(self, request: McpRequest, exchange: Exchange, call: Call, sink: Sink) -> None:
        self._request = request
        self._exchange = exchange
        self._call = call
        self._sink = sink

    async def call(self, upstream: str, tool: str, arguments: Mapping[str, object], timeout_s: float) -> UpstreamAnswer:
        """Make one call; see `ports.Steps`."""
        inbound, parent = self._request.inbound, self._call
        gateway, snapshot = inbound.gateway, inbound.snapshot
        view = snapshot.catalog.servers.get(upstream)
        entry = view.find(tool) if view is not None else None
        if entry is None:
            raise unknown(tool)
        capability = entry.capability
        raw = json.dumps(arguments, separators=(",", ":")).encode()
        strict_json.parse(raw, max_depth=snapshot.config.limits.json_depth)  # no more than a caller may send itself
        exchange = gateway.exchange(parent.principal, parent.route, self._exchange.trace.onward())
        exchange.arguments = raw
        call = Call(
            exchange.id, parent.principal, "call", capability, arguments, exchange.started_at, parent.route,
            "tools/call", parent.id,
        )  # fmt: skip
        sent = UpstreamRequest(
            method="tools/call",
            params={"name": Raw(envelope.write(capability.native)), "arguments": Raw(exchange.arguments)},
            principal=parent.principal,
            timeout_s=min(snapshot.config.upstreams[upstream].timeout_s, timeout_s),
            trace=exchange.trace.onward(),
            name_header=capability.native,
            input_schema=entry.input_schema if entry.header_params else None,
            steps=StepsOf(self._request, exchange, call, self._sink) if capability.steps else None,
        )

        async def forward(permit: Permit) -> UpstreamAnswer:
            del permit
            answer = await snapshot.upstreams[upstream].request(sent, self._sink)
            exchange.bytes_out = answer.size_bytes
            if answer.result is not None and is_tool_error(answer.result):
                exchange.status = "tool_error"
            return answer

        try:
            return await run(gateway.services, snapshot, exchange, call, forward)
        except Refusal as refusal:
            gateway.services.metrics.count_refusal(refusal.code)
            raise
