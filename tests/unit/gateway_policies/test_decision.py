"""Permits are made of permitting decisions only."""

import pytest

from gateway_policies.decision import Decision, Permit
from support.policy_worlds import LOG, PLANNER, call


def test_a_permit_is_made_from_a_permitting_decision() -> None:
    decision = Decision("permit", ("p",), "b")
    attempt = call(PLANNER, LOG)
    permit = Permit.of(attempt, decision)
    assert (permit.call, permit.decision) == (attempt, decision)


def test_a_forbid_cannot_become_a_permit() -> None:
    with pytest.raises(ValueError, match="cannot become"):
        Permit.of(call(PLANNER, LOG), Decision("forbid", (), "b"))


def test_a_permit_cannot_be_made_directly() -> None:
    with pytest.raises(TypeError):
        Permit()
