"""Phase 5: is there enough left? Rates first (cheap, refilled), then budgets (a promise)."""

from agent_gateway.pipeline.exchange import Exchange
from agent_gateway.pipeline.services import Services
from agent_gateway.snapshot import Snapshot
from gateway_policies.decision import Permit
from gateway_policies.refusal import OverBudget

_MAX_LEASE_ROUNDS = 8  # another caller may take what was just leased; after so many rounds, say no


async def hold(services: Services, snapshot: Snapshot, exchange: Exchange, permit: Permit) -> None:
    """Set every budget level aside for this call, or raise `OverRate`, `OverBudget`, `Unavailable`.

    Does not suspend while this worker's leases suffice.
    """
    call = permit.call
    allowance = snapshot.allowances.of(call)
    if allowance.rate_keys:
        services.rates.take(allowance.rate_keys, services.monotonic_ns())
    charges = allowance.charges
    if not charges:
        return
    for _ in range(_MAX_LEASE_ROUNDS):
        held = services.ledger.hold(call.id, charges)
        if held is not None:
            exchange.hold = held
            return
        await services.ledger.lease(charges)
    raise OverBudget(
        "too many callers want the rest of this budget at once",
        hint="try again in a moment",
        retry_after_s=1.0,
    )
