"""Credentials for the security schemes of an API's description: what each is worth on the wire.

The broker holds tokens and checks where they go; here a scheme of the description and what the
operator gave for it become header, query parameter or cookie.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from agent_gateway.identity.broker import Broker, ClientCredentials, PostForm, UpstreamCredential
from agent_gateway.ports import Clock
from context_mesh.openapi.model import Operation, SecurityNeed
from context_mesh.wire.plan import Secret
from context_mesh.wire.security import chosen
from gateway_policies.principal import Principal
from gateway_policies.refusal import UpstreamUnreachable

_LOCATIONS: Final[Mapping[str, Literal["header", "query", "cookie"]]] = {
    "header": "header",
    "query": "query",
    "cookie": "cookie",
}  # `security` reads no other place


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, or a bearer token: the scheme says which."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Basic:
    username: str
    password: str = field(repr=False)


SchemeCredential = Key | Basic | ClientCredentials


class SchemeSecrets:
    """Hands out what the operations of one API prove themselves with.

    origin       `scheme://host[:port]`, where tokens may go
    has_default  whether every call carries a credential anyway, so that a scheme without one is no reason to refuse
    """

    def __init__(
        self,
        origin: str,
        credentials: Mapping[str, SchemeCredential],
        *,
        post_form: PostForm,
        clock: Clock,
        has_default: bool = False,
    ) -> None:
        self._credentials = dict(credentials)
        self._has_default = has_default
        fetched = {name: one for name, one in credentials.items() if isinstance(one, ClientCredentials)}
        self._broker = Broker(
            {name: UpstreamCredential(origin, one) for name, one in fetched.items()}, post_form=post_form, clock=clock
        )

    async def secrets(self, principal: Principal, operation: Operation) -> tuple[Secret, ...]:
        """Return everything that one call of an operation carries; awaits only when a token must be fetched.

        Raises `UpstreamUnreachable`: `credential_missing` when no alternative of the operation can be satisfied.
        """
        needs = chosen(operation, self._credentials)
        if needs is None:
            if self._has_default:
                return ()
            raise UpstreamUnreachable(
                "the gateway has no credential for this operation",
                code="credential_missing",
                hint="an operator can add one under `schemes` of this upstream",
            )
        return tuple([await self._secret(principal, need) for need in needs])

    def forget(self, operation: Operation) -> None:
        """Drop the tokens that were just refused."""
        for need in chosen(operation, self._credentials) or ():
            self._broker.forget(need.scheme.name)

    async def _secret(self, principal: Principal, need: SecurityNeed) -> Secret:
        scheme, credential = need.scheme, self._credentials[need.scheme.name]
        if isinstance(credential, ClientCredentials):
            ((_, value),) = await self._broker.headers(principal, scheme.name)
            return Secret("header", "authorization", value.decode())
        if isinstance(credential, Basic):
            pair = f"{credential.username}:{credential.password}".encode()
            return Secret("header", "authorization", "Basic " + base64.b64encode(pair).decode())
        if scheme.kind == "apiKey" and scheme.location:
            return Secret(_LOCATIONS[scheme.location], scheme.parameter, credential.value)
        prefix = "Bearer" if scheme.kind != "http" or scheme.scheme == "bearer" else scheme.scheme.title()
        return Secret("header", "authorization", f"{prefix} {credential.value}")
