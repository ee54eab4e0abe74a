"""What is special about the SQLite store: its file, its schema, its failures."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from agent_gateway.stores.ledger_store import Ask, Entry, Usage
from agent_gateway.stores.sqlite_ledger import MIGRATIONS, SqliteLedger, connect, read_usage
from gateway_policies.refusal import Unavailable
from support.ledgers import DAY, FailingDisk, sqlite_store

KEY = ("daily/acme", DAY)
ASK = Ask(*KEY, 100, 0, 5, 5)
DECISION = Entry(0, "a", is_decision=True, deltas=((*KEY, 5),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_the_file_is_its_owners_and_uses_a_rollback_journal(path: Path) -> None:
    with closing(SqliteLedger(path)) as store:
        store.lease("0", [ASK], 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [entry.name for entry in path.parent.iterdir()] == ["ledger.db"]


def test_a_ledger_of_a_newer_version_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with closing(SqliteLedger(path)) as store, pytest.raises(Unavailable, match="newer version"):
        store.usage()


def test_two_processes_may_make_the_file_at_the_same_time(path: Path) -> None:
    with closing(SqliteLedger(path)) as one, closing(SqliteLedger(path)) as two:
        one.lease("0", [ASK], 100)
        assert two.lease("1", [ASK], 100)[0].elsewhere == 5


def test_a_file_that_is_no_ledger_denies(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with closing(SqliteLedger(path)) as store, pytest.raises(Unavailable) as caught:
        store.lease("0", [ASK], 1)
    assert str(path) not in f"{caught.value.message} {caught.value.hint}"
    with pytest.raises(Unavailable, match="cannot be read"):
        read_usage(path)


def test_a_directory_that_is_not_there_denies_until_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with closing(SqliteLedger(folder / "ledger.db")) as store:
        with pytest.raises(Unavailable):
            store.usage()
        folder.mkdir()
        assert store.usage() == []


def test_a_store_that_another_process_keeps_locked_denies(path: Path) -> None:
    def impatient(at: Path) -> sqlite3.Connection:
        db = connect(at)
        db.execute("PRAGMA busy_timeout = 1")
        return db

    with closing(SqliteLedger(path, impatient)) as store, closing(connect(path)) as other:
        store.usage()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            store.lease("0", [ASK], 1)
        other.execute("ROLLBACK")
        assert store.lease("0", [ASK], 100)[0].granted == 5


@pytest.mark.parametrize("statement", ["INSERT INTO bucket", "INSERT OR REPLACE INTO mark", "COMMIT"])
def test_a_flush_that_fails_half_way_changes_nothing(path: Path, statement: str) -> None:
    disk = FailingDisk()
    with closing(SqliteLedger(path, disk)) as store:
        store.lease("0", [ASK], 100)
        disk.fail_next = statement
        with pytest.raises(Unavailable):
            store.flush("0", 0, [DECISION], {KEY: 0})
        assert [(u.spent, u.held, u.leased) for u in store.usage()] == [(0, 0, 5)]
        assert store.mark("0") == -1
        store.flush("0", 0, [DECISION], {KEY: 0})
        assert [(u.spent, u.held, u.leased) for u in store.usage()] == [(0, 5, 0)]


def test_a_negative_lease_cannot_be_stored(path: Path) -> None:
    with closing(SqliteLedger(path)) as store, pytest.raises(Unavailable):
        store.flush("0", 0, [], {KEY: -1})


def test_a_number_too_big_for_the_file_is_refused_not_rounded(path: Path) -> None:
    with closing(SqliteLedger(path)) as store, pytest.raises(Unavailable):
        store.lease("0", [Ask(*KEY, 2**63, 0, 1, 1)], 1)


def test_a_refused_ask_writes_nothing(path: Path) -> None:
    with closing(SqliteLedger(path)) as store:
        store.lease("0", [Ask(*KEY, 5, 0, 5, 5)], 1)
        before = path.read_bytes()
        assert store.lease("1", [Ask(*KEY, 5, 0, 1, 1)], 1)[0].granted == 0
        assert path.read_bytes() == before


def test_usage_can_be_read_while_a_worker_runs(path: Path) -> None:
    with closing(SqliteLedger(path)) as store:
        store.lease("0", [ASK], 100)
        store.flush("0", 0, [DECISION], {KEY: 0})
        assert read_usage(path) == [Usage(*KEY, 100, 0, 5, 0, 1_795_392_000)]


def test_usage_of_no_ledger_and_of_an_empty_one_is_nothing(path: Path) -> None:
    assert read_usage(path) == []
    path.touch()
    assert read_usage(path) == []
    assert not path.read_bytes()


def test_a_file_that_was_made_with_a_write_ahead_log_is_brought_back(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    with closing(sqlite_store(path.parent)) as store:
        store.lease("0", [ASK], 1)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_database_that_cannot_have_a_rollback_journal_denies(path: Path) -> None:
    def in_memory(at: Path) -> sqlite3.Connection:
        return sqlite3.connect(":memory:", isolation_level=None)

    with closing(SqliteLedger(path, in_memory)) as store, pytest.raises(Unavailable, match="rollback journal"):
        store.usage()
