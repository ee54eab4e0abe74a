"""MCP's lists: tools, prompts, resources, templates; what this caller may use, page by page."""

from agent_gateway.listeners.guard import prefers
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.listeners.resumable import ResumableReply
from gateway_policies.refusal import Refusal
from mcp_registry.protocol import envelope, results
from mcp_registry.protocol.errors import INVALID_PARAMS, ProtocolError
from mcp_registry.protocol.lists import ListShape

CURSOR_LIFE_S = 3600.0


async def serve_list(request: McpRequest, shape: ListShape) -> None:
    """Answer one page of a list, saying when something is missing."""
    inbound, gateway = request.inbound, request.inbound.gateway
    offset = _offset(request, shape)
    listing = gateway.listing(inbound.snapshot, inbound.principal, inbound.route.path, shape.kind)
    if offset > len(listing.visible):
        raise ProtocolError(INVALID_PARAMS, "this cursor leads nowhere", hint="list again from the start")
    items, following = listing.page(request.era, offset, inbound.snapshot.config.limits.page_items)
    cursor = None if following is None else _seal_cursor(request, shape, following)
    page = results.Page(items, shape.member, cursor, listing.degraded, listing.ttl_ms)
    body = envelope.response(request.message.id, results.list_result(page, request.reader))
    if shape.kind == "tools":
        gateway.services.metrics.note_list(inbound.principal, inbound.route.name, listing.tokens)
    gateway.record_list(shape.method, inbound.principal, inbound.route.name, request.trace_context(), len(body))
    if request.session_id and prefers(inbound.headers, b"text/event-stream", b"application/json"):
        reply = ResumableReply(request)
        await reply.begin()
        await reply.finish(body)
        return
    await send_bytes(inbound.send, 200, body)


def _seal_cursor(request: McpRequest, shape: ListShape, offset: int) -> str:
    inbound, gateway = request.inbound, request.inbound.gateway
    until = gateway.services.clock() + CURSOR_LIFE_S
    return gateway.sealer.seal(_cursor_purpose(request, shape), inbound.principal, b"%d" % offset, until)


def _cursor_purpose(request: McpRequest, shape: ListShape) -> str:
    return f"cursor:{shape.kind}:{request.inbound.route.name}"


def _offset(request: McpRequest, shape: ListShape) -> int:
    cursor = request.message.parsed.get("cursor")
    if cursor is None:
        return 0
    if not isinstance(cursor, str):
        raise ProtocolError(INVALID_PARAMS, "`cursor` must be a string")
    gateway, inbound = request.inbound.gateway, request.inbound
    purpose = _cursor_purpose(request, shape)
    try:
        opened = gateway.sealer.open(purpose, inbound.principal, cursor, gateway.services.clock())
    except Refusal:
        raise ProtocolError(
            INVALID_PARAMS, "this cursor is not one of ours", hint="list again from the start"
        ) from None
    return int(opened)
