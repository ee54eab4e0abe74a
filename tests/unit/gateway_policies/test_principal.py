"""Principals are bound by their whole identity."""

from dataclasses import replace

from support.policy_worlds import ANA


def test_the_key_is_the_whole_identity() -> None:
    assert ANA.key == ("acme", "https://idp.example", "", "ana")
    others = [replace(ANA, tenant="rival"), replace(ANA, issuer="x"), replace(ANA, client_id="x"), replace(ANA, id="x")]
    assert len({ANA.key, *(other.key for other in others)}) == 5


def test_the_label_is_for_people() -> None:
    assert ANA.label == "acme/ana"
