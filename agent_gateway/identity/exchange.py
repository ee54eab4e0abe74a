"""Token exchange: an agent that was called turns the token it was called with into one that calls on.

    it presents   the token of the call it is answering, made for it alone (`aud` is its own URL)
    it proves     that it is that agent, with its own client credential
    it gets       a short token for one endpoint of this gateway, with itself as the last of the chain

Rights only shrink: no later, no wider, no deeper than the operator allows, and never back to
somebody who is in the chain already. What the agent says of a chain counts for nothing.
Source: RFC 8693 2; RFC 8707.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent_gateway.identity.agents import Agent, Agents
from agent_gateway.identity.compact import Malformed
from agent_gateway.identity.delegation import Delegator, Grant, check_links, link_of, links_in, txn_in
from agent_gateway.identity.validator import KeysNeeded, Validator, Verified
from gateway_policies.principal import Principal
from gateway_policies.refusal import Unauthenticated

GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
_TYPES: Final = frozenset({ACCESS_TOKEN, JWT})


class Refused(Exception):
    """An OAuth error: its code and its sentence."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The token that calls on."""

    token: str
    life_s: int
    scopes: Sequence[str]


class Exchange:
    """Exchanges the tokens of calls, for the agents that those calls went to.

    audiences  by agent: the URLs under which the gateway calls it
    max_chain  most principals that a call may come through, who acts now included
    """

    def __init__(
        self, delegator: Delegator, validator: Validator, agents: Agents, audiences: Mapping[str, Sequence[str]],
        max_chain: int,
    ) -> None:  # fmt: skip
        self._delegator = delegator
        self._validator = validator
        self._agents = agents
        self._audiences = audiences
        self._max_chain = max_chain

    def exchange(self, agent: Agent, form: Mapping[str, str], resource: str, scopes: Sequence[str]) -> Exchanged:
        """Return the token of `agent` for `resource`, with what `scopes` and the presented token have in common.

        agent     who asks, proved by its own credential
        resource  an endpoint of this gateway
        Raises `Refused`.
        """
        _check_form(form)
        verified = self._presented(agent, form.get("subject_token", ""))
        try:
            links = links_in(verified.claims, self._delegator.issuer)
            check_links(links, self._agents, agent.tenant, self._delegator.issuer)
        except (Malformed, Unauthenticated) as error:
            raise Refused("invalid_grant", "the subject token does not hold any more") from error
        if verified.claims.get("tenant") != agent.tenant:
            raise Refused("invalid_grant", "the subject token is of another tenant")
        own = link_of(_principal(agent), self._delegator.issuer)
        if any((link.issuer, link.subject) == (own.issuer, own.subject) for link in links):
            raise Refused("invalid_grant", "this agent is in the chain already")
        if len(links) + 1 > self._max_chain:
            raise Refused("invalid_grant", "the chain is as long as it may be")
        granted = [scope for scope in scopes if scope in verified.scopes]
        grant = Grant(resource, agent.id, agent.tenant, granted, txn_in(verified.claims), verified.expires_at)
        token, life_s = self._delegator.token((*links, own), grant)
        return Exchanged(token, life_s, granted)

    def _presented(self, agent: Agent, token: str) -> Verified:
        for audience in self._audiences.get(agent.id, ()):
            try:
                verified = self._validator.validate(token, audience)
            except (Unauthenticated, KeysNeeded):
                continue
            if verified.issuer.is_own:
                return verified
        raise Refused("invalid_grant", "the subject token is none that this agent was called with")


def _check_form(form: Mapping[str, str]) -> None:
    if form.get("subject_token_type", "") not in _TYPES or not form.get("subject_token"):
        raise Refused("invalid_request", "the subject token or its type is missing or unknown")
    if form.get("requested_token_type", ACCESS_TOKEN) not in _TYPES:
        raise Refused("invalid_request", "access tokens are issued here, nothing else")
    if "actor_token" in form or "actor_token_type" in form:
        raise Refused("invalid_request", "the actor is the client itself: no actor token is taken")


def _principal(agent: Agent) -> Principal:
    return Principal(kind="agent", id=agent.id, tenant=agent.tenant, generation=agent.generation)
