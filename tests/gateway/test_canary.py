"""A canary: the held version of an API for some callers, the approved one for all others; each of them has one."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from agent_gateway.cli.mesh_canary import (
    Change,
    begin,
    callers_of,
    compared,
    end,
    ending,
    put_back,
    starting,
    to_approve,
)
from agent_gateway.cli.session import Failure
from agent_gateway.config.load import Loaded, load
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.importing import approve, import_api
from agent_gateway.mesh.sources import from_path
from agent_gateway.stores.pin_store import PinStore
from gateway_policies.refusal import BadRequest
from support.admin import admin_client
from support.api_backend import serving
from support.gateways import TestGateway, call, gateway, rpc
from support.market import everything

POLICY = """\
permit (principal, action, resource in Upstream::"api");
@id("no-secrets")
forbid (principal, action, resource == Tool::"api__alpha")
when { context.args has q && context.args.q == "secret" };
// the end
"""
CONFIG = """
tenants: {{acme: {{teams: {{research: {{}}, sales: {{}}}}}}}}
agents:
  tester: {{tenant: acme, teams: [research], owner: ops, credentials: [{{kind: client_secret, secret: "file:a.key"}}]}}
  seller: {{tenant: acme, teams: [sales], owner: ops, credentials: [{{kind: client_secret, secret: "file:a.key"}}]}}
upstreams:
  # the API
  api: {{kind: openapi, url: {url}, spec: ./api.json, allow_private: true, tools: {{alpha: {{price_micros: 7}}}}}}

# policies
policies: {{files: [main.cedar]}}
{more}"""


def operation(name: str, *parameters: str) -> dict[str, Any]:
    text = {"type": "string"}
    shown = [{"name": one, "in": "query", "required": one == "must", "schema": text} for one in parameters]
    return {"operationId": name, "summary": "Reads", "parameters": shown, "responses": {"200": {"description": "x"}}}


def described(**alpha: Any) -> str:
    paths = {"/a": {"get": alpha or operation("alpha", "q")}, "/b": {"get": operation("beta", "q")}}
    return json.dumps({"openapi": "3.1.0", "info": {"title": "Api", "version": "1"}, "paths": paths})


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"path": request.url.path, "query": str(request.url.query)})


@dataclass
class Files:
    """An API with a held change, as the commands find it."""

    api: ApiFolder
    path: Path

    @property
    def loaded(self) -> Loaded:
        return load(self.path)

    @property
    def texts(self) -> tuple[bytes, bytes]:
        return self.path.read_bytes(), (self.path.parent / "main.cedar").read_bytes()

    def change_description(self) -> None:
        (self.path.parent / "api.json").write_text(described(**operation("alpha", "q", "must")))
        import_api(self.api, from_path(self.path.parent / "api.json"))

    def start(self, *, since_ms: int = 0, agent: str = "") -> Change:
        callers = callers_of(self.loaded, *(([], [agent]) if agent else (["acme/research"], [])))
        change = starting(self.loaded, "api", callers, since_ms)
        begin(change)
        return change


@dataclass
class World(Files):
    gateway: TestGateway

    async def reload(self) -> bool:
        return await self.gateway.worker.keeper.reload(self.gateway.worker.gateway)

    async def tools(self, agent: str) -> dict[str, Any]:
        async with self.gateway.client(self.gateway.token(agent)) as client:
            listed = (await rpc(client, "tools/list")).json()["result"]["tools"]
        return {tool["name"]: tool for tool in listed if not tool["name"].endswith("__read_result")}

    async def call(self, agent: str, name: str, **arguments: str) -> dict[str, Any]:
        async with self.gateway.client(self.gateway.token(agent)) as client:
            return await call(client, name, arguments)

    async def works(self, agent: str, name: str, **arguments: str) -> bool:
        answer = await self.call(agent, name, **arguments)
        return "result" in answer and not answer["result"].get("isError", False)


def prepared(folder: Path) -> ApiFolder:
    (folder / "api.json").write_text(described())
    api = ApiFolder(folder / "mesh/api")
    import_api(api, from_path(folder / "api.json"))
    approve(api, everything)
    return api


def files(folder: Path, more: str = "", policy: str = POLICY) -> Files:
    """Write what a gateway would run from."""
    (folder / "main.cedar").write_text(policy)
    (folder / "a.key").write_text("correct horse battery")
    (folder / "gateway.yaml").write_text("version: 1" + CONFIG.format(url="http://127.0.0.1:9", more=more))
    return Files(prepared(folder), folder / "gateway.yaml")


@asynccontextmanager
async def world(folder: Path, more: str = "", policy: str = POLICY) -> AsyncGenerator[World]:
    async with serving(Starlette(routes=[Route("/{rest:path}", echo)])) as url:
        api = prepared(folder)
        config = CONFIG.format(url=url, more=more)
        async with gateway(folder, config, main__cedar=policy, a__key="correct horse battery") as running:
            yield World(api, folder / "gateway.yaml", running)


@pytest.mark.requirement("mesh.canary")
async def test_the_named_team_gets_the_new_version_and_not_the_old_and_others_the_old_only(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.change_description()
        here.start()
        assert await here.reload(), here.gateway.worker.keeper.last_problem
        assert set(await here.tools("tester")) == {"api-next__alpha", "api__beta"}
        assert set(await here.tools("seller")) == {"api__alpha", "api__beta"}
        assert await here.works("tester", "api-next__alpha", must="x")
        assert not await here.works("tester", "api-next__alpha", q="x")
        assert not await here.works("tester", "api__alpha", q="x")
        assert await here.works("seller", "api__alpha", q="x")
        assert not await here.works("seller", "api-next__alpha", must="x")
        assert not await here.works("tester", "api-next__beta")
        # what the policies forbid of the one is forbidden of the other
        assert not await here.works("seller", "api__alpha", q="secret")
        assert not await here.works("tester", "api-next__alpha", must="x", q="secret")
        snapshot = here.gateway.worker.gateway.snapshot
        capability = snapshot.bundle.world.capabilities["tool", "api-next__alpha"]
        assert (capability.upstream, capability.price_micros) == ("api-next", 7)


@pytest.mark.requirement("mesh.canary")
async def test_dropping_leaves_every_byte_as_it_was_and_serves_the_approved_version(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.change_description()
        before = here.texts
        here.start()
        assert await here.reload()
        end(ending(here.loaded, "api"))
        assert here.texts == before
        assert not (tmp_path / "mesh/api-next").exists()
        assert await here.reload()
        for agent in ("tester", "seller"):
            assert set(await here.tools(agent)) == {"api__alpha", "api__beta"}
        assert await here.works("tester", "api__alpha", q="x")
        with pytest.raises(Failure, match="has no canary"):
            ending(here.loaded, "api")


@pytest.mark.requirement("mesh.canary")
async def test_promoting_serves_what_was_tried_to_everybody_and_each_step_is_recorded(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.change_description()
        before = here.texts
        change = here.start()
        assert await here.reload()
        await here.gateway.worker.apis.look(here.gateway.worker.keeper.loaded)
        waiting = {one.place.native: one.pin for one in PinStore(here.gateway.worker.data.pins).waiting()}
        assert to_approve(here.loaded, change.canary, waiting) == ["alpha"]
        pin = change.canary.tools["alpha"]
        async with admin_client(here.gateway) as client:
            said = {"upstream": "api", "sibling": "api-next", "callers": ['Team::"acme/research"'], "pin": pin}
            assert (await client.post("/v1/canaries", json={**said, "verdict": "set"})).status_code == 200
            unknown = await client.post("/v1/canaries", json={**said, "upstream": "none", "verdict": "set"})
            judged = {"upstream": "api", "what": "operations", "name": "alpha", "pin": pin, "verdict": "approved"}
            assert (await client.post("/v1/pins", json=judged)).status_code == 200
        assert unknown.status_code == 404
        assert to_approve(here.loaded, change.canary, {}) == []
        end(ending(here.loaded, "api"))
        assert here.texts == before
        assert await here.reload()
        for agent in ("tester", "seller"):
            assert set(await here.tools(agent)) == {"api__alpha", "api__beta"}
            assert await here.works(agent, "api__alpha", must="x")
        approvals = [one for one in await here.gateway.settled() if one["kind"] == "approval"]
        assert [(one["what"], one["verdict"], one["name"]) for one in approvals] == [
            ("canary", "set", 'api-next for Team::"acme/research"'),
            ("operations", "approved", "alpha"),
        ]
        assert all(one["operator"] for one in approvals)


def test_what_was_not_tried_is_not_promoted(tmp_path: Path) -> None:
    here = files(tmp_path)
    here.change_description()
    change = here.start()
    with pytest.raises(Failure, match="is not what was tried"):
        to_approve(here.loaded, change.canary, {"alpha": "sha256:other"})
    with pytest.raises(Failure, match="is not what was tried"):
        to_approve(here.loaded, change.canary, {})


@pytest.mark.requirement("mesh.canary")
async def test_both_versions_are_compared_by_the_records_since_the_start(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        assert await here.works("seller", "api__alpha", q="before")
        records = await here.gateway.settled()
        here.change_description()
        change = here.start(since_ms=max(one["at_ms"] for one in records) + 1)
        assert await here.reload()
        await here.call("seller", "api__alpha", q="x")
        await here.call("seller", "api__alpha", q="secret")
        await here.call("tester", "api-next__alpha", must="x")
        await here.call("tester", "api-next__alpha", q="x")
        await here.gateway.settled()
        approved, tried = compared(here.gateway.worker.data.audit, change.canary)
        assert (approved.calls, tried.calls) == (2, 2)
        assert approved.refused_by_schema == 0
        assert sum(approved.errors.values()) == 1
        assert (tried.errors, tried.refused_by_schema) == ({"refused: invalid_arguments": 1}, 1)
        assert 0 < tried.p50_ms <= tried.p95_ms


def test_a_change_that_was_made_meanwhile_is_kept(tmp_path: Path) -> None:
    here = files(tmp_path)
    here.change_description()
    before = here.texts
    here.start()
    here.path.write_text(here.path.read_text() + "# later\n")
    policies = tmp_path / "main.cedar"
    policies.write_text(policies.read_text() + "// later\n")
    end(ending(here.loaded, "api"))
    assert here.texts == (before[0] + b"# later\n", before[1] + b"// later\n")


def test_what_changed_while_a_person_looked_is_not_written_over(tmp_path: Path) -> None:
    here = files(tmp_path)
    here.change_description()
    change = starting(here.loaded, "api", callers_of(here.loaded, [], ["tester"]), 0)
    here.path.write_text(here.path.read_text() + "# later\n")
    texts = here.texts
    with pytest.raises(Failure, match="changed meanwhile"):
        begin(change)
    assert here.texts == texts
    assert not change.sibling.path.exists()


def test_a_start_can_be_put_back(tmp_path: Path) -> None:
    here = files(tmp_path)
    here.change_description()
    before = here.texts
    put_back(here.start())
    assert here.texts == before


def test_a_canary_wants_a_held_version_a_free_name_and_known_callers(tmp_path: Path) -> None:
    here = files(tmp_path)
    callers = callers_of(here.loaded, ["acme/research"], ["seller", "seller"])
    with pytest.raises(BadRequest, match="no version of `api` is held"):
        starting(here.loaded, "api", callers, 0)
    for teams, agents in ((["acme/nobody"], []), (["none/research"], []), (["acme"], []), ([], ["nobody"]), ([], [])):
        with pytest.raises(Failure):
            callers_of(here.loaded, teams, agents)
    with pytest.raises(Failure, match="no API is called"):
        starting(here.loaded, "other", callers, 0)
    here.change_description()
    change = here.start()
    with pytest.raises(Failure, match="there is a `api-next` already"):
        starting(here.loaded, "api", callers, 0)
    with pytest.raises(Failure, match="no API is called"):
        ending(here.loaded, "other")
    with pytest.raises(Failure, match="has no canary"):
        ending(here.loaded, change.canary.name)


@pytest.mark.parametrize(
    "more",
    [
        "toolsets: {some: {include: [api__*]}}",
        "toolsets: {some: {exclude: [api__alpha]}}",
        "toolsets: {some: {tools: {api__alpha: {name: a}}}}",
        "budgets: [{name: b, scope: capability, match: 'api__*', unit: calls, limit: 1, window: day}]",
        "rates: [{name: r, scope: edge, match: 'seller/api', per_second: 1}]",
    ],
)
def test_what_takes_in_one_version_only_is_told_before_anything_is_written(tmp_path: Path, more: str) -> None:
    here = files(tmp_path, more)
    here.change_description()
    texts = here.texts
    with pytest.raises(BadRequest) as caught:
        starting(here.loaded, "api", callers_of(here.loaded, ["acme/research"], []), 0)
    assert caught.value.code == "canary_differs"
    assert here.texts == texts


async def test_what_takes_in_both_versions_is_no_obstacle(tmp_path: Path) -> None:
    more = (
        "toolsets: {some: {include: ['api__*', 'api-next__*'], exclude: ['*__gamma']}}\n"
        "budgets: [{name: b, scope: capability, match: 'api*__*', unit: calls, limit: 9, window: day}]\n"
        "rates: [{name: one, scope: edge, match: '*/api', per_second: 9}, "
        "{name: two, scope: edge, match: '*/api-next', per_second: 9}]"
    )
    async with world(tmp_path, more) as here:
        here.change_description()
        here.start(agent="tester")
        assert await here.reload(), here.gateway.worker.keeper.last_problem
        assert set(await here.tools("tester")) == {"api-next__alpha", "api__beta"}


@pytest.mark.parametrize(
    "policy",
    [
        'permit (principal, action, resource) unless { resource in Upstream::"api" };',
        'permit (principal, action, resource) when { (resource in Upstream::"api") == (context.route == "x") };',
        'permit (principal, action, resource) when { !(resource.name == "api__alpha") };',
        'forbid (principal, action, resource) when { resource.name like "*i__alpha" };',
        'forbid (principal, action, resource == Tool::"api__\\u{61}lpha");',
        'forbid (principal, action, resource in Upstream // the old one\n::"api");',
    ],
)
def test_a_policy_that_cannot_be_said_again_stops_the_canary(tmp_path: Path, policy: str) -> None:
    here = files(tmp_path, policy=policy)
    here.change_description()
    with pytest.raises(BadRequest) as caught:
        starting(here.loaded, "api", callers_of(here.loaded, ["acme/research"], []), 0)
    assert caught.value.code == "canary_differs"


async def test_a_canary_gives_nobody_a_right(tmp_path: Path) -> None:
    policy = """
permit (principal in Team::"acme/sales", action, resource in Upstream::"api");
permit (principal, action, resource) when { resource.name like "api__b*" };
"""
    async with world(tmp_path, policy=policy) as here:
        here.change_description()
        here.start()
        assert await here.reload(), here.gateway.worker.keeper.last_problem
        assert set(await here.tools("tester")) == {"api__beta"}
        assert set(await here.tools("seller")) == {"api__alpha", "api__beta"}


def test_a_block_that_somebody_changed_removes_nothing(tmp_path: Path) -> None:
    here = files(tmp_path)
    here.change_description()
    here.start()
    policies = tmp_path / "main.cedar"
    text = policies.read_text()
    for changed in ('"name": "other"', '"name": 1'):
        policies.write_text(text.replace('"name": "api-next"', changed))
        texts = here.texts
        with pytest.raises(BadRequest, match="was changed"):
            ending(here.loaded, "api")
        assert here.texts == texts


async def test_a_gateway_that_looks_when_half_is_written_goes_on_as_before(tmp_path: Path) -> None:
    policy = "permit (principal, action, resource);"
    async with world(tmp_path, policy=policy) as here:
        here.change_description()
        change = here.start()
        (rules, _, ruled), (path, plain, entered) = change.files
        path.write_text(plain)
        assert (rules.read_text(), await here.reload()) == (ruled, False)
        assert set(await here.tools("seller")) == set(await here.tools("tester")) == {"api__alpha", "api__beta"}
        path.write_text(entered)
        assert await here.reload()
        path.write_text(plain)
        assert not await here.reload()
        assert set(await here.tools("seller")) == {"api__alpha", "api__beta"}
        assert set(await here.tools("tester")) == {"api-next__alpha", "api__beta"}
        end(ending(here.loaded, "api"))
        assert await here.reload()
        assert set(await here.tools("tester")) == {"api__alpha", "api__beta"}
