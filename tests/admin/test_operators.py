"""Who may use the admin API: every way in, and every way that must not be one."""

import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from agent_gateway.identity.api_keys import new_api_key
from agent_gateway.identity.keys import SigningKeys
from agent_gateway.identity.operators import LOCAL_CLAIM, LOCAL_ISSUER, LOCAL_SUBJECT, mint_local
from support.admin import ADMIN_URL, admin_client, local_token
from support.gateways import PUBLIC_URL, TestGateway, gateway, rpc

SECRET = "correct horse battery staple, all of it"
KEY, STORED = new_api_key()
CONFIG = f"""
tenants: {{acme: {{teams: {{research: {{}}}}}}}}
agents:
  boss:
    tenant: acme
    owner: ana
    credentials:
      - {{kind: client_secret, secret: "file:boss.secret"}}
      - {{kind: api_key, id: "{STORED.id}", sha256: "{STORED.sha256}"}}
  planner: {{tenant: acme, owner: ana, credentials: [{{kind: client_secret, secret: "file:boss.secret"}}]}}
  sleeper: {{tenant: acme, owner: ana, state: suspended}}
admins:
  - agent: boss
  - agent: sleeper
policies: {{files: [main.cedar]}}
"""


@pytest.fixture
async def running(tmp_path: Path) -> AsyncGenerator[TestGateway]:
    files = {"main__cedar": "permit (principal, action, resource);", "boss__secret": SECRET}
    async with gateway(tmp_path, CONFIG, **files) as started:
        yield started


async def answer(running: TestGateway, token: str, path: str = "/v1/upstreams") -> tuple[int, str]:
    async with admin_client(running, token) as client:
        response = await client.get(path)
    return response.status_code, response.json().get("code", "") if response.status_code != 200 else ""


def signed(keys: SigningKeys, **changes: object) -> str:
    """Return a local operator's token with some claims changed; None takes one out."""
    key_id, key = keys.current()
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": LOCAL_ISSUER,
        "sub": LOCAL_SUBJECT,
        "aud": ADMIN_URL,
        LOCAL_CLAIM: True,
        "iat": now,
        "exp": now + 60,
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": key_id}, kept, key, algorithms=["ES256"])


def operator_keys(running: TestGateway) -> SigningKeys:
    return SigningKeys(running.worker.data.operator_keys, clock=time.time)


def token_of(running: TestGateway, agent: str, resource: str) -> str:
    identity = running.worker.gateway.snapshot.identity
    found = identity.agents.get(agent)
    assert identity.token_service is not None
    assert found is not None
    return identity.token_service.mint(found, resource, ("tools:call",))


async def ask_token_endpoint(running: TestGateway, form: Mapping[str, str], user: str = "boss") -> Mapping[str, Any]:
    async with running.client() as client:
        response = await client.post("/oauth/token", data=dict(form), auth=(user, SECRET))
    return response.json()


async def test_the_local_operator_gets_in(running: TestGateway) -> None:
    assert await answer(running, local_token(running)) == (200, "")


async def test_an_agent_under_admins_gets_in_with_a_token_for_the_admin_audience(running: TestGateway) -> None:
    form = {"grant_type": "client_credentials", "resource": ADMIN_URL}
    token = (await ask_token_endpoint(running, form))["access_token"]
    assert await answer(running, token) == (200, "")


@pytest.mark.requirement("listeners.admin-audience")
async def test_a_token_for_the_data_listener_does_not_open_the_admin_api(running: TestGateway) -> None:
    assert await answer(running, token_of(running, "boss", f"{PUBLIC_URL}/mcp")) == (401, "wrong_audience")


@pytest.mark.requirement("listeners.admin-audience")
async def test_an_agent_that_is_no_operator_is_forbidden_whatever_its_audience(running: TestGateway) -> None:
    assert await answer(running, token_of(running, "planner", ADMIN_URL)) == (403, "not_an_operator")


async def test_a_suspended_agent_under_admins_stays_out(running: TestGateway) -> None:
    assert await answer(running, token_of(running, "sleeper", ADMIN_URL)) == (401, "inactive_agent")


async def test_an_api_key_of_an_operator_does_not_open_the_admin_api(running: TestGateway) -> None:
    assert await answer(running, KEY) == (401, "invalid_token")
    async with running.client(KEY) as client:
        assert (await rpc(client, "tools/list")).status_code == 200


async def test_without_a_token_only_the_probes_answer(running: TestGateway) -> None:
    assert await answer(running, "", "/openapi.json") == (401, "missing_token")
    assert await answer(running, "", "/nowhere") == (401, "missing_token")
    assert [(await answer(running, "", path))[0] for path in ("/healthz", "/readyz")] == [200, 200]


async def test_the_data_listener_never_takes_the_local_operators_token(running: TestGateway) -> None:
    for audience in (ADMIN_URL, f"{PUBLIC_URL}/mcp"):
        async with running.client(local_token(running, audience)) as client:
            response = await rpc(client, "tools/list")
        assert response.status_code == 401
        assert "not trusted here" in response.text


async def test_the_token_endpoint_never_gives_out_the_local_operators_token(running: TestGateway) -> None:
    grant = {"grant_type": "client_credentials", "resource": ADMIN_URL}
    for form in (
        {**grant, "client_id": LOCAL_SUBJECT},
        {**grant, "scope": LOCAL_CLAIM},
        {**grant, "sub": LOCAL_SUBJECT, LOCAL_CLAIM: "true", "iss": LOCAL_ISSUER},
    ):
        found = await ask_token_endpoint(running, form, "planner")
        assert "access_token" not in found or await answer(running, found["access_token"]) == (403, "not_an_operator")
    assert (await ask_token_endpoint(running, grant, LOCAL_SUBJECT))["error"] == "invalid_client"


async def test_the_token_services_key_does_not_sign_for_the_local_operator(running: TestGateway) -> None:
    keys = SigningKeys(running.worker.data.keys, clock=time.time)
    assert await answer(running, signed(keys)) == (401, "keys_unavailable")


async def test_the_operators_key_does_not_sign_for_an_agent(running: TestGateway) -> None:
    claims = {"iss": PUBLIC_URL, "sub": "boss", "client_id": "boss", "tenant": "acme", "generation": 0}
    forged = signed(operator_keys(running), **claims)
    assert await answer(running, forged) == (401, "keys_unavailable")
    async with running.client(signed(operator_keys(running), **claims, aud=f"{PUBLIC_URL}/mcp")) as client:
        assert (await rpc(client, "tools/list")).status_code == 401


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({LOCAL_CLAIM: None}, "invalid_token"),
        ({LOCAL_CLAIM: "true"}, "invalid_token"),
        ({LOCAL_CLAIM: 1}, "invalid_token"),
        ({"sub": "boss"}, "invalid_token"),
        ({"aud": f"{PUBLIC_URL}/mcp"}, "wrong_audience"),
        ({"aud": [ADMIN_URL, f"{PUBLIC_URL}/mcp"]}, "wrong_audience"),
        ({"exp": int(time.time()) - 1}, "expired_token"),
        ({"exp": int(time.time()) + 3600}, "invalid_token"),
        ({"exp": None}, "invalid_token"),
        ({"iat": int(time.time()) + 3600, "exp": int(time.time()) + 3660}, "invalid_token"),
    ],
)
async def test_a_local_token_with_a_wrong_claim_opens_nothing(
    running: TestGateway, changes: Mapping[str, object], code: str
) -> None:
    assert await answer(running, signed(operator_keys(running), **changes)) == (401, code)


async def test_a_local_token_of_another_gateway_opens_nothing(running: TestGateway, tmp_path: Path) -> None:
    others = SigningKeys(tmp_path / "elsewhere", clock=time.time)
    assert await answer(running, mint_local(others, ADMIN_URL, time.time())) == (401, "keys_unavailable")


async def test_the_operators_key_is_published_nowhere(running: TestGateway) -> None:
    async with running.client() as client:
        published = {key["kid"] for key in (await client.get("/oauth/jwks")).json()["keys"]}
    assert operator_keys(running).current()[0] not in published


async def test_the_local_operators_life_is_bounded_whatever_is_asked_for(running: TestGateway) -> None:
    token = mint_local(operator_keys(running), ADMIN_URL, time.time(), life_s=10_000_000)
    key = operator_keys(running).current()[1]
    assert isinstance(key, ECKey)
    claims = jwt.decode(token, key, algorithms=["ES256"]).claims
    assert claims["exp"] - claims["iat"] == 900
    assert await answer(running, token) == (200, "")


async def test_a_refused_operator_is_in_the_audit_log_without_the_token(running: TestGateway) -> None:
    token = token_of(running, "planner", ADMIN_URL)
    await answer(running, token)
    record = (await running.settled())[-1]
    assert (record["kind"], record["code"], record["status"], record["route"]) == (
        "refusal", "not_an_operator", 403, "admin",
    )  # fmt: skip
    assert token not in str(record)
