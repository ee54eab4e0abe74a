"""An authorization server and a protected MCP server for tests: Starlette apps on loopback, told how to behave."""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route


@dataclass
class AuthServer:
    """One issuer. Everything it was asked is kept; what it says can be changed at any time.

    metadata  members of its document that replace the usual ones; None takes one out
    tokens    access tokens by value, with the scopes that they carry
    """

    path: str = ""
    place: str = "/.well-known/oauth-authorization-server"
    url: str = ""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    redirect_with: dict[str, str] = field(default_factory=dict[str, str])
    refuses: str = ""
    rotates: bool = True
    life_s: float = 3600
    tokens: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    refresh: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    asked: list[tuple[str, Mapping[str, str], str]] = field(default_factory=list[tuple[str, Mapping[str, str], str]])
    fetched: list[str] = field(default_factory=list[str])
    registered: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    codes: dict[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])

    @property
    def issuer(self) -> str:
        return self.url + self.path

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/register", self._register, methods=["POST"]),
                Route("/{rest:path}", self._document),
            ]
        )

    async def _document(self, request: Request) -> Response:
        self.fetched.append(request.url.path)
        if request.url.path != self.place:
            return Response(status_code=404)
        usual: dict[str, Any] = {
            "issuer": self.issuer,
            "token_endpoint": f"{self.url}/token",
            "authorization_endpoint": f"{self.url}/authorize",
            "registration_endpoint": f"{self.url}/register",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }
        return JSONResponse({name: value for name, value in usual.items() if value is not None})

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.asked.append(("authorize", query, ""))
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        back = {"code": code, "state": query["state"], "iss": self.issuer, **self.redirect_with}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode({k: v for k, v in back.items() if v})}")

    async def _register(self, request: Request) -> Response:
        self.registered.append(await request.json())
        name = f"client-{len(self.registered)}-of-{self.url.rpartition(':')[2]}"
        return JSONResponse({"client_id": name, "client_secret": f"secret-of-{name}"}, status_code=201)

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        self.asked.append(("token", form, request.headers.get("authorization", "")))
        if self.refuses:
            return JSONResponse({"error": self.refuses}, status_code=400)
        scope = tuple(form.get("scope", "").split())
        if form["grant_type"] == "authorization_code":
            asked = self.codes.pop(form["code"], {})
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            if asked.get("code_challenge") != base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
                return JSONResponse({"error": "invalid_grant"}, status_code=400)
            scope = tuple(asked.get("scope", "").split())
        elif form["grant_type"] == "refresh_token":
            found = (
                self.refresh.pop(form["refresh_token"], None)
                if self.rotates
                else self.refresh.get(form["refresh_token"])
            )
            if found is None:
                return JSONResponse({"error": "invalid_grant"}, status_code=400)
            scope = found
        return JSONResponse(self._given(form, scope))

    def _given(self, form: Mapping[str, str], scope: tuple[str, ...]) -> dict[str, Any]:
        token = f"token-{secrets.token_urlsafe(8)}"
        self.tokens[token] = scope
        answer: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "expires_in": self.life_s}
        if form["grant_type"] != "client_credentials":
            answer["refresh_token"] = f"refresh-{secrets.token_urlsafe(8)}"
            self.refresh[answer["refresh_token"]] = scope
        return answer | ({"scope": " ".join(scope)} if scope else {})


@dataclass
class Protected:
    """A modern MCP server that wants a token of `auth`: one scope to list, another for each tool that names one.

    metadata  members of its RFC 9728 document that replace the usual ones; None: it has no document
    """

    auth: AuthServer
    url: str = ""
    listing: tuple[str, ...] = ()
    calling: tuple[str, ...] = ()
    challenges: bool = True
    metadata: dict[str, Any] | None = field(default_factory=dict[str, Any])
    place: str = "/.well-known/oauth-protected-resource/mcp"
    seen: list[str] = field(default_factory=list[str])
    calls: int = 0

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/mcp", self._mcp, methods=["POST"]), Route("/{rest:path}", self._document)])

    async def _document(self, request: Request) -> Response:
        if self.metadata is None or request.url.path != self.place:
            return Response(status_code=404)
        usual: dict[str, Any] = {"resource": f"{self.url}/mcp", "authorization_servers": [self.auth.issuer]}
        return JSONResponse({**usual, **self.metadata})

    async def _mcp(self, request: Request) -> Response:
        bearer = request.headers.get("authorization", "")
        self.seen.append(bearer)
        message = orjson.loads(await request.body())
        scopes = self.auth.tokens.get(bearer.removeprefix("Bearer "))
        where = f'resource_metadata="{self.url}{self.place}"' if self.challenges else 'realm="mcp"'
        if scopes is None:
            wants = f', scope="{" ".join(self.listing)}"' if self.listing and self.challenges else ""
            return Response(status_code=401, headers={"www-authenticate": f'Basic realm="x", Bearer {where}{wants}'})
        wanted = self.calling if message["method"] == "tools/call" else self.listing
        if not set(wanted) <= set(scopes):
            header = f'Bearer error="insufficient_scope", scope="{" ".join(wanted)}", {where}'
            return Response(status_code=403, headers={"www-authenticate": header})
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": self._result(message["method"])})

    def _result(self, method: str) -> dict[str, Any]:
        if method == "server/discover":
            return {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
        if method == "tools/list":
            return {"resultType": "complete", "tools": [{"name": "do", "inputSchema": {"type": "object"}}]}
        self.calls += 1
        return {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}


@asynccontextmanager
async def served(app: Starlette) -> AsyncGenerator[str]:
    """Serve an app on a free loopback port until the block ends; yield its origin."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    task = asyncio.ensure_future(server.main_loop())
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await task
        await server.shutdown()


@asynccontextmanager
async def protected(auth: AuthServer | None = None, **how: Any) -> AsyncGenerator[Protected]:
    """Serve a protected server and its authorization server until the block ends."""
    auth = auth or AuthServer()
    up = Protected(auth, **how)
    async with served(auth.app()) as auth.url, served(up.app()) as up.url:
        yield up
