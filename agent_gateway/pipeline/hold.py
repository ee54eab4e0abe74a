"""Phase 5: is there enough left? Rates first (cheap, refilled), then budgets (a promise)."""

from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.services import Services
from agent_gateway.snapshot import Snapshot
from agent_gateway.stores.take_hold import take_hold
from gateway_policies.decision import Permit


async def hold(services: Services, snapshot: Snapshot, exchange: Exchange, permit: Permit) -> None:
    """Set every budget level aside for this call, or raise `OverRate`, `OverBudget`, `Unavailable`.

    Does not suspend while this worker's leases suffice.
    """
    call = permit.call
    keys = snapshot.rates.keys_for(call.principal, call.capability)
    if keys:
        services.rates.take(keys, services.monotonic_ns())
    charges = snapshot.charges.charges_for(call.principal, call.capability, call.at)
    if charges:
        exchange.hold = await take_hold(services.ledger, call.id, charges)
