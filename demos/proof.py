"""The acts about proof: why something was denied, what is recorded, and that nobody changed it."""

import asyncio
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from agent_gateway.audit.checkpoint import Signer
from agent_gateway.audit.keys import signing_key
from demos.acts import Scene

ORIGIN = "demo.acme.example"  # as gateway.yaml says
COMMAND_S = 60.0


async def play(scene: Scene) -> None:
    """Play every act about proof."""
    await _the_log_holds(scene)
    await _one_bit(scene)


async def _the_log_holds(scene: Scene) -> None:
    story = scene.story
    story.step("The audit log is whole")
    code, said = await verify(scene, scene.stage.data / "audit")
    story.show(said)
    story.check("every record is in the signed tree", holds=code == 0 and "ok:" in said, seen=said)


async def _one_bit(scene: Scene) -> None:
    story = scene.story
    story.step("Somebody changes one bit of a copy")
    copy = scene.stage.folder / "tampered"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(scene.stage.data / "audit", copy)
    call = flip_one_bit(copy)
    code, said = await verify(scene, copy)
    story.show(said)
    story.check("the verifier refuses the copy", holds=code == 1 and "NOT OK" in said, seen=said)
    story.check(f"and names the call, {call}", holds=call in said, seen=said)


async def verify(scene: Scene, target: Path) -> tuple[int, str]:
    """Run the verifier that imports nothing of the gateway; return exit code and what it said."""
    key = Signer(ORIGIN, signing_key(scene.stage.data / "keys" / "audit.pem")).verifier.vkey
    return await said_by([sys.executable, "-m", "agent_gateway.audit.verify", str(target), "--vkey", key])


async def said_by(argv: list[str]) -> tuple[int, str]:
    """Run a command to its end; return its exit code and everything it printed."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(COMMAND_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace").strip()


def flip_one_bit(audit: Path) -> str:
    """Flip the lowest bit of one letter in a denied call's decision; return the id of the call."""
    for path in sorted(audit.glob("*.db")):
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT first_index, records FROM batch ORDER BY first_index").fetchall()
            for first, lines in rows:
                start = lines.find(b'"forbid"')
                if start < 0:
                    continue
                begin = lines.rfind(b"\n", 0, start) + 1
                at = lines.find(b'"call":"', begin) + len(b'"call":"')
                changed = bytearray(lines)
                changed[start + 1] ^= 1
                with connection:
                    connection.execute("UPDATE batch SET records = ? WHERE first_index = ?", (bytes(changed), first))
                return str(lines[at : lines.find(b'"', at)], "ascii")
    raise LookupError("no denied call is in this log")
