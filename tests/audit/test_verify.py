"""The verifier against every kind of tampering: it names what was touched."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import agent_gateway.audit.verify as package
from agent_gateway.audit import reader
from agent_gateway.audit.checkpoint import Signer
from agent_gateway.audit.merkle import leaf_hash, root
from agent_gateway.audit.verify import Finding, Report, verify, verify_directory
from agent_gateway.audit.verify.__main__ import main
from agent_gateway.audit.verify.report import MAX_LISTED
from support.audit_log import (
    EAGER,
    FORBID,
    LAZY,
    ORIGIN,
    SIGNER,
    VKEY,
    decision,
    open_log,
    outcome,
    write_calls,
)

Change = Callable[[bytes], bytes]
Place = tuple[str, str, int | None]
STRANGER = Signer(ORIGIN.name, Ed25519PrivateKey.from_private_bytes(bytes(32)))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two logs: w0 of five calls in one batch and a sixth in another, signed at 10 and 12; w1 of two calls."""
    audit = tmp_path_factory.mktemp("original") / "audit"
    anyio.run(fill, audit)
    regroup(audit / "w0.db", 10)
    return audit


@pytest.fixture
def directory(original: Path, tmp_path: Path) -> Path:
    """A copy of the two logs, to do with as one likes."""
    return shutil.copytree(original, tmp_path / "audit")


async def fill(audit: Path) -> None:
    async with open_log(audit, LAZY) as log:
        for number in range(5):
            log.append(decision(f"c{number}"))
            log.append(outcome(f"c{number}"))
    await write_calls(audit, 2, EAGER, "w1")
    async with open_log(audit, LAZY) as log:
        log.append(decision("c5"))
        log.append(outcome("c5"))


def regroup(path: Path, size: int) -> None:
    """Put the records of a log in batches of `size`, whatever the timing was when they were written."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT leaves, records FROM batch ORDER BY first_index").fetchall()
    leaves, lines = b"".join(row[0] for row in rows), b"\n".join(row[1] for row in rows).split(b"\n")
    connection.execute("DELETE FROM batch")
    for first in range(0, len(lines), size):
        batch = lines[first : first + size]
        values = (first, len(batch), leaves[first * 32 : (first + size) * 32], b"\n".join(batch))
        connection.execute("INSERT INTO batch VALUES (?, ?, 0, ?, ?)", values)
    connection.commit()
    connection.close()


def vandalize(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def rewrite(path: Path, column: str, change: Change, first_index: int = 0) -> None:
    connection = sqlite3.connect(path)
    (blob,) = connection.execute(f"SELECT {column} FROM batch WHERE first_index = ?", (first_index,)).fetchone()
    connection.execute(f"UPDATE batch SET {column} = ? WHERE first_index = ?", (change(blob), first_index))
    connection.commit()
    connection.close()


def flip(position: int, bit: int = 0) -> Change:
    return lambda blob: blob[:position] + bytes([blob[position] ^ (1 << bit)]) + blob[position + 1 :]


def codes(report: Report) -> list[tuple[str, str, int | None]]:
    return [(finding.log, finding.code, finding.index) for finding in report.findings]


def test_an_untouched_directory_holds(directory: Path) -> None:
    report = verify_directory(directory, [VKEY])
    assert report.findings == []
    assert (report.logs, report.records, report.unanchored, report.open) == (2, 16, 0, [])
    assert report.checkpoints >= 3


def test_the_key_of_one_log_serves_for_that_log_alone(directory: Path) -> None:
    assert verify_directory(directory / "w0.db", [SIGNER.verifier.vkey]).is_ok
    report = verify_directory(directory, [SIGNER.verifier.vkey])
    assert {(finding.log, finding.code) for finding in report.findings} == {("w1", "checkpoint")}
    assert verify_directory(directory, [SIGNER.verifier.vkey, ORIGIN.for_log("w1").verifier.vkey]).is_ok


@pytest.mark.requirement("audit.flipped-bit")
@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("record", [0, 4, 9])
def test_one_flipped_bit_of_a_record_is_named_with_its_call(directory: Path, record: int, bit: int) -> None:
    def change(blob: bytes) -> bytes:
        lines = blob.split(b"\n")
        start = len(b"\n".join(lines[:record])) + bool(record)
        return flip(start + lines[record].index(b'"at_ms"') + 3, bit)(blob)

    rewrite(directory / "w0.db", "records", change)
    report = verify_directory(directory, [VKEY])
    text = "the record does not match its leaf hash: it was altered after it was written"
    assert report.findings[0] == Finding("w0", "altered", text, batch=0, index=record, call=f"c{record // 2}")
    assert str(report.findings[0]) == f"log w0, batch 0, record {record}, call c{record // 2}: {text} [altered]"


def test_every_bit_of_a_batch_counts(directory: Path) -> None:
    connection = sqlite3.connect(directory / "w0.db")
    (blob,) = connection.execute("SELECT records FROM batch WHERE first_index = 0").fetchone()
    connection.close()
    for position in range(0, len(blob), 97):
        rewrite(directory / "w0.db", "records", flip(position, position % 8))
        finding = verify_directory(directory / "w0.db", [VKEY]).findings[0]
        assert (finding.code, finding.index) == ("altered", blob[:position].count(b"\n")), position
        rewrite(directory / "w0.db", "records", flip(position, position % 8))
    assert verify_directory(directory / "w0.db", [VKEY]).is_ok


def test_a_line_break_that_is_forged_or_lost_is_named_once(directory: Path) -> None:
    rewrite(directory / "w0.db", "records", lambda blob: blob.replace(b'"kind":"decision"', b'"kind":\n"decision"', 1))
    assert codes(verify_directory(directory / "w0.db", [VKEY]))[0] == ("w0", "altered", 0)
    rewrite(directory / "w0.db", "records", lambda blob: blob.replace(b'"kind":\n"decision"', b'"kind":"decision"', 1))
    rewrite(directory / "w0.db", "records", lambda blob: blob.replace(b"\n", b" ", 1))
    report = verify_directory(directory / "w0.db", [VKEY])
    assert [code for code in codes(report) if code[1] == "altered"] == [("w0", "altered", 0)]


def test_a_flipped_leaf_hash_is_named_and_breaks_the_root(directory: Path) -> None:
    rewrite(directory / "w0.db", "leaves", flip(3 * 32 + 5))
    assert codes(verify_directory(directory / "w0.db", [VKEY]))[:2] == [("w0", "altered", 3), ("w0", "root", 0)]


@pytest.mark.parametrize("cut", [1, 32])
def test_lost_leaf_hashes_are_named(directory: Path, cut: int) -> None:
    rewrite(directory / "w0.db", "leaves", lambda blob: blob[:-cut])
    assert verify_directory(directory / "w0.db", [VKEY]).findings[0].code in ("altered", "count")


def test_a_record_altered_together_with_its_leaf_hash_breaks_the_signed_root(directory: Path) -> None:
    rewrite(directory / "w0.db", "records", lambda blob: blob.replace(b'"permit"', b'"forbid"', 1))
    rewrite(directory / "w0.db", "leaves", lambda blob: leaf_hash(records_of(directory)[0]) + blob[32:])
    report = verify_directory(directory / "w0.db", [VKEY])
    assert codes(report) == [("w0", "root", 0)]
    assert report.findings[0].text == "records 0 to 9 are not those that were signed"


def records_of(directory: Path) -> list[bytes]:
    return [entry.line for entry in reader.entries(directory / "w0.db")]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE batch SET count = 9 WHERE first_index = 0", ("w0", "count", 0)),
        ("DELETE FROM batch WHERE first_index = 0", ("w0", "gap", 0)),
        ("DELETE FROM batch WHERE first_index > 0", ("w0", "truncated", None)),
        ("DELETE FROM batch", ("w0", "truncated", None)),
        ("UPDATE batch SET first_index = 12 WHERE first_index = 10", ("w0", "gap", 10)),
        ("INSERT INTO batch SELECT 12, count, 0, leaves, records FROM batch WHERE first_index = 10", None),
        ("INSERT INTO batch SELECT -5, count, 0, leaves, records FROM batch WHERE first_index = 10", ("w0", "gap", 0)),
        ("INSERT INTO batch SELECT 5, count, 0, leaves, records FROM batch WHERE first_index = 0", ("w0", "gap", 10)),
        ("UPDATE batch SET records = zeroblob(0), leaves = zeroblob(0), count = 0", ("w0", "count", 0)),
        ("UPDATE checkpoint SET note = replace(note, 'A', 'B')", ("w0", "checkpoint", None)),
        ("UPDATE checkpoint SET note = 'nothing'", ("w0", "checkpoint", None)),
        ("UPDATE checkpoint SET size = size + 1", ("w0", "checkpoint", None)),
        ("UPDATE checkpoint SET frontier = zeroblob(64)", ("w0", "frontier", None)),
        ("DROP TABLE batch", ("w0", "unreadable", None)),
        ("DROP TABLE checkpoint", ("w0", "unreadable", None)),
    ],
)
def test_tampering_with_rows_is_named(
    directory: Path, statement: str, expected: tuple[str, str, int | None] | None
) -> None:
    vandalize(directory / "w0.db", statement)
    report = verify_directory(directory, [VKEY])
    assert not report.is_ok
    if expected is not None:
        assert codes(report)[0] == expected


def test_reordered_records_are_named(directory: Path) -> None:
    def swap(blob: bytes) -> bytes:
        lines = blob.split(b"\n")
        lines[2], lines[4] = lines[4], lines[2]
        return b"\n".join(lines)

    rewrite(directory / "w0.db", "records", swap)
    assert codes(verify_directory(directory, [VKEY]))[:2] == [("w0", "altered", 2), ("w0", "altered", 4)]
    rewrite(directory / "w0.db", "leaves", lambda b: b[:64] + b[128:160] + b[96:128] + b[64:96] + b[160:])
    assert codes(verify_directory(directory, [VKEY])) == [("w0", "root", 0)]


def test_two_logs_that_change_places_are_noticed(directory: Path) -> None:
    (directory / "w0.db").rename(directory / "x.db")
    (directory / "w1.db").rename(directory / "w0.db")
    (directory / "x.db").rename(directory / "w1.db")
    assert {finding.code for finding in verify_directory(directory, [VKEY]).findings} == {"checkpoint"}


def test_a_whole_log_forged_with_another_key_is_refused(directory: Path) -> None:
    forged = STRANGER.for_log("w0")
    hashes = [leaf_hash(line) for line in records_of(directory)]
    vandalize(directory / "w0.db", "DELETE FROM checkpoint WHERE size < 12")
    connection = sqlite3.connect(directory / "w0.db")
    connection.execute("UPDATE checkpoint SET note = ?", (forged.sign(12, root(hashes)),))
    connection.commit()
    connection.close()
    report = verify_directory(directory, [VKEY])
    assert report.findings[0].text == "the checkpoint at 12 records cannot be trusted: no known key has signed it"


def test_records_cut_off_with_their_checkpoint_need_a_checkpoint_kept_elsewhere(directory: Path) -> None:
    kept = reader.checkpoints(directory / "w0.db")[-1][1]
    assert verify_directory(directory, [VKEY], [kept]).is_ok
    vandalize(directory / "w0.db", "DELETE FROM batch WHERE first_index = 10", "DELETE FROM checkpoint WHERE size = 12")
    assert verify_directory(directory, [VKEY]).is_ok
    report = verify_directory(directory, [VKEY], [kept])
    assert codes(report) == [("w0", "truncated", None)]
    assert report.findings[0].text == "12 records were signed, and only 10 are here"


def test_a_history_that_was_rewritten_and_signed_again_needs_a_checkpoint_kept_elsewhere(directory: Path) -> None:
    kept = reader.checkpoints(directory / "w0.db")[0][1]
    rewrite(directory / "w0.db", "records", lambda blob: blob.replace(b'"permit"', b'"forbid"', 1))
    hashes = [leaf_hash(line) for line in records_of(directory)]
    rewrite(directory / "w0.db", "leaves", lambda blob: hashes[0] + blob[32:])
    vandalize(directory / "w0.db", "DELETE FROM checkpoint")
    regroup(directory / "w0.db", 7)  # the size that was kept now falls inside a batch
    assert verify_directory(directory, [VKEY]).is_ok
    assert codes(verify_directory(directory, [VKEY], [kept])) == [("w0", "root", 0)]


def test_a_log_that_vanished_is_noticed_by_its_kept_checkpoint(directory: Path) -> None:
    kept = reader.checkpoints(directory / "w1.db")[-1][1]
    (directory / "w1.db").unlink()
    assert codes(verify_directory(directory, [VKEY], [kept])) == [("w1", "missing", None)]


def test_a_kept_checkpoint_that_nobody_signed_is_a_finding(directory: Path) -> None:
    forged = STRANGER.for_log("w0").sign(2, bytes(32))
    assert codes(verify_directory(directory, [VKEY], [forged])) == [("w0", "checkpoint", None)]


async def test_many_records_that_nobody_signed_are_suspicious(tmp_path: Path) -> None:
    async with open_log(tmp_path, LAZY) as log:
        for number in range(2_100):
            log.append(decision(f"c{number}", FORBID))
    assert verify_directory(tmp_path, [VKEY]).is_ok
    vandalize(tmp_path / "w0.db", "DELETE FROM checkpoint")
    report = verify_directory(tmp_path, [VKEY])
    assert (codes(report), report.unanchored) == ([("w0", "unsigned", 0)], 2_100)


async def test_records_of_more_than_a_minute_that_nobody_signed_are_suspicious(tmp_path: Path) -> None:
    async with open_log(tmp_path, LAZY) as log:
        log.append(decision("c1"))
        log.append(outcome("c1") | {"at_ms": 1_790_000_061_000})
    vandalize(tmp_path / "w0.db", "DELETE FROM checkpoint")
    assert codes(verify_directory(tmp_path, [VKEY])) == [("w0", "unsigned", 0)]


async def test_a_call_has_one_decision_and_at_most_one_outcome(tmp_path: Path) -> None:
    async with open_log(tmp_path) as log:
        log.append(decision("twice"))
        log.append(decision("twice"))
        log.append(outcome("twice"))
        log.append(outcome("twice"))
        log.append(decision("twice"))
        log.append(outcome("never decided"))
        log.append(decision("forbidden", FORBID))
        log.append(decision("running"))
        log.append({"kind": "gossip"})
    async with open_log(tmp_path, slot="w1") as log:
        log.append(outcome("running"))
    report = verify_directory(tmp_path, [VKEY])
    assert [(finding.code, finding.index, finding.call) for finding in report.findings] == [
        ("second_decision", 1, "twice"),
        ("second_outcome", 3, "twice"),
        ("second_decision", 4, "twice"),
        ("malformed", 8, ""),
        ("no_decision", 5, "never decided"),
    ]
    assert report.open == ["twice"]


def test_a_log_on_a_medium_that_cannot_be_written_is_verified(directory: Path, tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    shutil.copytree(directory, medium)
    for path in medium.iterdir():
        path.chmod(0o400)
    medium.chmod(0o500)
    report = verify_directory(medium, [VKEY])
    medium.chmod(0o700)
    assert (report.is_ok, report.records) == (True, 16)


async def test_a_log_is_verified_while_it_is_written(tmp_path: Path) -> None:
    async with open_log(tmp_path, LAZY) as log:
        await log.durable(log.append(decision("c1")))
        report = verify_directory(tmp_path, [VKEY])
        assert (report.is_ok, report.records, report.unanchored, report.open) == (True, 1, 1, ["c1"])


def test_flipped_bits_of_the_database_file_are_never_a_crash(directory: Path) -> None:
    path = directory / "w0.db"
    vandalize(path, "PRAGMA journal_mode = DELETE")
    original = path.read_bytes()
    for position in range(100, len(original), 211):
        path.write_bytes(flip(position, position % 8)(original))
        verify_directory(path, [VKEY])


def test_the_command_says_what_it_found(directory: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([str(directory), "--vkey", VKEY]) == 0
    assert capsys.readouterr().out.startswith("ok: 16 records in 2 logs, ")
    kept = tmp_path / "kept.note"
    kept.write_text(reader.checkpoints(directory / "w1.db")[0][1], encoding="utf-8")
    (directory / "w1.db").unlink()
    assert main([str(directory), "--vkey", VKEY, "--checkpoint", str(kept), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["findings"][0]["code"]) == (False, "missing")
    assert main([str(tmp_path / "nowhere"), "--vkey", VKEY]) == 2
    assert "there is no audit log here" in capsys.readouterr().err
    assert main([str(directory), "--vkey", VKEY[:-4] + "AAA="]) == 2
    assert "no Ed25519 verifier key, or a damaged one" in capsys.readouterr().err


def test_the_folder_alone_is_enough(directory: Path, tmp_path: Path) -> None:
    shutil.copytree(
        Path(package.__file__).parent, tmp_path / "elsewhere" / "verify", ignore=shutil.ignore_patterns("__pycache__")
    )
    program = (
        "import runpy, sys; sys.argv = ['verify', *sys.argv[1:]]\n"
        "try: runpy.run_module('verify', run_name='__main__')\n"
        "finally: assert not [n for n in sys.modules if n.startswith(('agent_gateway', 'gateway_', 'orjson'))]"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory), "--vkey", VKEY],
        cwd=tmp_path / "elsewhere",
        env={"PYTHONPATH": str(tmp_path / "elsewhere")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok: 16 records")


async def test_a_report_lists_so_many_findings_and_no_more(tmp_path: Path) -> None:
    async with open_log(tmp_path, LAZY) as log:
        for number in range(MAX_LISTED + 5):
            log.append(outcome(f"c{number}"))
    assert len(verify_directory(tmp_path, [VKEY]).findings) == MAX_LISTED


def test_a_damaged_key_is_said_to_be_damaged(directory: Path) -> None:
    for bad in ("", "name", "name+00000000+AAAA", VKEY.replace("gateway", "gatewax")):
        with pytest.raises(ValueError, match=r"base64|no Ed25519 verifier key"):
            verify(directory, [bad])
