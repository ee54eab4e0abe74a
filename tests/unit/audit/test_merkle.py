"""The Merkle tree against the definitions of RFC 9162 and its published vectors."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

# The inputs and roots that RFC 6962's reference implementation is tested with.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(data) for data in INPUTS]

sizes = st.integers(min_value=1, max_value=70)


def oracle_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = oracle_split(len(leaves))
    return node_hash(oracle_root(leaves[:k]), oracle_root(leaves[k:]))


def oracle_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162, 2.1.3.1, word for word."""
    if len(leaves) == 1:
        return []
    k = oracle_split(len(leaves))
    if m < k:
        return [*oracle_path(m, leaves[:k]), oracle_root(leaves[k:])]
    return [*oracle_path(m - k, leaves[k:]), oracle_root(leaves[:k])]


def oracle_subproof(m: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 9162, 2.1.4.1, word for word."""
    if m == len(leaves):
        return [] if whole else [oracle_root(leaves)]
    k = oracle_split(len(leaves))
    if m <= k:
        return [*oracle_subproof(m, leaves[:k], whole=whole), oracle_root(leaves[k:])]
    return [*oracle_subproof(m - k, leaves[k:], whole=False), oracle_root(leaves[:k])]


def oracle_split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def leaves_of(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(count)]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_roots_come_out(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert root([]) == EMPTY_ROOT == Frontier().root


@given(size=sizes, cut=st.integers(min_value=0, max_value=70))
def test_a_root_is_the_same_however_the_appends_are_grouped(size: int, cut: int) -> None:
    leaves = leaves_of(size)
    assert Frontier().extend(leaves[:cut]).extend(leaves[cut:]).root == oracle_root(leaves)


@given(size=sizes, data=st.data())
def test_inclusion_proofs_are_those_of_the_rfc_and_hold(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    proof = inclusion_proof(leaves, index)
    assert list(proof) == oracle_path(index, leaves)
    assert verify_inclusion(leaves[index], index, size, proof, root(leaves))


@given(size=sizes, data=st.data())
def test_an_inclusion_proof_holds_for_nothing_else(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    other = data.draw(st.integers(min_value=-2, max_value=size + 2).filter(lambda number: number != index))
    proof, head = inclusion_proof(leaves, index), root(leaves)
    assert not verify_inclusion(leaf_hash(b"other"), index, size, proof, head)
    assert not verify_inclusion(leaves[index], other, size, proof, head)
    assert not verify_inclusion(leaves[index], index, size, [*proof, head], head)
    assert not verify_inclusion(leaves[index], index, size, proof, leaf_hash(b"other root"))
    if proof:
        assert not verify_inclusion(leaves[index], index, size, proof[:-1], head)


@given(size=sizes, data=st.data())
def test_consistency_proofs_are_those_of_the_rfc_and_hold(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    old = data.draw(st.integers(min_value=1, max_value=size))
    proof = consistency_proof(leaves, old)
    assert list(proof) == oracle_subproof(old, leaves, whole=True)
    assert verify_consistency(old, root(leaves[:old]), size, root(leaves), proof)


@given(size=st.integers(min_value=2, max_value=70), data=st.data())
def test_a_consistency_proof_holds_for_no_rewritten_past(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    old = data.draw(st.integers(min_value=1, max_value=size - 1))
    proof, before, after = consistency_proof(leaves, old), root(leaves[:old]), root(leaves)
    forged = leaf_hash(b"forged")
    assert not verify_consistency(old, forged, size, after, proof)
    assert not verify_consistency(old, before, size, forged, proof)
    assert not verify_consistency(old, before, size, after, proof[:-1])
    assert not verify_consistency(old, before, size, after, [*proof, forged])
    assert not verify_consistency(old, before, size, after, [forged, *proof[1:]])


def test_the_empty_tree_is_a_prefix_of_every_tree_and_nothing_is_of_a_smaller_one() -> None:
    head = root(LEAVES)
    assert consistency_proof(LEAVES, 0) == ()
    assert verify_consistency(0, EMPTY_ROOT, 8, head, [])
    assert not verify_consistency(0, head, 8, head, [])
    assert not verify_consistency(0, EMPTY_ROOT, 8, head, [head])
    assert verify_consistency(8, head, 8, head, [])
    assert not verify_consistency(8, head, 8, head, [head])
    assert not verify_consistency(9, head, 8, head, [])
    assert not verify_consistency(-1, head, 8, head, [])
    assert not verify_consistency(3, root(LEAVES[:3]), 8, head, [])


def test_proofs_of_what_is_not_there_are_refused() -> None:
    with pytest.raises(IndexError, match="leaf 8 of a tree of 8"):
        inclusion_proof(LEAVES, 8)
    with pytest.raises(IndexError, match="the first 9 of 8 leaves"):
        consistency_proof(LEAVES, 9)


def test_a_frontier_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(ValueError, match="a tree of 3 leaves has 2 perfect subtrees"):
        Frontier(3, (LEAVES[0],))
    with pytest.raises(ValueError, match="perfect subtrees"):
        Frontier(-1, (LEAVES[0],))
    with pytest.raises(ValueError, match="a node is 32 bytes"):
        Frontier(1, (b"short",))
