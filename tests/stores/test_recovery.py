"""After a crash: what the audit log says was spent is spent, and nothing else is held."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from agent_gateway.stores.recover_dead import recover_dead
from agent_gateway.stores.recovery import CHUNK_RECORDS, recover_slot
from agent_gateway.stores.slots import acquire_slot, take_slot
from agent_gateway.stores.take_hold import take_hold
from gateway_policies.refusal import Unavailable
from support.fake_recorder import FakeRecorder
from support.ledgers import DAY, FakeClock, Worker, charge, figures, worker
from support.memory_ledger_store import MemoryLedger

NAME = "daily/acme/planner"
BUCKET = f"{NAME} {DAY}"


def decision(call: str, amount: object = 5) -> Mapping[str, object]:
    return {"kind": "decision", "call": call, "charges": [[NAME, DAY, amount]]}


def outcome(call: str, actual: object = 5) -> Mapping[str, object]:
    return {"kind": "outcome", "call": call, "settled": [[NAME, DAY, actual]]}


def log(*records: Mapping[str, object]) -> FakeRecorder:
    recorder = FakeRecorder()
    for record in records:
        recorder.append(record)
    return recorder


def test_a_ledger_that_was_lost_is_rebuilt_from_the_log() -> None:
    store = MemoryLedger()
    records = log(decision("a"), {"kind": "refusal"}, outcome("a", 2), decision("b"), {"kind": "decision", "call": "c"})
    assert recover_slot(store, "0", records.records_after) == 5
    assert (figures(store), store.mark("0")) == ({BUCKET: (7, 0, 0)}, 4)


def test_recovering_again_changes_nothing() -> None:
    store, records = MemoryLedger(), log(decision("a"), outcome("a", 2), decision("b"))
    for _ in range(3):
        recover_slot(store, "0", records.records_after)
        assert figures(store) == {BUCKET: (7, 0, 0)}


def test_a_long_log_is_counted_in_pieces() -> None:
    store = MemoryLedger()
    records = log(*(record for n in range(CHUNK_RECORDS) for record in (decision(str(n)), outcome(str(n), 1))))
    recover_slot(store, "0", records.records_after)
    assert figures(store) == {BUCKET: (CHUNK_RECORDS, 0, 0)}


async def crashed(store: MemoryLedger, recorder: FakeRecorder) -> None:
    """A worker that had one call of each kind when it died."""
    async with worker(store, recorder=recorder, clock=FakeClock()) as one:
        await one.ledger.lease([charge(10, limit=100)])
        await use_everything(one, recorder)
        # What happens from here on, its death, is what the store below is put back to.
        before = (dict(store.spent), dict(store.leases), dict(store.open), dict(store.marks))
    store.spent, store.leases, store.open, store.marks = before


async def use_everything(one: Worker, recorder: FakeRecorder) -> None:
    assert await one.call("ended", [charge(10, limit=100)], [4])
    running = await take_hold(one.ledger, "running", [charge(10, limit=100)])
    one.book(running)
    ending = await take_hold(one.ledger, "ending", [charge(10, limit=100)])
    one.book(ending)
    await one.ledger.flush()
    one.settle(ending, [3])
    assert await one.call("unreported", [charge(10, limit=100)], [1])
    recorder.make_durable()
    assert one.ledger.hold("unbooked", [charge(1, limit=100)]) is not None


async def test_a_crash_charges_what_ran_and_gives_back_what_did_not() -> None:
    store, recorder = MemoryLedger(), FakeRecorder()
    await crashed(store, recorder)
    assert figures(store)[BUCKET][2] > 0
    recover_slot(store, "0", recorder.records_after)
    assert figures(store) == {BUCKET: (4 + 10 + 3 + 1, 0, 0)}
    async with worker(store, recorder=recorder) as again:
        assert await again.call("after", [charge(82, limit=100)])
        assert not await again.call("too much", [charge(1, limit=100)])


async def test_another_worker_recovers_a_slot_whose_process_is_gone() -> None:
    store, recorder = MemoryLedger(), FakeRecorder()
    await crashed(store, recorder)
    async with worker(store, "1", workers=2) as other:
        assert "0" in await other.ledger.slots_in_use()
        assert await other.ledger.recover("0", recorder.records_after) > 0
        assert await other.call("rest", [charge(82, limit=100)])
        assert not await other.call("too much", [charge(1, limit=100)])


async def test_the_slots_of_the_dead_are_recovered_and_one_bad_log_stops_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryLedger()
    store.flush("1", -1, [], {(NAME, DAY): 9})
    store.flush("2", -1, [], {(NAME, DAY): 8})
    store.flush("3", -1, [], {(NAME, DAY): 3})
    logs = {"1": log(decision("a", -1)), "2": log(decision("b"), outcome("b", 4))}
    mine, alive = acquire_slot(tmp_path), take_slot(tmp_path, "3")
    assert alive is not None
    async with worker(store, mine.name, workers=4) as one:
        await one.ledger.lease([charge(1, limit=50)])
        assert await recover_dead(one.ledger, tmp_path, lambda slot: logs[slot].records_after) == {"2": 2}
        assert set(await one.ledger.slots_in_use()) == {"0", "1", "3"}
    assert figures(store) == {BUCKET: (4, 0, 12)}
    assert "worker 1 cannot be recovered" in caplog.text
    assert take_slot(tmp_path, "3") is None
    for slot in (mine, alive):
        slot.close()


def test_a_log_shorter_than_what_was_counted_denies_and_gives_nothing_away() -> None:
    store, records = MemoryLedger(), log(decision("a"), decision("b"))
    store.flush("0", -1, [], {(NAME, DAY): 9})
    recover_slot(store, "0", records.records_after)
    store.flush("0", 1, [], {(NAME, DAY): 9})
    with pytest.raises(Unavailable, match="shorter than the ledger"):
        recover_slot(store, "0", log(decision("a")).records_after)
    assert figures(store) == {BUCKET: (10, 0, 9)}


def test_an_outcome_cannot_give_back_more_than_was_held_or_of_another_call() -> None:
    store = MemoryLedger()
    records = log(decision("a"), outcome("a", 500), outcome("a", 0), outcome("b", 0), decision("c"))
    records.append({"kind": "outcome", "call": "c", "settled": []})
    recover_slot(store, "0", records.records_after)
    assert figures(store) == {BUCKET: (10, 0, 0)}


@pytest.mark.parametrize("amount", [-5, 1.5, True, "5", None, 2**53, [5]])
def test_a_record_whose_charges_cannot_be_read_stops_the_recovery(amount: object) -> None:
    store = MemoryLedger()
    store.flush("0", -1, [], {(NAME, DAY): 9})
    with pytest.raises(Unavailable, match="audit record 0 has charges that cannot be read"):
        recover_slot(store, "0", log(decision("a", amount)).records_after)
    assert set(store.slots_in_use()) == {"0"}


@pytest.mark.parametrize("charges", ["all", {"a": 1}, [["a", "b"]], [3], [[1, DAY, 1]], [[NAME, 1, 1]]])
def test_charges_of_any_other_shape_stop_the_recovery(charges: object) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        recover_slot(MemoryLedger(), "0", log({"kind": "decision", "call": "a", "charges": charges}).records_after)
