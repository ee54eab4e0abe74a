"""The store of pins: first come, first approved; approved is exactly what was looked at."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent_gateway.stores.pin_store import Pinned, PinStore, Place
from gateway_policies.refusal import NotFound, Unavailable

OLD, NEW, NEWER = (Pinned("log", f"sha256:{n}", b'{"n":%d}' % n) for n in (1, 2, 3))
LOG = Place("git", "tools", "log")


@pytest.fixture
def store(tmp_path: Path) -> PinStore:
    return PinStore(tmp_path / "pins.db")


def test_the_first_to_trust_a_name_decides_for_all(store: PinStore, tmp_path: Path) -> None:
    assert store.trust("git", "tools", [OLD], 1.0) == {"log": OLD.pin}
    assert PinStore(tmp_path / "pins.db").trust("git", "tools", [NEW], 2.0) == {"log": OLD.pin}
    assert store.approved("git", "tools") == {"log": OLD.pin}
    assert store.approved("git", "prompts") == store.approved("other", "tools") == {}


def test_what_waits_is_what_is_withheld_now(store: PinStore) -> None:
    store.trust("git", "tools", [OLD], 1.0)
    store.wait("git", "tools", [NEW], 2.0)
    store.wait("git", "tools", [NEW], 3.0)
    (one,) = store.waiting()
    assert (one.place, one.pin, one.definition, one.seen_at, one.state) == (
        LOG,
        NEW.pin,
        NEW.definition,
        2.0,
        "pending",
    )
    assert (one.approved_pin, one.approved) == (OLD.pin, OLD.definition)
    store.wait("git", "tools", [NEWER], 4.0)
    assert [one.pin for one in store.waiting()] == [NEWER.pin]
    store.wait("git", "tools", [], 5.0)
    assert store.waiting() == []


def test_only_the_very_definition_that_waits_is_approved(store: PinStore) -> None:
    store.wait("git", "tools", [NEW], 1.0)
    for pin in (OLD.pin, NEWER.pin, ""):
        with pytest.raises(NotFound):
            store.approve(LOG, pin, "ana", 2.0)
    with pytest.raises(NotFound):
        store.approve(Place("git", "prompts", "log"), NEW.pin, "ana", 2.0)
    assert store.approve(LOG, NEW.pin, "ana", 2.0) == ""
    assert (store.approved("git", "tools"), store.waiting()) == ({"log": NEW.pin}, [])
    store.wait("git", "tools", [NEWER], 3.0)
    assert store.approve(LOG, NEWER.pin, "ana", 4.0) == NEW.pin


def test_a_rejection_stays_until_the_definition_is_another(store: PinStore) -> None:
    store.wait("git", "tools", [NEW], 1.0)
    store.reject(LOG, NEW.pin)
    store.wait("git", "tools", [NEW], 2.0)
    assert [one.state for one in store.waiting()] == ["rejected"]
    store.wait("git", "tools", [NEWER], 3.0)
    assert [(one.state, one.approved) for one in store.waiting()] == [("pending", b"")]
    with pytest.raises(NotFound):
        store.reject(LOG, NEW.pin)


def test_a_file_that_is_none_is_unavailable_and_not_empty(tmp_path: Path) -> None:
    (tmp_path / "pins.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(Unavailable):
        PinStore(tmp_path / "pins.db").approved("git", "tools")


def test_a_writer_that_is_waited_for_too_long_is_unavailable(store: PinStore, tmp_path: Path) -> None:
    store.trust("git", "tools", [OLD], 1.0)
    with closing(sqlite3.connect(tmp_path / "pins.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            PinStore(tmp_path / "pins.db", busy_timeout_s=0.01).trust("git", "tools", [NEW], 2.0)
        other.execute("ROLLBACK")
