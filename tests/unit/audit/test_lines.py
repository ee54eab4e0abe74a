"""Records encoded with gaps are the records, byte for byte."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.audit import records
from agent_gateway.audit.lines import lines_of
from agent_gateway.audit.log import encoded
from agent_gateway.gaps import NUMBER_MARKS, TEXT_MARKS, Gaps
from agent_gateway.ports import Charge
from gateway_policies.call import Call, Capability
from gateway_policies.decision import Decision
from gateway_policies.principal import Hop, Principal

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
CHARGES = (Charge("money%/acme", "2026-11", 5, 10), Charge("calls/acme", "total", 1, 10))
NUMBERS = st.integers(0, 2**53)


@given(name=TEXT, agent=TEXT, policy=TEXT, number=NUMBERS, charged=st.booleans())
def test_filled_lines_are_what_encoding_each_record_gives(
    name: str, agent: str, policy: str, number: int, charged: bool
) -> None:
    who = Principal("agent", agent, "acme", ("acme/a",), chain=(Hop("i", agent, True),))
    call = Call("c" * 32, who, "call", Capability(name, name, "up%s"), {}, 12.5, "mcp")
    decided, charges = Decision("permit", (policy,), "b"), CHARGES if charged else ()
    lines = lines_of(call, decided, charges, "snap")
    assert lines is not None
    assert lines.fit(decided, charges)
    sealed = records.SealedArguments("ab" * 32, number)
    decision = records.decision(call, decided, charges, sealed, "snap", "00-1-2-01")
    assert lines.decision.fill(number, b"ab" * 32, 12500, b"c" * 32, b"00-1-2-01") == encoded(decision)
    outcome = records.outcome(
        call, 7.0, "ok", "", records.Traffic(number, 3, 4), [(charge, charge.amount) for charge in charges]
    )
    assert lines.outcome.fill(7000, number, 3, b"c" * 32, 4) == encoded(outcome)


def test_lines_fit_the_very_decision_and_charges_only() -> None:
    decided = Decision("permit", ("a",), "b")
    call = Call("c", Principal("agent", "p", "acme"), "call", Capability("t", "t", "up"), {}, 1.0)
    lines = lines_of(call, decided, CHARGES, "s")
    assert lines is not None
    assert not lines.fit(replace(decided), CHARGES)
    assert not lines.fit(decided, (*CHARGES[:1], *CHARGES[1:]))


def test_a_text_that_holds_a_mark_gets_no_gaps() -> None:
    call = Call("c", Principal("agent", TEXT_MARKS[0], "acme"), "call", Capability("t", "t", "up"), {}, 1.0)
    assert lines_of(call, Decision("permit", (), "b"), (), "s") is None
    with pytest.raises(ValueError, match="exactly once"):
        Gaps(b"nothing here", TEXT_MARKS[:1])


def test_gaps_are_filled_in_the_order_of_their_marks_wherever_they_stand() -> None:
    text = f"%{TEXT_MARKS[1]}-{NUMBER_MARKS[0]}-{TEXT_MARKS[0]}%d".encode()
    assert Gaps(text, (TEXT_MARKS[0], TEXT_MARKS[1], NUMBER_MARKS[0])).fill(b"a%b", b"b", 7) == b"%b-7-a%b%d"
    assert Gaps(text.replace(b"%", b""), TEXT_MARKS[:1]).fill(b"x").endswith(b"-xd")
