"""Recover the slots of workers that died and whose slot nobody has taken since."""

import logging
from collections.abc import Callable
from pathlib import Path

from agent_gateway.stores.leased_ledger import LeasedLedger
from agent_gateway.stores.recovery import RecordsAfter
from agent_gateway.stores.slots import recoverable_slots
from gateway_policies.refusal import Unavailable

_log = logging.getLogger(__name__)


async def recover_dead(ledger: LeasedLedger, slots_dir: Path, log_of: Callable[[str], RecordsAfter]) -> dict[str, int]:
    """Give back what dead workers had leased; return how many records were read, by slot.

    log_of  how to read the audit log of a slot, given its name

    Call it at the start and now and then. A slot that cannot be recovered is logged and
    left as it is; its leases stay set aside. Raises `Unavailable` when the store does not answer.
    """
    recovered: dict[str, int] = {}
    for slot in recoverable_slots(slots_dir, await ledger.slots_in_use()):
        try:
            recovered[slot.name] = await ledger.recover(slot.name, log_of(slot.name))
        except Unavailable as refusal:
            _log.error("the budgets of worker %s cannot be recovered: %s", slot.name, refusal.message)
        finally:
            slot.close()
    return recovered
