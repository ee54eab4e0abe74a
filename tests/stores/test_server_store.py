"""The store of published servers: whose entries are read, and how many there may be."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from agent_gateway.stores.pin_store import PinStore
from agent_gateway.stores.server_store import ServerStore
from gateway_policies.refusal import TooMuch
from mcp_registry.servers import ServerEntry


def entry(name: str, owner: str, version: str = "1.0.0") -> ServerEntry:
    document: Mapping[str, object] = {"name": name, "description": "x", "version": version}
    return ServerEntry(document, f"acme/{owner}", owner, "pending")


def test_what_others_publish_is_not_even_read_before_it_is_approved(tmp_path: Path) -> None:
    store = ServerStore(tmp_path / "registry.db")
    store.publish(entry("io.a/x", "ana"))
    store.publish(entry("io.b/y", "ben"))
    assert [one.name for one in store.seen_by("ana")] == ["io.a/x"]
    assert store.seen_by("") == []
    store.approve("io.b/y", "1.0.0", 2.0)
    assert [one.name for one in store.seen_by("ana")] == ["io.a/x", "io.b/y"]
    assert [one.name for one in store.seen_by("ana", "io.b/y")] == ["io.b/y"]


def test_nobody_fills_the_registry_alone(tmp_path: Path) -> None:
    store = ServerStore(tmp_path / "registry.db", max_per_owner=2)
    for version in ("1.0.0", "1.0.1"):
        store.publish(entry("io.a/x", "ana", version))
    with pytest.raises(TooMuch):
        store.publish(entry("io.a/x", "ana", "1.0.2"))
    store.publish(entry("io.b/y", "ben"))


def test_files_of_several_workers_have_a_rollback_journal(tmp_path: Path) -> None:
    """Older SQLite can corrupt a file whose write-ahead log is reset under two connections."""
    ServerStore(tmp_path / "registry.db").entries()
    PinStore(tmp_path / "pins.db").approved("git", "tools")
    for name in ("registry.db", "pins.db"):
        with closing(sqlite3.connect(tmp_path / name)) as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
