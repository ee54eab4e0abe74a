"""A gateway before the shop's API, imported from the shop's own description."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.importing import approve, import_api
from agent_gateway.mesh.sources import from_url
from context_mesh.openapi.tool import Tool
from support.api_backend import serving
from support.gateways import TestGateway, call, gateway, rpc
from support.shop import Shop, shop_app

POLICY = """
@id("read") permit (principal, action == Action::"call", resource) when { resource.read_only && resource.risk <= 3 };
@id("order") permit (principal, action == Action::"call", resource == Tool::"shop__create_order_orders_post")
when { context.args has count && context.args.count <= 5 };
"""


@dataclass
class Market:
    shop: Shop
    gateway: TestGateway
    folder: ApiFolder

    async def call(self, name: str, arguments: dict[str, Any], path: str = "/mcp") -> dict[str, Any]:
        async with self.gateway.client(self.gateway.token("planner", path)) as client:
            return await call(client, name, arguments, path=path)

    async def names(self) -> list[str]:
        async with self.gateway.client(self.gateway.token("planner")) as client:
            listed = (await rpc(client, "tools/list")).json()["result"]["tools"]
        return [tool["name"] for tool in listed]


def everything(tool: Tool) -> bool:
    del tool
    return True


def nothing(tool: Tool) -> bool:
    del tool
    return False


@asynccontextmanager
async def market(
    tmp_path: Path, more: str = "", wanted: Callable[[Tool], bool] | None = None
) -> AsyncGenerator[Market]:
    shop = Shop()
    (tmp_path / "shop.key").write_text(shop.key)
    (tmp_path / "shop.key").chmod(0o600)
    async with serving(shop_app(shop)) as url:
        folder = ApiFolder(tmp_path / "mesh/shop")
        import_api(folder, await from_url(f"{url}/openapi.json", allow_private=True))
        approve(folder, wanted or everything)
        config = f"""
tenants: {{acme: {{}}}}
agents:
  planner: {{tenant: acme, owner: ops, trust: 5, credentials: [{{kind: client_secret, secret: "file:planner.secret"}}]}}
upstreams:
  shop:
    kind: openapi
    url: {url}
    allow_private: true
    auth: {{kind: header, name: X-Shop-Key, value: "file:shop.key"}}
{more}
policies: {{files: [main.cedar]}}
budgets: [{{name: day, scope: agent, unit: calls, limit: 20, window: day}}]
"""
        async with gateway(tmp_path, config, main__cedar=POLICY, planner__secret="correct horse battery") as running:
            yield Market(shop, running, folder)
