"""The authorization code flow: what a person is sent to, and what may come back.

Source: OAuth 2.1 4.1, RFC 7636 (S256 only), RFC 9207, RFC 8707, RFC 7591.
"""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlencode

import msgspec

from agent_gateway.grants.client import Client
from agent_gateway.grants.discovery import AuthServer
from agent_gateway.grants.tokens import Asking
from agent_gateway.grants.web import Web
from agent_gateway.identity.compact import text
from gateway_policies.refusal import UpstreamFailed

GRANTS: Final = ("authorization_code", "refresh_token")
MAX_CLIENT_ID_CHARS: Final = 2048
_ERROR: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_METHODS: Final = ("client_secret_basic", "client_secret_post", "none")


@dataclass(frozen=True, slots=True)
class Begun:
    """One authorization that a person is asked for.

    url  where the person goes
    """

    url: str = field(repr=False)
    redirect_uri: str
    asking: Asking
    state: str = field(repr=False)
    verifier: str = field(repr=False)


def begin(asking: Asking, redirect_uri: str) -> Begun:
    """Begin one authorization; raises `UpstreamFailed` for a server that cannot keep the code from others."""
    server = asking.server
    if not server.authorization_url:
        raise UpstreamFailed("the authorization server sends nobody to consent", code="bad_metadata")
    if "S256" not in server.challenges:
        raise UpstreamFailed("the authorization server does not promise PKCE with S256", code="bad_metadata")
    assert asking.client is not None
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": asking.client.id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(asking.scope),
        "state": state,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        "resource": asking.resource,
    }
    joint = "&" if "?" in server.authorization_url else "?"
    url = f"{server.authorization_url}{joint}{urlencode({name: value for name, value in query.items() if value})}"
    return Begun(url, redirect_uri, asking, state, verifier)


def code_of(begun: Begun, query: str) -> str:
    """Return the code that a redirect brings; raises `UpstreamFailed` for one that is not the answer to `begun`.

    query  what follows the `?` of the redirect
    """
    found = parse_qs(query, keep_blank_values=True, max_num_fields=32)
    if any(len(values) != 1 for values in found.values()):
        raise _refused("it says something twice")
    told = {name: values[0] for name, values in found.items()}
    if not secrets.compare_digest(told.get("state", "").encode(), begun.state.encode()):
        raise _refused("it answers another request")
    server = begun.asking.server
    # INVARIANT: byte for byte, on errors too; another server's answer must not lead us to give this one its code.
    if told.get("iss", "") != server.issuer and ("iss" in told or server.proves_issuer):
        raise _refused("it does not come from the server that was asked", code="issuer_mismatch")
    if "error" in told:
        reason = told["error"] if _ERROR.fullmatch(told["error"]) else "refused"
        raise UpstreamFailed(f"the authorization was not given: {reason}", code="credential_refused")
    if not told.get("code"):
        raise _refused("it brings no code")
    return told["code"]


def grant_of(begun: Begun, code: str) -> dict[str, str]:
    """Return the members of the token request for a code."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": begun.redirect_uri,
        "code_verifier": begun.verifier,
    }


async def register(web: Web, server: AuthServer, redirect_uri: str, scope: tuple[str, ...]) -> Client:
    """Register a client of our own at a server that lets anyone (RFC 7591); raises `UpstreamFailed`."""
    if not server.registration_url:
        hint = "register the gateway there, and write `client_id` and `issuer` under `auth`"
        raise UpstreamFailed("the authorization server registers nobody by itself", code="not_registered", hint=hint)
    method = next((one for one in _METHODS if one in server.auth_methods), "client_secret_basic")
    wanted: dict[str, object] = {
        "client_name": "agent-gateway",
        "application_type": "native",
        "redirect_uris": [redirect_uri],
        "grant_types": list(GRANTS),
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
    }
    if scope:
        wanted["scope"] = " ".join(scope)
    status, answer = await web.json(server.registration_url, msgspec.json.encode(wanted))
    client_id = text(answer, "client_id")
    if status not in (200, 201) or not 0 < len(client_id) <= MAX_CLIENT_ID_CHARS:
        raise UpstreamFailed("the authorization server does not register the gateway", code="not_registered")
    given = text(answer, "token_endpoint_auth_method")
    return Client(client_id, text(answer, "client_secret"), method=given if given in _METHODS else "")


def _refused(why: str, code: str = "bad_redirect") -> UpstreamFailed:
    return UpstreamFailed(f"the redirect of the authorization server is not taken: {why}", code=code)
