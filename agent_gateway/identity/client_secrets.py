"""Client secrets: held as hashes, compared in constant time, weak ones refused.

A secret of 256 bits or more needs no slow hash and gets SHA-256; a shorter one
gets scrypt, which takes some 50 ms: not for the event loop.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

MIN_SECRET_CHARS = 16
MAX_SECRET_CHARS = 1024
MIN_DISTINCT_CHARS = 8
_LONG_CHARS, _LONG_DISTINCT_CHARS = 43, 16  # 256 bits as base64url; hex of them is longer and has 16 digits
_COST, _BLOCK, _LANES = 2**14, 8, 1


class WeakSecret(ValueError):
    """A secret too short or too plain to be one. The message does not hold it."""


@dataclass(frozen=True, slots=True)
class SecretHash:
    """What is kept of a client secret."""

    digest: bytes = field(repr=False)
    salt: bytes = field(default=b"", repr=False)  # empty: SHA-256 of a long secret

    @property
    def is_slow(self) -> bool:
        """Whether a guess costs scrypt, and so must be rationed."""
        return bool(self.salt)

    def matches(self, secret: str) -> bool:
        """Tell whether `secret` is the one that was hashed."""
        if not 0 < len(secret) <= MAX_SECRET_CHARS:
            return False
        try:
            data = secret.encode()
        except UnicodeEncodeError:
            return False
        return hmac.compare_digest(_digest(data, self.salt), self.digest)


def hash_secret(secret: str) -> SecretHash:
    """Return what to keep of `secret`; raises `WeakSecret`."""
    if not MIN_SECRET_CHARS <= len(secret) <= MAX_SECRET_CHARS:
        raise WeakSecret(f"a client secret has {MIN_SECRET_CHARS} to {MAX_SECRET_CHARS} characters")
    distinct = len(set(secret))
    if distinct < MIN_DISTINCT_CHARS:
        raise WeakSecret(f"a client secret has at least {MIN_DISTINCT_CHARS} different characters")
    is_long = len(secret) >= _LONG_CHARS and distinct >= _LONG_DISTINCT_CHARS
    salt = b"" if is_long else secrets.token_bytes(16)
    return SecretHash(digest=_digest(secret.encode(), salt), salt=salt)


def new_secret() -> str:
    """Return a fresh secret of 256 bits."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def _digest(data: bytes, salt: bytes) -> bytes:
    if not salt:
        return hashlib.sha256(data).digest()
    return hashlib.scrypt(data, salt=salt, n=_COST, r=_BLOCK, p=_LANES, dklen=32)
