"""Background work is watched over: a failure is told and the chore begins again; the end is clean."""

import asyncio
import logging

import pytest

from agent_gateway.runtime.chores import Chores


async def test_a_chore_that_fails_is_told_and_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    runs = 0
    again = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("broken once")
        again.set()
        await asyncio.Event().wait()

    chores = Chores(begin_again_after_s=0)
    with caplog.at_level(logging.ERROR, "agent_gateway"):
        chores.start("catalogue", work)
        async with asyncio.timeout(5):
            await again.wait()
    await chores.aclose()
    (record,) = caplog.records
    assert record.getMessage() == "background work failed and begins again"


async def test_one_failing_chore_leaves_the_others_alone() -> None:
    done = asyncio.Event()

    async def fails() -> None:
        raise OSError("always")

    async def works() -> None:
        done.set()
        await asyncio.Event().wait()

    chores = Chores(begin_again_after_s=0)
    chores.start("bad", fails)
    chores.start("good", works)
    async with asyncio.timeout(5):
        await done.wait()
    await chores.aclose()


async def test_closing_ends_every_chore() -> None:
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    chores = Chores()
    chores.start("endless", work)
    async with asyncio.timeout(5):
        await begun.wait()
    await chores.aclose()
    assert ended.is_set()
