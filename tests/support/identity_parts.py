"""A gateway's identity parts put together in memory: two agents, one token service, one clock."""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus

from joserfc import jwt
from joserfc.jwk import ECKey
from support.tokens import Ticking, ec

from agent_gateway.identity.agents import Agent, Agents, PrivateKeyJwt
from agent_gateway.identity.authenticate import Authenticator
from agent_gateway.identity.client_secrets import hash_secret
from agent_gateway.identity.jwks import public_key
from agent_gateway.identity.keys import SigningKeys
from agent_gateway.identity.metadata import Endpoints
from agent_gateway.identity.replay import MemoryReplay
from agent_gateway.identity.throttle import Throttle
from agent_gateway.identity.token_service import (
    TokenAnswer,
    TokenGuards,
    TokenRequest,
    TokenService,
    TokenSettings,
)
from agent_gateway.identity.validator import Validator, own_issuer

ISSUER = "https://gw.example"
LONG_SECRET = "kq3Xv9-Zt7Rb2Lm5Wc8Jd1Fh6Gp4Ns0Ya_Ue3Oi9Tz2"
SHORT_SECRET = "correct+horse%7battery"
LONG_HASH, SHORT_HASH = hash_secret(LONG_SECRET), hash_secret(SHORT_SECRET)
ENDPOINTS = Endpoints(ISSUER, ("/mcp", "/mcp/reading"), scopes=("mcp:list", "mcp:call"), issuers=(ISSUER,))


@dataclass
class Parts:
    """Everything that a test may turn, wired as the application wires it."""

    directory: Path
    clock: Ticking = field(default_factory=Ticking)
    client_key: ECKey = field(default_factory=lambda: ec("client-key"))
    epoch: int = 0

    def __post_init__(self) -> None:
        self.keys = SigningKeys(self.directory, clock=self.clock)
        self.guards = TokenGuards(MemoryReplay(clock=self.clock), Throttle(clock=self.clock))

    def agents(self, **changes: Agent) -> Agents:
        public = public_key(self.client_key.as_dict(private=False))
        assert public is not None
        found = {
            "planner": Agent("planner", "acme", ("acme/research",), 3, credentials=(LONG_HASH,)),
            "slow": Agent("slow", "acme", credentials=(SHORT_HASH,), scopes=frozenset({"mcp:list"})),
            "signer": Agent("signer", "beta", generation=4, credentials=(PrivateKeyJwt((public,)),)),
            "retired": Agent("retired", "acme", credentials=(LONG_HASH,), is_active=False),
            **changes,
        }
        return Agents(found.values())

    def service(self, agents: Agents | None = None, *, token_life_s: int = 900) -> TokenService:
        settings = TokenSettings(ISSUER, token_life_s)
        agents = agents or self.agents()
        return TokenService(settings, agents, ENDPOINTS, keys=self.keys, guards=self.guards, clock=self.clock)

    def authenticator(self, agents: Agents | None = None) -> Authenticator:
        validator = Validator([(own_issuer(ISSUER), self.keys)], clock=self.clock)
        scopes = frozenset(ENDPOINTS.scopes)
        return Authenticator(
            agents or self.agents(), validator, clock=self.clock, epoch=lambda: self.epoch, scopes=scopes
        )

    def assertion(self, key: ECKey | None = None, header: dict[str, object] | None = None, **changes: object) -> str:
        """Sign a client assertion as `signer` would; None removes a claim."""
        now = int(self.clock.now)
        claims: dict[str, object] = {
            "iss": "signer",
            "sub": "signer",
            "aud": ISSUER,
            "exp": now + 60,
            "iat": now,
            "jti": "j1",
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": "ES256", "kid": "client-key", **(header or {})}, claims, key or self.client_key)


def basic(client: str, secret: str, *, is_encoded: bool = True) -> str:
    pair = f"{quote_plus(client)}:{quote_plus(secret)}" if is_encoded else f"{client}:{secret}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def ask(service: TokenService, authorization: str | None = None, **form: str) -> TokenAnswer:
    fields = {"grant_type": "client_credentials", **form}
    return service.token(TokenRequest(tuple(fields.items()), authorization))


def claims_of(answer: TokenAnswer) -> dict[str, object]:
    token = str(answer.body["access_token"]).split(".")[1]
    return json.loads(base64.urlsafe_b64decode(token + "=="))
