"""Kill the writing process under load, again and again: nothing acknowledged is lost."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import anyio

from agent_gateway.audit import reader
from agent_gateway.audit.verify import verify_directory
from support import audit_crash_writer
from support.audit_log import VKEY, open_log

ROUNDS = 10
ACKNOWLEDGED_PER_ROUND = 150


async def acknowledged_until_killed(directory: Path, run: int) -> dict[int, str]:
    """Run the writer, kill it mid-write, and return what it said was durable: index -> call."""
    script = Path(audit_crash_writer.__file__)
    path = os.pathsep.join(entry for entry in [str(script.parent.parent), *sys.path] if entry)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        str(directory),
        str(run),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None
    said: dict[int, str] = {}
    with anyio.fail_after(30):
        assert await process.stdout.readline() == b"ready\n"
        while len(said) < ACKNOWLEDGED_PER_ROUND + 37 * run:
            index, call = (await process.stdout.readline()).split()
            said[int(index)] = call.decode()
        process.kill()
        for line in (await process.stdout.read()).splitlines(keepends=True):
            if line.endswith(b"\n"):
                index, call = line.split()
                said[int(index)] = call.decode()
        await process.wait()
    return said


async def test_ten_kills_under_load_lose_no_acknowledged_record(tmp_path: Path) -> None:
    acknowledged: dict[int, str] = {}
    kept: dict[int, object] = {}
    for run in range(ROUNDS):
        said = await acknowledged_until_killed(tmp_path, run)
        assert not said.keys() & acknowledged.keys(), "an index was given out twice"
        acknowledged |= said
        async with open_log(tmp_path) as log:
            assert log.durable_count > max(acknowledged)
        kept = {entry.index: entry.record["call"] for entry in reader.entries(tmp_path / "w0.db")}
        assert {index: kept.get(index) for index in acknowledged} == acknowledged
    report = verify_directory(tmp_path, [VKEY])
    assert (report.findings, report.unanchored) == ([], 0)
    assert report.records == len(kept)
    assert len(acknowledged) >= ROUNDS * ACKNOWLEDGED_PER_ROUND
