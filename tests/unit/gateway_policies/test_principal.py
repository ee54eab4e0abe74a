"""Principals are bound by their whole identity."""

from dataclasses import replace

from gateway_policies.principal import Hop
from support.policy_worlds import ANA


def test_the_key_is_the_whole_identity() -> None:
    ana = replace(ANA, chain=())
    assert ana.key == ("acme", "https://idp.example", "", "ana")
    others = [replace(ana, tenant="rival"), replace(ana, issuer="x"), replace(ana, client_id="x"), replace(ana, id="x")]
    assert len({ana.key, *(other.key for other in others)}) == 5


def test_who_acts_for_somebody_is_somebody_else_for_each_of_them() -> None:
    chains = [(), (Hop("i", "alice", is_verified=True),), (Hop("i", "bob", is_verified=True),)]
    assert len({replace(ANA, chain=chain).key for chain in chains}) == 3
    again = Hop("i", "bob", is_verified=True, generation=2)
    assert replace(ANA, chain=(again,)).key == replace(ANA, chain=chains[2]).key


def test_the_label_is_for_people() -> None:
    assert ANA.label == "acme/ana"
