"""Phase 5: is there enough left? Rates first (cheap, refilled), then budgets (a promise)."""

from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.services import Services
from agent_gateway.snapshot import Snapshot
from agent_gateway.stores.take_hold import take_hold
from gateway_policies.decision import Permit


def hold_now(services: Services, snapshot: Snapshot, exchange: Exchange, permit: Permit) -> bool:
    """Set every budget level aside for this call; False when a lease must be fetched first: `await hold(...)`.

    Raises `OverRate`, `OverBudget`, `Unavailable`.
    """
    if exchange.goes_on:  # paid with its first round
        return True
    call = permit.call
    if not exchange.is_rated:
        keys = snapshot.rates.keys_for(call.principal, call.capability)
        if keys:
            services.rates.take(keys, services.monotonic_ns())
        exchange.is_rated = True
    if exchange.is_free:
        return True
    charges = snapshot.charges.charges_for(call.principal, call.capability, call.at)
    if charges:
        exchange.hold = services.ledger.hold(call.id, charges)
    return exchange.hold is not None or not charges


async def hold(services: Services, snapshot: Snapshot, exchange: Exchange, permit: Permit) -> None:
    """Set every budget level aside for this call, or raise `OverRate`, `OverBudget`, `Unavailable`.

    A call that goes on was paid with its first round. Does not suspend while this worker's leases suffice.
    """
    if not hold_now(services, snapshot, exchange, permit):
        call = permit.call
        charges = snapshot.charges.charges_for(call.principal, call.capability, call.at)
        exchange.hold = await take_hold(services.ledger, call.id, charges)
