"""Tokens as attackers and issuers make them: any bytes in the header and the claims, really signed."""

import base64
import json
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from joserfc.jwk import ECKey, Key, OctKey, RSAKey
from joserfc.jws import JWSRegistry


@dataclass
class Ticking:
    """A clock that stands until it is moved."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def ec(key_id: str = "k1", curve: str = "P-256") -> ECKey:
    return ECKey.generate_key(curve, {"kid": key_id})


def rsa(key_id: str = "k1", bits: int = 2048) -> RSAKey:
    return RSAKey.generate_key(bits, {"kid": key_id})


def weak_rsa(key_id: str = "k1") -> dict[str, object]:
    """Return the public JWK of a 1024-bit key; joserfc warns of making one."""
    numbers = generate_private_key(65537, 1024).public_key().public_numbers()
    return {"kty": "RSA", "kid": key_id, "n": segment(numbers.n.to_bytes(128, "big")), "e": "AQAB"}


def segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: dict[str, object] | bytes, claims: dict[str, object] | bytes, key: Key | OctKey, alg: str) -> str:
    """Sign exactly these bytes; nothing is checked or added."""
    parts = [segment(one if isinstance(one, bytes) else json.dumps(one).encode()) for one in (header, claims)]
    signature = JWSRegistry.algorithms[alg].sign(".".join(parts).encode(), key)
    return ".".join((*parts, segment(signature)))


@dataclass
class StaticKeys:
    """A key source that has its keys, and counts how often it is asked to refresh."""

    keys: dict[str, Key] = field(default_factory=dict[str, Key])
    later: dict[str, Key] = field(default_factory=dict[str, Key])  # what a refresh brings
    refreshed: int = 0

    def find(self, key_id: str, algorithm: str) -> Key | None:
        return self.keys.get(key_id)

    def needs_fetch(self, key_id: str) -> bool:
        return key_id not in self.keys and not self.refreshed

    async def refresh(self) -> None:
        self.refreshed += 1
        self.keys = {**self.keys, **self.later}
