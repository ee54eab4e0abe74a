"""Trees, keys and signed notes, as RFC 9162 and C2SP define them, for checking only."""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Tree:
    """A Merkle tree that only grows. Source: RFC 9162, 2.1."""

    def __init__(self) -> None:
        self.size = 0
        self.nodes: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        node, size = leaf, self.size
        while size & 1:
            node, size = sha256(b"\x01" + self.nodes.pop() + node).digest(), size >> 1
        self.nodes.append(node)
        self.size += 1

    def root(self) -> bytes:
        node = self.nodes[-1] if self.nodes else sha256(b"").digest()
        for left in reversed(self.nodes[:-1]):
            node = sha256(b"\x01" + left + node).digest()
        return node


def check_vkeys(vkeys: Sequence[str]) -> list[tuple[str, bytes]]:
    """Return (name, public key) of each; raises `ValueError` for one that is damaged."""
    keys: list[tuple[str, bytes]] = []
    for vkey in vkeys:
        name, key_id, encoded = [*vkey.strip().split("+", 2), "", ""][:3]
        blob = decode(encoded)
        if len(blob) != 33 or blob[0] != 1 or _key_id(name, blob[1:]).hex() != key_id:
            raise ValueError(f"`{vkey.strip()}` is no Ed25519 verifier key, or a damaged one")
        keys.append((name, blob[1:]))
    return keys


def open_note(note: str, vkeys: Sequence[str]) -> tuple[str, int, bytes]:
    """Return (origin, size, root) of a checkpoint; raises `ValueError` unless its log's own key signed it."""
    text, blank, tail = note.rpartition("\n\n")
    origin, size, root = [*text.split("\n"), "", "", ""][:3]
    if not blank or not re.fullmatch("0|[1-9][0-9]{0,18}", size) or len(decode(root)) != 32:
        raise ValueError("it is no checkpoint")
    for name, public in check_vkeys(vkeys):
        start = f"\u2014 {origin} "
        for line in tail.split("\n") if name in (origin, origin.rpartition("/")[0]) else ():
            signature = decode(line.removeprefix(start)) if line.startswith(start) else b""
            if signature[:4] == _key_id(origin, public):
                try:
                    Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], f"{text}\n".encode())
                except InvalidSignature:
                    raise ValueError("its signature does not fit") from None
                return origin, int(size), decode(root)
    raise ValueError("no known key has signed it")


def keys_of_change(record: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return (old, new) of a record that says which key follows which, both for one name; None when it does not."""
    pair = (str(record.get("from")), str(record.get("to")))
    try:
        (name, _), (other, _) = check_vkeys(pair)
    except ValueError:
        return None
    return pair if name == other else None


def decode(text: str) -> bytes:
    """Return what base64 `text` stands for; raises `ValueError` unless it is the one spelling of it."""
    data = b64decode(text, validate=True)
    if b64encode(data).decode() != text:
        raise ValueError("this is not canonical base64")
    return data


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def log_named(note: str) -> str:
    return note.partition("\n")[0].rpartition("/")[2]


def size_named(note: str) -> int:
    """Return the size that a note claims, 0 when it claims none."""
    size = note.split("\n", 2)[1:2]
    return int(size[0]) if size and re.fullmatch("[1-9][0-9]{0,18}", size[0]) else 0


def root_of(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to, or nothing. Source: RFC 9162, 2.1.3.2."""
    last, node = size - 1, leaf
    if not 0 <= index <= last:
        return b""
    for sibling in path:
        if last == 0:
            return b""
        if index & 1 or index == last:
            node = sha256(b"\x01" + sibling + node).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    return node if last == 0 else b""


def grows(old_size: int, size: int, path: Sequence[bytes], old_root: bytes, root: bytes) -> bool:
    """Say whether a consistency proof leads from one root to the other. Source: RFC 9162, 2.1.4.2."""
    if old_size == 0 or old_size == size:
        return not path and (old_root == root if old_size else old_root == Tree().root())
    if not 0 < old_size < size:
        return False
    steps = [old_root, *path] if old_size & (old_size - 1) == 0 else list(path)
    if not steps:
        return False
    at, last = old_size - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = sha256(b"\x01" + sibling + old).digest(), sha256(b"\x01" + sibling + new).digest()
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = sha256(b"\x01" + new + sibling).digest()
        at, last = at >> 1, last >> 1
    return last == 0 and old == old_root and new == root
