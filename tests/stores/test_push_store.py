"""The contract of `PushStore`, run over every adapter. Add an adapter to `STORES`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent_gateway.stores.push_store import DeadLetter, Hook, PushStore, Share
from agent_gateway.stores.sqlite_push import SqlitePush
from agent_gateway.stores.task_store import Owner, Where
from support.memory_push import MemoryPush

STORES: Mapping[str, Callable[[Path], PushStore]] = {
    "memory": lambda path: MemoryPush(max_hooks=3, max_waiting=3),
    "sqlite": lambda path: SqlitePush(path / "push.db", max_hooks=3, max_waiting=3),
}
ANA, BEN = (Where(Owner("acme", name), "worker") for name in ("ana", "ben"))
SHARE = Share(10, 10)
HOOK = Hook("h1", ANA, "t1", "c1", b"sealed", 1.0)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PushStore]:
    with closing(STORES[str(request.param)](tmp_path)) as opened:
        yield opened


def test_a_hook_is_found_by_its_id_and_by_its_owners_task(store: PushStore) -> None:
    assert store.put(HOOK)
    assert (store.get("h1"), store.get("h2")) == (HOOK, None)
    assert (store.of_task(ANA, "t1"), store.of_task(BEN, "t1"), store.of_task(ANA, "t2")) == ([HOOK], [], [])


def test_a_hook_of_the_same_name_takes_the_place_of_the_other(store: PushStore) -> None:
    second = replace(HOOK, id="h2", sealed=b"other")
    assert store.put(HOOK)
    assert store.put(second)
    assert store.of_task(ANA, "t1") == [second]


def test_an_owner_has_so_many_and_no_more(store: PushStore) -> None:
    made = [store.put(replace(HOOK, id=f"h{n}", config_id=f"c{n}")) for n in range(4)]
    assert made == [True, True, True, False]
    assert store.put(replace(HOOK, id="b", where=BEN))


def test_a_hook_is_bound_once(store: PushStore) -> None:
    store.put(replace(HOOK, task=""))
    assert store.bind("h1", "t1")
    assert store.bind("h1", "t1")
    assert not store.bind("h1", "t2")
    assert not store.bind("h2", "t1")


def test_updates_of_a_hook_come_in_order_and_of_two_hooks_at_once(store: PushStore) -> None:
    for name in ("h1", "h2"):
        store.put(replace(HOOK, id=name, config_id=name))
    for name, body in (("h1", b"1"), ("h1", b"2"), ("h2", b"3")):
        assert store.add(name, body, 1.0)
    taken = store.take(1.0, 60.0, SHARE)
    assert [one.body for one in taken] == [b"1", b"3"]
    assert store.take(1.0, 60.0, SHARE) == [], "they are lent"
    store.done(taken[0].id)
    assert [one.body for one in store.take(1.0, 60.0, SHARE)] == [b"2"]
    assert [one.body for one in store.take(61.0, 60.0, SHARE)] == [b"2", b"3"], "a worker that dies loses none"


def test_a_failed_update_waits_and_is_buried_in_the_end(store: PushStore) -> None:
    store.put(HOOK)
    store.add("h1", b"1", 1.0)
    (first,) = store.take(1.0, 60.0, SHARE)
    store.put_off(first.id, 5.0)
    assert store.take(4.0, 60.0, SHARE) == []
    (second,) = store.take(5.0, 60.0, SHARE)
    assert second.tries == 1
    store.bury(second.id, "gone", 6.0)
    assert store.take(999.0, 60.0, SHARE) == []
    assert list(store.dead()) == [DeadLetter("h1", "gone", 6.0, "acme", "worker", "t1", 1)]


def test_what_is_forgotten_takes_its_updates_with_it(store: PushStore) -> None:
    for name, at in (("h1", 1.0), ("h2", 5.0)):
        store.put(replace(HOOK, id=name, config_id=name, created_at=at))
        store.add(name, b"x", 1.0)
    store.prune(5.0)
    assert [one.hook for one in store.take(1.0, 1.0, SHARE)] == ["h2"]
    store.drop("h2")
    assert (store.get("h2"), store.take(99.0, 1.0, SHARE)) == (None, [])


def test_what_waits_for_one_owner_takes_nobody_elses_room(store: PushStore) -> None:
    store.put(HOOK)
    store.put(replace(HOOK, id="h2", config_id="c2"))
    store.put(replace(HOOK, id="b", where=BEN))
    assert [store.add(name, b"x", 1.0) for name in ("h1", "h2", "h1", "h2", "b")] == [True, True, True, False, True]
    assert not store.add("nobody", b"x", 1.0)


def test_everybodys_first_update_comes_before_anybodys_second(store: PushStore) -> None:
    for name, where in (("a1", ANA), ("a2", ANA), ("a3", ANA), ("b1", BEN)):
        assert store.put(replace(HOOK, id=name, config_id=name, where=where))
        assert store.add(name, name.encode(), 1.0)
    assert [one.hook for one in store.take(1.0, 60.0, Share(10, 2, frozenset({BEN.owner})))] == ["a1", "a2"]
    assert [(one.hook, one.owner) for one in store.take(1.0, 60.0, Share(2, 10))] == [
        ("a3", ANA.owner), ("b1", BEN.owner),
    ]  # fmt: skip
    assert [one.hook for one in store.take(99.0, 60.0, Share(2, 2))] == ["a1", "b1"]


def test_a_hook_is_forgotten_with_the_last_update_of_its_task(store: PushStore) -> None:
    store.put(HOOK)
    assert store.add("h1", b"last", 1.0, is_last=True)
    assert store.add("h1", b"one more", 1.0)
    for body in (b"last", b"one more"):
        assert store.get("h1") is not None
        (taken,) = store.take(1.0, 60.0, SHARE)
        assert taken.body == body
        store.done(taken.id)
    assert store.get("h1") is None
    store.put(HOOK)
    store.add("h1", b"lost", 1.0, is_last=True)
    (taken,) = store.take(1.0, 60.0, SHARE)
    store.bury(taken.id, "gone", 1.0)
    assert store.get("h1") is None
    assert list(store.dead()) == [DeadLetter("h1", "gone", 1.0, "acme", "worker", "t1", 4)], "it outlives its hook"
    store.done(taken.id)
