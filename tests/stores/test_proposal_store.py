"""Proposals: kept once, proposed again only when they change, judged as they were looked at."""

from pathlib import Path

import pytest

from agent_gateway.stores.proposal_store import MAX_DESCRIPTION_BYTES, ProposalStore
from context_mesh.discovery.proposal import Proposal
from context_mesh.openapi.tool import Risk
from gateway_policies.refusal import NotFound, Unavailable

PETS = Proposal("pets", "file", "pets.json", owner="Team Pets", risk=Risk.WRITE)
DRAFT = Proposal("old", "har", url="https://old.example", description={"paths": {"/a": {"post": {}, "x": 1}}})


@pytest.fixture
def store(tmp_path: Path) -> ProposalStore:
    return ProposalStore(tmp_path / "proposals.db")


@pytest.mark.requirement("mesh.proposals")
def test_what_is_found_again_as_it_was_keeps_what_was_said_of_it(store: ProposalStore) -> None:
    assert store.put([PETS, DRAFT], "/apis", 1.0) == ["pets", "old"]
    first = {one.name: one for one in store.all()}
    assert (first["pets"].risk, first["old"].risk, first["pets"].state) == ("write", "create", "pending")
    assert b'"post"' in first["old"].draft
    assert store.judge("pets", first["pets"].digest, "rejected", "ann", 2.0).by == "ann"
    assert store.put([PETS, DRAFT], "/apis", 3.0) == []
    again = store.all()[1]
    assert (again.state, again.by, again.judged_at, again.first_seen_at, again.seen_at) == (
        "rejected", "ann", 2.0, 1.0, 3.0,
    )  # fmt: skip
    changed = Proposal("pets", "file", "pets.json", owner="Team Pets", risk=Risk.DESTROY)
    assert store.put([changed], "/apis", 4.0) == ["pets"]
    assert (store.all()[1].state, store.all()[1].by, store.all()[1].first_seen_at) == ("pending", "", 1.0)


@pytest.mark.requirement("mesh.proposals")
def test_a_verdict_is_of_what_was_looked_at(store: ProposalStore) -> None:
    store.put([PETS], "/apis", 1.0)
    looked = store.all()[0].digest
    store.put([Proposal("pets", "file", "pets.json", owner="Mallory", risk=Risk.WRITE)], "/apis", 2.0)
    for name, digest in (("pets", looked), ("none", looked)):
        with pytest.raises(NotFound):
            store.judge(name, digest, "approved", "ann", 3.0)
    assert store.all()[0].state == "pending"


def test_two_apis_of_one_name_are_two(store: ProposalStore) -> None:
    elsewhere = Proposal("pets", "kong", url="https://pets.example")
    remote = Proposal("pets", "api-catalog", "https://pets.example/openapi.json")
    assert store.put([PETS, elsewhere, remote], "/apis", 1.0) == ["pets", "pets-2", "pets-3"]
    assert store.put([PETS], "/other", 2.0) == ["pets-4"]
    assert store.put([remote], "/other", 3.0) == []
    assert store.all()[1].risk == ""


def test_a_description_that_is_too_large_is_not_kept(store: ProposalStore) -> None:
    store.put([Proposal("big", "apim", description="x" * (MAX_DESCRIPTION_BYTES + 1))], "/apis", 1.0)
    assert store.all()[0].draft == b""


def test_there_is_an_end(tmp_path: Path) -> None:
    store = ProposalStore(tmp_path / "proposals.db", most=2)
    found = [Proposal(f"a{number}", "kong", url=f"https://{number}.example") for number in range(5)]
    assert len(store.put(found, "/apis", 1.0)) == 2
    assert store.put(found[:2], "/apis", 2.0) == []


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "proposals.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(Unavailable):
        ProposalStore(tmp_path / "proposals.db").all()
