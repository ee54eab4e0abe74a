"""Who the gateway is at one authorization server, and how it proves that at the token endpoint.

Source: RFC 6749 2.3, RFC 7523 2.2, RFC 8414 2.
"""

import base64
import secrets
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_plus

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from agent_gateway.grants.discovery import AuthServer
from gateway_policies.refusal import UpstreamFailed

ASSERTION_LIFE_S: Final = 60
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_BY_KIND: Final = (
    (ECKey, ("ES256", "ES384", "ES512")),
    (RSAKey, ("RS256", "PS256", "RS384", "PS384", "RS512", "PS512")),
    (OKPKey, ("EdDSA", "Ed25519")),
)
_BY_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


@dataclass(frozen=True, slots=True)
class Client:
    """One client identity, for one issuer and no other.

    key     a private key in PEM, for assertions; its secret is not used then
    method  how it was registered to prove itself; empty: whatever the server takes
    """

    id: str
    secret: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    method: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a token request carries so that the server knows who asks."""

    headers: tuple[tuple[str, str], ...] = ()
    fields: dict[str, str] = field(default_factory=dict[str, str], repr=False)


def prove(client: Client, server: AuthServer, now: float) -> Proof:
    """Return the proof of `client` for one request at `server`; raises `UpstreamFailed` when it takes no such proof."""
    method = _method(client, server)
    if method == "private_key_jwt":
        assertion = _assertion(client, server, now)
        return Proof((), {"client_id": client.id, "client_assertion_type": _ASSERTION, "client_assertion": assertion})
    if method == "client_secret_basic":
        pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}"
        return Proof((("authorization", "Basic " + base64.b64encode(pair.encode()).decode()),))
    if method == "client_secret_post":
        return Proof((), {"client_id": client.id, "client_secret": client.secret})
    return Proof((), {"client_id": client.id})


def _method(client: Client, server: AuthServer) -> str:
    if client.key:
        return "private_key_jwt"
    if not client.secret:
        return "none"
    if client.method:
        return client.method
    taken = server.auth_methods or ("client_secret_basic",)  # what RFC 8414 says of servers that say nothing
    for method in ("client_secret_basic", "client_secret_post", "none"):
        if method in taken:
            return method
    raise UpstreamFailed("the authorization server takes no client secret", code="bad_metadata")


def _assertion(client: Client, server: AuthServer, now: float) -> str:
    key = read_key(client.key)
    algorithm = _algorithm(key, server.algorithms)
    claims = {
        "iss": client.id,
        "sub": client.id,
        "aud": server.issuer,  # one audience, and not the endpoint: RFC 7523bis
        "iat": int(now),
        "exp": int(now) + ASSERTION_LIFE_S,
        "jti": secrets.token_urlsafe(16),
    }
    return jwt.encode({"alg": algorithm, "typ": "JWT"}, claims, key, algorithms=[algorithm])


def _algorithm(key: Key, taken: tuple[str, ...]) -> str:
    usable = next(names for kind, names in _BY_KIND if isinstance(key, kind))
    if isinstance(key, ECKey):
        usable = (_BY_CURVE.get(key.curve_name, ""),)
    for name in usable:
        if name and (not taken or name in taken):
            return name
    raise UpstreamFailed("the authorization server takes no signature of the gateway's key", code="bad_metadata")


def read_key(pem: str) -> ECKey | RSAKey | OKPKey:
    """Return a private key; raises `ValueError` for what is none."""
    for kind in (ECKey, RSAKey, OKPKey):
        try:
            key = kind.import_key(pem)
        except (JoseError, ValueError, TypeError):
            continue
        if key.is_private:
            return key
    raise ValueError("this is no private key in PEM")
