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
    await services.recorder.durable(append_decision(services, snapshot, exchange))


def append_decision(services: Services, snapshot: Snapshot, exchange: Exchange) -> int:
    """Append the decision with its hold, tie the hold to it, and return its index: not durable yet."""
    assert exchange.decision is not None
    charges = exchange.hold.charges if exchange.hold is not None else ()
    index = _append(services, snapshot, exchange, exchange.decision, charges)
    if exchange.hold is not None:
        services.ledger.book(exchange.hold, index)
    return index


async def record_refusal(services: Services, snapshot: Snapshot, exchange: Exchange, refusal: Refusal) -> None:
    """Record a call that ends before it is forwarded: what was decided, that it was refused, and why.

    A hold that no record carries yet is given back. Returns when the records are durable. When the
    log itself is what fails, there is nothing left to write on: the refusal stands unrecorded.
    """
    try:
        index = append_refusal(services, snapshot, exchange, refusal)
        if index is not None:
            await services.recorder.durable(index)
    except Refusal:
        services.metrics.count_refusal("unrecorded")
    except asyncio.CancelledError:
        settle(services, exchange)  # still as refused: that is how it ended before its caller left
        raise


def append_refusal(services: Services, snapshot: Snapshot, exchange: Exchange, refusal: Refusal) -> int | None:
    """Append what `record_refusal` records and return the decision's index; None when the log does not take it."""
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
    except Refusal:
        services.metrics.count_refusal("unrecorded")
        return None
    settle(services, exchange)
    return exchange.decision_index


def _append(
    services: Services, snapshot: Snapshot, exchange: Exchange, decision: Decision, charges: tuple[Charge, ...]
) -> int:
    call, lines = exchange.call, exchange.lines
    assert call is not None
    arguments = services.seal.of(exchange.principal.tenant, exchange.arguments)
    trace = exchange.trace.traceparent
    if lines is not None and lines.fit(decision, charges):
        line = lines.decision.fill(
            arguments.size_bytes, arguments.hmac.encode(), int(call.at * 1000), call.id.encode(), trace.encode()
        )
        index = services.recorder.append_line(line, "decision")
    else:
        record = records.decision(call, decision, charges, arguments, snapshot.id, trace)
        index = services.recorder.append(record)
    exchange.decision_index = index
    return index
