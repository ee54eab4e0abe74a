"""MCP's `tasks/list` of 2025-11-25: one's own tasks at this endpoint, whichever upstreams they are at.

Whose they are is in the store, from the call that made each; how each stands is asked of its
upstream, as a call that is decided and recorded like any other about a task. A task that its
upstream or the policies of this moment do not show is left out.
"""

import asyncio
from typing import Final

import msgspec
from msgspec import Raw

from agent_gateway.listeners.mcp_ask import CallSink
from agent_gateway.listeners.mcp_carry import require_scope
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_task_ids import own_list
from agent_gateway.listeners.mcp_tasks import task_now
from agent_gateway.stores.task_store import Choice
from gateway_policies.refusal import Refusal, UpstreamFailed
from mcp_registry.protocol import envelope, legacy_tasks
from mcp_registry.protocol.errors import INVALID_PARAMS, ProtocolError

PAGE_TASKS: Final = 20
CURSOR_LIFE_S: Final = 3600.0


async def list_tasks(request: McpRequest) -> None:
    """Answer `tasks/list`: a page of one's own tasks, last made first."""
    inbound, gateway = request.inbound, request.inbound.gateway
    require_scope(inbound.principal)
    after = _after(request)
    reply = gateway.reply(inbound.send, inbound.headers)
    with gateway.running(inbound.principal, None, reply) as in_charge:
        sink = CallSink(request, reply)
        noted, _ = await gateway.tasks.page(own_list(request), Choice(), after, PAGE_TASKS + 1)
        # The first alone: it counts for rates, and a list that is refused asks no upstream.
        shown = [await _shown(request, sink, one.id, is_first=True) for one in noted[:1]]
        shown += await asyncio.gather(*(_shown(request, sink, one.id, is_first=False) for one in noted[1:PAGE_TASKS]))
        in_charge.is_done = True
    result: dict[str, object] = {"tasks": [one for one in shown if one is not None]}
    if len(noted) > PAGE_TASKS:
        last = noted[PAGE_TASKS - 1]
        result["nextCursor"] = _seal(request, (last.updated_at, last.id))
    body = envelope.response(request.message.id, envelope.write(result))
    gateway.record_list(legacy_tasks.LIST, inbound.principal, inbound.route.name, request.trace_context(), len(body))
    await reply.finish(body)


async def _shown(request: McpRequest, sink: CallSink, task_id: str, *, is_first: bool) -> Raw | None:
    try:
        return await task_now(request, sink, task_id, legacy_tasks.LIST, counts=is_first)
    except UpstreamFailed:
        return None


def _after(request: McpRequest) -> tuple[float, str] | None:
    cursor = request.message.parsed.get("cursor")
    if cursor is None:
        return None
    inbound, gateway = request.inbound, request.inbound.gateway
    now = gateway.services.clock()
    try:
        text = cursor if isinstance(cursor, str) else ""
        return _CURSOR.decode(gateway.sealer.open(_purpose(request), inbound.principal, text, now))
    except Refusal:
        raise ProtocolError(
            INVALID_PARAMS, "this cursor is not one of ours", http_status=200, hint="list again from the start"
        ) from None


def _seal(request: McpRequest, after: tuple[float, str]) -> str:
    inbound, gateway = request.inbound, request.inbound.gateway
    until = gateway.services.clock() + CURSOR_LIFE_S
    return gateway.sealer.seal(_purpose(request), inbound.principal, msgspec.msgpack.encode(after), until)


def _purpose(request: McpRequest) -> str:
    return f"cursor:tasks:{request.inbound.route.name}"


_CURSOR: Final = msgspec.msgpack.Decoder(tuple[float, str])
