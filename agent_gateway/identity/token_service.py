"""The embedded token service: machine clients turn their credential into a short access token.

Requests and answers are values; serving them is the work of `oauth_app`. A
call may take 50 ms (scrypt) and touch the disk (used assertions): run it in a
thread. Every member may be used from several threads.
"""

import base64
import binascii
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus

from joserfc import jwt

from agent_gateway.identity import assertions, compact, metadata
from agent_gateway.identity.agents import Agent, Agents
from agent_gateway.identity.card_keys import signer_of
from agent_gateway.identity.client_secrets import SecretHash
from agent_gateway.identity.exchange import ACCESS_TOKEN, Exchange, Refused
from agent_gateway.identity.exchange import GRANT as EXCHANGE_GRANT
from agent_gateway.identity.keys import ALGORITHM, MAX_TOKEN_LIFE_S, SigningKeys
from agent_gateway.identity.metadata import Endpoints
from agent_gateway.identity.replay import ReplayGuard
from agent_gateway.identity.throttle import Throttle
from agent_gateway.ports import Clock

DEFAULT_TOKEN_LIFE_S = 900
MAX_CLIENT_ID_CHARS = 255
GRANTS = frozenset({"client_credentials", EXCHANGE_GRANT})
# compared with when a client is unknown, so that it takes as long as a wrong secret
_NOBODY = SecretHash(digest=bytes(32))


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request at the token endpoint.

    form           every field, decoded, doubles included
    authorization  the one Authorization header, None when there is none
    """

    form: Sequence[tuple[str, str]]
    authorization: str | None = None


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """An answer of the token endpoint; `body` is to be sent as JSON."""

    status: int
    body: dict[str, object]
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """What the operator says of the token service; raises `ValueError` when a token would live too long.

    issuer    our issuer URL, no trailing slash
    exchange  of the tokens that agents are called with; None: no token is exchanged
    """

    issuer: str
    token_life_s: int = DEFAULT_TOKEN_LIFE_S
    exchange: Exchange | None = None

    def __post_init__(self) -> None:
        if not 0 < self.token_life_s <= MAX_TOKEN_LIFE_S:
            raise ValueError(f"an access token lives between 1 and {MAX_TOKEN_LIFE_S} seconds")


@dataclass(frozen=True, slots=True)
class TokenGuards:
    """What the token service remembers of earlier requests."""

    used: ReplayGuard
    throttle: Throttle


class _Refused(Exception):
    """An OAuth error. Source: RFC 6749 5.2, RFC 8707 2."""

    def __init__(self, error: str, description: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.retry_after_s = retry_after_s


class TokenService:
    """Issues `at+jwt` access tokens to configured agents.

    Made new with every configuration; `keys` and `guards` outlive it.
    """

    def __init__(
        self,
        settings: TokenSettings,
        agents: Agents,
        endpoints: Endpoints,
        *,
        keys: SigningKeys,
        guards: TokenGuards,
        clock: Clock,
    ) -> None:
        self.issuer = settings.issuer
        self.token_endpoint = f"{settings.issuer}{metadata.TOKEN_PATH}"
        self._token_life_s = settings.token_life_s
        self._agents = agents
        self._endpoints = endpoints
        self._keys = keys
        self._guards = guards
        self._clock = clock
        self.sign_card = signer_of(keys, f"{settings.issuer}{metadata.JWKS_PATH}")
        self._exchange = settings.exchange

    def token(self, request: TokenRequest) -> TokenAnswer:
        """Answer one token request; every error is an answer too."""
        try:
            form = _single(request.form)
            agent = self._authenticated(form, request.authorization)
            if not form.get("grant_type"):
                raise _Refused("invalid_request", "the grant_type is missing")
            if form["grant_type"] not in GRANTS:
                raise _Refused("unsupported_grant_type", "this token service knows no such grant")
            resource = self._resource(form.get("resource"))
            scopes = self._scopes(agent, form.get("scope"))
            if form["grant_type"] == EXCHANGE_GRANT:
                return self._exchanged(agent, form, resource, scopes)
        except _Refused as refused:
            return _refusal(refused)
        token = self.mint(agent, resource, scopes)
        body: dict[str, object] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self._token_life_s,
            "scope": " ".join(scopes),
        }
        return TokenAnswer(200, body, _NO_STORE)

    def mint(self, agent: Agent, resource: str, scopes: Sequence[str], *, life_s: int | None = None) -> str:
        """Return an access token for `agent`, for exactly one resource. Source: RFC 9068 2.

        For the operator's own use (`agent-gateway token`) too: it checks no credential.
        """
        now = int(self._clock())
        key_id, key = self._keys.current()
        claims: dict[str, object] = {
            "iss": self.issuer,
            "sub": agent.id,
            "client_id": agent.id,
            "aud": resource,
            "tenant": agent.tenant,
            "scope": " ".join(scopes),
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + min(life_s or self._token_life_s, MAX_TOKEN_LIFE_S),
            "generation": agent.generation,
        }
        return jwt.encode({"alg": ALGORITHM, "typ": "at+jwt", "kid": key_id}, claims, key, algorithms=[ALGORITHM])

    def metadata(self) -> dict[str, object]:
        """Return the RFC 8414 document."""
        return metadata.authorization_server(self.issuer, self._endpoints.scopes)

    def jwks(self) -> dict[str, object]:
        """Return the keys that our tokens are signed with, public parts only."""
        return self._keys.document()

    def _exchanged(self, agent: Agent, form: dict[str, str], resource: str, scopes: Sequence[str]) -> TokenAnswer:
        """Answer a token exchange. Source: RFC 8693 2.2."""
        if self._exchange is None or not self._endpoints.is_path(resource):
            raise _Refused("invalid_target", "no token is exchanged for this resource")
        try:
            done = self._exchange.exchange(agent, form, resource, scopes)
        except Refused as refused:
            raise _Refused(refused.error, refused.description) from refused
        body: dict[str, object] = {
            "access_token": done.token,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": done.life_s,
            "scope": " ".join(done.scopes),
        }
        return TokenAnswer(200, body, _NO_STORE)

    def _authenticated(self, form: dict[str, str], authorization: str | None) -> Agent:
        has_assertion = "client_assertion" in form or "client_assertion_type" in form
        if sum((authorization is not None, "client_secret" in form, has_assertion)) > 1:
            raise _Refused("invalid_request", "the client authenticates in more than one way")
        if authorization is not None:
            client_id, *secrets_given = _basic(authorization)
            if form.get("client_id", client_id) != client_id:
                raise _Refused("invalid_request", "two different client ids are given")
            return self._by_secret(client_id, *secrets_given)
        if has_assertion:
            return self._by_assertion(form)
        if "client_secret" in form:
            return self._by_secret(form.get("client_id", ""), form["client_secret"])
        raise _Refused("invalid_client", "the client does not authenticate")

    def _by_secret(self, client_id: str, *secrets_given: str) -> Agent:
        if len(client_id) > MAX_CLIENT_ID_CHARS:
            raise _Refused("invalid_client", "the client or its credential is not known here")
        wait_s = self._guards.throttle.wait_s(client_id)
        agent = self._agents.get(client_id)
        kept = agent.secrets() if agent else ()
        # a guess at a slow hash costs us; while the client has to wait, only long secrets are compared
        compared = [one for one in kept if not (wait_s and one.is_slow)] or [_NOBODY]
        is_right = any(one.matches(text) for one in compared for text in dict.fromkeys(secrets_given))
        if agent is None or not is_right or not agent.is_active:
            if wait_s:
                raise _Refused("invalid_client", "too many failed attempts of this client", retry_after_s=wait_s)
            self._guards.throttle.failed(client_id)
            raise _Refused("invalid_client", "the client or its credential is not known here")
        self._guards.throttle.passed(client_id)
        return agent

    def _by_assertion(self, form: dict[str, str]) -> Agent:
        if form.get("client_assertion_type") != assertions.ASSERTION_TYPE or "client_assertion" not in form:
            raise _Refused("invalid_request", "a client assertion needs its type, jwt-bearer, and its text")
        try:
            assertion = compact.read(form["client_assertion"])
        except compact.Malformed as error:
            raise _Refused("invalid_client", "the client assertion cannot be read") from error
        client_id = assertions.client_of(assertion)
        if form.get("client_id", client_id) != client_id:
            raise _Refused("invalid_client", "the client assertion is of another client")
        agent = self._agents.get(client_id)
        audiences = frozenset({self.issuer, self.token_endpoint})
        is_known = agent is not None and agent.is_active
        if (
            agent is None
            or not is_known
            or not assertions.is_proof(assertion, agent, audiences, self._clock(), self._guards.used)
        ):
            raise _Refused("invalid_client", "the client assertion does not hold")
        return agent

    def _resource(self, asked: str | None) -> str:
        if asked is None:
            return self._endpoints.default
        if not self._endpoints.has(asked):
            raise _Refused("invalid_target", "the resource is not an endpoint of this gateway")
        return asked

    def _scopes(self, agent: Agent, asked: str | None) -> tuple[str, ...]:
        allowed = [one for one in self._endpoints.scopes if agent.scopes is None or one in agent.scopes]
        if asked is None or not asked.strip():
            return tuple(allowed)
        if not set(asked.split(" ")) <= set(allowed):
            raise _Refused("invalid_scope", "a scope is unknown or not open to this client")
        return tuple(one for one in allowed if one in asked.split(" "))


_NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))


def refuse(error: str, description: str) -> TokenAnswer:
    """Return an OAuth error answer. `description` is printable ASCII without quotes and backslashes."""
    return _refusal(_Refused(error, description))


def _refusal(refused: _Refused) -> TokenAnswer:
    headers = list(_NO_STORE)
    status = 400
    if refused.retry_after_s:
        status = 429
        headers.append(("Retry-After", str(int(refused.retry_after_s) + 1)))
    elif refused.error == "invalid_client":
        status = 401
        headers.append(("WWW-Authenticate", 'Basic realm="token", charset="UTF-8"'))
    return TokenAnswer(status, {"error": refused.error, "error_description": refused.description}, tuple(headers))


def _single(form: Sequence[tuple[str, str]]) -> dict[str, str]:
    fields = dict(form)
    if len(fields) == len(form):
        return fields
    if len([value for name, value in form if name == "resource"]) > 1:
        raise _Refused("invalid_target", "a token is for one resource")
    raise _Refused("invalid_request", "a parameter is given twice")


def _basic(authorization: str) -> tuple[str, str, str]:
    """Return (client id, secret form-decoded, secret as sent). Source: RFC 6749 2.3.1, RFC 7617.

    Many clients forget the form encoding, so a secret counts in either reading.
    """
    scheme, _, credentials = authorization.partition(" ")
    try:
        pair = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _Refused("invalid_client", "the authorization header cannot be read") from error
    client_id, colon, secret = pair.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise _Refused("invalid_client", "the authorization header cannot be read")
    return unquote_plus(client_id), unquote_plus(secret), secret
