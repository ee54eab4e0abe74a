"""Phase 7: the decision, in the log and durable, before anything leaves."""

import asyncio
from dataclasses import replace

from agent_gateway.audit import records
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.services import Services
from agent_gateway.pipeline.settle import settle
from agent_gateway.ports import Charge
from agent_gateway.snapshot import Snapshot
from gateway_policies.decision import Decision
from gateway_policies.refusal import Refusal


async def record_decision(services: Services, snapshot: Snapshot, exchange: Exchange) -> None:
    """Append the decision with its hold, tie the hold to it, and wait until it is durable.

    Raises `Unavailable` when the log cannot take it: then nothing is forwarded.
    """
    assert exchange.decision is not None
    charges = exchange.hold.charges if exchange.hold is not None else ()
    index = _append(services, snapshot, exchange, exchange.decision, charges)
    if exchange.hold is not None:
        services.ledger.book(exchange.hold, index)
    await services.recorder.durable(index)


async def record_refusal(services: Services, snapshot: Snapshot, exchange: Exchange, refusal: Refusal) -> None:
    """Record a call that ends before it is forwarded: what was decided, that it was refused, and why.

    A hold that no record carries yet is given back. Returns when the records are durable. When the
    log itself is what fails, there is nothing left to write on: the refusal stands unrecorded.
    """
    exchange.status, exchange.code = "refused", refusal.code
    try:
        if exchange.decision_index is None:
            if exchange.hold is not None:
                services.ledger.release(exchange.hold)
                exchange.hold = None
            decision = exchange.decision or Decision(effect="forbid", policies=(), bundle=snapshot.bundle.stamp)
            if decision.is_permit:  # permitted by policy, refused by what came after
                decision = replace(decision, effect="forbid", code=refusal.code)
            _append(services, snapshot, exchange, decision, ())
        settle(services, exchange)
        if exchange.decision_index is not None:
            await services.recorder.durable(exchange.decision_index)
    except Refusal:
        services.metrics.count_refusal("unrecorded")
    except asyncio.CancelledError:
        settle(services, exchange)  # still as refused: that is how it ended before its caller left
        raise


def _append(
    services: Services, snapshot: Snapshot, exchange: Exchange, decision: Decision, charges: tuple[Charge, ...]
) -> int:
    assert exchange.call is not None
    arguments = services.seal.of(exchange.principal.tenant, exchange.arguments)
    record = records.decision(
        exchange.call, decision, charges, arguments, snapshot.id, exchange.trace.onward()["traceparent"]
    )
    index = services.recorder.append(record)
    exchange.decision_index = index
    return index
