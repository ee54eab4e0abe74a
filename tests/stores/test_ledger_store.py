"""The contract of `LedgerStore`, run over every adapter. Add an adapter to `STORES`."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.stores.ledger_store import Ask, Delta, Entry, Grant, LedgerStore, Usage, lease_size
from support.ledgers import DAY, sqlite_store
from support.memory_ledger_store import FlakyLedger, MemoryLedger

STORES: dict[str, Callable[[Path], LedgerStore]] = {
    "memory": lambda path: FlakyLedger(MemoryLedger()),
    "sqlite": sqlite_store,
}
KEY = ("daily/acme", DAY)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerStore]:
    with closing(STORES[str(request.param)](tmp_path)) as opened:
        yield opened


def ask(need: int, have: int = 0, limit: int = 100, least: int | None = None) -> Ask:
    return Ask(*KEY, limit, have, need, need if least is None else least)


def decision(index: int, call: str, amount: int = 5) -> Entry:
    return Entry(index, call, is_decision=True, deltas=((*KEY, amount),))


def outcome(index: int, call: str, unused: int = 0) -> Entry:
    deltas: tuple[Delta, ...] = ((*KEY, -unused),) if unused else ()
    return Entry(index, call, is_decision=False, deltas=deltas)


def figures(store: LedgerStore) -> tuple[int, int, int]:
    (usage,) = store.usage()
    return usage.spent, usage.held, usage.leased


def test_a_new_store_is_empty(store: LedgerStore) -> None:
    assert (list(store.usage()), store.mark("0"), dict(store.open_calls("0")), set(store.slots_in_use())) == (
        [],
        -1,
        {},
        set(),
    )


def test_leases_never_sum_to_more_than_the_limit(store: LedgerStore) -> None:
    granted = [store.lease(str(slot), [ask(30)], 4)[0].granted for slot in range(6)]
    assert granted == [30, 30, 30, 0, 0, 0]
    assert figures(store) == (0, 0, 90)


def test_a_grant_that_is_too_small_for_anybody_is_not_made(store: LedgerStore) -> None:
    store.lease("0", [ask(95)], 4)
    assert store.lease("1", [ask(12, least=6)], 4) == [Grant(granted=0, left=5, spent=0, elsewhere=95)]
    assert store.lease("1", [ask(12, least=5)], 4) == [Grant(granted=5, left=0, spent=0, elsewhere=95)]


def test_a_lease_is_what_the_slot_has_and_what_it_is_granted_whatever_was_known_before(store: LedgerStore) -> None:
    store.lease("0", [ask(50)], 4)
    assert store.lease("0", [ask(1, have=10)], 1)[0].granted == 22
    assert figures(store) == (0, 0, 32)
    store.lease("0", [ask(0, have=0, least=0)], 1000)
    assert figures(store)[2] == 0


def test_a_lowered_limit_grants_nothing_and_is_never_negative(store: LedgerStore) -> None:
    store.lease("0", [ask(50)], 4)
    store.flush("0", 0, [decision(0, "a", 50)], {KEY: 0})
    assert store.lease("0", [ask(1, limit=20)], 1) == [Grant(granted=0, left=0, spent=50, elsewhere=0)]
    assert store.lease("0", [ask(1, limit=51)], 1)[0].granted == 1
    assert [usage.limit for usage in store.usage()] == [51]


def test_all_asks_of_one_lease_are_answered_in_order(store: LedgerStore) -> None:
    asks = [Ask("b", DAY, 10, 0, 3, 3), Ask("a", DAY, 10, 0, 4, 4), Ask("a", "2026-11", 10, 0, 5, 5)]
    assert [grant.granted for grant in store.lease("0", asks, 4)] == [3, 4, 5]
    assert [(u.bucket, u.window, u.leased) for u in store.usage()] == [
        ("a", "2026-11", 5),
        ("a", DAY, 4),
        ("b", DAY, 3),
    ]


def test_a_decision_is_held_until_its_outcome_and_then_costs_what_was_used(store: LedgerStore) -> None:
    store.lease("0", [ask(10)], 100)
    store.flush("0", 0, [decision(0, "a", 10)], {KEY: 0})
    assert figures(store) == (0, 10, 0)
    assert [list(deltas) for deltas in store.open_calls("0").values()] == [[(*KEY, 10)]]
    store.flush("0", 1, [outcome(1, "a", 7)], {KEY: 7})
    assert (figures(store), dict(store.open_calls("0")), store.mark("0")) == ((3, 0, 7), {}, 1)


def test_a_flush_that_is_sent_again_counts_nothing_twice(store: LedgerStore) -> None:
    first = [decision(0, "a"), decision(1, "b"), outcome(2, "b", 4)]
    for _ in range(3):
        store.flush("0", 2, first, {KEY: 9})
        assert figures(store) == (1, 5, 9)
    for _ in range(2):
        store.flush("0", 4, [*first, outcome(3, "a", 5), decision(4, "c", 2)], {KEY: 0})
        assert figures(store) == (1, 2, 0)


def test_an_outcome_that_comes_late_still_counts_and_only_once(store: LedgerStore) -> None:
    store.flush("0", 9, [decision(0, "a"), decision(9, "b")], {})
    store.flush("0", 9, [outcome(5, "a", 2), outcome(5, "a", 2)], {})
    store.flush("0", 9, [outcome(5, "a", 2)], {})
    assert (figures(store), store.mark("0")) == ((3, 5, 0), 9)


def test_an_outcome_of_a_call_that_nobody_knows_gives_nothing_back(store: LedgerStore) -> None:
    store.flush("0", 0, [decision(0, "a")], {})
    store.flush("1", 7, [outcome(7, "a", 5)], {})
    assert figures(store) == (0, 5, 0)


def test_entries_may_come_in_any_order(store: LedgerStore) -> None:
    store.flush("0", 1, [outcome(1, "a", 3), decision(0, "a")], {})
    assert figures(store) == (2, 0, 0)


def test_a_mark_never_goes_back(store: LedgerStore) -> None:
    store.flush("0", 5, [], {})
    store.flush("0", 3, [decision(3, "old")], {})
    assert (store.mark("0"), list(store.usage())) == (5, [])


def test_slots_know_nothing_of_one_another(store: LedgerStore) -> None:
    store.flush("0", 5, [decision(5, "a")], {KEY: 1})
    store.flush("1", 2, [decision(2, "a")], {KEY: 2})
    assert (store.mark("0"), store.mark("1"), set(store.slots_in_use())) == (5, 2, {"0", "1"})
    store.drop("0")
    assert (figures(store), set(store.slots_in_use()), store.mark("0")) == ((5, 5, 2), {"1"}, 5)


def test_an_open_call_alone_keeps_a_slot_in_use(store: LedgerStore) -> None:
    store.flush("0", 0, [decision(0, "a")], {})
    assert set(store.slots_in_use()) == {"0"}


def test_a_bucket_met_only_in_a_log_has_no_limit_until_someone_asks(store: LedgerStore) -> None:
    store.flush("0", 0, [decision(0, "a")], {})
    assert list(store.usage()) == [Usage(*KEY, 0, 0, 5, 0, 1_795_392_000)]
    assert store.lease("0", [ask(1, limit=6)], 9) == [Grant(granted=1, left=0, spent=5, elsewhere=0)]


def test_a_charge_of_nothing_opens_nothing(store: LedgerStore) -> None:
    store.flush("0", 0, [decision(0, "a", 0)], {})
    store.flush("0", 1, [outcome(1, "a")], {})
    assert (figures(store), set(store.slots_in_use())) == ((0, 0, 0), set())


def test_pruning_forgets_ended_windows_but_not_what_is_in_use(store: LedgerStore) -> None:
    for bucket, window in (("a", "2024-01-05"), ("a", "2024-01"), ("a", DAY), ("a", "total"), ("leased", "2024-01")):
        store.lease("0", [Ask(bucket, window, 10, 0, 1, 1)], 9)
        if bucket != "leased":
            store.flush("0", -1, [], {(bucket, window): 0})
    store.flush("0", 0, [Entry(0, "call", is_decision=True, deltas=(("open", "2024-01", 1),))], {})
    store.prune("2025-10")
    assert [(usage.bucket, usage.window) for usage in store.usage()] == [
        ("a", DAY),
        ("a", "total"),
        ("leased", "2024-01"),
        ("open", "2024-01"),
    ]


def test_a_closed_store_opens_again_when_it_is_needed(store: LedgerStore) -> None:
    store.flush("0", 0, [decision(0, "a")], {})
    store.close()
    store.close()
    assert figures(store) == (0, 5, 0)


@given(st.integers(-10, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 64))
def test_a_lease_is_the_need_or_a_share_and_never_more_than_is_left(
    left: int, more: int, least: int, workers: int
) -> None:
    need = least + more
    size = lease_size(left, need, least, workers)
    assert 0 <= size <= max(0, left)
    assert (size == 0) == (left < max(least, 1) or max(need, left // (4 * workers)) == 0)
    assert size in (0, left, need, left // (4 * workers))
