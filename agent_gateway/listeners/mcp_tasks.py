"""MCP's `tasks/get`, `tasks/update`, `tasks/result`, `tasks/cancel` and `tasks/list` through the pipeline.

Following a task is a use of the tool that it came about by: permitted when that may be
used for some arguments in this operation, recorded like any call. The call that made the
task paid for it; what follows it counts for rates alone.
"""

from dataclasses import dataclass, replace
from typing import Final

import msgspec
from msgspec import Raw

from agent_gateway.listeners import mcp_task_bridge as bridge
from agent_gateway.listeners.mcp_ask import CallSink
from agent_gateway.listeners.mcp_carry import Begun, carry, require_scope
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_rounds import Turn
from agent_gateway.listeners.mcp_task_ids import Handle, opened
from agent_gateway.listeners.mcp_task_ways import Renaming
from agent_gateway.listeners.steps import StepsOf
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.run import run
from agent_gateway.ports import McpUpstream, UpstreamAnswer, UpstreamRequest
from agent_gateway.upstreams.http_exchange import garbage
from gateway_policies.call import Call
from gateway_policies.decision import Permit
from gateway_policies.refusal import OverRate, Refusal, Unavailable, UpstreamFailed
from mcp_registry.entries import Entry
from mcp_registry.protocol import envelope, legacy_tasks, results, tasks
from mcp_registry.protocol.errors import MISSING_REQUIRED_CLIENT_CAPABILITY, ProtocolError, translate_error


async def follow_task(request: McpRequest) -> None:
    """Answer a request that names a task."""
    require_scope(request.inbound.principal)
    require_declared(request)
    handle, entry = opened(request, request.message.parsed.get(tasks.TASK_ID))
    if handle.node and await request.inbound.hand_over(handle.node):
        return
    followed, method = Followed(handle, entry), request.message.method
    await carry(request, lambda request, reply: about_task(request, followed, CallSink(request, reply), method))


def require_declared(request: McpRequest) -> None:
    """Raise `ProtocolError` (-32021) when a modern caller did not declare that it follows tasks."""
    if request.era == "modern" and not tasks.is_declared(request.client.capabilities):
        raise ProtocolError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"this needs `{tasks.EXTENSION}`, which the client did not declare",
            data=tasks.MISSING,
        )


@dataclass(frozen=True, slots=True)
class Followed:
    """The task that a request names, and its tool."""

    handle: Handle
    entry: Entry


def about_task(request: McpRequest, followed: Followed, sink: CallSink, operation: str) -> Begun:
    """Return a request about a task as a call of its tool; `operation` is the protocol's word for it."""
    inbound, message = request.inbound, request.message
    exchange = inbound.gateway.exchange(inbound.principal, inbound.route.name, request.trace_context())
    exchange.is_free = True
    exchange.asked = followed.handle.tool
    exchange.arguments = envelope.write({name: raw for name, raw in message.params.items() if name != "_meta"})
    call = Call(
        exchange.id, inbound.principal, "complete", followed.entry.capability, {}, exchange.started_at,
        inbound.route.name, operation,
    )  # fmt: skip
    return Begun(exchange, call, Following(request, followed, exchange, sink))


async def task_now(
    request: McpRequest, sink: CallSink, task_id: str, operation: str, *, counts: bool = False
) -> Raw | None:
    """Return one of the caller's own tasks as `tasks/get` would tell it now; None where it would tell nothing.

    operation  what this asking is recorded as
    counts     whether it counts for rates

    Raises `OverRate`, `Unavailable` and `UpstreamFailed`: another time it may tell.
    """
    gateway = request.inbound.gateway
    asked = {tasks.TASK_ID: Raw(envelope.write(task_id))}
    message = replace(request.message, method=tasks.GET, params=asked, parsed={tasks.TASK_ID: task_id})
    route = gateway.snapshot.routes.get(request.inbound.route.path)
    if route is None:
        return None
    inbound = replace(request.inbound, snapshot=gateway.snapshot, route=route)  # a stream outlives many
    request = replace(request, message=message, inbound=inbound)
    try:
        begun = about_task(request, Followed(*opened(request, task_id)), sink, operation)
        begun.exchange.is_rated = not counts
        await run(gateway.services, gateway.snapshot, begun.exchange, begun.call, begun.sent.forward)
    except (OverRate, Unavailable, UpstreamFailed):
        raise
    except Refusal:
        return None
    answer = envelope.read_answer(begun.sent.body)
    return answer.result if isinstance(answer, envelope.Response) else None


class Following:
    """One request about a task on its way to the upstream, and what came of it as the caller will read it."""

    def __init__(self, request: McpRequest, followed: Followed, exchange: Exchange, sink: CallSink) -> None:
        self._request = request
        self._handle = followed.handle
        self._exchange = exchange
        self._sink = sink
        self._asked = str(request.message.parsed[tasks.TASK_ID])
        self.body = b""

    async def forward(self, permit: Permit) -> UpstreamAnswer:
        """Send the request on and translate its answer."""
        upstream = self._request.inbound.snapshot.upstreams[permit.call.capability.upstream]
        answer = await self._ask(permit, upstream)
        self._exchange.bytes_out = answer.size_bytes
        self.body = self._body_of(answer)
        return answer

    async def _ask(self, permit: Permit, upstream: McpUpstream) -> UpstreamAnswer:
        request, asked = self._request, self._outgoing(permit.call)
        info = request.inbound.snapshot.infos.get(upstream.name)
        if info is None or info.era == request.era:
            rename = {self._handle.native: self._asked}.get
            return await upstream.request(asked, Renaming(self._sink, lambda params: tasks.renamed(params, rename)))
        turn = Turn(request, self._exchange, permit.call, self._sink, None)
        one = bridge.Crossing(turn, upstream, asked, self._handle.native, self._asked)
        follow = bridge.follow_legacy if info.era == "legacy" else bridge.follow_modern
        return await follow(one, request.message.method)

    def _outgoing(self, call: Call) -> UpstreamRequest:
        request, snapshot, native = self._request, self._request.inbound.snapshot, self._handle.native
        params = {
            name: raw if name == "_meta" else tasks.renamed(raw, {self._asked: native}.get)
            for name, raw in request.message.params.items()
        }
        return UpstreamRequest(
            method=request.message.method,
            params=envelope.edit(params, {tasks.TASK_ID: envelope.write(native)}),
            principal=call.principal,
            timeout_s=min(
                snapshot.config.upstreams[call.capability.upstream].timeout_s, snapshot.config.limits.call_timeout_s
            ),
            trace=self._exchange.trace.onward(),
            name_header=native,
            is_idempotent=request.message.method == tasks.GET,
            client_capabilities=Raw(self._handle.declared) if self._handle.declared else request.client.capabilities,
            client_info=request.client.info,
            log_level=request.client.log_level,
            steps=StepsOf(request, self._exchange, call, self._sink),
        )

    def _body_of(self, answer: UpstreamAnswer) -> bytes:
        request, id_raw = self._request, self._request.message.id
        method = request.message.method
        if answer.result is None:
            assert answer.error is not None
            error = translate_error(answer.error, source=answer.era, target=request.era, method=method)
            return envelope.failure(id_raw, error)
        result = self._renamed(answer.result)
        if method == legacy_tasks.RESULT:
            return envelope.response(id_raw, results.call_result(result, answer.era, request.reader))
        return envelope.response(id_raw, results.read_result(method, result, answer.era, request.reader))

    def _renamed(self, result: Raw) -> Raw:
        """Return a result under the id that the caller knows; raises `UpstreamFailed` for one of another task."""
        native = self._handle.native
        if self._request.message.method == legacy_tasks.RESULT:
            return tasks.renamed(result, {native: self._asked}.get)
        try:
            task = tasks.read_task(result) if self._request.message.method == tasks.GET else _NAMED.decode(result)
        except ValueError as error:
            raise garbage("it holds no task") from error
        if task.id is not None and task.id != native:
            raise garbage("it is about another task")
        named = result if task.id is None else tasks.with_id(result, self._asked)
        return tasks.renamed(named, {native: self._asked}.get)


class _Named(msgspec.Struct):
    id: str | None = msgspec.field(name=tasks.TASK_ID, default=None)


_NAMED: Final = msgspec.json.Decoder(_Named)
