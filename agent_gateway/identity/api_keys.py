"""API keys: `agw_` + 12 characters that name the key + `_` + 256 secret bits.

The last resort of a client that knows no OAuth. Only the SHA-256 is kept; a
key is found by its name part and compared in constant time.
"""

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass

PREFIX = "agw_"
_ID_LENGTH = 12
_ID_ALPHABET = string.ascii_lowercase + string.digits
_KEY = re.compile(r"agw_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is stored of one key.

    id          the name part, 12 of `a-z0-9`
    sha256      of the whole key, 64 lower-case hex digits
    expires_at  unix seconds from which on it opens nothing; None: never
    Raises `ValueError` when either is not of that form.
    """

    id: str
    sha256: str
    expires_at: float | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]{12}", self.id) or not _SHA256.fullmatch(self.sha256):
            raise ValueError("an API key is stored as its 12-character id and the SHA-256 of the whole key")


def new_api_key() -> tuple[str, ApiKey]:
    """Return a fresh key, to be shown once, and what to store of it."""
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
    key = f"{PREFIX}{key_id}_{secrets.token_urlsafe(32)}"
    return key, ApiKey(id=key_id, sha256=_digest(key))


def id_of(key: str) -> str | None:
    """Return the name part of a well-formed key, None for anything else."""
    match = _KEY.fullmatch(key)
    return match.group(1) if match else None


def matches(key: str, stored: ApiKey) -> bool:
    """Tell whether `key` is the one that was stored; in constant time."""
    return hmac.compare_digest(_digest(key), stored.sha256)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
