"""One governed MCP request, whatever it asks for: begun, carried through the pipeline, answered.

What a method names and how it is sent on is said by `mcp_tools` and `mcp_reads`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agent_gateway.listeners.body import ClientWatch
from agent_gateway.listeners.mcp_error import Headers, render, status_of
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.reply import Reply
from agent_gateway.listeners.resumable import ResumableReply
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.run import run
from agent_gateway.ports import UpstreamAnswer
from gateway_policies.call import Call
from gateway_policies.decision import Permit
from gateway_policies.principal import Principal
from gateway_policies.refusal import Forbidden, Refusal
from mcp_registry.protocol import progress

CALL_SCOPE = "tools:call"
_T = TypeVar("_T")


class Sending(Protocol):
    """A described call on its way to the upstream; `body` is what its caller gets, once it is there."""

    body: bytes

    async def forward(self, permit: Permit) -> UpstreamAnswer: ...


@dataclass(frozen=True, slots=True)
class Begun:
    """A request that has described a call."""

    exchange: Exchange
    call: Call
    sent: Sending


Begin = Callable[[McpRequest, Reply], Begun]


async def carry(request: McpRequest, begin: Begin) -> None:
    """Answer a governed request: describe, run, reply. A refusal of the described call is answered here.

    begin  describes the call; raises a `Refusal` for what is none
    """
    inbound, gateway = request.inbound, request.inbound.gateway
    is_resumable = request.era == "legacy" and request.session_id
    reply = ResumableReply(request) if is_resumable else gateway.reply(inbound.send, inbound.headers)

    async def work() -> tuple[int, bytes, Headers]:
        begun = begin(request, reply)
        try:
            await run(gateway.services, inbound.snapshot, begun.exchange, begun.call, begun.sent.forward)
        except Refusal as refusal:
            gateway.services.metrics.count_refusal(refusal.code)
            return render(request.message.id, refusal, request.era, begun.exchange.id)
        return status_of(request.message.id, begun.sent.body, request.era), begun.sent.body, ()

    answer = await attended(request, reply, work)
    if answer is not None:
        status, body, headers = answer
        await reply.finish(body, status, headers)


async def attended(request: McpRequest, reply: Reply, work: Callable[[], Awaitable[_T]]) -> _T | None:
    """Do work while its caller wants it: one that leaves, or cancels, ends it. None: there is nobody to answer."""
    inbound = request.inbound
    with inbound.gateway.running(inbound.principal, cancel_key(request), reply) as in_charge:
        watch = ClientWatch(inbound.receive, in_charge.cancel) if request.era == "modern" else None
        try:
            return await work()
        except asyncio.CancelledError:
            if not in_charge.was_cancelled:
                raise
            in_charge.forgive()
            await reply.abandon()
            return None
        finally:
            in_charge.is_done = True
            if watch is not None:
                watch.stop()


def require_scope(principal: Principal) -> None:
    """Raise `Forbidden` (`insufficient_scope`) for an access token that is not for calls."""
    if principal.credential == "access_token" and CALL_SCOPE not in principal.scopes:
        raise Forbidden(
            f"the token lacks the scope `{CALL_SCOPE}`", code="insufficient_scope", hint="ask the token service for it"
        )


def cancel_key(request: McpRequest) -> Hashable | None:
    """Return what `notifications/cancelled` will name; a modern call is cancelled by leaving."""
    if request.era == "modern":
        return None
    return (request.inbound.principal.key, request.session_id, progress.id_key(request.message.id))
