"""A description that changes under a running gateway: fetched again, followed where that is safe, held where not."""

import copy
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.holding import GONE, OPERATIONS
from agent_gateway.mesh.importing import approve, import_api
from agent_gateway.mesh.sources import from_url
from agent_gateway.runtime.api_watch import ApiWatch
from agent_gateway.stores.pin_store import PinStore
from gateway_policies.refusal import NotFound
from support.api_backend import serving
from support.gateways import TestGateway, call, gateway, rpc
from support.market import everything

POLICY = "permit (principal, action, resource);"


def operation(name: str, *parameters: str, summary: str = "Reads") -> dict[str, Any]:
    text = {"type": "string"}
    shown = [{"name": one, "in": "query", "required": one == "must", "schema": text} for one in parameters]
    return {"operationId": name, "summary": summary, "parameters": shown, "responses": {"200": {"description": "x"}}}


DESCRIBED: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Changing", "version": "1"},
    "paths": {"/a": {"get": operation("alpha", "q")}, "/b": {"get": operation("beta", "q")}},
}


@dataclass
class Host:
    """Serves a description, with an ETag, and the API of it."""

    described: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(DESCRIBED))
    status: int = 200
    fetched: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    async def spec(self, request: Request) -> Response:
        etag = f'"{hash(json.dumps(self.described)) & 0xFFFF}"'
        asked = request.headers.get("if-none-match", "")
        status = 304 if asked == etag else self.status
        self.fetched.append((asked, status))
        return Response(status_code=304) if status == 304 else JSONResponse(self.described, status, {"etag": etag})

    async def echo(self, request: Request) -> Response:
        return JSONResponse({"path": request.url.path, "query": str(request.url.query)})

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/openapi.json", self.spec), Route("/{rest:path}", self.echo)])


@dataclass
class World:
    host: Host
    gateway: TestGateway
    folder: ApiFolder
    store: PinStore
    watch: ApiWatch
    now: list[float]

    async def look(self) -> None:
        self.now[0] += 100
        await self.watch.look(self.gateway.worker.keeper.loaded)
        await self.gateway.worker.keeper.reload(self.gateway.worker.gateway)

    def waiting(self) -> dict[str, str]:
        return {one.place.native: one.state for one in self.store.waiting()}

    async def tools(self) -> dict[str, Any]:
        async with self.gateway.client(self.gateway.token("planner")) as client:
            listed = (await rpc(client, "tools/list")).json()["result"]["tools"]
        return {tool["name"]: tool for tool in listed}


@asynccontextmanager
async def world(folder: Path) -> AsyncGenerator[World]:
    host = Host()
    async with serving(host.app()) as url:
        place = ApiFolder(folder / "mesh/api")
        import_api(place, await from_url(f"{url}/openapi.json", allow_private=True))
        approve(place, everything)
        config = f"""
tenants: {{acme: {{}}}}
agents:
  planner: {{tenant: acme, owner: ops, trust: 5, credentials: [{{kind: client_secret, secret: "file:planner.secret"}}]}}
upstreams:
  api: {{kind: openapi, url: {url}, spec: {url}/openapi.json, allow_private: true, refetch_s: 60}}
policies: {{files: [main.cedar]}}
"""
        now = [time.time()]
        async with gateway(
            folder, config, lambda: now[0], main__cedar=POLICY, planner__secret="correct horse battery"
        ) as running:
            store = PinStore(running.worker.data.pins)
            yield World(host, running, place, store, running.worker.apis, now)


@pytest.mark.requirement("mesh.refetch")
async def test_what_breaks_is_held_as_it_was_approved_until_an_operator_says_otherwise(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.host.described["paths"]["/a"]["get"] = operation("alpha", "q", "must")
        here.host.described["paths"]["/b"]["get"] = operation("beta", "q", summary="Reads all of it")
        here.host.described["paths"]["/c"] = {"get": operation("gamma")}
        await here.look()
        tools = await here.tools()
        assert "must" not in json.dumps(tools["api__alpha"])
        assert "Reads all of it" in tools["api__beta"]["description"]
        assert "api__gamma" not in tools
        assert here.waiting() == {"alpha": "pending"}
        (held,) = here.store.waiting()
        assert held.place.kind == OPERATIONS
        assert b'"must"' in held.definition
        assert b'"must"' not in held.approved
        keeper, running = here.gateway.worker.keeper, here.gateway.worker.gateway
        with pytest.raises(NotFound):
            await keeper.release(running, "api", "alpha", "sha256:other")
        with pytest.raises(NotFound):
            await keeper.release(running, "none", "alpha", held.pin)
        here.store.reject(held.place, held.pin)
        await here.look()
        assert here.waiting() == {"alpha": "rejected"}
        await keeper.release(running, "api", "alpha", held.pin)
        assert "must" in json.dumps((await here.tools())["api__alpha"])
        assert here.waiting() == {}
        async with here.gateway.client(here.gateway.token("planner")) as client:
            assert "error" in await call(client, "api__alpha", {"q": "x"})
            assert "result" in await call(client, "api__alpha", {"q": "x", "must": "y"})


@pytest.mark.requirement("mesh.refetch")
async def test_a_description_is_fetched_when_it_is_due_and_sent_when_it_changed(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.look()  # after it the etag is known
        before = len(here.host.fetched)
        await here.look()
        await here.watch.look(here.gateway.worker.keeper.loaded)  # not due yet
        assert [status for _, status in here.host.fetched[before:]] == [304]
        here.host.status = 500
        here.host.described["info"]["version"] = "2"
        await here.look()
        here.host.status = 200
        await here.look()
        assert [status for _, status in here.host.fetched[before:]] == [304, 500, 200]
        assert sorted(await here.tools()) == ["api__alpha", "api__beta", "api__read_result"]


@pytest.mark.requirement("mesh.refetch")
async def test_a_change_that_could_not_be_taken_up_is_fetched_again_once_it_can(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.look()
        here.host.described["paths"]["/b"]["get"] = operation("beta", "q", summary="Reads all of it")
        curation = here.folder.path / "curation.yaml"
        kept = curation.read_bytes()
        curation.write_text("tools: [")
        await here.look()
        curation.write_bytes(kept)
        await here.look()
        assert "Reads all of it" in (await here.tools())["api__beta"]["description"]


async def test_an_operation_that_is_gone_goes_on_until_somebody_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        del here.host.described["paths"]["/b"]
        await here.look()
        assert "api__beta" in await here.tools()
        (held,) = here.store.waiting()
        assert (held.place.native, held.pin) == ("beta", GONE)
        await here.gateway.worker.keeper.release(here.gateway.worker.gateway, "api", "beta", GONE)
        assert "api__beta" not in await here.tools()
        assert here.waiting() == {}


async def test_a_description_that_became_none_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.host.described = {"hello": "world"}
        await here.look()
        assert "api__alpha" in await here.tools()
        assert here.waiting() == {}


async def test_a_file_is_looked_at_too(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        text = (tmp_path / "gateway.yaml").read_text()
        url = here.gateway.worker.keeper.loaded.config.upstreams["api"].urls()["url"]
        (tmp_path / "gateway.yaml").write_text(text.replace(f"spec: {url}/openapi.json", "spec: changed.json"))
        assert await here.gateway.worker.keeper.reload(here.gateway.worker.gateway)
        changed = copy.deepcopy(DESCRIBED)
        changed["paths"]["/a"]["get"] = operation("alpha", "q", "must")
        await here.look()
        assert here.waiting() == {}
        (tmp_path / "changed.json").write_text(json.dumps(changed))
        await here.look()
        assert here.waiting() == {"alpha": "pending"}


async def test_the_store_is_told_of_an_approval_by_the_command_line(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.host.described["paths"]["/a"]["get"] = operation("alpha", "q", "must")
        await here.look()
        approve(here.folder, everything)
        with anyio.fail_after(30):
            await here.look()
        assert here.waiting() == {}
        assert here.store.approved("api", OPERATIONS)["alpha"] == here.folder.approvals().tools["alpha"].contract
