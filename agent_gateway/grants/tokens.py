"""Token requests: one form, one answer, read strictly.

Source: RFC 6749 4.1.3, 4.4, 5 and 6; RFC 7523 2.1; RFC 8707 2.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from agent_gateway.grants.challenge import read_scope
from agent_gateway.grants.client import Client, prove
from agent_gateway.grants.discovery import AuthServer
from agent_gateway.grants.web import Web
from agent_gateway.identity.broker import DEFAULT_TOKEN_LIFE_S, MAX_TOKEN_LIFE_S
from agent_gateway.identity.compact import Malformed, seconds, text
from gateway_policies.refusal import UpstreamFailed

MAX_TOKEN_CHARS: Final = 16 * 1024
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ERROR: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


class GrantRefused(UpstreamFailed):
    """The authorization server says no; `reason` is its code, such as `invalid_grant`."""

    code = "credential_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the upstream's authorization server gives no token: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one token request gave.

    expires_at  unix seconds
    scope       what was granted
    """

    access: str = field(repr=False)
    expires_at: float
    refresh: str = field(default="", repr=False)
    scope: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks whom for what.

    client  None for a grant that says by itself who asks (`jwt-bearer` of a workload)
    """

    server: AuthServer
    client: Client | None
    resource: str
    scope: tuple[str, ...] = ()


async def ask(web: Web, asking: Asking, grant: Mapping[str, str], now: float) -> Tokens:
    """Return the tokens for one grant; raises `GrantRefused`, or another `UpstreamFailed` for no good answer.

    grant  `grant_type` and what belongs to it
    """
    fields = {**grant, "resource": asking.resource}
    if grant["grant_type"] != "authorization_code":
        fields["scope"] = " ".join(asking.scope)
    headers: tuple[tuple[str, str], ...] = ()
    if asking.client is not None:
        proof = prove(asking.client, asking.server, now)
        headers, fields = proof.headers, {**fields, **proof.fields}
    status, answer = await web.form(asking.server.token_url, headers, fields)
    if status != 200:
        reason = text(answer, "error")
        raise GrantRefused(reason if _ERROR.fullmatch(reason) else f"HTTP status {status}")
    return _tokens(answer, asking.scope, now)


def refreshed(before: Tokens, after: Tokens) -> Tokens:
    """Return the tokens after a refresh: a server that rotates gives a new refresh token, another keeps the old."""
    return after if after.refresh else replace(after, refresh=before.refresh)


def _tokens(answer: Mapping[str, object], asked: tuple[str, ...], now: float) -> Tokens:
    access, refresh = text(answer, "access_token"), text(answer, "refresh_token")
    try:
        life_s = seconds(answer, "expires_in")
    except Malformed:
        life_s = None
    is_bearer = text(answer, "token_type").lower() == "bearer"
    if not is_bearer or not _is_token(access) or (refresh and not _is_token(refresh)):
        raise UpstreamFailed("the authorization server answered with no bearer token", code="credential_refused")
    life_s = DEFAULT_TOKEN_LIFE_S if life_s is None else max(0.0, min(life_s, MAX_TOKEN_LIFE_S))
    granted = read_scope(text(answer, "scope")) if text(answer, "scope") else asked
    return Tokens(access, now + life_s, refresh, granted)


def _is_token(token: str) -> bool:
    return 0 < len(token) <= MAX_TOKEN_CHARS and token.isascii() and token.isprintable() and " " not in token
