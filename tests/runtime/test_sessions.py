"""What a worker remembers of sessions: how long, how many, and what the other workers hear of it."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from agent_gateway.runtime.sessions import Sessions, key_of
from agent_gateway.runtime.siblings import Siblings
from support.principals import ALICE, BOB
from support.upstreams import FakeClock

A, B, C = key_of("a"), key_of("b"), key_of("c")


def sessions(clock: FakeClock, siblings: Siblings | None = None, limit: int = 2) -> Sessions:
    return Sessions(clock, siblings or Siblings(None, "0"), lambda: 100.0, lambda: limit)


@pytest.mark.requirement("mcp.sessions.idle")
def test_a_session_that_nobody_uses_is_over_and_one_in_use_is_not() -> None:
    clock = FakeClock()
    known = sessions(clock)
    known.use(ALICE.key, A, clock.now)
    known.use(ALICE.key, B, clock.now)
    clock.now += 60
    assert known.use(ALICE.key, A, 0) is not None
    clock.now += 60
    known.expire()
    assert len(known) == 1
    assert known.use(ALICE.key, A, 0) is not None
    assert known.use(ALICE.key, B, 0) is None
    clock.now += 101
    assert known.use(ALICE.key, A, 0) is None
    assert len(known) == 0


def test_a_session_of_before_a_restart_is_taken_as_used_with_the_restart() -> None:
    clock = FakeClock()
    known = sessions(clock)
    clock.now += 99
    assert known.use(ALICE.key, A, 5.0) is not None
    clock.now += 2
    assert known.use(ALICE.key, B, 5.0) is None


@pytest.mark.requirement("mcp.sessions.capped")
def test_a_caller_with_too_many_sessions_loses_the_one_it_used_least_recently_and_nobody_else_does() -> None:
    clock = FakeClock()
    known = sessions(clock)
    known.use(BOB.key, C, clock.now)
    for key in (A, B, A, key_of("d")):
        assert known.use(ALICE.key, key, clock.now) is not None
    assert known.use(ALICE.key, B, clock.now) is None
    assert known.use(ALICE.key, A, clock.now) is not None
    assert known.use(BOB.key, C, clock.now) is not None


async def test_use_end_and_level_of_a_session_are_known_to_every_worker(tmp_path: Path) -> None:
    async def nobody(*_: object) -> None: ...

    clock = FakeClock()
    here, there = Siblings(tmp_path, "0"), Siblings(tmp_path, "1")
    mine, theirs = sessions(clock, here), sessions(clock, there)
    with anyio.fail_after(20):
        async with here.serving(nobody), there.serving(nobody):
            state = mine.use(ALICE.key, A, clock.now)
            assert state is not None
            mine.set_level(A, state, "warning")
            while not len(theirs):
                await anyio.lowlevel.checkpoint()
            found = theirs.use(ALICE.key, A, clock.now)
            while found is not None and found.log_level is None:
                await anyio.lowlevel.checkpoint()
            assert found is not None
            assert found.log_level == "warning"
            theirs.end(A)
            while len(mine):
                await anyio.lowlevel.checkpoint()
            assert mine.use(ALICE.key, A, clock.now) is None
