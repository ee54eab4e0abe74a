"""Changes on disk are noticed by content, and a nudge ends the wait."""

import asyncio
from pathlib import Path

from agent_gateway.runtime.watch import Watch, fingerprint


async def test_a_changed_file_ends_the_wait(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a")
    watch = Watch(lambda: [file], poll_every_s=0.01)
    waiting = asyncio.ensure_future(watch.changed())
    file.write_text("b")
    async with asyncio.timeout(5):
        await waiting


async def test_a_change_between_reading_and_watching_ends_the_wait(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a")
    before = fingerprint([file])
    file.write_text("b")
    async with asyncio.timeout(5):
        await Watch(lambda: [file], poll_every_s=0.01, seen=before).changed()


async def test_a_nudge_ends_the_wait_without_a_change(tmp_path: Path) -> None:
    watch = Watch(lambda: [tmp_path / "missing"], poll_every_s=60)
    waiting = asyncio.ensure_future(watch.changed())
    watch.nudge()
    async with asyncio.timeout(5):
        await waiting


def test_a_touch_is_no_change_and_a_lost_file_is_one(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("a")
    before = fingerprint([file])
    file.write_text("a")
    assert fingerprint([file]) == before
    file.unlink()
    assert fingerprint([file]) != before
