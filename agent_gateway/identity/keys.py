"""Keys: what the embedded token service signs with, and what it publishes.

ES256. A replaced key stays published until every token that it signed has
expired. Keeping and sharing the file is the work of `ring`.
"""

import json
import secrets
from pathlib import Path
from typing import cast

from joserfc.jwk import ECKey, Key

from agent_gateway.identity.ring import Ring, RingKey
from agent_gateway.ports import Clock

ALGORITHM = "ES256"
MAX_TOKEN_LIFE_S = 3600
KEY_AGE_S = 30 * 86400.0  # a current key older than this is due for rotation
_SKEW_S = 60.0


class SigningKeys:
    """The token service's keys, in `{directory}/signing-keys.json` (0600), the same in every worker."""

    def __init__(self, directory: Path, *, clock: Clock) -> None:
        keep_s = MAX_TOKEN_LIFE_S + _SKEW_S
        self._ring = Ring(directory / "signing-keys.json", clock=clock, generate=_generate, keep_s=keep_s)
        self._imported: dict[str, ECKey] = {}

    def current(self) -> tuple[str, ECKey]:
        """Return (key id, private key) to sign with."""
        key = self._ring.current()
        return key.id, self._import(key)

    def find(self, key_id: str, algorithm: str) -> Key | None:
        """Return the key to check a signature with, or None when it is unknown or no longer published."""
        key = self._ring.get(key_id) if algorithm == ALGORITHM else None
        return None if key is None else self._import(key)

    def needs_fetch(self, key_id: str) -> bool:
        """Say no: our own keys are at hand."""
        return False

    async def refresh(self) -> None:
        """Do nothing: `find` follows the file."""

    def document(self) -> dict[str, object]:
        """Return the JWKS document: public parts only. Source: RFC 7517 5."""
        return {"keys": [self._public(key) for key in self._ring.live()]}

    def rotate(self) -> str:
        """Make a new current key; return its id."""
        return self._ring.rotate().id

    def rotate_if_due(self, age_s: float = KEY_AGE_S) -> str:
        """Make a new current key when the present one is older than `age_s`; return the current id."""
        return self._ring.rotate(older_than_s=age_s).id

    def _public(self, key: RingKey) -> dict[str, object]:
        public = cast("dict[str, object]", self._import(key).as_dict(private=False))
        return {**public, "kid": key.id, "use": "sig", "alg": ALGORITHM}

    def _import(self, key: RingKey) -> ECKey:
        found = self._imported.get(key.id)
        if found is None:
            found = ECKey.import_key(json.loads(key.secret))
            self._imported = {**self._imported, key.id: found} if len(self._imported) < 64 else {key.id: found}
        return found


def _generate() -> tuple[str, str]:
    key = ECKey.generate_key("P-256")
    return secrets.token_urlsafe(12), json.dumps(key.as_dict(private=True))
