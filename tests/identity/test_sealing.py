"""Handles come back to their owner, for their purpose, in time; anything else is one answer."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tokens import Ticking

from agent_gateway.identity.sealing import MAX_PAYLOAD_BYTES, Sealer
from gateway_policies.principal import Principal
from gateway_policies.refusal import NotFound

ANA = Principal(kind="agent", id="ana", tenant="acme", issuer="https://gw.example", client_id="ana")
CLOCK = Ticking()
NOW = CLOCK.now


@pytest.fixture(scope="module")
def sealer(tmp_path_factory: pytest.TempPathFactory) -> Sealer:
    return Sealer(tmp_path_factory.mktemp("data"), clock=CLOCK)


def refused(sealer: Sealer, purpose: str, principal: Principal, text: str, now: float = NOW) -> tuple[str, str]:
    with pytest.raises(NotFound) as caught:
        sealer.open(purpose, principal, text, now)
    return caught.value.code, caught.value.message


@given(payload=st.binary(max_size=200), purpose=st.text(max_size=20))
def test_a_handle_comes_back_as_it_was_and_shows_nothing(sealer: Sealer, payload: bytes, purpose: str) -> None:
    text = sealer.seal(purpose, ANA, payload, NOW + 10)
    assert text.replace("-", "").replace("_", "").isalnum()
    assert sealer.open(purpose, ANA, text, NOW) == payload


def test_two_handles_for_the_same_thing_differ(sealer: Sealer) -> None:
    assert sealer.seal("s", ANA, b"x", NOW + 1) != sealer.seal("s", ANA, b"x", NOW + 1)


def test_forged_foreign_and_expired_handles_get_one_answer(sealer: Sealer) -> None:
    text = sealer.seal("session", ANA, b"payload", NOW + 10)
    answers = {
        refused(sealer, "cursor", ANA, text),
        refused(sealer, "session", ANA, text, NOW + 10),
        refused(sealer, "session", ANA, ""),
        refused(sealer, "session", ANA, "not sealed at all"),
        refused(sealer, "session", ANA, "A" * 5),
        refused(sealer, "session", ANA, "A" * 80),
        refused(sealer, "session", ANA, text + "="),
        refused(sealer, "session", ANA, text[:-4]),
        refused(sealer, "session", ANA, text + "AAAA"),
        refused(sealer, "session", ANA, "A" * 20_000),
        refused(sealer, "session", ANA, "\u00e9" * 80),
        *(
            refused(sealer, "session", replace(ANA, **{name: "other"}), text)
            for name in ("id", "tenant", "issuer", "client_id")
        ),
    }
    assert answers == {("unknown_handle", "this handle is not known here")}


def test_every_changed_character_breaks_it(sealer: Sealer) -> None:
    text = sealer.seal("s", ANA, b"payload", NOW + 10)
    for at in range(len(text) - 1):
        changed = "A" if text[at] != "A" else "B"
        refused(sealer, "s", ANA, text[:at] + changed + text[at + 1 :])


def test_the_parts_of_an_identity_cannot_be_shifted(sealer: Sealer) -> None:
    one = replace(ANA, tenant="ab", issuer="c")
    other = replace(ANA, tenant="a", issuer="bc")
    refused(sealer, "s", other, sealer.seal("s", one, b"", NOW + 10))


def test_a_payload_has_a_limit(sealer: Sealer) -> None:
    largest = sealer.seal("s", ANA, b"x" * MAX_PAYLOAD_BYTES, NOW + 10)
    assert len(sealer.open("s", ANA, largest, NOW)) == MAX_PAYLOAD_BYTES
    with pytest.raises(ValueError, match="8192"):
        sealer.seal("s", ANA, b"x" * (MAX_PAYLOAD_BYTES + 1), NOW + 10)


def test_workers_open_each_others_handles_across_a_rotation(tmp_path: Path) -> None:
    clock = Ticking()
    one, other = Sealer(tmp_path, clock=clock), Sealer(tmp_path, clock=clock)
    before = one.seal("s", ANA, b"x", NOW + 1e7)
    clock.now += 86400
    one.rotate_if_due()
    after = one.seal("s", ANA, b"y", NOW + 1e7)
    assert (other.open("s", ANA, before, clock.now), other.open("s", ANA, after, clock.now)) == (b"x", b"y")
    clock.now += 8 * 86400
    refused(other, "s", ANA, before, clock.now)
