"""Token exchange: an agent calls on in the name of whoever called it, and rights only shrink on the way."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from agent_gateway.identity.agents import Agent, Agents
from agent_gateway.identity.authenticate import Authenticator
from agent_gateway.identity.compact import Malformed
from agent_gateway.identity.delegation import Delegator, Grant, links_in
from agent_gateway.identity.exchange import ACCESS_TOKEN, GRANT, Exchange
from agent_gateway.identity.token_service import TokenAnswer, TokenService, TokenSettings
from agent_gateway.identity.validator import Validator, own_issuer
from gateway_policies.principal import Hop, Principal
from gateway_policies.refusal import Unauthenticated
from support.identity_parts import ENDPOINTS, ISSUER, LONG_HASH, LONG_SECRET, Parts, ask, basic, claims_of
from support.tokens import ec, signed

PLANNER_URL, WORKER_URL = "https://planner.example", "https://worker.example/a2a"
MCP = f"{ISSUER}/mcp"
ANA = Principal(
    kind="user", id="ana", tenant="acme", issuer="https://idp.example", client_id="app", txn="t-1",
    scopes=frozenset({"mcp:list", "mcp:call"}),
)  # fmt: skip


@dataclass
class Scene:
    """Two agents that are called with tokens of ours, and one gateway."""

    parts: Parts

    def agents(self, **changes: Agent) -> Agents:
        worker = Agent("worker", "acme", credentials=(LONG_HASH,), generation=2)
        foreign = Agent("foreign", "globex", credentials=(LONG_HASH,))
        return self.parts.agents(**{"worker": worker, "foreign": foreign, **changes})

    @property
    def delegator(self) -> Delegator:
        return Delegator(ISSUER, self.parts.keys, self.parts.clock)

    def service(self, agents: Agents | None = None, max_chain: int = 4) -> TokenService:
        agents = agents or self.agents()
        parts = self.parts
        validator = Validator([(own_issuer(ISSUER), parts.keys)], clock=parts.clock)
        audiences = {"planner": [PLANNER_URL], "worker": [WORKER_URL], "foreign": [WORKER_URL]}
        exchange = Exchange(self.delegator, validator, agents, audiences, max_chain)
        return TokenService(
            TokenSettings(ISSUER, exchange=exchange), agents, replace(ENDPOINTS, others=("https://admin.example",)),
            keys=parts.keys, guards=parts.guards, clock=parts.clock,
        )  # fmt: skip

    def exchange(
        self, client: str, subject_token: str, service: TokenService | None = None, **form: str
    ) -> TokenAnswer:
        fields = {
            "grant_type": GRANT, "subject_token": subject_token, "subject_token_type": ACCESS_TOKEN, "resource": MCP,
        } | form  # fmt: skip
        return ask(service or self.service(), basic(client, LONG_SECRET), **fields)

    def arrived(self, principal: Principal, url: str = PLANNER_URL) -> str:
        """Return the token with which a call of `principal` arrives at an agent."""
        return self.delegator.hop_token(principal, url)

    def caller(self, answer: TokenAnswer, agents: Agents | None = None) -> Principal:
        """Return whom the gateway sees behind an exchanged token."""
        parts = self.parts
        authenticator: Authenticator = parts.authenticator(agents or self.agents())
        found = authenticator.authenticate([(b"authorization", f"Bearer {answer.body['access_token']}".encode())], MCP)
        assert found is not None
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(Parts(tmp_path))


def error_of(answer: TokenAnswer) -> object:
    assert answer.status == 400, answer.body
    return answer.body["error"]


@pytest.mark.requirement("a2a.chain")
def test_an_agent_calls_on_in_the_name_of_its_caller(scene: Scene) -> None:
    answer = scene.exchange("planner", scene.arrived(ANA))
    assert (answer.status, answer.body["issued_token_type"], answer.body["token_type"]) == (200, ACCESS_TOKEN, "Bearer")
    caller = scene.caller(answer)
    assert (caller.kind, caller.id, caller.tenant, caller.txn) == ("agent", "planner", "acme", "t-1")
    assert caller.chain == (Hop("https://idp.example", "ana", is_verified=True),)


@pytest.mark.requirement("a2a.chain", "policy.chains-narrow")
@pytest.mark.parametrize("kind", ["user", "workload"])
def test_who_an_agent_calls_for_keeps_kind_teams_and_trust(scene: Scene, kind: Literal["user", "workload"]) -> None:
    ana = replace(ANA, kind=kind, teams=("acme/research",), trust=4)
    planner = scene.caller(scene.exchange("planner", scene.arrived(ana)))
    worker = scene.caller(scene.exchange("worker", scene.arrived(planner, WORKER_URL)))
    first, second = worker.chain
    assert (first.kind, first.teams, first.trust) == (kind, ("acme/research",), 4)
    assert (second.kind, second.teams) == ("agent", ())


@pytest.mark.parametrize("claims", [{"sub_teams": "acme"}, {"sub_trust": True}, {"sub_trust": "9"}, {"sub_iss": 7}])
def test_a_chain_that_cannot_be_read_is_none(claims: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        links_in({"sub": "ana", "sub_iss": "https://idp.example", "sub_kind": "user", **claims}, "https://own.example")


@pytest.mark.requirement("a2a.chain")
def test_every_hop_is_one_level_deeper_and_the_transaction_stays(scene: Scene) -> None:
    planner = scene.caller(scene.exchange("planner", scene.arrived(ANA)))
    answer = scene.exchange("worker", scene.arrived(planner, WORKER_URL))
    worker = scene.caller(answer)
    assert [hop.subject for hop in worker.chain] == ["ana", "planner"]
    assert (worker.id, worker.txn) == ("worker", "t-1")
    assert claims_of(answer)["act"] == {"sub": "worker", "generation": 2, "act": {"sub": "planner", "generation": 0}}


def test_a_token_lives_no_longer_and_reaches_no_further_than_what_it_was_made_of(scene: Scene) -> None:
    now = scene.parts.clock.now
    narrow = replace(ANA, scopes=frozenset({"mcp:list"}), expires_at=now + 60)
    answer = scene.exchange("planner", scene.arrived(narrow))
    claims = claims_of(answer)
    assert (claims["scope"], claims["aud"], claims["exp"], answer.body["expires_in"]) == ("mcp:list", MCP, now + 60, 60)


@pytest.mark.requirement("a2a.audience")
def test_a_token_for_one_agent_is_worth_nothing_to_another(scene: Scene) -> None:
    assert error_of(scene.exchange("worker", scene.arrived(ANA, PLANNER_URL))) == "invalid_grant"


@pytest.mark.requirement("a2a.audience")
def test_the_token_of_a_call_opens_no_endpoint_of_the_gateway(scene: Scene) -> None:
    token = scene.arrived(replace(ANA, kind="agent", id="planner", issuer=ISSUER, client_id="planner"))
    with pytest.raises(Unauthenticated, match="another audience"):
        scene.parts.authenticator(scene.agents()).authenticate([(b"authorization", f"Bearer {token}".encode())], MCP)


def test_a_token_of_the_caller_itself_cannot_be_exchanged(scene: Scene) -> None:
    own = ask(scene.service(), basic("planner", LONG_SECRET), resource=MCP).body["access_token"]
    assert error_of(scene.exchange("planner", str(own))) == "invalid_grant"


@pytest.mark.requirement("a2a.loops")
def test_nobody_is_twice_in_a_chain(scene: Scene) -> None:
    planner = scene.caller(scene.exchange("planner", scene.arrived(ANA)))
    worker = scene.caller(scene.exchange("worker", scene.arrived(planner, WORKER_URL)))
    assert error_of(scene.exchange("planner", scene.arrived(worker))) == "invalid_grant"


@pytest.mark.requirement("a2a.loops")
def test_a_chain_is_no_longer_than_the_operator_allows(scene: Scene) -> None:
    service = scene.service(max_chain=2)
    planner = scene.caller(scene.exchange("planner", scene.arrived(ANA), service))
    assert error_of(scene.exchange("worker", scene.arrived(planner, WORKER_URL), service)) == "invalid_grant"


@pytest.mark.requirement("a2a.forged-chain")
@pytest.mark.parametrize("claim", ["act", "sub", "txn", "aud"])
def test_a_chain_that_we_did_not_sign_counts_for_nothing(scene: Scene, claim: str) -> None:
    claims = claims_of(TokenAnswer(200, {"access_token": scene.arrived(ANA)}))
    forged = {**claims, claim: {"sub": "boss"} if claim == "act" else PLANNER_URL}
    token = signed({"alg": "ES256", "typ": "at+jwt", "kid": scene.parts.keys.current()[0]}, forged, ec(), "ES256")
    assert error_of(scene.exchange("planner", token)) == "invalid_grant"


@pytest.mark.parametrize(
    "act",
    [7, "planner", [], {"sub": ""}, {"sub": 1}, {"sub": "x" * 300}, {"sub": "a", "generation": True}, {"act": {}}],
)
def test_a_chain_that_cannot_be_read_is_refused(scene: Scene, act: object) -> None:
    key_id, key = scene.parts.keys.current()
    claims = claims_of(TokenAnswer(200, {"access_token": scene.arrived(ANA)})) | {"act": act}
    token = signed({"alg": "ES256", "typ": "at+jwt", "kid": key_id}, claims, key, "ES256")
    assert error_of(scene.exchange("planner", token)) == "invalid_grant"


def test_a_bottomless_chain_is_refused(scene: Scene) -> None:
    key_id, key = scene.parts.keys.current()
    act: dict[str, object] = {"sub": "a"}
    for _ in range(20):
        act = {"sub": "a", "act": act}
    claims = claims_of(TokenAnswer(200, {"access_token": scene.arrived(ANA)})) | {"act": act}
    token = signed({"alg": "ES256", "typ": "at+jwt", "kid": key_id}, claims, key, "ES256")
    assert error_of(scene.exchange("planner", token, scene.service(max_chain=16))) == "invalid_grant"


@pytest.mark.parametrize(
    "planner",
    [
        Agent("planner", "acme", credentials=(LONG_HASH,), generation=1),
        Agent("planner", "acme", credentials=(LONG_HASH,), is_active=False),
        Agent("planner", "globex", credentials=(LONG_HASH,)),
    ],
)
def test_a_chain_ends_when_one_of_its_agents_does(scene: Scene, planner: Agent) -> None:
    acting = scene.caller(scene.exchange("planner", scene.arrived(ANA)))
    before = scene.exchange("worker", scene.arrived(acting, WORKER_URL))
    now = scene.agents(planner=planner)
    with pytest.raises(Unauthenticated) as caught:
        scene.caller(before, now)
    assert caught.value.code == "revoked_token"
    assert error_of(scene.exchange("worker", scene.arrived(acting, WORKER_URL), scene.service(now))) == "invalid_grant"


def test_an_agent_of_another_tenant_does_not_act_for_ours(scene: Scene) -> None:
    assert error_of(scene.exchange("foreign", scene.arrived(ANA, WORKER_URL))) == "invalid_grant"


def test_a_subject_of_another_issuer_is_no_agent_of_ours_by_its_name(scene: Scene) -> None:
    impostor = replace(ANA, id="planner", client_id="planner")
    links = (Hop("https://idp.example", "planner", is_verified=True),)
    grant = Grant(MCP, "planner", "acme", ("mcp:call",), "")
    token, _ = scene.delegator.token(links, grant)
    with pytest.raises(Unauthenticated) as caught:
        scene.parts.authenticator(scene.agents()).authenticate([(b"authorization", f"Bearer {token}".encode())], MCP)
    assert caught.value.code == "revoked_token"
    chained = scene.caller(scene.exchange("planner", scene.arrived(impostor)))
    assert chained.chain[0].issuer == "https://idp.example"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"subject_token": ""}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"actor_token": "x", "actor_token_type": ACCESS_TOKEN}, "invalid_request"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"resource": "https://admin.example"}, "invalid_target"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"subject_token": "not.a.token"}, "invalid_grant"),
    ],
)
def test_a_request_that_is_none_is_told_why(scene: Scene, form: dict[str, str], error: str) -> None:
    subject = {"subject_token": scene.arrived(ANA)} | form
    assert error_of(scene.exchange("planner", subject.pop("subject_token"), None, **subject)) == error


def test_an_expired_call_is_over(scene: Scene) -> None:
    token = scene.arrived(ANA)
    scene.parts.clock.now += 301
    assert error_of(scene.exchange("planner", token)) == "invalid_grant"


def test_who_cannot_prove_itself_exchanges_nothing(scene: Scene) -> None:
    fields = {"grant_type": GRANT, "subject_token": scene.arrived(ANA), "subject_token_type": ACCESS_TOKEN}
    answer = ask(scene.service(), basic("planner", "wrong-secret-that-is-long-enough"), **fields)
    assert (answer.status, answer.body["error"]) == (401, "invalid_client")


def test_without_agents_to_exchange_for_there_is_no_exchange(scene: Scene) -> None:
    answer = scene.exchange("planner", scene.arrived(ANA), scene.parts.service(scene.agents()))
    assert error_of(answer) == "invalid_target"
