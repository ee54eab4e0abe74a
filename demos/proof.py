"""The acts about proof: why something was denied, what is recorded, and that nobody changed it."""

import asyncio
import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from demos.acts import PURSE, Scene
from demos.processes import command_line
from demos.stage import PROJECT, shown
from demos.story import Surprise

COMMAND_S = 60.0
COLUMNS = "120"  # tables are laid out for a reader of this width
SIGNED_WITHIN_S = 10.0  # a checkpoint covers a record within this time
VERIFIER = PROJECT / "agent_gateway" / "audit" / "verify"


async def play(scene: Scene) -> None:
    """Play every act about proof."""
    await _why(scene)
    await _what_is_left(scene)
    await _what_is_recorded(scene)
    await _the_log_holds(scene)
    await _a_receipt(scene)
    await _one_bit(scene)


async def _why(scene: Scene) -> None:
    story, call = scene.story, scene.denied.call
    story.step("Why was that denied? Ask with the id that came with the refusal")
    code, said = await _run(scene, "explain", "--call", call)
    story.check("`explain` names the policy", holds=code == 0 and "short-history" in said, seen=said)
    code, said = await _run(scene, "who-can", "git__git_create_branch")
    story.check("`who-can` tells releaser from planner", holds=code == 0 and "releaser" in said, seen=said)


async def _what_is_left(scene: Scene) -> None:
    story = scene.story
    story.step("What is left of the budgets")
    await _run(scene, "budget")
    told = await _asked(scene, "budget", "--json")
    spent = [one.get("spent") for one in told["budgets"] if one.get("budget") == "figures-purse"]
    story.check(f"the books say {PURSE} spent, as the tap did", holds=spent == [PURSE], seen=told)


async def _what_is_recorded(scene: Scene) -> None:
    story, call = scene.story, scene.denied.call
    story.step("Every decision and every outcome is on record")
    code, said = await _run(scene, "audit", "tail", "--last", "5", "--agent", "releaser")
    story.check("the log can be followed", holds=code == 0 and len(said.splitlines()) == 5, seen=said)
    code, said = await _run(scene, "audit", "show", call)
    story.check("one call can be shown", holds=code == 0 and "short-history" in said, seen=said)
    story.check("its arguments are sealed: no path in it", holds=str(scene.stage.repository) not in said, seen=said)


async def _the_log_holds(scene: Scene) -> None:
    story = scene.story
    story.step("The log is whole")
    code, said = await _run(scene, "audit", "verify")
    story.check("every record is in the signed tree", holds=code == 0, seen=said)


async def _a_receipt(scene: Scene) -> None:
    story, folder = scene.story, scene.stage.folder
    story.step("A receipt of one call, for somebody who has no gateway")
    receipt, auditor = folder / "receipt.json", folder / "auditor"
    receipt.unlink(missing_ok=True)
    async with asyncio.timeout(SIGNED_WITHIN_S):
        while (await _run(scene, "audit", "prove", scene.denied.call, "--out", shown(receipt)))[0] != 0:
            story.say("not signed yet; again")
    key = str((await _asked(scene, "audit", "checkpoint", "--json"))["vkey"])
    shutil.rmtree(auditor, ignore_errors=True)
    shutil.copytree(VERIFIER, auditor / "verify", ignore=shutil.ignore_patterns("__pycache__"))
    story.say(f"the verifier's folder, copied to {shown(auditor)}, with the public key {key}")
    code, said = await said_by([sys.executable, "-m", "verify", str(receipt), "--vkey", key], auditor)
    story.show(said)
    story.check("it finds the receipt good", holds=code == 0 and said.startswith("ok"), seen=said)


async def _one_bit(scene: Scene) -> None:
    story = scene.story
    story.step("Somebody changes one bit of a copy")
    copy = scene.stage.folder / "tampered"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(scene.stage.data / "audit", copy)
    call = flip_one_bit(copy)
    code, said = await _run(scene, "audit", "verify", shown(copy))
    story.check("the verifier refuses the copy", holds=code == 1, seen=said)
    story.check(f"and names the call, {call}", holds=call in said and "altered" in said, seen=said)


async def _run(scene: Scene, *words: str) -> tuple[int, str]:
    """Run `agent-gateway` on the stage's configuration, show it, and return exit code and output."""
    scene.story.say("$ agent-gateway " + " ".join(words))
    result = await said_by([*command_line(), "--config", str(scene.stage.config), *words])
    scene.story.show(result[1])
    return result


async def _asked(scene: Scene, *words: str) -> dict[str, Any]:
    """Run `agent-gateway` for its JSON."""
    code, said = await said_by([*command_line(), "--config", str(scene.stage.config), *words])
    try:
        return cast("dict[str, Any]", json.loads(said))
    except ValueError:
        raise Surprise(f"`agent-gateway {' '.join(words)}` answers in JSON; exit code {code}, seen: {said}") from None


async def said_by(argv: list[str], folder: Path | None = None) -> tuple[int, str]:
    """Run a command to its end, in `folder`; return its exit code and everything it printed."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        env={**os.environ, "COLUMNS": COLUMNS},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
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
