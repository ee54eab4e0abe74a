"""A credential that an API wants in a field of its body: the gateway's own, whatever a caller says."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.importing import approve, import_api
from agent_gateway.mesh.sources import from_path
from support.api_backend import serving
from support.gateways import call, gateway, rpc
from support.market import everything

SECRET = "xoxb-of-the-gateway"
FORM = "application/x-www-form-urlencoded"


def operation(name: str, properties: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": [*properties][:1]}
    return {"post": {"operationId": name, "requestBody": {"content": {media: {"schema": schema}}}, "responses": {}}}


TOKEN = {"type": "string", "description": "Authentication token bearing required scopes."}
TEXT = {"type": ["string", "null"]}
DESCRIBED: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Talk", "version": "1"},
    "paths": {
        "/say": operation("say", {"token": TOKEN, "text": TEXT}),
        "/form": operation("form", {"token": TOKEN, "text": TEXT}, FORM),
        "/plain": operation("plain", {"text": TEXT}),
    },
}


@pytest.mark.requirement("mesh.credentials")
async def test_a_field_of_the_body_is_filled_by_the_gateway_alone(tmp_path: Path) -> None:
    seen: list[tuple[str, bytes]] = []

    async def echo(request: Request) -> Response:
        body = await request.body()
        seen.append((request.url.path, body))
        return JSONResponse({"said": body.decode()})

    async with serving(Starlette(routes=[Route("/{rest:path}", echo, methods=["POST"])])) as url:
        (tmp_path / "talk.json").write_text(json.dumps(DESCRIBED))
        folder = ApiFolder(tmp_path / "mesh/talk")
        import_api(folder, from_path(tmp_path / "talk.json"))
        approve(folder, everything)
        config = f"""
tenants: {{acme: {{}}}}
agents:
  planner: {{tenant: acme, owner: ops, trust: 5, credentials: [{{kind: client_secret, secret: "file:a.secret"}}]}}
upstreams:
  talk: {{kind: openapi, url: {url}, allow_private: true, body_secrets: {{token: "file:t.secret"}}}}
policies: {{files: [main.cedar]}}
"""
        files = {"main__cedar": "permit (principal, action, resource);", "a__secret": "correct horse battery"}
        async with (
            gateway(tmp_path, config, **files, t__secret=SECRET) as running,
            running.client(running.token("planner")) as client,
        ):
            listed = (await rpc(client, "tools/list")).json()["result"]["tools"]
            assert all("token" not in tool["inputSchema"]["properties"] for tool in listed)
            for name, arguments in (("say", {"text": None}), ("form", {"text": "a&token=b"}), ("plain", {"text": "x"})):
                answer = await call(client, f"talk__{name}", arguments)
                assert SECRET not in json.dumps(answer)
            assert "error" in await call(client, "talk__say", {"token": "mine"})
    assert seen == [
        ("/say", b'{"text":null,"token":"%s"}' % SECRET.encode()),
        ("/form", b"token=%s&text=a%%26token%%3Db" % SECRET.encode()),
        ("/plain", b'{"text":"x"}'),
    ]
