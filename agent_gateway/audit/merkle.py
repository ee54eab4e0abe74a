"""The Merkle tree of RFC 9162, section 2.1: roots, proofs and their verification.

Values only: leaves go in as 32-byte hashes, proofs come out as tuples of
hashes. Keeping leaves is the work of `database`, signing roots of `checkpoint`.
`verify` has its own small copy on purpose: a verifier that shares code with
what it checks would share its mistakes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(record: bytes) -> bytes:
    """Return the hash under which `record` enters the tree. Source: RFC 9162, 2.1.1."""
    return sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node. Source: RFC 9162, 2.1.1."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that is needed of a tree to append to it and to know its root.

    nodes  the roots of its perfect subtrees, widest first: one per set bit of `size`
    """

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.nodes) != self.size.bit_count():
            raise ValueError(f"a tree of {self.size} leaves has {self.size.bit_count()} perfect subtrees")
        if any(len(node) != HASH_BYTES for node in self.nodes):
            raise ValueError(f"a node is {HASH_BYTES} bytes")

    def extend(self, leaves: Iterable[bytes]) -> "Frontier":
        """Return the frontier after `leaves` (leaf hashes, in order) are appended."""
        size, nodes = self.size, list(self.nodes)
        for leaf in leaves:
            node, rest = leaf, size
            while rest & 1:
                node = sha256(b"\x01" + nodes.pop() + node).digest()
                rest >>= 1
            nodes.append(node)
            size += 1
        return Frontier(size, tuple(nodes))

    @property
    def root(self) -> bytes:
        """The Merkle tree hash; of the empty tree, the hash of nothing."""
        if not self.nodes:
            return EMPTY_ROOT
        node = self.nodes[-1]
        for left in reversed(self.nodes[:-1]):
            node = node_hash(left, node)
        return node


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash over `leaves` (leaf hashes, in order)."""
    return Frontier().extend(leaves).root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the path that shows leaf `index` to be in the tree over `leaves`.

    Raises `IndexError` when there is no such leaf. Source: RFC 9162, 2.1.3.1.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of a tree of {len(leaves)}")
    path: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(root(leaves[middle:high]))
            high = middle
        else:
            path.append(root(leaves[low:middle]))
            low = middle
    return tuple(reversed(path))


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """Return the proof that the tree over `leaves` extends its first `old_size` leaves.

    Empty when `old_size` is 0 or all of them. Raises `IndexError` beyond that.
    Source: RFC 9162, 2.1.4.1.
    """
    if not 0 <= old_size <= len(leaves):
        raise IndexError(f"the first {old_size} of {len(leaves)} leaves")
    if old_size == 0:
        return ()
    path: list[bytes] = []
    low, high, is_whole = 0, len(leaves), True
    while old_size != high:
        middle = low + _split(high - low)
        if old_size <= middle:
            path.append(root(leaves[middle:high]))
            high = middle
        else:
            path.append(root(leaves[low:middle]))
            low, is_whole = middle, False
    if not is_whole:
        path.append(root(leaves[low:high]))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> bool:
    """Say whether `proof` shows `leaf` at `index` of the tree of `size` with that root.

    Source: RFC 9162, 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    position, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and node == expected_root


def verify_consistency(old_size: int, old_root: bytes, size: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Say whether `proof` shows the tree of `size` to extend the tree of `old_size`.

    Source: RFC 9162, 2.1.4.2; the empty tree is a prefix of every tree.
    """
    if not 0 <= old_size <= size:
        return False
    if old_size == size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    if not path:
        return False
    return _climb(old_size, size, path) == (old_root, new_root)


def _climb(old_size: int, size: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the two roots that a consistency path leads to, or None when its length is wrong."""
    position, last = old_size - 1, size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    return (old, new) if last == 0 else None


def _split(count: int) -> int:
    """Return the largest power of two smaller than `count` (at least 2)."""
    return 1 << (count - 1).bit_length() - 1
