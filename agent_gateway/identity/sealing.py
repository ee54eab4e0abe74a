"""Sealing: ids that travel through a client and come back only to their owner.

Sessions, cursors and states that the gateway hands out are AES-256-GCM boxes
bound to a purpose and to the whole principal. What is inside is for the
callers; whether it is still wanted too.
"""

import base64
import binascii
import json
import re
import secrets
import struct
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent_gateway.identity.ring import Ring, RingKey
from agent_gateway.ports import Clock
from gateway_policies.principal import Principal
from gateway_policies.refusal import NotFound

MAX_PAYLOAD_BYTES = 8 * 1024
KEEP_S = 7 * 86400.0  # the longest a handle may live after its key was replaced
KEY_AGE_S = 86400.0  # random nonces: a key stays far below 2**32 seals
_ID_BYTES, _NONCE_BYTES = 9, 12
_EXPIRY = struct.Struct(">d")
_URL_SAFE = re.compile(r"[A-Za-z0-9_-]+")


class Sealer:
    """Seals and opens handles with `{directory}/sealing-keys.json` (0600), the same in every worker."""

    def __init__(self, directory: Path, *, clock: Clock) -> None:
        self._ring = Ring(directory / "sealing-keys.json", clock=clock, generate=_generate, keep_s=KEEP_S)
        self._boxes: dict[str, AESGCM] = {}

    def seal(
        self, purpose: str, principal: Principal, payload: bytes, expires_at: float, limit: int = MAX_PAYLOAD_BYTES
    ) -> str:
        """Return url-safe text that only `open` with the same purpose and principal turns back.

        payload     at most `limit` bytes; hidden from the client
        expires_at  unix seconds
        Raises `ValueError` when the payload is too long.
        """
        if len(payload) > limit:
            raise ValueError(f"a sealed payload holds at most {limit} bytes")
        key = self._ring.current()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        inside = _EXPIRY.pack(expires_at) + payload
        sealed = self._box(key).encrypt(nonce, inside, _bound(purpose, principal))
        return base64.urlsafe_b64encode(_id_bytes(key.id) + nonce + sealed).rstrip(b"=").decode()

    def open(self, purpose: str, principal: Principal, text: str, now: float, limit: int = MAX_PAYLOAD_BYTES) -> bytes:
        """Return the payload, which was sealed with the same `limit`.

        Raises the same `NotFound` (code `unknown_handle`) for a forged, foreign, expired or garbled one.
        """
        payload = self._opened(purpose, principal, text, now) if len(text) <= limit * 3 // 2 else None
        if payload is None:
            raise NotFound("this handle is not known here", code="unknown_handle", hint="start again without it")
        return payload

    def rotate_if_due(self, age_s: float = KEY_AGE_S) -> str:
        """Make a new current key when the present one is older than `age_s`; return the current id."""
        return self._ring.rotate(older_than_s=age_s).id

    def _opened(self, purpose: str, principal: Principal, text: str, now: float) -> bytes | None:
        if not _URL_SAFE.fullmatch(text):
            return None
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            return None
        key = self._ring.get(base64.urlsafe_b64encode(raw[:_ID_BYTES]).decode())
        nonce, sealed = raw[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], raw[_ID_BYTES + _NONCE_BYTES :]
        if key is None or len(sealed) < 16 + _EXPIRY.size:
            return None
        try:
            inside = self._box(key).decrypt(nonce, sealed, _bound(purpose, principal))
        except InvalidTag:
            return None
        expires_at: float = _EXPIRY.unpack_from(inside)[0]
        return inside[_EXPIRY.size :] if now < expires_at else None

    def _box(self, key: RingKey) -> AESGCM:
        box = self._boxes.get(key.id)
        if box is None:
            box = AESGCM(base64.urlsafe_b64decode(key.secret))
            self._boxes = {**self._boxes, key.id: box} if len(self._boxes) < 64 else {key.id: box}
        return box


def _bound(purpose: str, principal: Principal) -> bytes:
    # JSON keeps the parts apart: ("a", "bc") and ("ab", "c") must differ
    return json.dumps([purpose, *principal.key]).encode()


def _generate() -> tuple[str, str]:
    key_id = base64.urlsafe_b64encode(secrets.token_bytes(_ID_BYTES)).decode()
    return key_id, base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _id_bytes(key_id: str) -> bytes:
    return base64.urlsafe_b64decode(key_id)
