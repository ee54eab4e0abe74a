"""The admin API against a gateway in the test's own process: every resource, and what is refused."""

import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from agent_gateway import admin
from agent_gateway.admin.app import MAX_BODY_BYTES, AdminApp, Api
from agent_gateway.admin.audit_routes import MAX_STREAMS
from agent_gateway.admin.probes import PROBES
from agent_gateway.audit.verify import verify_receipt
from support.admin import ADMIN_URL, admin_app, admin_client, local_token
from support.bridge import StreamingTransport
from support.gateways import TestGateway, call, gateway
from support.mcp_servers import TOOLS, server_command

POLICIES = """
@id("reads") permit (principal in Team::"acme/research", action, resource) when { resource.risk <= 4 };
@id("polite") @hint("be polite")
forbid (principal, action == Action::"call", resource == Tool::"sdk__echo")
when { context.args has text && context.args.text like "*damn*" };
"""
CONFIG = f"""
tenants: {{acme: {{teams: {{research: {{}}}}}}}}
agents:
  planner:
    tenant: acme
    teams: [research]
    owner: ana
    credentials: [{{kind: api_key, id: abcdefghijkl, sha256: "{"a" * 64}"}}]
  nobody: {{tenant: acme, owner: cy}}
upstreams:
  sdk: {{command: {json.dumps(list(server_command()))}, tools: {{"*": {{risk: 3}}, die: {{risk: 9}}}}}}
  gone: {{command: [/bin/false]}}
toolsets: {{reading: {{include: ["sdk__e*"]}}}}
policies: {{files: [main.cedar]}}
budgets: [{{name: purse, scope: agent, match: "*", unit: calls, limit: 5, window: day}}]
audit: {{checkpoint_every_s: 0.05}}
"""

BARE = """
tenants: {acme: {}}
agents: {planner: {tenant: acme, owner: ana}}
policies: {files: [main.cedar]}
budgets: [{name: purse, scope: agent, match: "*", unit: calls, limit: 5, window: day}]
"""
ADMIN = Path(admin.__file__).parent
ROUTE = re.compile(r'@router\.\w+\(\s*"([^"]+)"')


@pytest.fixture
async def running(tmp_path: Path) -> AsyncGenerator[TestGateway]:
    async with gateway(tmp_path, CONFIG, main__cedar=POLICIES) as started:
        yield started


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncGenerator[TestGateway]:
    """A gateway without upstreams: enough for whoever never calls a tool."""
    async with gateway(tmp_path, BARE, main__cedar="permit (principal, action, resource);") as started:
        yield started


class Faltering(AdminApp):
    """One that cannot be built the first time, as when no file can be opened for the moment."""

    tries = 0

    def _build(self) -> Api:
        self.tries += 1
        if self.tries == 1:
            raise OSError(24, "Too many open files")
        return super()._build()


async def test_an_api_that_could_not_be_built_is_built_for_the_next_who_asks(bare: TestGateway) -> None:
    app = Faltering(bare.worker.gateway, bare.worker.keeper, bare.worker.data)
    headers = {"authorization": f"Bearer {local_token(bare)}"}
    async with httpx2.AsyncClient(transport=StreamingTransport(app), base_url=ADMIN_URL, headers=headers) as client:
        with pytest.raises(OSError, match="Too many open files"):
            await client.get("/v1/pins")
        assert (await client.get("/v1/pins")).status_code == 200
        assert app.tries == 2


async def get(running: TestGateway, path: str) -> Any:
    async with admin_client(running) as client:
        response = await client.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return response.json()


async def problem(running: TestGateway, method: str, path: str, **request: Any) -> tuple[int, str]:
    async with admin_client(running) as client:
        response = await client.request(method, path, **request)
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["code"]


async def make_call(running: TestGateway, text: str = "hi") -> dict[str, Any]:
    async with running.client(running.token("planner")) as client:
        return await call(client, "sdk__echo", {"text": text})


async def last_call(running: TestGateway) -> str:
    return str([one for one in await running.settled() if one.get("action") == "call"][-1]["call"])


# --- probes ------------------------------------------------------------------------------------


async def test_readiness_lists_what_is_degraded_and_is_still_ready(running: TestGateway) -> None:
    async with admin_client(running, "") as client:
        ready = await client.get("/readyz")
        metrics = await client.get("/metrics")
    assert (ready.status_code, ready.json()["status"], ready.json()["degraded"]) == (200, "ready", ["gone"])
    assert "agent_gateway_calls_in_flight" in metrics.text


async def test_a_gateway_that_cannot_record_is_not_ready_and_says_why(running: TestGateway) -> None:
    await running.worker.books.log.aclose()
    async with admin_client(running, "") as client:
        ready = await client.get("/readyz")
        alive = await client.get("/healthz")
    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["reasons"] == ["the audit log takes no calls: the audit log is closed"]


# --- catalogue and policy ----------------------------------------------------------------------


async def test_upstreams_tell_health_era_and_why_something_is_missing(running: TestGateway) -> None:
    found = {one["name"]: one for one in await get(running, "/v1/upstreams")}
    assert (found["sdk"]["state"], found["sdk"]["era"], found["sdk"]["tools"]) == ("up", "modern", TOOLS)
    assert (found["gone"]["tools"], bool(found["gone"]["missing"])) == (0, True)
    assert (await get(running, "/v1/upstreams/sdk"))["server"] == "sdk-fixture 1.2.3"
    assert await problem(running, "GET", "/v1/upstreams/none") == (404, "not_found")


async def test_capabilities_of_an_agent_are_those_it_sees(running: TestGateway) -> None:
    everything = await get(running, "/v1/capabilities")
    assert everything["total"] == len(everything["items"])
    assert sum(one["kind"] == "tool" for one in everything["items"]) == TOOLS
    assert everything["items"][0]["access"] is None
    planner = await get(running, "/v1/capabilities?agent=planner&limit=200")
    access = {one["name"]: one["access"] for one in planner["items"]}
    assert (access["sdk__echo"], access["sdk__nap"], "sdk__die" in access) == ("depends", "permit", False)
    assert (await get(running, "/v1/capabilities?agent=nobody"))["items"] == []
    page = await get(running, "/v1/capabilities?agent=planner&offset=6&limit=1")
    assert (page["total"], len(page["items"])) == (TOOLS - 1, 1)
    assert await problem(running, "GET", "/v1/capabilities?agent=none") == (404, "not_found")


async def test_toolsets_name_their_url_and_their_tools(running: TestGateway) -> None:
    found = {one["path"]: one["tools"] for one in await get(running, "/v1/toolsets")}
    assert found["/mcp/reading"] == ["sdk__echo", "sdk__everything"]
    assert len(found["/mcp"]) == TOOLS


async def test_explain_and_the_data_listener_decide_alike(running: TestGateway) -> None:
    for text, effect in (("hi", "permit"), ("damn", "forbid")):
        asked = {"agent": "planner", "capability": "sdk__echo", "arguments": {"text": text}}
        async with admin_client(running) as client:
            explained = (await client.post("/v1/explain", json=asked)).json()
        answer = await make_call(running, text)
        assert explained["effect"] == effect
        assert ("result" in answer) == (effect == "permit")
    assert explained["code"] == "forbidden"
    assert any("be polite" in change for change in explained["changes"])


async def test_who_can_says_it_of_every_agent(running: TestGateway) -> None:
    found = await get(running, "/v1/who-can?capability=sdk__nap")
    assert [(one["agent"], one["access"]) for one in found["items"]] == [("nobody", "forbid"), ("planner", "permit")]
    assert await problem(running, "GET", "/v1/who-can?capability=none") == (404, "not_found")


# --- budgets and configuration -----------------------------------------------------------------


async def test_budgets_count_what_was_called(running: TestGateway) -> None:
    await make_call(running)
    await running.settled()
    await running.worker.books.ledger.flush()
    (row,) = await get(running, "/v1/budgets")
    assert (row["subject"], row["limit"], row["spent"], row["left"]) == ("acme/planner", 5, 1, 4)


async def test_the_configuration_is_shown_without_secrets_and_hashes(running: TestGateway) -> None:
    shown = await get(running, "/v1/config")
    assert shown["snapshot"] == running.worker.gateway.snapshot.id
    assert shown["config"]["agents"]["planner"]["credentials"] == [{"kind": "api_key", "id": "abcdefghijkl"}]
    assert "a" * 64 not in json.dumps(shown)


async def test_reload_serves_a_good_file_and_says_what_is_wrong_with_a_bad_one(bare: TestGateway) -> None:
    running = bare
    file = running.folder / "gateway.yaml"
    good = file.read_text()
    async with admin_client(running) as client:
        file.write_text(good + "wrkers: 1\n")
        refused = (await client.post("/v1/reload")).json()
        assert refused["served"] is False
        assert "did you mean `workers`?" in refused["problem"]
        assert (await client.get("/v1/findings")).json()["last_problem"] == refused["problem"]
        before = running.worker.gateway.snapshot.id
        file.write_text(good.replace("limit: 5", "limit: 6"))
        served = (await client.post("/v1/reload")).json()
    assert (served["served"], served["problem"]) == (True, "")
    assert served["snapshot"] == running.worker.gateway.snapshot.id != before


# --- audit -------------------------------------------------------------------------------------


async def test_records_come_newest_first_filtered_and_by_page(running: TestGateway) -> None:
    for text in ("one", "damn two", "three"):
        await make_call(running, text)
    await running.settled()
    first = await get(running, "/v1/audit/records?limit=4&agent=planner")
    second = await get(running, f"/v1/audit/records?limit=4&agent=planner&cursor={first['next']}")
    indices = [one["index"] for one in first["items"] + second["items"]]
    assert indices == sorted(indices, reverse=True)
    assert (len(indices), second["next"]) == (6, None)
    denied = await get(running, "/v1/audit/records?effect=forbid")
    assert [one["record"]["policies"] for one in denied["items"]] == [["polite"]]
    assert await problem(running, "GET", "/v1/audit/records?cursor=nonsense") == (400, "invalid_params")
    assert await problem(running, "GET", "/v1/audit/records?colour=red") == (400, "invalid_params")


async def test_a_call_its_receipt_and_the_key_that_proves_it(running: TestGateway) -> None:
    await make_call(running)
    name = await last_call(running)
    history = await get(running, f"/v1/audit/calls/{name}")
    assert (history["decision"]["record"]["effect"], history["outcome"]["record"]["status"]) == ("permit", "ok")
    log = running.worker.books.log
    with anyio.fail_after(5):
        while log.anchored_count < log.size:
            await anyio.lowlevel.checkpoint()
    receipt = await get(running, f"/v1/audit/calls/{name}/receipt")
    heads = await get(running, "/v1/audit/checkpoints")
    assert len(receipt["parts"]) == 2
    assert verify_receipt(receipt, [heads["vkey"]]).is_ok
    assert heads["items"][0]["size"] == log.size
    assert await problem(running, "GET", f"/v1/audit/calls/{'0' * 32}") == (404, "not_found")
    assert await problem(running, "GET", "/v1/audit/calls/../../etc") == (404, "not_found")
    assert await problem(running, "GET", "/v1/audit/calls/XYZ/receipt") == (400, "invalid_params")


async def events(response: httpx2.Response, count: int) -> list[dict[str, str]]:
    """Return the first events of a stream, comments and pings left out."""
    found: list[dict[str, str]] = []
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        if not line and "data" in event:
            found.append(event)
            event = {}
            if len(found) == count:
                break
        elif ": " in line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value
    return found


async def test_the_stream_tells_records_as_they_come_and_goes_on_where_it_was_left(running: TestGateway) -> None:
    with anyio.fail_after(10):
        async with admin_client(running) as client:
            async with client.stream("GET", "/v1/audit/stream?agent=planner") as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                await make_call(running)
                first, second = await events(response, 2)
            await make_call(running, "again")
            again = {"last-event-id": first["id"]}
            async with client.stream("GET", "/v1/audit/stream?agent=planner", headers=again) as response:
                resumed = await events(response, 3)
    assert [first["event"], second["event"]] == ["decision", "outcome"]
    assert resumed[0] == second
    assert json.loads(resumed[2]["data"])["record"]["status"] == "ok"


async def test_the_worker_that_ends_ends_its_streams(running: TestGateway) -> None:
    app = admin_app(running)
    headers = {"authorization": f"Bearer {local_token(running)}"}
    with anyio.fail_after(10):
        async with (
            httpx2.AsyncClient(transport=StreamingTransport(app), base_url=ADMIN_URL, headers=headers) as client,
            client.stream("GET", "/v1/audit/stream") as response,
        ):
            app.close()
            assert await events(response, 1) == []


async def test_streams_are_so_many_and_no_more(running: TestGateway) -> None:
    app = admin_app(running)
    app.streams.count = MAX_STREAMS
    headers = {"authorization": f"Bearer {local_token(running)}"}
    async with httpx2.AsyncClient(transport=StreamingTransport(app), base_url=ADMIN_URL, headers=headers) as client:
        response = await client.get("/v1/audit/stream")
    assert (response.status_code, response.json()["code"], response.headers["retry-after"]) == (
        429, "over_concurrency", "5",
    )  # fmt: skip


async def test_operators_who_come_first_and_together_find_one_api(running: TestGateway) -> None:
    found: list[int] = []
    async with admin_client(running) as client, anyio.create_task_group() as tasks:

        async def ask() -> None:
            found.append((await client.get("/v1/upstreams")).status_code)

        for _ in range(5):
            tasks.start_soon(ask)
    assert found == [200] * 5


async def test_an_operator_who_leaves_while_the_api_is_built_takes_it_from_nobody(running: TestGateway) -> None:
    async with admin_client(running) as client:
        with anyio.move_on_after(0.001):
            await client.get("/v1/upstreams")
        assert (await client.get("/v1/upstreams")).status_code == 200


async def test_a_probe_is_asked_with_get(running: TestGateway) -> None:
    async with admin_client(running, "") as client:
        response = await client.post("/healthz")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")


# --- the door ----------------------------------------------------------------------------------


async def test_every_route_is_in_the_openapi_document_and_every_v1_route_wants_a_token(bare: TestGateway) -> None:
    document = await openapi(bare)
    found = {path.removeprefix("/v1").removeprefix("/audit") for path in document["paths"]}
    assert found == {path for file in ADMIN.glob("*_routes.py") for path in ROUTE.findall(file.read_text())}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert bool(operation.get("security")) == (path not in PROBES), f"{method} {path}"


async def openapi(running: TestGateway) -> dict[str, Any]:
    async with admin_client(running) as client:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
    return document


async def test_no_page_of_the_api_loads_anything_from_elsewhere(bare: TestGateway) -> None:
    for path in ("/docs", "/redoc"):
        assert await problem(bare, "GET", path) == (404, "not_found")


async def test_every_v1_route_refuses_a_request_without_a_token(bare: TestGateway) -> None:
    document = await openapi(bare)
    async with admin_client(bare, "") as client:
        for path, methods in document["paths"].items():
            for method in methods:
                response = await client.request(method.upper(), path)
                assert (response.status_code == 401) == (path not in PROBES), f"{method} {path}"
    assert set(PROBES) <= set(document["paths"])


@pytest.mark.parametrize(
    ("request_of", "status", "code"),
    [
        ({"headers": {"host": "evil.example"}}, 421, "bad_host"),
        ({"headers": {"origin": "https://evil.example"}}, 403, "bad_origin"),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "bad_content_type"),
        ({"content": b"x" * (MAX_BODY_BYTES + 1)}, 413, "too_large"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "invalid_params"),
        ({"json": {"agent": "planner"}}, 400, "invalid_params"),
        ({"json": {"agent": "planner", "capability": "x", "more": 1}}, 400, "invalid_params"),
    ],
)
async def test_a_request_that_is_not_right_is_told_so(
    bare: TestGateway, request_of: dict[str, Any], status: int, code: str
) -> None:
    assert await problem(bare, "POST", "/v1/explain", **request_of) == (status, code)


async def test_a_browser_cannot_reach_even_the_probes_by_rebinding(bare: TestGateway) -> None:
    async with admin_client(bare, "") as client:
        response = await client.get("/metrics", headers={"host": "rebound.example"})
    assert response.status_code == 421
