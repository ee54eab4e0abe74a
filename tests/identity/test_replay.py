"""One suite for both stores of used ids."""

import stat
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from support.tokens import Ticking

from agent_gateway.identity.replay import FileReplay, MemoryReplay, ReplayGuard

Make = Callable[[int], ReplayGuard]


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Ticking) -> Generator[Make, None, None]:
    with ExitStack() as stack:

        def memory(limit: int) -> ReplayGuard:
            return MemoryReplay(clock=clock, max_ids_per_client=limit)

        def file(limit: int) -> ReplayGuard:
            return stack.enter_context(closing(FileReplay(tmp_path, clock=clock, max_ids=limit)))

        yield memory if request.param == "memory" else file


def test_an_id_is_taken_once_per_client(make: Make, clock: Ticking) -> None:
    used = make(10)
    assert used.claim("a", "1", clock.now + 60)
    assert not used.claim("a", "1", clock.now + 60)
    assert used.claim("b", "1", clock.now + 60)
    assert used.claim("a", "2", clock.now + 60)


def test_a_full_store_says_no_until_something_has_expired(make: Make, clock: Ticking) -> None:
    used = make(2)
    assert used.claim("a", "1", clock.now + 60)
    assert used.claim("a", "2", clock.now + 120)
    assert not used.claim("a", "3", clock.now + 60)
    clock.now += 61
    assert used.claim("a", "3", clock.now + 60)
    assert not used.claim("a", "2", clock.now + 60)


def test_workers_and_restarts_share_a_file_that_is_private(tmp_path: Path, clock: Ticking) -> None:
    with closing(FileReplay(tmp_path, clock=clock)) as one, closing(FileReplay(tmp_path, clock=clock)) as other:
        assert one.claim("a", "1", clock.now + 60)
        assert not other.claim("a", "1", clock.now + 60)
    with closing(FileReplay(tmp_path, clock=clock)) as later:
        assert not later.claim("a", "1", clock.now + 60)
    assert stat.S_IMODE((tmp_path / "used-assertions.db").stat().st_mode) == 0o600


def test_a_store_that_cannot_answer_says_no(tmp_path: Path, clock: Ticking) -> None:
    used = FileReplay(tmp_path, clock=clock)
    used.close()
    assert not used.claim("a", "1", clock.now + 60)
