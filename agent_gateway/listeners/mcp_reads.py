"""MCP's `prompts/get`, `resources/read` and `completion/complete` through the pipeline.

Described and sent on like a tool's call. A resource is found by its URI among
many upstreams (`mcp_registry.routing`); a completion is a use of the prompt or
template it completes, and permitted when that may be used for some arguments.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from msgspec import Raw

from agent_gateway.listeners import mcp_rounds
from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_ask import CallSink
from agent_gateway.listeners.mcp_carry import Begun, carry, require_scope
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_rounds import Turn, converse
from agent_gateway.listeners.mcp_state import RoundState
from agent_gateway.listeners.reply import Reply
from agent_gateway.pipeline.authorize import unknown
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.ports import UpstreamAnswer, UpstreamRequest
from agent_gateway.runtime.unlisted import find_unlisted
from gateway_policies.call import Call
from gateway_policies.decision import Permit
from gateway_policies.kinds import Action, Kind
from mcp_registry.entries import Entry
from mcp_registry.protocol import envelope, results
from mcp_registry.protocol.errors import INVALID_PARAMS, ProtocolError, translate_error
from mcp_registry.routing import Found

Changes = Mapping[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Described:
    """What a request names.

    arguments      what policies may read of it
    raw_arguments  what a record keeps a hash of
    asked          the name or URI as the caller wrote it
    changes        the params that the upstream gets in place of the caller's
    name_header    what `Mcp-Name` must say
    uri_prefix     what stands before the upstream's own URIs where this endpoint shows them
    """

    action: Action
    entry: Entry
    arguments: Mapping[str, object]
    raw_arguments: bytes
    asked: str
    changes: Changes
    name_header: str = ""
    uri_prefix: str = ""


async def get_prompt(request: McpRequest) -> None:
    """Answer `prompts/get`."""
    await carry(request, lambda request, reply: _begin(request, reply, _prompt(request)))


async def read_resource(request: McpRequest) -> None:
    """Answer `resources/read`."""
    await carry(request, lambda request, reply: _begin(request, reply, _resource(request)))


async def complete(request: McpRequest) -> None:
    """Answer `completion/complete`."""
    await carry(request, lambda request, reply: _begin(request, reply, _completion(request)))


def _begin(request: McpRequest, reply: Reply, described: Described) -> Begun:
    inbound, capability = request.inbound, described.entry.capability
    exchange = inbound.gateway.exchange(inbound.principal, inbound.route.name, request.trace_context())
    exchange.arguments, exchange.asked = described.raw_arguments, described.asked
    call = Call(
        exchange.id, inbound.principal, described.action, capability, described.arguments, exchange.started_at,
        inbound.route.name, request.message.method,
    )  # fmt: skip
    sent = Sent(request, described, exchange, CallSink(request, reply))
    if described.action != "complete":
        sent.state = mcp_rounds.begin(request, exchange, capability)
    return Begun(exchange, call, sent)


# --- what a request names --------------------------------------------------------------------


def _prompt(request: McpRequest) -> Described:
    require_scope(request.inbound.principal)
    entry, name = _prompt_named(request, request.message.parsed.get("name"))
    arguments = request.message.parsed.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ProtocolError(INVALID_PARAMS, "`arguments` must be an object")
    raw = bytes(request.message.params.get("arguments", b"{}"))
    native = entry.capability.native
    return Described(
        "get", entry, cast("dict[str, object]", arguments), raw, name, {"name": envelope.write(native)}, native
    )


def _resource(request: McpRequest) -> Described:
    require_scope(request.inbound.principal)
    uri = request.message.parsed.get("uri")
    if not isinstance(uri, str):
        raise ProtocolError(INVALID_PARAMS, "`uri` must be a string")
    found = find_resource(request.inbound, uri)
    if found is None:
        raise unknown(uri, "resource")
    return Described(
        "read",
        found.entry,
        {"uri": found.uri},
        envelope.write({"uri": uri}),
        uri,
        {"uri": envelope.write(found.uri)},
        found.uri,
        uri.removesuffix(found.uri),
    )


def find_resource(inbound: Inbound, uri: str) -> Found | None:
    """Return the resource that this caller means by `uri`: of several upstreams', the first that it may see.

    When it may see none, one of them is returned all the same, and will be refused like an unknown one.
    """
    view, bundle = inbound.route.view, inbound.snapshot.bundle
    candidates = view.router.candidates(uri)
    for found in candidates:
        if bundle.visible(inbound.principal, [found.entry.capability], route=inbound.route.name):
            return found
    return candidates[0] if candidates else find_unlisted(inbound.snapshot, inbound.route, uri)


def _completion(request: McpRequest) -> Described:
    require_scope(request.inbound.principal)
    reference = request.message.parsed.get("ref")
    if not isinstance(reference, dict):
        raise ProtocolError(INVALID_PARAMS, "`ref` must be an object")
    ref = cast("dict[str, object]", reference)
    if ref.get("type") == "ref/prompt":
        entry, name = _prompt_named(request, ref.get("name"))
        member = "name"
    elif ref.get("type") == "ref/resource":
        entry, name = _template_named(request, ref.get("uri"))
        member = "uri"
    else:
        raise ProtocolError(INVALID_PARAMS, "`ref.type` must be `ref/prompt` or `ref/resource`")
    written = envelope.write(entry.capability.native)
    edited = envelope.edit(envelope.read_object(request.message.params["ref"]), {member: written})
    raw = envelope.write({key: value for key, value in request.message.params.items() if key != "_meta"})
    return Described("complete", entry, {}, raw, name, {"ref": envelope.write(edited)})


def _prompt_named(request: McpRequest, name: object) -> tuple[Entry, str]:
    return _named(request, "prompt", name, (request.inbound.route.view.of("prompts"),))


def _template_named(request: McpRequest, uri: object) -> tuple[Entry, str]:
    view = request.inbound.route.view
    return _named(request, "resource", uri, (view.of("resource_templates"), view.of("resources")))


def _named(request: McpRequest, kind: Kind, name: object, among: tuple[Mapping[str, Entry], ...]) -> tuple[Entry, str]:
    if not isinstance(name, str):
        raise ProtocolError(INVALID_PARAMS, f"the {kind}'s name must be a string")
    for entries in among:
        if name in entries:
            return entries[name], name
    raise unknown(name, kind)


# --- on its way ------------------------------------------------------------------------------


class Sent:
    """One request on its way to the upstream, and what came of it as the caller will read it."""

    def __init__(self, request: McpRequest, described: Described, exchange: Exchange, sink: CallSink) -> None:
        self._request = request
        self._described = described
        self._exchange = exchange
        self._sink = sink
        self.state: RoundState | None = None
        self.body = b""

    async def forward(self, permit: Permit) -> UpstreamAnswer:
        """Send the request on and translate its answer."""
        upstream = self._request.inbound.snapshot.upstreams[permit.call.capability.upstream]
        turn = Turn(self._request, self._exchange, permit.call, self._sink, self.state)
        answer = await converse(turn, upstream, self._outgoing(permit.call))
        self._exchange.bytes_out = answer.size_bytes
        self.body = self._body_of(answer)
        return answer

    def _outgoing(self, call: Call) -> UpstreamRequest:
        request, snapshot = self._request, self._request.inbound.snapshot
        limit_s = snapshot.config.limits.call_timeout_s
        return UpstreamRequest(
            method=request.message.method,
            params=envelope.edit(request.message.params, self._described.changes),
            principal=call.principal,
            timeout_s=min(snapshot.config.upstreams[call.capability.upstream].timeout_s, limit_s),
            wants_progress=self._sink.token is not None,
            trace=self._exchange.trace.onward(),
            name_header=self._described.name_header,
            is_idempotent=self.state is None,
            client_capabilities=request.client.capabilities,
            client_info=request.client.info,
            log_level=request.client.log_level,
            caller_era=request.era,
        )

    def _body_of(self, answer: UpstreamAnswer) -> bytes:
        request = self._request
        id_raw, method = request.message.id, request.message.method
        if answer.result is None:
            assert answer.error is not None
            error = translate_error(answer.error, source=answer.era, target=request.era, method=method)
            return envelope.failure(id_raw, error)
        result = results.read_result(method, answer.result, answer.era, request.reader)
        if self._described.uri_prefix:
            result = results.with_uri_prefix(result, self._described.uri_prefix)
        return envelope.response(id_raw, Raw(result))
