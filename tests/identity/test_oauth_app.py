"""The routes, with the clients that others wrote: authlib, and the MCP SDK from its first 401 on."""

import json
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from mcp.client.auth import TokenStorage
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from support.identity_parts import ENDPOINTS, ISSUER, LONG_SECRET, Parts, basic

from agent_gateway.identity.challenge import unauthorized
from agent_gateway.identity.oauth_app import MAX_FORM_BYTES, MAX_TOKEN_WAITERS, OAuthRoutes
from agent_gateway.identity.token_service import TokenAnswer, TokenRequest, TokenService, TokenSettings
from gateway_policies.refusal import Unauthenticated

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def app(parts: Parts, service: TokenService | None) -> Starlette:
    door = parts.authenticator()

    async def endpoint(request: Request) -> Response:
        try:
            found = door.authenticate(request.headers.raw, f"{ISSUER}/mcp", request.url.query.encode())
        except Unauthenticated as refusal:
            challenge = unauthorized(refusal, ENDPOINTS.metadata_url("/mcp"), ENDPOINTS.scopes)
            return Response(status_code=401, headers={"WWW-Authenticate": challenge})
        assert found
        return JSONResponse({"who": found.label, "scopes": sorted(found.scopes)})

    routes = OAuthRoutes(service=lambda: service, endpoints=lambda: ENDPOINTS).routes()
    return Starlette(routes=[*routes, Route("/mcp", endpoint, methods=["POST"])])


@asynccontextmanager
async def client(parts: Parts, service: TokenService | None) -> AsyncGenerator[httpx2.AsyncClient, None]:
    transport = httpx2.ASGITransport(app(parts, service))
    with anyio.fail_after(20):
        async with httpx2.AsyncClient(transport=transport, base_url=ISSUER) as http:
            yield http


class Memory(TokenStorage):
    """The SDK's storage, in memory."""

    tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        return None


async def test_the_mcp_sdk_finds_its_way_from_a_401_to_a_token(parts: Parts) -> None:
    auth = ClientCredentialsOAuthProvider(f"{ISSUER}/mcp", Memory(), "planner", LONG_SECRET, issuer=ISSUER)
    async with client(parts, parts.service()) as http:
        answer = await http.post("/mcp", auth=auth)
    assert (answer.status_code, answer.json()["who"]) == (200, "acme/planner")
    assert answer.json()["scopes"] == ["mcp:call", "mcp:list"]


async def test_the_mcp_sdk_signs_its_way_in(parts: Parts) -> None:
    signing = SignedJWTParameters(
        issuer="signer",
        subject="signer",
        signing_key=parts.client_key.as_pem(private=True).decode(),
        signing_algorithm="ES256",
    )
    provider = signing.create_assertion_provider()
    auth = PrivateKeyJWTOAuthProvider(f"{ISSUER}/mcp", Memory(), "signer", provider, issuer=ISSUER)
    parts.clock.now = _real_now()
    async with client(parts, parts.service()) as http:
        answer = await http.post("/mcp", auth=auth)
    assert (answer.status_code, answer.json()["who"]) == (200, "beta/signer")


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_authlib_gets_a_token_with_a_secret(parts: Parts, method: str) -> None:
    transport = httpx2.ASGITransport(app(parts, parts.service()))
    made: Any = AsyncOAuth2Client("planner", LONG_SECRET, token_endpoint_auth_method=method, transport=transport)
    async with made as oauth:
        token = await oauth.fetch_token(f"{ISSUER}/oauth/token", grant_type="client_credentials", scope="mcp:call")
        parts.clock.now += 1
        answer = await oauth.post(f"{ISSUER}/mcp")
    assert token["scope"] == "mcp:call"
    assert answer.json() == {"who": "acme/planner", "scopes": ["mcp:call"]}


async def test_authlib_gets_a_token_with_a_signature(parts: Parts) -> None:
    parts.clock.now = _real_now()
    transport = httpx2.ASGITransport(app(parts, parts.service()))
    made: Any = AsyncOAuth2Client(
        "signer", parts.client_key, token_endpoint_auth_method="private_key_jwt", transport=transport
    )
    url = f"{ISSUER}/oauth/token"
    claims = {"exp": int(parts.clock.now) + 120}  # its default is an hour, and five minutes are the most here
    made.register_client_auth_method(PrivateKeyJWT(url, claims, {"kid": "client-key"}, alg="ES256"))
    async with made as oauth:
        token = await oauth.fetch_token(url, grant_type="client_credentials", resource=f"{ISSUER}/mcp")
    assert token["token_type"] == "Bearer"


async def test_the_documents_are_where_they_should_be(parts: Parts) -> None:
    async with client(parts, parts.service()) as http:
        server = await http.get("/.well-known/oauth-authorization-server")
        keys = await http.get("/oauth/jwks")
        for path in ("/mcp", "/mcp/reading"):
            document = await http.get(f"/.well-known/oauth-protected-resource{path}")
            assert document.json()["resource"] == ISSUER + path
        root = await http.get("/.well-known/oauth-protected-resource")
    assert server.json()["issuer"] == ISSUER
    assert "d" not in keys.json()["keys"][0]
    assert root.json()["resource"] == f"{ISSUER}/mcp"


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/other",
        "/.well-known/oauth-protected-resource/other",
    ],
)
async def test_what_is_not_here_is_not_found(parts: Parts, path: str) -> None:
    async with client(parts, parts.service()) as http:
        assert (await http.get(path)).status_code == 404


async def test_a_gateway_without_a_token_service_has_only_its_resources(parts: Parts) -> None:
    async with client(parts, None) as http:
        assert (await http.get("/.well-known/oauth-protected-resource/mcp")).status_code == 200
        for path in ("/.well-known/oauth-authorization-server", "/oauth/jwks"):
            assert (await http.get(path)).status_code == 404
        assert (await http.post("/oauth/token", headers=FORM)).status_code == 404


async def test_the_authorization_endpoint_refuses_and_never_redirects(parts: Parts) -> None:
    async with client(parts, parts.service()) as http:
        answer = await http.get("/oauth/authorize?response_type=code&redirect_uri=https://evil.example")
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_response_type")
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "body", "path"),
    [
        ({"content-type": "application/json"}, b"{}", "/oauth/token"),
        ({}, b"grant_type=client_credentials", "/oauth/token"),
        (FORM, b"grant_type=client_credentials", "/oauth/token?client_id=planner"),
        (FORM, b"a=" + b"x" * MAX_FORM_BYTES, "/oauth/token"),
        (FORM, b"&".join(b"a%d=1" % n for n in range(40)), "/oauth/token"),
        (FORM, b"a=%ff", "/oauth/token"),
        (FORM, b"a=\xff", "/oauth/token"),
    ],
)
async def test_bad_requests_get_one_oauth_error(parts: Parts, headers: dict[str, str], body: bytes, path: str) -> None:
    async with client(parts, parts.service()) as http:
        answer = await http.post(path, headers=headers, content=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.headers["cache-control"] == "no-store"


async def test_two_authorization_headers_are_one_too_many(parts: Parts) -> None:
    both = [("authorization", basic("planner", LONG_SECRET))] * 2
    async with client(parts, parts.service()) as http:
        answer = await http.post("/oauth/token", headers=[*both, *FORM.items()], content=b"")
    assert answer.json()["error"] == "invalid_request"


async def test_a_wrong_secret_is_a_401_with_its_challenge(parts: Parts) -> None:
    async with client(parts, parts.service()) as http:
        headers = {**FORM, "authorization": basic("planner", "wrong")}
        answer = await http.post("/oauth/token", headers=headers, content=b"grant_type=client_credentials")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert cast("dict[str, str]", json.loads(answer.content))["error_description"]


async def test_too_many_token_requests_at_once_are_turned_away(parts: Parts) -> None:
    go = threading.Event()

    class Held(TokenService):
        def token(self, request: TokenRequest) -> TokenAnswer:
            go.wait(10)
            return super().token(request)

    settings, agents = TokenSettings(ISSUER), parts.agents()
    held = Held(settings, agents, ENDPOINTS, keys=parts.keys, guards=parts.guards, clock=parts.clock)
    headers = {**FORM, "authorization": basic("planner", LONG_SECRET)}
    statuses: list[int] = []
    async with client(parts, held) as http, anyio.create_task_group() as group:

        async def one() -> None:
            answer = await http.post("/oauth/token", headers=headers, content=b"grant_type=client_credentials")
            statuses.append(answer.status_code)
            go.set()  # the first to end is the one too many; it lets the others go on

        for _ in range(MAX_TOKEN_WAITERS + 1):
            group.start_soon(one)
    assert sorted(statuses) == [200] * MAX_TOKEN_WAITERS + [503]
    assert statuses[0] == 503


def _real_now() -> float:

    return time.time()
