"""Checkpoints: signed heads of a log's tree, as C2SP writes them.

A checkpoint is a note of three lines (origin, size, root) signed with Ed25519
by the key of the same name, so any tool that speaks C2SP can check it.
Values only: keys come from `keys`, storage is the work of `database`.

Sources: c2sp.org/signed-note, c2sp.org/tlog-checkpoint.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent_gateway.audit.merkle import HASH_BYTES

MAX_NOTE_CHARS = 16_384
MAX_SIGNATURES = 16
_ED25519 = b"\x01"
_NAME = re.compile(r"[^\s+\x00-\x1f]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class BadNote(ValueError):
    """A note that is malformed, or that no known key has signed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a tree is at one size: `root` covers the first `size` records of log `origin`."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The signed part of the note."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Verifier:
    """One key that may sign notes, known by name."""

    name: str
    public: bytes  # 32 bytes, RFC 8032

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BadNote(f"`{self.name}` is no key name: no space, no plus, not empty")

    @property
    def key_id(self) -> bytes:
        """Four bytes that stand for name, algorithm and key."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as people hand it around: `name+id+key`. Public."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_ED25519 + self.public).decode()}"

    def has_signed(self, text: str, signature: bytes) -> bool:
        """Say whether `signature` is this key's over `text`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key under the name it signs with: `{origin}/{slot}` for a log."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, self.key.public_key().public_bytes_raw())

    def for_log(self, slot: str) -> "Signer":
        """Return the signer of one worker's log: the same key, the name `{name}/{slot}`."""
        return Signer(f"{self.name}/{slot}", self.key)

    def sign(self, size: int, root: bytes) -> str:
        """Return the note that says: the first `size` records of this log have `root`."""
        return self.sign_too(Checkpoint(self.name, size, root).text + "\n")

    def sign_too(self, note: str) -> str:
        """Return `note` with this key's signature after those that it has."""
        text, _, _ = note.partition("\n\n")
        signature = b64encode(self.verifier.key_id + self.key.sign(f"{text}\n".encode())).decode()
        return f"{note}\u2014 {self.name} {signature}\n"


def parse_vkey(vkey: str) -> Verifier:
    """Return the verifier that `vkey` describes; raises `BadNote` when it is damaged."""
    name, plus, rest = vkey.strip().partition("+")
    key_id, second_plus, encoded = rest.partition("+")
    key = _decode(encoded)
    if not plus or not second_plus or key[:1] != _ED25519 or len(key) != 1 + HASH_BYTES:
        raise BadNote("a verifier key reads `name+id+key` and holds an Ed25519 key")
    verifier = Verifier(name, key[1:])
    if verifier.key_id.hex() != key_id:
        raise BadNote(f"the verifier key of `{name}` is damaged: its id does not fit its key")
    return verifier


def open_note(note: str, verifiers: Sequence[Verifier]) -> Checkpoint:
    """Return the checkpoint in `note` once a known key proves to have signed it.

    Signatures of unknown keys (witnesses) are ignored; one known key whose
    signature fails spoils the note. Raises `BadNote`.
    """
    text, signatures = _split(note)
    is_signed = False
    for line in signatures:
        name, signature = _signature(line)
        for verifier in verifiers:
            if (verifier.name, verifier.key_id) == (name, signature[:4]):
                if not verifier.has_signed(text, signature[4:]):
                    raise BadNote(f"the signature of `{name}` does not fit the note")
                is_signed = True
    if not is_signed:
        raise BadNote("no known key has signed this note")
    return _checkpoint(text)


def _split(note: str) -> tuple[str, list[str]]:
    if len(note) > MAX_NOTE_CHARS:
        raise BadNote(f"a note is at most {MAX_NOTE_CHARS} characters")
    if any(character < " " and character != "\n" for character in note):
        raise BadNote("a note holds no control characters")
    text, blank, tail = note.rpartition("\n\n")
    signatures = tail.split("\n")
    if not blank or not text or signatures.pop() != "" or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise BadNote("a note is text, a blank line, and one or more signature lines")
    return text + "\n", signatures


def _signature(line: str) -> tuple[str, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014":
        raise BadNote("a signature line reads `— name signature`")
    signature = _decode(parts[2])
    if len(signature) <= 4:
        raise BadNote("a signature holds a key id of 4 bytes and more")
    return parts[1], signature


def _checkpoint(text: str) -> Checkpoint:
    lines = text.split("\n")[:-1]
    if len(lines) < 3 or not all(lines) or not _SIZE.fullmatch(lines[1]):
        raise BadNote("a checkpoint has an origin, a size and a root, one a line")
    root = _decode(lines[2])
    if len(root) != HASH_BYTES:
        raise BadNote(f"a root is {HASH_BYTES} bytes")
    return Checkpoint(lines[0], int(lines[1]), root)


def _decode(text: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except ValueError as error:
        raise BadNote("this is not base64") from error
    if b64encode(data).decode() != text:
        raise BadNote("this is not canonical base64")
    return data
