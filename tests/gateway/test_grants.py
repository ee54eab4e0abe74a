"""Upstreams that announce their authorization server: tokens found, renewed and widened through the whole gateway."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from agent_gateway.grants.login import login
from agent_gateway.grants.source import FAILURE_PAUSE_S, Discovered
from agent_gateway.runtime.grant_settings import web_of
from support.auth_servers import AuthServer, Protected, protected, served
from support.gateways import TestGateway, call, gateway
from support.scenes import FILES, check_books, world
from support.upstreams import FakeClock

SECRET = "a-secret-for-one-issuer-and-no-other"


def entry(up: Protected, auth: str) -> str:
    rule = 'tools: {"*": {risk: 1, read_only: true}}'
    return f"  up: {{url: '{up.url}/mcp', allow_private: true, {rule}, auth: {{kind: discover, {auth}}}}}\n"


def secret(up: Protected) -> str:
    return f"client_id: gw, client_secret: 'file:upstream.secret', issuer: '{up.auth.issuer}'"


def files(**more: str) -> dict[str, str]:
    return {**FILES, "upstream__secret": SECRET, **more}


def text_of(answer: dict[str, Any]) -> str:
    return answer["result"]["content"][0]["text"]


def grants_of(up: Protected) -> list[str]:
    return [form["grant_type"] for kind, form, _ in up.auth.asked if kind == "token"]


@pytest.mark.requirement("upstream.discovered-token")
async def test_a_challenge_leads_to_a_token_which_then_serves_every_call(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with (
            protected(listing=("mcp:read",)) as up,
            gateway(tmp_path, world([entry(up, secret(up))]), **files()) as front,
            front.client(front.token("planner")) as client,
        ):
            assert [text_of(await call(client, "up__do")) for _ in range(3)] == ["done"] * 3
            [(_, form, proof)] = up.auth.asked
            assert form == {"grant_type": "client_credentials", "scope": "mcp:read", "resource": f"{up.url}/mcp"}
            assert proof == "Basic " + b64encode(f"gw:{SECRET}".encode()).decode()
            assert up.seen[0] == ""  # nothing is sent before it is asked for
            assert {one for one in up.seen if one} == {f"Bearer {token}" for token in up.auth.tokens}
            check_books(await front.settled())
            kept = "".join(str(record) for record in front.records())
            assert not any(one in kept for one in (*up.auth.tokens, SECRET, up.url))


@pytest.mark.requirement("upstream.discovered-token")
async def test_a_key_proves_the_gateway_to_the_issuer_and_to_nobody_else(tmp_path: Path) -> None:
    key = ECKey.generate_key("P-256")
    auth = AuthServer(metadata={"token_endpoint_auth_methods_supported": ["private_key_jwt"]})
    with anyio.fail_after(60):
        async with protected(auth) as up:
            config = world([entry(up, "client_id: gw, client_key: 'file:gw.pem'")])
            pem = key.as_pem(private=True).decode()
            async with (
                gateway(tmp_path, config, **files(gw__pem=pem)) as front,
                front.client(front.token("planner")) as client,
            ):
                assert text_of(await call(client, "up__do")) == "done"
                [(_, form, proof)] = up.auth.asked
                claims = jwt.decode(form["client_assertion"], key, algorithms=["ES256"]).claims
                assert (claims["iss"], claims["sub"], claims["aud"], proof) == ("gw", "gw", auth.issuer, "")
                assert claims["exp"] - claims["iat"] <= 60


@pytest.mark.requirement("upstream.discovered-token")
async def test_a_workload_s_token_is_handed_over_as_its_file_has_it(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with protected() as up:
            auth = f"grant: jwt_bearer, assertion: 'file:upstream.secret', issuer: '{up.auth.issuer}'"
            config = world([entry(up, auth)])
            async with (
                gateway(tmp_path, config, **files()) as front,
                front.client(front.token("planner")) as client,
            ):
                assert text_of(await call(client, "up__do")) == "done"
                [(_, form, _)] = up.auth.asked
                assert (form["grant_type"].rpartition(":")[2], form["assertion"]) == ("jwt-bearer", SECRET)


@pytest.mark.requirement("upstream.discovered-step-up")
async def test_more_rights_are_asked_for_besides_those_there_are_and_not_for_ever(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with (
            protected(listing=("read",), calling=("write",)) as up,
            gateway(tmp_path, world([entry(up, secret(up))]), **files()) as front,
            front.client(front.token("planner")) as client,
        ):
            up.calling = ("read", "write")
            assert text_of(await call(client, "up__do")) == "done"
            assert [form["scope"] for _, form, _ in up.auth.asked] == ["read", "read write"]
            up.calling = ("read", "write", "admin")
            up.auth.refuses = "invalid_scope"
            refused = await call(client, "up__do")
            assert refused["error"]["data"]["agent-gateway/refusal"]["code"] == "upstream_unauthorized"
            before = len(up.auth.asked)
            for _ in range(5):
                assert "error" in await call(client, "up__do")
            assert len(up.auth.asked) == before  # asked once: the same words would get the same answer


@pytest.mark.requirement("upstream.discovered-token")
async def test_a_token_that_ends_or_is_revoked_is_replaced_once_for_all_who_wait(tmp_path: Path) -> None:
    clock = FakeClock(1e9)
    with anyio.fail_after(60):
        async with (
            protected(AuthServer(life_s=60)) as up,
            gateway(tmp_path, world([entry(up, secret(up))]), clock, **files()) as front,
            front.client(front.token("planner")) as client,
        ):
            assert text_of(await call(client, "up__do")) == "done"
            clock.now += 55
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(call, client, "up__do")
            assert len(up.auth.asked) == 2
            clock.now += FAILURE_PAUSE_S
            up.auth.tokens.clear()
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(call, client, "up__do")
            assert len(up.auth.asked) == 3
            assert up.calls == 17


@pytest.mark.requirement("upstream.discovered-token")
async def test_tokens_that_end_at_once_are_not_asked_for_with_every_call(tmp_path: Path) -> None:
    clock = FakeClock(1e9)
    with anyio.fail_after(60):
        async with (
            protected(AuthServer(life_s=60)) as up,
            gateway(tmp_path, world([entry(up, secret(up))]), clock, **files()) as front,
            front.client(front.token("planner")) as client,
        ):
            assert text_of(await call(client, "up__do")) == "done"
            up.auth.life_s = 1
            clock.now += 55
            for _ in range(5):
                assert "error" in await call(client, "up__do")
            assert len(up.auth.asked) == 2
            up.auth.life_s = 60
            clock.now += FAILURE_PAUSE_S
            assert text_of(await call(client, "up__do")) == "done"


Members = dict[str, Any]
BAD: Mapping[str, tuple[Members, Members]] = {
    "of another resource": ({"resource": "https://evil.test/mcp"}, {}),
    "of a neighbour": ({"resource": "{url}/mcp2"}, {}),
    "of no issuer": ({"authorization_servers": []}, {}),
    "of another issuer": ({"authorization_servers": ["https://evil.test"]}, {}),
    "of an issuer that says it is another": ({}, {"issuer": "https://evil.test"}),
    "of an issuer with a slash more": ({}, {"issuer": "{auth}/"}),
    "with a token endpoint that has a user in it": ({}, {"token_endpoint": "http://a:b@127.0.0.1/token"}),
    "without a token endpoint": ({}, {"token_endpoint": None}),
}


@pytest.mark.requirement("upstream.discovered-issuer")
@pytest.mark.parametrize("what", BAD)
async def test_no_credential_is_sent_by_metadata(tmp_path: Path, what: str) -> None:
    of_resource, of_issuer = BAD[what]
    with anyio.fail_after(60):
        async with protected() as up:
            places = {"{url}": up.url, "{auth}": up.auth.url}
            up.metadata = {name: filled(value, places) for name, value in of_resource.items()}
            up.auth.metadata = {name: filled(value, places) for name, value in of_issuer.items()}
            async with (
                gateway(tmp_path, world([entry(up, secret(up))]), **files()) as front,
                front.client(front.token("planner")) as client,
            ):
                assert "error" in await call(client, "up__do")
                assert up.auth.asked == []
                assert up.calls == 0


def filled(value: Any, places: dict[str, str]) -> Any:
    for mark, text in places.items():
        value = value.replace(mark, text) if isinstance(value, str) else value
    return value


@pytest.mark.requirement("upstream.discovered-issuer")
async def test_a_secret_goes_to_its_issuer_even_when_the_upstream_names_others_first(tmp_path: Path) -> None:
    thief = AuthServer()
    with anyio.fail_after(60):
        async with served(thief.app()) as thief.url, protected() as up:
            up.metadata = {"authorization_servers": [thief.issuer, up.auth.issuer]}
            async with (
                gateway(tmp_path, world([entry(up, secret(up))]), **files()) as front,
                front.client(front.token("planner")) as client,
            ):
                assert text_of(await call(client, "up__do")) == "done"
                assert (thief.asked, thief.fetched) == ([], [])


PLACES = {
    "/.well-known/oauth-authorization-server/tenant": 1,
    "/.well-known/openid-configuration/tenant": 2,
    "/tenant/.well-known/openid-configuration": 3,
}


@pytest.mark.requirement("upstream.discovered-issuer")
@pytest.mark.parametrize("place", PLACES)
async def test_metadata_is_looked_for_in_the_order_of_the_specification(tmp_path: Path, place: str) -> None:
    auth = AuthServer(path="/tenant", place=place)
    with anyio.fail_after(60):
        async with (
            protected(auth, challenges=False, place="/.well-known/oauth-protected-resource") as up,
            gateway(tmp_path, world([entry(up, secret(up))]), **files()) as front,
            front.client(front.token("planner")) as client,
        ):
            assert text_of(await call(client, "up__do")) == "done"
            assert auth.fetched == list(PLACES)[: PLACES[place]]


@pytest.mark.requirement("upstream.discovered-issuer")
async def test_an_upstream_without_metadata_is_its_own_issuer(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with protected(challenges=False) as up:
            up.metadata = None
            config = world([entry(up, f"client_id: gw, client_secret: 'file:upstream.secret', issuer: '{up.url}'")])
            async with (
                gateway(tmp_path, config, **files()) as front,
                front.client(front.token("planner")) as client,
            ):
                assert "error" in await call(client, "up__do")  # and that has no authorization server
                assert up.auth.fetched == []


# --- what a person grants ----------------------------------------------------------------------


async def follow(url: str) -> None:
    """Do what a browser does whose person consents at once."""
    async with httpx2.AsyncClient(follow_redirects=True) as browser:
        assert (await browser.get(url)).status_code == 200


def settings_of(front: TestGateway, up: Protected, **more: Any) -> Discovered:
    folder = front.worker.data.grants
    return Discovered("up", f"{up.url}/mcp", "authorization_code", folder, **more)


@pytest.mark.requirement("upstream.login")
async def test_a_person_s_grant_serves_is_refreshed_and_is_kept_to_its_issuer(tmp_path: Path) -> None:
    clock = FakeClock(1e9)
    auth = AuthServer(life_s=60, metadata={"scopes_supported": ["read", "offline_access"]})
    with anyio.fail_after(60):
        async with (
            protected(auth, listing=("read",)) as up,
            gateway(tmp_path, world([entry(up, "grant: authorization_code")]), clock, **files()) as front,
            front.client(front.token("planner")) as client,
        ):
            assert "error" in await call(client, "up__do")
            settings = settings_of(front, up)
            await login(settings, web_of(settings, allow_private=True), clock, follow)
            [wanted] = auth.registered
            assert wanted["application_type"] == "native"
            assert wanted["grant_types"] == ["authorization_code", "refresh_token"]
            asked = auth.asked[0][1]
            assert (asked["scope"], asked["resource"]) == ("read offline_access", f"{up.url}/mcp")
            assert asked["code_challenge_method"] == "S256"
            await front.worker.keeper.refresh(front.worker.gateway)
            assert text_of(await call(client, "up__do")) == "done"
            clock.now += 55
            assert text_of(await call(client, "up__do")) == "done"
            assert grants_of(up) == ["authorization_code", "refresh_token"]
            clock.now += 55
            assert (
                text_of(await call(client, "up__do")) == "done"
            )  # by the refresh token that took the first one's place
            [file] = front.worker.data.grants.glob("*.json")
            assert file.stat().st_mode & 0o777 == 0o600

            up.auth = other = AuthServer(life_s=60)
            async with served(other.app()) as other.url:
                clock.now += FAILURE_PAUSE_S
                refused = await call(client, "up__do")
                reason = refused["error"]["data"]["agent-gateway/refusal"]
                assert reason["code"] == "login_required"
                assert reason["hint"] == "an operator can run `agent-gateway login up`"
                assert other.asked == []
                await login(settings, web_of(settings, allow_private=True), clock, follow)
                assert text_of(await call(client, "up__do")) == "done"
                sent = str(other.asked)
                assert not any(one in sent for one in ("client-1-of-" + auth.url.rpartition(":")[2], *auth.refresh))


@pytest.mark.requirement("upstream.login")
async def test_what_the_upstream_wants_besides_is_asked_for_at_the_next_login(tmp_path: Path) -> None:
    clock = FakeClock(1e9)
    with anyio.fail_after(60):
        async with (
            protected(listing=("read",), calling=("write",)) as up,
            gateway(tmp_path, world([entry(up, "grant: authorization_code")]), clock, **files()) as front,
            front.client(front.token("planner")) as client,
        ):
            settings = settings_of(front, up)
            await login(settings, web_of(settings, allow_private=True), clock, follow)
            await front.worker.keeper.refresh(front.worker.gateway)
            refused = await call(client, "up__do")
            assert refused["error"]["data"]["agent-gateway/refusal"]["code"] == "login_required"
            assert "`write`" in refused["error"]["message"]
            grant = await login(settings, web_of(settings, allow_private=True), clock, follow)
            assert grant.tokens.scope == ("read", "write")
            assert text_of(await call(client, "up__do")) == "done"


@pytest.mark.requirement("upstream.login")
async def test_a_grant_that_was_withdrawn_asks_for_a_person(tmp_path: Path) -> None:
    clock = FakeClock(1e9)
    with anyio.fail_after(60):
        async with (
            protected(AuthServer(life_s=60)) as up,
            gateway(tmp_path, world([entry(up, "grant: authorization_code")]), clock, **files()) as front,
            front.client(front.token("planner")) as client,
        ):
            settings = settings_of(front, up)
            await login(settings, web_of(settings, allow_private=True), clock, follow)
            await front.worker.keeper.refresh(front.worker.gateway)
            up.auth.refresh.clear()
            clock.now += 55
            refused = await call(client, "up__do")
            assert refused["error"]["data"]["agent-gateway/refusal"]["code"] == "login_required"


@pytest.mark.requirement("upstream.login")
async def test_a_grant_does_not_follow_the_name_of_an_upstream_to_another_host(tmp_path: Path) -> None:
    clock = FakeClock(1e9)
    with anyio.fail_after(60):
        async with (
            protected(listing=("read",)) as up,
            protected() as other,
            gateway(tmp_path, world([entry(other, "grant: authorization_code")]), clock, **files()) as front,
            front.client(front.token("planner")) as client,
        ):
            settings = settings_of(front, up)  # what `up` was when somebody granted access to it
            await login(settings, web_of(settings, allow_private=True), clock, follow)
            await front.worker.keeper.refresh(front.worker.gateway)
            assert "error" in await call(client, "up__do")
            assert {*other.seen} == {""}
