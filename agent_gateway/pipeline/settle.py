"""Phase 10: settle the hold and record the outcome, on every way out of a call.

Plain synchronous code, so that no cancellation can come between: a client
that left, an upstream that died and a refusal all pass here once.
"""

from collections.abc import Sequence

from agent_gateway.audit import records
from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.services import Services
from agent_gateway.ports import Charge
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
    lines = exchange.lines
    if lines is not None and lines.charges is charges and exchange.was_sent:
        actual = lines.amounts
    else:
        actual = tuple([charge.amount if exchange.was_sent else 0 for charge in charges])
    duration_ns = services.monotonic_ns() - exchange.started_ns
    try:
        index = _append_outcome(services, exchange, charges, actual, duration_ns // 1000)
    except Unavailable:
        index = exchange.decision_index
        services.metrics.count_refusal("unrecorded")
    if hold is not None:
        services.ledger.settle(hold, actual, index)
    services.metrics.count_call(exchange.call.capability.upstream, exchange.status, duration_ns / 1e9)
    services.on_end(exchange)


def _append_outcome(
    services: Services, exchange: Exchange, charges: Sequence[Charge], actual: Sequence[int], duration_us: int
) -> int:
    call, lines = exchange.call, exchange.lines
    assert call is not None
    assert exchange.status != "open"
    is_plain = exchange.status == "ok" and exchange.was_sent and not exchange.code
    if lines is not None and is_plain and lines.charges is charges:
        line = lines.outcome.fill(
            int(services.clock() * 1000),
            len(exchange.arguments),
            exchange.bytes_out,
            call.id.encode(),
            duration_us,
        )
        return services.recorder.append_line(line, "outcome")
    outcome = records.outcome(
        call,
        services.clock(),
        exchange.status,
        exchange.code,
        records.Traffic(len(exchange.arguments), exchange.bytes_out, duration_us),
        zip(charges, actual, strict=True),
    )
    return services.recorder.append(outcome)
