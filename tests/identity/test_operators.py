"""Operators from external issuers: whom a rule names, and nobody who only comes close."""

from collections.abc import Mapping

import pytest

from agent_gateway.identity.agents import Agent, Agents, OidcBinding
from agent_gateway.identity.operators import OperatorRule, Operators
from agent_gateway.identity.validator import Issuer, Validator
from gateway_policies.refusal import Forbidden, Unauthenticated
from support.tokens import StaticKeys, Ticking, ec, signed

IDP = "https://idp.example"
ADMIN = "https://admin.example"
CLOCK = Ticking()
KEY = ec()
RULE = OperatorRule(issuer="corp", match=(("email", "ops@acme.example"), ("mfa", True)))
OPS = {"email": "ops@acme.example", "mfa": True}


def door(*rules: OperatorRule, keys: StaticKeys | None = None, agents: tuple[Agent, ...] = ()) -> Operators:
    source = keys or StaticKeys({"k1": KEY})
    rows = [(Issuer("corp", IDP, tenant="acme"), source), (Issuer("other", f"{IDP}/2", tenant="acme"), source)]
    return Operators(rules, Agents(agents), Validator(rows, clock=CLOCK), ADMIN)


def headers(**claims: object) -> list[tuple[bytes, bytes]]:
    now = int(CLOCK.now)
    given: dict[str, object] = {"iss": IDP, "sub": "u1", "aud": ADMIN, "iat": now, "exp": now + 60, **claims}
    token = signed({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}, given, KEY, "ES256")
    return [(b"authorization", b"Bearer " + token.encode())]


async def test_a_token_whose_claims_a_rule_names_is_an_operators() -> None:
    found = await door(RULE).authenticate(headers(**OPS))
    assert (found.kind, found.id, found.tenant, found.credential) == ("user", "u1", "acme", "oidc")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"email": "ops@acme.example"},
        {"email": "ops@acme.example", "mfa": 1},
        {"email": "ops@acme.example", "mfa": "true"},
        {"email": ["ops@acme.example"], "mfa": True},
        {"email": "OPS@acme.example", "mfa": True},
        {**OPS, "iss": f"{IDP}/2"},
    ],
)
async def test_a_token_that_only_comes_close_is_nobodys(claims: Mapping[str, object]) -> None:
    with pytest.raises(Forbidden) as caught:
        await door(RULE).authenticate(headers(**claims))
    assert caught.value.code == "not_an_operator"


async def test_a_rule_without_claims_holds_for_nobody() -> None:
    with pytest.raises(Forbidden):
        await door(OperatorRule(issuer="corp")).authenticate(headers(**OPS))


@pytest.mark.parametrize("audience", ["https://gateway.example/mcp", [ADMIN, "https://gateway.example/mcp"], None])
async def test_a_token_for_anybody_else_is_refused_whatever_it_claims(audience: object) -> None:
    with pytest.raises(Unauthenticated):
        await door(RULE).authenticate(headers(**OPS, aud=audience))


async def test_an_external_token_bound_to_an_agent_is_that_agent_and_nothing_more() -> None:
    agent = Agent("ci", "acme", trust=2, credentials=(OidcBinding("corp", (("sub", "u1"),)),))
    with pytest.raises(Forbidden):
        await door(RULE, agents=(agent,)).authenticate(headers(**OPS))
    found = await door(OperatorRule(agent="ci"), agents=(agent,)).authenticate(headers())
    assert (found.kind, found.id, found.credential) == ("agent", "ci", "oidc")


async def test_keys_are_fetched_when_they_are_needed_and_only_so_often() -> None:
    later = StaticKeys(later={"k1": KEY})
    assert (await door(RULE, keys=later).authenticate(headers(**OPS))).id == "u1"
    assert later.refreshed == 1
    with pytest.raises(Unauthenticated) as caught:
        await door(RULE, keys=_NeverThere()).authenticate(headers(**OPS))
    assert (caught.value.code, caught.value.retry_after_s) == ("keys_unavailable", 30)


class _NeverThere(StaticKeys):
    def needs_fetch(self, key_id: str) -> bool:
        return True
