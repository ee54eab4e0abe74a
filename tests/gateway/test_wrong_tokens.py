"""Credentials that do not hold: one 401 with a challenge, one record, and no trace of the credential anywhere."""

import base64
import json
from pathlib import Path

import anyio
import httpx2
import pytest
from joserfc.jwk import OctKey

from support.gateways import PUBLIC_URL, TestGateway, call, gateway, rpc
from support.raw_upstream import echo, raw_upstream
from support.scenes import FILES, of_kind, world
from support.tokens import Ticking, ec, segment, signed

METADATA = f'resource_metadata="{PUBLIC_URL}/.well-known/oauth-protected-resource/mcp"'


def claims_of(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def header_of(token: str) -> dict[str, object]:
    part = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def wrong_tokens(gate: TestGateway) -> dict[str, str]:
    """Return every kind of token that must not open `/mcp`."""
    good, other = gate.token("planner"), gate.token("planner", "/servers/raw/mcp")
    claims, header = claims_of(good), header_of(good)
    head, body, signature = good.split(".")
    symmetric = OctKey.import_key(json.dumps(header).encode().ljust(32))
    return {
        "garbage": "not-a-token",
        "three dots": "a.b.c",
        "another endpoint's": other,
        "signed by a stranger": signed(header, claims, ec(), "ES256"),
        "signed with a stranger's key of our name": signed(header, claims, ec(str(header["kid"])), "ES256"),
        "not signed": f"{segment(json.dumps({**header, 'alg': 'none'}).encode())}.{body}.",
        "signed symmetrically": signed({**header, "alg": "HS256"}, claims, symmetric, "HS256"),
        "changed after signing": f"{head}.{segment(json.dumps({**claims, 'sub': 'spy'}).encode())}.{signature}",
        "cut": good[:-4],
        "of nobody we know": signed(header, {**claims, "iss": "https://idp.evil.test"}, ec(), "ES256"),
        "an API key that is none": "agw_" + "x" * 40,
        "very long": "x" * 20_000,
    }


async def refused(gate: TestGateway, client: httpx2.AsyncClient, **headers: str) -> tuple[httpx2.Response, str]:
    """Call with these headers; return the answer and the code of its one record."""
    before = len(await gate.settled())
    client.headers.update(headers)
    response = await rpc(client, "tools/call", {"name": "raw__echo", "arguments": {}})
    records = (await gate.settled())[before:]
    assert [(one["kind"], one["status"], one["principal"]) for one in records] == [("refusal", 401, None)]
    return response, records[0]["code"]


@pytest.mark.requirement("identity.wrong-tokens", "identity.challenge")
async def test_every_kind_of_wrong_token_is_challenged_and_recorded_once(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with raw_upstream({"echo": echo}) as up, gateway(tmp_path, world([up.entry()]), **FILES) as gate:
            for name, token in wrong_tokens(gate).items():
                async with gate.client() as client:
                    response, _ = await refused(gate, client, authorization=f"Bearer {token}")
                challenge = response.headers["www-authenticate"]
                assert (response.status_code, METADATA in challenge) == (401, True), name
                assert 'error="invalid_token"' in challenge, name
                assert token[:40] not in response.text + challenge + str(gate.records()), name
            async with gate.client(gate.token("planner")) as client:
                assert (await call(client, "raw__echo"))["result"]["content"]
            assert len(up.calls) == 1


@pytest.mark.requirement("identity.wrong-tokens", "identity.challenge")
async def test_a_credential_is_taken_from_one_header_only(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with raw_upstream({"echo": echo}) as up, gateway(tmp_path, world([up.entry()]), **FILES) as gate:
            token = gate.token("planner")
            async with gate.client() as client:
                response, code = await refused(gate, client)
                assert code == "missing_token"
                assert "error=" not in response.headers["www-authenticate"]
                assert (await refused(gate, client, authorization=f"Basic {token}"))[1] == "invalid_token"
                assert (await refused(gate, client, **{"authorization": f"Bearer {token}", "x-api-key": "k"}))[1] == (
                    "ambiguous_token"
                )
            async with gate.client(token) as client:
                response = await rpc(client, "tools/list", path="/mcp?access_token=" + token)
                assert response.status_code == 401
            assert [one["code"] for one in of_kind(await gate.settled(), "refusal")][-1] == "token_in_query"
            assert token not in str(gate.records())
            assert up.calls == []


@pytest.mark.requirement("identity.wrong-tokens")
async def test_a_token_ends_with_its_time(tmp_path: Path) -> None:
    clock = Ticking()
    with anyio.fail_after(30):
        async with gateway(tmp_path, world([]), clock, **FILES) as gate, gate.client() as client:
            client.headers["authorization"] = f"Bearer {gate.token('planner')}"
            assert (await rpc(client, "tools/list")).status_code == 200
            clock.now += 2 * 3600
            response = await rpc(client, "tools/list")
            assert response.status_code == 401
            assert of_kind(await gate.settled(), "refusal")[-1]["code"] == "expired_token"


@pytest.mark.requirement("identity.revocation")
async def test_a_raised_generation_a_suspension_and_a_removal_end_every_token_at_once(tmp_path: Path) -> None:
    config = world([])
    with anyio.fail_after(30):
        async with gateway(tmp_path, config, **FILES) as gate, gate.client(gate.token("planner")) as client:
            file = tmp_path / "gateway.yaml"
            first = file.read_text()
            assert (await rpc(client, "tools/list")).status_code == 200
            for change, code in (
                ("planner: {generation: 1, ", "revoked_token"),
                ("planner: {state: suspended, ", "inactive_agent"),
                ("planner2: {", "revoked_token"),
            ):
                file.write_text(first.replace("planner: {", change))
                assert await gate.worker.keeper.reload(gate.worker.gateway)
                assert (await rpc(client, "tools/list")).status_code == 401
                assert of_kind(await gate.settled(), "refusal")[-1]["code"] == code
                file.write_text(first)
                assert await gate.worker.keeper.reload(gate.worker.gateway)
                assert (await rpc(client, "tools/list")).status_code == 200


@pytest.mark.requirement("identity.challenge")
async def test_a_token_without_the_scope_is_told_which_one_it_lacks(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with raw_upstream({"echo": echo}) as up, gateway(tmp_path, world([up.entry()]), **FILES) as gate:
            identity = gate.worker.gateway.snapshot.identity
            agent = identity.agents.get("planner")
            assert identity.token_service is not None
            assert agent is not None
            token = identity.token_service.mint(agent, PUBLIC_URL + "/mcp", ())
            async with gate.client(token) as client:
                response = await rpc(client, "tools/call", {"name": "raw__echo", "arguments": {}})
            assert response.status_code == 403
            assert 'error="insufficient_scope", scope="tools:call"' in response.headers["www-authenticate"]
            assert up.calls == []
