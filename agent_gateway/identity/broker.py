"""The broker: the credential that a call carries to its upstream, always the gateway's own.

Nothing of the caller's credential reaches it. A credential goes only to the
origin that it was configured for; building the request is the pool's work.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote_plus, urlencode, urlsplit

from agent_gateway.egress.control_client import ControlClient
from agent_gateway.identity.compact import Malformed, seconds, strict_object, text
from agent_gateway.ports import Clock
from gateway_policies.principal import Principal
from gateway_policies.refusal import Refusal, UpstreamFailed, UpstreamUnreachable

MAX_TOKEN_ANSWER_BYTES = 64 * 1024
DEFAULT_TOKEN_LIFE_S = 300.0  # when an authorization server does not say
MAX_TOKEN_LIFE_S = 86400.0
REFRESH_AHEAD_S = 60.0  # a token this close to its end is renewed while it still serves
MIN_LEFT_S = 5.0  # a token this close to its end serves no more
FAILURE_PAUSE_S = 5.0  # between two requests at one token endpoint

UpstreamHeaders = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class StaticHeader:
    """One header with a secret value; raises `ValueError` for a name or value that is no header's."""

    name: str
    value: str = field(repr=False)

    def __post_init__(self) -> None:
        is_name = self.name.isascii() and self.name.replace("-", "").replace("_", "").isalnum()
        is_value = self.value.isascii() and self.value.isprintable() and self.value == self.value.strip()
        if not is_name or not is_value or not self.value:
            raise ValueError("a static credential is one header with a printable ASCII value")


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """How to get a token at an authorization server: RFC 6749 4.4, with RFC 8707 `resource`.

    resource  the upstream's canonical URL; always sent unless empty
    """

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Delegated:
    """A token of our own for each call: for whom it is made, and through whom.

    audience  the only place where it holds
    sign      makes it
    """

    audience: str
    sign: Callable[[Principal, str], str] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class UpstreamCredential:
    """What one upstream is sent, and where: `origin` is `scheme://host[:port]` of its configured URL."""

    origin: str
    source: StaticHeader | ClientCredentials | Delegated | None = None


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A token endpoint's answer, whole."""

    status: int
    body: bytes


# (token URL, headers, form body, max bytes); raises a Refusal
PostForm = Callable[[str, tuple[tuple[str, str], ...], bytes, int], Awaitable[TokenResponse]]


def posting(client: ControlClient) -> PostForm:
    """Return the port over the control path's client."""

    async def post_form(url: str, headers: tuple[tuple[str, str], ...], form: bytes, max_bytes: int) -> TokenResponse:
        response = await client.send("POST", url, headers=headers, body=form, max_bytes=max_bytes)
        return TokenResponse(response.status, response.body)

    return post_form


class Broker:
    """Hands out upstream credentials; made new with every configuration."""

    def __init__(self, upstreams: Mapping[str, UpstreamCredential], *, post_form: PostForm, clock: Clock) -> None:
        self._upstreams = dict(upstreams)
        self._tokens = {
            name: _Token(one.source, post_form, clock)
            for name, one in upstreams.items()
            if isinstance(one.source, ClientCredentials)
        }

    async def headers(self, principal: Principal, upstream_name: str, url: str = "") -> UpstreamHeaders:
        """Return the headers that prove the gateway to an upstream; awaits only when a token must be fetched.

        principal  for whom; the kinds of today serve everybody alike
        url        where they are going; when given, it must have the upstream's configured origin
        Raises `UpstreamUnreachable`: `unknown_upstream`, `credential_origin`, `credential_unavailable`.
        """
        credential = self._upstreams.get(upstream_name)
        if credential is None:
            raise UpstreamUnreachable("the upstream has no credential entry", code="unknown_upstream")
        if url and origin_of(url) != origin_of(credential.origin):
            raise UpstreamUnreachable(
                "a credential may not go to another host than its upstream's", code="credential_origin"
            )
        if credential.source is None:
            return []
        if isinstance(credential.source, StaticHeader):
            return [(credential.source.name.lower().encode(), credential.source.value.encode())]
        if isinstance(credential.source, Delegated):
            token = credential.source.sign(principal, credential.source.audience)
            return [(b"authorization", b"Bearer " + token.encode())]
        token = await self._tokens[upstream_name].get()
        return [(b"authorization", b"Bearer " + token.encode())]

    def forget(self, upstream_name: str) -> None:
        """Drop a fetched token: the upstream has refused it. The next call fetches another one."""
        token = self._tokens.get(upstream_name)
        if token is not None:
            token.forget()


@lru_cache(maxsize=1024)
def origin_of(url: str) -> tuple[str, str, int]:
    """Return (scheme, host, port) of a URL, defaults filled in; `("", "", 0)` for what has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return ("", "", 0)
    if parts.username is not None or "\\" in url or not parts.hostname or not port:
        return ("", "", 0)
    return (parts.scheme, parts.hostname, port)


class _Token:
    """One client-credentials token: cached, renewed ahead of its end, one fetch at a time."""

    def __init__(self, source: ClientCredentials, post_form: PostForm, clock: Clock) -> None:
        self._source = source
        self._post_form = post_form
        self._clock = clock
        self._token = ""
        self._expires_at = float("-inf")
        self._renew_at = float("-inf")
        self._next_try_at = float("-inf")
        self._running: asyncio.Task[None] | None = None

    async def get(self) -> str:
        now = self._clock()
        if now < self._renew_at:
            return self._token
        if self._is_idle and now >= self._next_try_at:
            self._running = asyncio.create_task(self._fetch())
        if now >= self._expires_at - MIN_LEFT_S:
            if self._running is not None:
                await asyncio.shield(self._running)  # the fetch outlives a caller that goes away
            if self._clock() >= self._expires_at - MIN_LEFT_S:
                raise UpstreamUnreachable(
                    "the gateway gets no token for this upstream now",
                    code="credential_unavailable",
                    retry_after_s=FAILURE_PAUSE_S,
                )
        return self._token

    @property
    def _is_idle(self) -> bool:
        return self._running is None or self._running.done()

    def forget(self) -> None:
        if self._clock() < self._next_try_at:
            return  # a token just fetched and refused: another one would not be better
        self._token, self._expires_at, self._renew_at = "", float("-inf"), float("-inf")

    async def _fetch(self) -> None:
        try:
            answer = await self._post_form(*self._request(), MAX_TOKEN_ANSWER_BYTES)
            token, life_s = _token_of(answer)
            now = self._clock()
            self._token, self._expires_at = token, now + life_s
            self._renew_at = now + life_s - min(REFRESH_AHEAD_S, life_s / 2)
        except (Refusal, Malformed):
            pass  # `get` says so once nothing is left to serve
        finally:
            self._next_try_at = self._clock() + FAILURE_PAUSE_S

    def _request(self) -> tuple[str, tuple[tuple[str, str], ...], bytes]:
        source = self._source
        form = {"grant_type": "client_credentials", "scope": source.scope, "resource": source.resource}
        pair = f"{quote_plus(source.client_id)}:{quote_plus(source.client_secret)}"
        headers = (
            ("authorization", "Basic " + base64.b64encode(pair.encode()).decode()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
        )
        return source.token_url, headers, urlencode({key: value for key, value in form.items() if value}).encode()


def _token_of(answer: TokenResponse) -> tuple[str, float]:
    if answer.status != 200:
        raise UpstreamFailed(f"the token endpoint answered with status {answer.status}")
    body = strict_object(answer.body)
    token, life_s = text(body, "access_token"), seconds(body, "expires_in")
    is_token = token.isascii() and token.isprintable() and " " not in token and token
    if not is_token or text(body, "token_type").lower() != "bearer":
        raise Malformed("the token endpoint answered with no bearer token")
    life_s = DEFAULT_TOKEN_LIFE_S if life_s is None else life_s
    return token, max(0.0, min(life_s, MAX_TOKEN_LIFE_S))
