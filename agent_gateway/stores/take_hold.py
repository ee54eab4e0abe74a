"""Take a hold: the synchronous try, and the lease it needs when it is too cold."""

from collections.abc import Sequence

from agent_gateway.ports import Charge, Hold, Ledger
from gateway_policies.refusal import Unavailable

MAX_TRIES = 100


async def take_hold(ledger: Ledger, call_id: str, charges: Sequence[Charge]) -> Hold:
    """Return the hold, awaiting leases only when the worker has too little.

    Raises `OverBudget`, or `Unavailable` when the store fails or other calls win `MAX_TRIES` times.
    """
    for _ in range(MAX_TRIES):
        hold = ledger.hold(call_id, charges)
        if hold is not None:
            return hold
        await ledger.lease(charges)
    raise Unavailable("other calls were faster each time", hint="try again shortly")
