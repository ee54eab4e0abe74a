"""JWKS: the signing keys of one external issuer, fetched, cached and dropped by rule.

Lookups are synchronous and answer from memory; `refresh` fetches, one fetch at
a time. A token can cause a fetch at most once per `MIN_FETCH_GAP_S`, so random
key ids cannot cause a storm.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

from agent_gateway.egress.control_client import ControlClient
from agent_gateway.identity.compact import Malformed, strict_object, text, texts
from agent_gateway.identity.metadata import well_known
from agent_gateway.ports import Clock
from gateway_policies.refusal import Refusal

MAX_DOCUMENT_BYTES = 256 * 1024
MAX_KEYS = 64
MIN_TTL_S, DEFAULT_TTL_S, MAX_TTL_S = 300.0, 3600.0, 86400.0
MAX_AGE_S = 86400.0  # keys older than this check nothing, whether the issuer answers or not
MIN_FETCH_GAP_S = 30.0
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
_MIN_MODULUS_CHARS, _MAX_MODULUS_CHARS = MIN_RSA_BITS // 6, MAX_RSA_BITS // 6 + 2  # in base64url
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=(\d{1,9})(?:$|[,\s])")
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_KINDS = {"R": RSAKey, "P": RSAKey, "E": ECKey}  # by the first letter of the algorithm, Edwards curves apart


@dataclass(frozen=True, slots=True)
class Document:
    """A fetched document, already within `MAX_DOCUMENT_BYTES`, with status 200."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])  # names in lower case


Fetch = Callable[[str, int], Awaitable[Document]]  # (url, max bytes); raises a Refusal


def fetching(client: ControlClient) -> Fetch:
    """Return the port over the control path's client."""

    async def fetch(url: str, max_bytes: int) -> Document:
        response = await client.get(url, max_bytes=max_bytes)
        return Document(response.body, response.headers)

    return fetch


class JwksCache:
    """The keys of one issuer.

    issuer    its exact `iss`
    jwks_url  where its keys are; empty: found by discovery, in which the issuer must name itself exactly so
    """

    def __init__(self, issuer: str, *, fetch: Fetch, clock: Clock, jwks_url: str = "") -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, tuple[Key, ...]] = {}
        self._fetched_at = float("-inf")
        self._fresh_until = float("-inf")
        self._next_fetch_at = float("-inf")
        self._running: asyncio.Task[None] | None = None

    def find(self, key_id: str, algorithm: str) -> Key | None:
        """Return the key to check a signature with, None when there is none or all are too old."""
        if self._clock() > self._fetched_at + MAX_AGE_S:
            return None
        return next((key for key in self._keys.get(key_id, ()) if fits(key, algorithm)), None)

    def needs_fetch(self, key_id: str) -> bool:
        """Tell whether to `await refresh()` before `find`: stale or unknown, and not just tried."""
        now = self._clock()
        return now >= self._next_fetch_at and (now >= self._fresh_until or key_id not in self._keys)

    async def refresh(self) -> None:
        """Fetch the keys, or wait for the fetch that is running; failure leaves the old ones and is not raised.

        The fetch outlives a caller that goes away.
        """
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._refresh())
        await asyncio.shield(self._running)

    async def _refresh(self) -> None:
        try:
            url = self._jwks_url or await self._discover()
            document = await self._fetch(url, MAX_DOCUMENT_BYTES)
            keys = keys_of(document.body)
            now = self._clock()
            self._keys, self._fetched_at = keys, now
            self._fresh_until = now + _ttl_s(document.headers)
        except (Refusal, Malformed):
            pass  # the old keys serve until they are too old
        finally:
            self._next_fetch_at = self._clock() + MIN_FETCH_GAP_S

    async def _discover(self) -> str:
        for url in discovery_urls(self._issuer):
            try:
                document = await self._fetch(url, MAX_DOCUMENT_BYTES)
                return self._jwks_uri(strict_object(document.body))
            except (Refusal, Malformed):
                continue
        raise Malformed("the issuer publishes no metadata of its own")

    def _jwks_uri(self, document: Mapping[str, object]) -> str:
        found = text(document, "jwks_uri")
        schemes = {"https", urlsplit(self._issuer).scheme}
        if text(document, "issuer") != self._issuer or urlsplit(found).scheme not in schemes:
            raise Malformed("the metadata is not of this issuer")
        return found


def discovery_urls(issuer: str) -> tuple[str, ...]:
    """Return where an issuer's metadata may be, in the order to try. Source: RFC 8414 3.1, OIDC Discovery 4."""
    oauth, oidc = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
    urls = (well_known(issuer, oauth), well_known(issuer, oidc), issuer.rstrip("/") + oidc)
    return tuple(dict.fromkeys(urls))


def keys_of(document: bytes) -> dict[str, tuple[Key, ...]]:
    """Return the usable signature keys of a JWKS document by key id.

    Left out: symmetric, private, encryption-only, weak and unknown ones, keys without an id, and
    all keys of one type that share an id. Raises `Malformed` when none is left or the document is too large.
    """
    if len(document) > MAX_DOCUMENT_BYTES:
        raise Malformed(f"the key set is larger than {MAX_DOCUMENT_BYTES} bytes")
    listed = strict_object(document).get("keys")
    if not isinstance(listed, list) or len(cast("list[object]", listed)) > MAX_KEYS:
        raise Malformed(f"a key set lists at most {MAX_KEYS} keys")
    found: dict[str, list[Key]] = {}
    for entry in cast("list[object]", listed):
        key = public_key(cast("dict[str, object]", entry)) if isinstance(entry, dict) else None
        if key is not None and key.kid:
            found.setdefault(key.kid, []).append(key)
    usable = {key_id: _without_twins(keys) for key_id, keys in found.items()}
    usable = {key_id: keys for key_id, keys in usable.items() if keys}
    if not usable:
        raise Malformed("the key set holds no usable key")
    return usable


def public_key(entry: Mapping[str, object]) -> Key | None:
    """Import one public signature key from its JWK, None when it is not to be used for that."""
    try:
        operations = texts(entry, "key_ops")
        is_for_signatures = entry.get("use", "sig") == "sig" and (not operations or "verify" in operations)
        if entry.get("kty") not in ("RSA", "EC", "OKP") or "d" in entry or not is_for_signatures:
            return None
        if entry["kty"] == "RSA" and not _MIN_MODULUS_CHARS <= len(text(entry, "n")) <= _MAX_MODULUS_CHARS:
            return None
        key = JWKRegistry.import_key(cast("dict[str, str | list[str]]", dict(entry)))
        is_weak = isinstance(key, RSAKey) and key.public_key.key_size < MIN_RSA_BITS
        return None if is_weak else key
    except (JoseError, Malformed, ValueError, TypeError, KeyError, AttributeError):
        return None


def fits(key: Key, algorithm: str) -> bool:
    """Tell whether a key is of the kind, the curve and, if it says one, the very algorithm."""
    declared = key.alg
    if declared is not None and declared != algorithm:
        return False
    if algorithm in ("EdDSA", "Ed25519"):
        return isinstance(key, OKPKey) and key.curve_name == "Ed25519"
    kind = _KINDS.get(algorithm[:1])
    if kind is None or not isinstance(key, kind):
        return False
    return not isinstance(key, ECKey) or key.curve_name == _CURVES.get(algorithm)


def _without_twins(keys: list[Key]) -> tuple[Key, ...]:
    kinds = [key.key_type for key in keys]
    return tuple(key for key in keys if kinds.count(key.key_type) == 1)


def _ttl_s(headers: Mapping[str, str]) -> float:
    match = _MAX_AGE.search(headers.get("cache-control", "").lower())
    return min(max(float(match.group(1)), MIN_TTL_S), MAX_TTL_S) if match else DEFAULT_TTL_S
