"""Recovery: bring a slot's spending up to date from its audit log.

The audit log is the journal of the ledger. A decision record says what was held (`charges`), an
outcome record what of it was used (`settled`); what the store had not counted when the process
died is counted now. A call without an outcome stays charged: an unknown cost is never free.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import cast

from agent_gateway.stores.ledger_store import Delta, Entry, LedgerStore
from gateway_policies.refusal import Unavailable
from gateway_policies.units import MAX_AMOUNT

RecordsAfter = Callable[[int], Iterable[Mapping[str, object]]]
"""Every record of one log whose index is above the argument, in order, without gaps."""

CHUNK_RECORDS = 1_000  # counted in one transaction
_ROW_PARTS = 3  # bucket, window, amount


def recover_slot(store: LedgerStore, slot: str, records_after: RecordsAfter) -> int:
    """Count what is missing of a slot's log, then drop its leases; return how many records were read.

    The caller holds the slot: its process is gone, or is this one and has not begun. Can be
    interrupted and run again. With an empty store this rebuilds the ledger from the log.

    Raises `Unavailable` when the log is shorter than what was counted from it, or holds a record
    that cannot be read: the leases then stay where they are, and nothing is given away.
    """
    mark = store.mark(slot)
    # The record at the mark is read again, to see that this is still the log that was counted.
    records = iter(records_after(max(mark, 0) - 1))
    if mark >= 0 and next(records, None) is None:
        raise Unavailable(
            f"the audit log of worker `{slot}` is shorter than the ledger says",
            hint="restore the log, or remove the ledger to rebuild it from the logs there are",
        )
    open_calls = dict(store.open_calls(slot))
    count = 0
    while chunk := list(islice(records, CHUNK_RECORDS)):
        entries = [
            entry
            for index, record in enumerate(chunk, start=mark + 1 + count)
            if (entry := _entry(index, record, open_calls)) is not None
        ]
        count += len(chunk)
        store.flush(slot, mark + count, entries, {})
    store.drop(slot)
    return count


def _entry(index: int, record: Mapping[str, object], open_calls: dict[str, Sequence[Delta]]) -> Entry | None:
    """Return what a record means to the ledger, keeping `open_calls` up to date; None: nothing."""
    kind, call = record.get("kind"), record.get("call")
    if kind not in ("decision", "outcome") or not isinstance(call, str):
        return None
    if kind == "decision":
        charges = _rows(record.get("charges"), index)
        if not charges:
            return None
        open_calls[call] = charges
        return Entry(index, call, is_decision=True, deltas=charges)
    held = open_calls.pop(call, None)
    if held is None:
        return None
    return Entry(index, call, is_decision=False, deltas=_returned(held, _rows(record.get("settled"), index)))


def _returned(held: Sequence[Delta], settled: Sequence[Delta]) -> tuple[Delta, ...]:
    """Return what of each held amount was not used; a bucket that was not settled was used whole."""
    used = {(bucket, window): amount for bucket, window, amount in settled}
    rest = ((b, w, min(used.get((b, w), amount), amount) - amount) for b, w, amount in held)
    return tuple(delta for delta in rest if delta[2])


def _rows(value: object, index: int) -> tuple[Delta, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise _unreadable(index)
    return tuple(_row(row, index) for row in cast("Sequence[object]", value))


def _row(value: object, index: int) -> Delta:
    if isinstance(value, list | tuple) and len(cast("Sequence[object]", value)) == _ROW_PARTS:
        bucket, window, amount = cast("Sequence[object]", value)
        if isinstance(bucket, str) and isinstance(window, str) and type(amount) is int and 0 <= amount <= MAX_AMOUNT:
            return (bucket, window, amount)
    raise _unreadable(index)


def _unreadable(index: int) -> Unavailable:
    return Unavailable(f"audit record {index} has charges that cannot be read", hint="run `agent-gateway audit verify`")
