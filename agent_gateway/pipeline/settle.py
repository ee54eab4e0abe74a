"""Phase 10: settle the hold and record the outcome, on every way out of a call.

Plain synchronous code, so that no cancellation can come between: a client
that left, an upstream that died and a refusal all pass here once.
"""

from agent_gateway.audit import records
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.services import Services
from gateway_policies.refusal import Unavailable


def settle(services: Services, exchange: Exchange) -> None:
    """End the call's accounts; does nothing the second time.

    What was sent is charged in full; what provably never left costs nothing. A call without a
    decision record has no outcome record either: its hold, if any, is given back.
    """
    if exchange.is_settled or exchange.call is None:
        return
    exchange.is_settled = True
    if exchange.status == "open":
        exchange.status, exchange.code = "lost", "internal"  # nobody said how it ended: the gateway itself failed
    hold = exchange.hold
    if exchange.decision_index is None:
        if hold is not None:
            services.ledger.release(hold)
        return
    charges = hold.charges if hold is not None else ()
    actual = tuple(charge.amount if exchange.was_sent else 0 for charge in charges)
    duration_ns = services.monotonic_ns() - exchange.started_ns
    outcome = records.outcome(
        exchange.call,
        services.clock(),
        exchange.status,
        exchange.code,
        records.Traffic(len(exchange.arguments), exchange.bytes_out, duration_ns // 1000),
        zip(charges, actual, strict=True),
    )
    try:
        index = services.recorder.append(outcome)
    except Unavailable:
        index = exchange.decision_index
        services.metrics.count_refusal("unrecorded")
    if hold is not None:
        services.ledger.settle(hold, actual, index)
    services.metrics.count_call(exchange.call.capability.upstream, exchange.status, duration_ns / 1e9)
    services.on_end(exchange)
