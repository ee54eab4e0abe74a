"""Reading the logs: merged, filtered, followed, found by call."""

import sqlite3
from pathlib import Path

import anyio
import pytest

from agent_gateway.audit import records
from agent_gateway.audit.reader import (
    MAX_SCANNED,
    Criteria,
    Entry,
    Tail,
    entries,
    find,
    follow,
    leaves,
    log_paths,
    page,
    records_after,
    size,
)
from agent_gateway.audit.reader import records as read_records
from agent_gateway.audit.writer import Limits
from support.audit_log import FORBID, LAZY, START, decision, open_log, outcome

SMALL_BATCHES = Limits(checkpoint_every_s=3_600.0, max_batch_records=3)
NOW_MS = int(START * 1_000)


def at(record: records.Record, offset_ms: int) -> records.Record:
    return record | {"at_ms": NOW_MS + offset_ms}


async def write(directory: Path, slot: str, *made: records.Record) -> None:
    async with open_log(directory, SMALL_BATCHES, slot) as log:
        for record in made:
            log.append(record)


def names(found: list[Entry]) -> list[str]:
    return [f"{entry.log}/{entry.index} {entry.record.get('kind')}" for entry in found]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """w0: an allowed and a forbidden call of two agents; w1: another tenant's call and a refusal."""

    async def fill() -> None:
        await write(
            tmp_path,
            "w0",
            at(decision("c1"), 0),
            at(decision("c2", FORBID, agent="coder", tool="git__git_push"), 10),
            at(outcome("c1"), 30),
        )
        origin = records.Origin("mcp", "203.0.113.7")
        await write(
            tmp_path,
            "w1",
            at(decision("c3", tenant="umbrella"), 5),
            at(records.refusal(START, "unauthenticated", 401, origin), 20),
            at(outcome("c3", "tool_error", tenant="umbrella"), 40),
        )

    anyio.run(fill)
    return tmp_path


def test_records_of_all_workers_come_in_order_of_time(directory: Path) -> None:
    expected = ["w0/0 decision", "w1/0 decision", "w0/1 decision", "w1/1 refusal", "w0/2 outcome", "w1/2 outcome"]
    assert names(list(read_records(directory))) == expected
    assert names(list(read_records(directory, reverse=True))) == expected[::-1]


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        (Criteria(tenant="umbrella"), ["w1/0 decision", "w1/2 outcome"]),
        (Criteria(agent="planner", tenant="acme"), ["w0/0 decision", "w0/2 outcome"]),
        (Criteria(agent="coder"), ["w0/1 decision"]),
        (Criteria(capability="git__git_push"), ["w0/1 decision"]),
        (Criteria(capability="git__git_log", kind="outcome"), ["w0/2 outcome", "w1/2 outcome"]),
        (Criteria(effect="forbid"), ["w0/1 decision"]),
        (Criteria(code="unauthenticated"), ["w1/1 refusal"]),
        (Criteria(call="c1"), ["w0/0 decision", "w0/2 outcome"]),
        (Criteria(after_ms=NOW_MS + 10, before_ms=NOW_MS + 30), ["w0/1 decision", "w1/1 refusal"]),
        (Criteria(after_ms=NOW_MS + 40), ["w1/2 outcome"]),
        (Criteria(tenant="nobody"), []),
    ],
)
def test_only_wanted_records_come(directory: Path, criteria: Criteria, expected: list[str]) -> None:
    assert names(list(read_records(directory, criteria))) == expected


def test_a_record_that_says_no_time_is_in_no_span() -> None:
    assert not Criteria(after_ms=0).matches({"kind": "decision"})
    assert Entry("w0", 0, b"", {}).at_ms == 0


async def test_one_log_is_read_from_any_index_in_both_directions(tmp_path: Path) -> None:
    await write(tmp_path, "w0", *(decision(f"c{number}") for number in range(100)))
    path = tmp_path / "w0.db"
    for start in (0, 1, 49, 98, 99, 100, 1_000):
        expected = list(range(start, 100))
        assert [entry.index for entry in entries(path, start)] == expected
        assert [entry.index for entry in entries(path, start, reverse=True)] == expected[::-1]
    assert [entry.record["call"] for entry in entries(path, 97)] == ["c97", "c98", "c99"]
    assert (size(path), len(leaves(path, 10)), len(leaves(path, 1_000))) == (100, 10, 100)


async def test_the_ledger_reads_what_came_after_its_mark(tmp_path: Path) -> None:
    await write(tmp_path, "w0", decision("c1"), outcome("c1"), decision("c2"))
    path = tmp_path / "w0.db"
    assert [(index, record["kind"]) for index, record in records_after(path, -1)] == [
        (0, "decision"),
        (1, "outcome"),
        (2, "decision"),
    ]
    assert [(index, record.get("charges")) for index, record in records_after(path, 1)] == [
        (2, [["acme-day/acme", "2026-11-23", 3]])
    ]
    assert list(records_after(path, 2)) == []
    assert list(records_after(tmp_path / "w9.db", -1)) == []


def test_a_call_is_found_with_its_outcome_wherever_they_are(directory: Path) -> None:
    history = find(directory, "c3")
    assert history is not None
    assert history.outcome is not None
    assert names([history.decision, history.outcome]) == ["w1/0 decision", "w1/2 outcome"]
    undone = find(directory, "c2")
    assert undone is not None
    assert undone.outcome is None
    assert find(directory, "c") is None
    assert find(directory, "planner") is None  # named in records, but no call


def test_following_shows_the_last_records_and_then_the_new_ones(directory: Path) -> None:
    rounds = iter(["more", "nothing", "a new log", "end"])

    def wait() -> bool:
        match next(rounds):
            case "more":
                anyio.run(write, directory, "w0", at(decision("c4"), 60), at(decision("c5", tenant="umbrella"), 50))
                anyio.run(write, directory, "w1", at(decision("c6"), 55))
            case "a new log":
                anyio.run(write, directory, "w2", at(decision("c7"), 70))
            case "end":
                return False
            case _:
                pass
        return True

    assert names(list(follow(directory, wait, last=2))) == [
        "w0/2 outcome",
        "w1/2 outcome",
        "w1/3 decision",
        "w0/3 decision",
        "w0/4 decision",  # by time, but within one worker in the order of its log
        "w2/0 decision",
    ]


def test_following_shows_only_what_is_wanted(directory: Path) -> None:
    rounds = iter([True, False])

    def wait() -> bool:
        goes_on = next(rounds)
        if goes_on:
            anyio.run(write, directory, "w0", decision("c4"), decision("c5", tenant="umbrella"))
        return goes_on

    found = list(follow(directory, wait, Criteria(tenant="umbrella"), last=1))
    assert names(found) == ["w1/2 outcome", "w0/4 decision"]


async def test_a_damaged_line_is_shown_and_not_hidden(tmp_path: Path) -> None:
    await write(tmp_path, "w0", decision("c1"))
    connection = sqlite3.connect(tmp_path / "w0.db")
    connection.execute("UPDATE batch SET records = ?", (b'{"call":\n[1]',))
    connection.commit()
    connection.close()
    assert [(entry.index, entry.line, entry.record) for entry in entries(tmp_path / "w0.db")] == [
        (0, b'{"call":', {}),
        (1, b"[1]", {}),
    ]


async def test_an_empty_log_and_an_empty_directory_hold_nothing(tmp_path: Path) -> None:
    assert (log_paths(tmp_path), list(read_records(tmp_path))) == ([], [])
    async with open_log(tmp_path, LAZY):
        pass
    assert (list(read_records(tmp_path)), size(tmp_path / "w0.db")) == ([], 0)
    assert list(entries(tmp_path / "w0.db", reverse=True)) == []


async def test_a_reader_never_keeps_the_log_from_being_synced(tmp_path: Path) -> None:
    async with open_log(tmp_path) as log:
        for number in range(200):
            await log.durable(log.append(decision(f"c{number}")))
        halfway = entries(tmp_path / "w0.db")
        assert next(halfway).index == 0
        await log.durable(log.append(decision("last")))
        connection = sqlite3.connect(tmp_path / "w0.db")
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        connection.close()
        assert sum(1 for _ in halfway) == 200


def test_pages_go_back_through_every_log_without_a_gap_or_a_repeat(directory: Path) -> None:
    found: list[str] = []
    at_page = page(directory, Criteria(), 2)
    found += names(list(at_page.entries))
    while at_page.before is not None:
        at_page = page(directory, Criteria(), 2, at_page.before)
        found += names(list(at_page.entries))
    assert found == names(list(read_records(directory, reverse=True)))


async def test_a_page_is_not_moved_by_what_is_written_meanwhile(directory: Path) -> None:
    first = page(directory, Criteria(), 1)
    await write(directory, "w0", at(decision("later"), 99))
    rest = page(directory, Criteria(), 99, first.before)
    assert [entry.record.get("call") for entry in (*first.entries, *rest.entries)].count("later") == 0
    assert rest.before is None


def test_a_page_with_a_place_that_no_log_has_begins_with_the_newest(directory: Path) -> None:
    assert page(directory, Criteria(), 1, {"w9": 5, "w0": 10**9}).entries == page(directory, Criteria(), 1).entries


async def test_a_page_reads_so_many_records_and_then_pauses(tmp_path: Path) -> None:
    async with open_log(tmp_path, LAZY) as log:
        for _ in range(MAX_SCANNED + 5):
            log.append(decision())
            if log.size % 1000 == 0:
                await log.durable(log.size - 1)
    paused = page(tmp_path, Criteria(agent="nobody"), 10)
    assert (paused.entries, paused.before) == ((), {"w0": 5})
    assert page(tmp_path, Criteria(agent="nobody"), 10, paused.before).before is None


async def test_a_tail_tells_each_new_record_once_and_can_be_taken_up_elsewhere(directory: Path) -> None:
    tail = Tail(directory)
    assert tail.news() == []
    await write(directory, "w0", at(decision("new"), 40), at(outcome("new"), 41))
    position = dict(tail.position)
    assert [entry.record.get("call") for entry in tail.news()] == ["new", "new"]
    assert tail.news() == []
    again = Tail(directory, Criteria(kind="outcome"), position)
    assert names(again.news()) == ["w0/4 outcome"]
    assert again.position == tail.position


async def test_a_tail_takes_a_bounded_bite(directory: Path) -> None:
    tail = Tail(directory, position={})
    bites = [len(tail.news(limit=2)) for _ in range(3)]
    assert bites == [4, 2, 0]
