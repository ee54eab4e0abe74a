"""The life of one call, for every kind of traffic. Start reading here.

    1 accept        the listener: size, Host, Origin, one of each critical header, strict JSON
    2 authenticate  the listener: Principal, cached by the whole token
    3 describe      the protocol: Call; from here nothing knows the protocol
    4 authorize     Decision → Permit, or Forbidden
    5 hold          rates, then every budget level or none
    6 guard         the arguments against the schema that was approved
    7 record        the decision, durably, before anything leaves
    8 forward       needs the Permit; the upstream's own credential
    9 stream        frames back through the sink, with back-pressure
    10 settle       the hold with what was used, and record the outcome

Phases 4 to 6 are plain functions on memory; only a cold lease awaits. A Refusal
raised anywhere ends the call; `agent_gateway.errors` says how it looks.

INVARIANT: no Permit, no forward. No decision record, no forward. Exactly one
outcome record per decision record, whatever happened in between.
"""

import asyncio
from collections.abc import Awaitable, Callable

from agent_gateway.pipeline.authorize import authorize
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.fault import fault
from agent_gateway.pipeline.guard import guard
from agent_gateway.pipeline.hold import hold
from agent_gateway.pipeline.record import record_decision, record_refusal
from agent_gateway.pipeline.services import Services
from agent_gateway.pipeline.settle import settle
from agent_gateway.ports import UpstreamAnswer
from agent_gateway.snapshot import Snapshot
from gateway_policies.call import Call
from gateway_policies.decision import Permit
from gateway_policies.refusal import Refusal, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable

Forward = Callable[[Permit], Awaitable[UpstreamAnswer]]


async def run(
    services: Services, snapshot: Snapshot, exchange: Exchange, call: Call, forward: Forward
) -> UpstreamAnswer:
    """Carry one described call to its answer.

    forward  the protocol's way to send the call on, streaming what comes early; it gets the Permit,
             and may set `exchange.status` when the answer means more than that it came

    Raises a `Refusal` after recording it; what fails inside the gateway is one too.
    """
    exchange.call = call
    try:
        permit = authorize(snapshot, exchange, call)
        await hold(services, snapshot, exchange, permit)
        guard(snapshot, permit)
        await record_decision(services, snapshot, exchange)
    except Refusal as refusal:
        await record_refusal(services, snapshot, exchange, refusal)
        raise
    except Exception as error:
        refusal = fault()  # of our own: the call is refused, and its records say so
        await record_refusal(services, snapshot, exchange, refusal)
        raise refusal from error
    except BaseException:
        exchange.status, exchange.code = "cancelled", "cancelled"
        settle(services, exchange)
        raise
    return await carry(services, exchange, permit, forward)


async def carry(services: Services, exchange: Exchange, permit: Permit, forward: Forward) -> UpstreamAnswer:
    """Forward a recorded call; settle and record its outcome on every way out.

    Raises a `Refusal`, for what fails inside the gateway too: the call may have been sent, so it counts as lost.
    """
    try:
        exchange.was_sent = True
        answer = await forward(permit)
        answered(exchange, answer)
        return answer
    except Refusal as refusal:
        failed(exchange, refusal)
        raise
    except asyncio.CancelledError:
        exchange.status, exchange.code = "cancelled", "cancelled"
        raise
    except Exception as error:
        refusal = fault()
        exchange.status, exchange.code = "lost", refusal.code
        raise refusal from error
    finally:
        settle(services, exchange)


def answered(exchange: Exchange, answer: UpstreamAnswer) -> None:
    """Note that a forwarded call was answered."""
    if exchange.status == "open":  # the protocol may know better: a tool that failed is no upstream that failed
        exchange.status = "ok" if answer.result is not None else "upstream_error"


def failed(exchange: Exchange, refusal: Refusal) -> None:
    """Note why a forwarded call has no answer."""
    exchange.code = refusal.code
    if isinstance(refusal, UpstreamTimeout):
        exchange.status = "timeout"
    elif isinstance(refusal, UpstreamFailed):
        exchange.status = "upstream_error"
        if isinstance(refusal, UpstreamUnreachable):
            exchange.was_sent = False
    else:
        exchange.status = "refused"
