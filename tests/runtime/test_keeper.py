"""The keeper: an upstream that is away is looked for, and listed again when it is back."""

from pathlib import Path

import anyio
import pytest

from demos.tap import Tap
from support.gateways import TestGateway, call, gateway, rpc
from support.mcp_servers import start_http_server

CONFIG = """
tenants: {{acme: {{}}}}
agents:
  planner: {{tenant: acme, owner: ana@acme.example, credentials: [{{kind: client_secret, secret: "file:planner"}}]}}
upstreams:
  far: {{url: "http://127.0.0.1:{port}/mcp", allow_private: true}}
policies: {{files: [all.cedar]}}
"""


async def degraded(running: TestGateway) -> str:
    async with running.client(running.token("planner")) as client:
        result = (await rpc(client, "tools/list")).json()["result"]
    return str(result.get("_meta", {}).get("agent-gateway/degraded", ""))


@pytest.mark.requirement("invariant.degraded-is-said")
async def test_an_upstream_that_went_down_is_listed_again_without_a_call(tmp_path: Path) -> None:
    files = {"planner": "a secret of twenty characters", "all__cedar": "permit (principal, action, resource);"}
    with start_http_server() as server, anyio.fail_after(30):
        tap = Tap(server.port)
        await tap.start()
        port = tap.port
        async with gateway(tmp_path, CONFIG.format(port=port), **files) as running:
            assert await degraded(running) == ""
            await tap.stop()
            async with running.client(running.token("planner")) as client:
                while not (missing := await degraded(running)):
                    answer = await call(client, "far__echo", {"text": "hello"})
                    assert answer["error"]["code"] == -32011
            assert missing.startswith("far: ")
            served = running.worker.gateway.snapshot
            await tap.start(port)
            while await degraded(running):  # the breaker lets one look through when its first pause is over
                await running.worker.keeper.refresh(running.worker.gateway, only_missing=True)
            assert running.worker.gateway.snapshot.upstreams == served.upstreams
        await tap.stop()
