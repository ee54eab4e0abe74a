"""Kept answers: for whoever asked, for a while, within bounds."""

from pathlib import Path

import pytest

from agent_gateway.stores.answers import AnswerLimits, KeptAnswers
from support.upstreams import FakeClock

ALICE, BOB = ("acme", "issuer", "client", "alice"), ("acme", "issuer", "client", "bob")


@pytest.mark.requirement("mesh.answers-are-kept-apart")
@pytest.mark.parametrize("whole", [{"é": [1, None, 10**30]}, "text", b"\x00\xff", None, []])
def test_an_answer_is_found_by_its_owner_alone(tmp_path: Path, whole: object) -> None:
    answers = KeptAnswers(tmp_path / "answers", FakeClock())
    handle = answers.keep(ALICE, whole)
    assert answers.find(ALICE, handle) == whole
    again = KeptAnswers(tmp_path / "answers", FakeClock())  # another worker
    assert again.find(ALICE, handle) == whole
    for owner, one in ((BOB, handle), (ALICE, "x" * 22), (ALICE, ""), (ALICE, "../" + handle), (("acme",), handle)):
        with pytest.raises(KeyError):
            answers.find(owner, one)


@pytest.mark.requirement("mesh.answers-are-kept-apart")
def test_an_answer_is_gone_after_a_while_and_makes_room(tmp_path: Path) -> None:
    clock = FakeClock()
    answers = KeptAnswers(tmp_path, clock, AnswerLimits(ttl_s=60, max_answer=100, max_total=150))
    handle = answers.keep(ALICE, "x" * 90)
    assert answers.keep(ALICE, "x" * 101) == answers.keep(ALICE, "x" * 90) == ""
    clock.now += 61
    with pytest.raises(KeyError):
        answers.find(ALICE, handle)
    assert answers.keep(ALICE, "x" * 90)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_keeps_nothing_costs_no_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert KeptAnswers(tmp_path / "file" / "answers", FakeClock()).keep(ALICE, "x") == ""


def test_only_its_user_may_read_the_files(tmp_path: Path) -> None:
    answers = KeptAnswers(tmp_path / "a", FakeClock())
    answers.keep(ALICE, "secret")
    (path,) = (tmp_path / "a").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "alice" not in path.name
