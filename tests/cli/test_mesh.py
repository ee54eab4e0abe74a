"""`agent-gateway mesh`: find, import, compare, approve, with files and a real host."""

import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from agent_gateway.config.load import load
from agent_gateway.config.upstream_openapi import OpenApiUpstream
from support.api_backend import serving
from support.command_line import Run
from support.shop import Shop, shop_app

CONFIG = "version: 1\n# ours\ntenants: {acme: {}}\npolicies: {starter: true}\n"


@contextmanager
def shop_host() -> Generator[str]:
    """Serve the shop in a thread of its own; yield its URL."""
    started, url = threading.Event(), [""]

    async def run() -> None:
        async with serving(shop_app(Shop())) as where:
            url[0], stop[0] = where, anyio.Event()
            started.set()
            await stop[0].wait()

    stop: list[Any] = [None]
    loop: list[Any] = [None]

    async def main() -> None:
        loop[0] = anyio.from_thread.BlockingPortal()
        async with loop[0]:
            await run()

    thread = threading.Thread(target=lambda: anyio.run(main), daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield url[0]
    finally:
        loop[0].call(stop[0].set)
        thread.join(20)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG)
    return path


def described(**servers: Any) -> dict[str, Any]:
    return json.loads(json.dumps({**shop_app(Shop()).openapi(), **servers}))


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "shop.json"
    path.write_text(json.dumps(described(servers=[{"url": "https://shop.example/v1"}])))
    return path


class Mesh:
    def __init__(self, capsys: pytest.CaptureFixture[str], config: Path) -> None:
        self.capsys, self.config = capsys, config

    def __call__(self, *arguments: str | Path) -> Run:
        return Run(self.capsys, "--config", self.config, "mesh", *arguments)


@pytest.fixture
def mesh(capsys: pytest.CaptureFixture[str], config: Path) -> Mesh:
    return Mesh(capsys, config)


@pytest.mark.requirement("mesh.nothing-before-approval")
def test_an_import_writes_an_entry_and_serves_nothing(mesh: Mesh, config: Path, spec: Path) -> None:
    run = mesh("import", "shop", spec)
    assert run.code == 0, run.err
    assert "5 operations, 5 tools" in run.out
    assert "2 reads, 2 creates, 0 writes, 1 destroys" in run.out
    assert "Nothing of it is served yet: `agent-gateway mesh approve shop --reads`" in run.out
    api = load(config).config.upstreams["shop"]
    assert isinstance(api, OpenApiUpstream)
    assert (api.url, api.spec) == ("https://shop.example/v1", str(spec))
    assert "# ours" in config.read_text()
    approved = json.loads((config.parent / "mesh/shop/approved.json").read_text())
    assert approved["tools"] == {}
    assert (config.parent / "mesh/shop/curation.yaml").read_text().startswith("# An Overlay")


def test_an_api_is_added_like_any_server(capsys: pytest.CaptureFixture[str], config: Path, spec: Path) -> None:
    (config.parent / "key").write_text("k")
    run = Run(
        capsys, "--config", config, "add", "shop", str(spec), "--kind", "openapi", "--header", "X-Shop-Key=file:key"
    )
    assert run.code == 0, run.err
    api = load(config).config.upstreams["shop"]
    assert isinstance(api, OpenApiUpstream)
    assert api.auth.kind == "header"
    assert Run(capsys, "--config", config, "add", "x", str(spec), "--kind", "grpc").code == 2


def test_tools_are_approved_by_name_by_risk_and_all(mesh: Mesh, config: Path, spec: Path) -> None:
    mesh("import", "shop", spec)
    assert mesh("approve", "shop", "--reads", "--json").data["approved"] == [
        "search_items_items_get", "get_order_orders_order_id_get",
    ]  # fmt: skip
    assert mesh("approve", "shop", "create*", "--json").data["approved"] == ["create_order_orders_post"]
    assert len(json.loads((config.parent / "mesh/shop/approved.json").read_text())["tools"]) == 3
    assert "5 tools of shop are approved" in mesh("approve", "shop", "--all").out
    assert mesh("approve", "shop", "nothing*").code == 1
    assert mesh("approve", "shop").code == 2
    assert mesh("approve", "other", "--all").code == 2


def test_a_guess_is_shown_as_one_and_not_approved_as_a_read(mesh: Mesh, tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    document = described(servers=[{"url": "https://shop.example/v1"}])
    document["paths"]["/orders"]["post"]["x-agw-read-only"] = True
    path.write_text(json.dumps(document))
    run = mesh("import", "shop", path)
    assert re.search(r"create_order_orders_post +reads\? ", run.out)
    assert "`?`: a guess (1 of them)" in run.out
    told: Any = mesh("lint", path, "--json").data["tools"]
    assert [one["name"] for one in told if one["risk_is_guess"]] == ["create_order_orders_post"]
    assert "create_order_orders_post" not in str(mesh("approve", "shop", "--reads", "--json").data["approved"])
    assert mesh("approve", "shop", "create_order*", "--json").data["approved"] == ["create_order_orders_post"]


@pytest.mark.requirement("mesh.held-tools-keep-their-contract")
def test_a_change_is_told_held_and_approved(mesh: Mesh, config: Path, spec: Path) -> None:
    mesh("import", "shop", spec)
    mesh("approve", "shop", "--all")
    assert mesh("diff", "shop").code == 0
    changed = json.loads(spec.read_text())
    changed["paths"]["/items"]["get"]["parameters"][0]["required"] = True
    changed["paths"]["/new"] = {"get": {"operationId": "brand_new", "responses": {}}}
    del changed["paths"]["/orders/{order_id}"]["delete"]
    spec.write_text(json.dumps(changed))
    run = mesh("diff", "shop", "--json")
    assert run.code == 1
    verdicts = {one["tool"]: one["verdict"] for one in run.data["changes"]}  # type: ignore[union-attr,index,attr-defined]
    assert verdicts == {
        "search_items_items_get": "hold", "brand_new": "new", "delete_order_orders_order_id_delete": "withdraw",
    }  # fmt: skip
    assert mesh("approve", "shop", "--unheld").code == 1
    mesh("approve", "shop", "--all")
    run = mesh("diff", "shop")
    assert (run.code, run.out) == (0, "0 changes, 0 held: those tools go on being served as they were approved\n")


def test_a_curation_is_taken_up_with_the_next_import(mesh: Mesh, config: Path, spec: Path) -> None:
    mesh("import", "shop", spec)
    actions = [
        {
            "target": "$.paths['/items'].get",
            "update": {"x-agw-name": "find_items", "x-agw-description": "Finds things."},
        },
        {"target": "$.paths['/orders/{order_id}'].delete", "remove": True},
    ]
    overlay = {"overlay": "1.0.0", "info": {"title": "c", "version": "1"}, "actions": actions}
    (config.parent / "mesh/shop/curation.yaml").write_text(yaml.safe_dump(overlay))
    told: Any = mesh("import", "shop", spec, "--json").data
    assert [one["name"] for one in told["tools"]][:1] == ["find_items"]
    assert len(told["tools"]) == 4


def test_a_description_without_a_server_wants_a_url(mesh: Mesh, config: Path, tmp_path: Path) -> None:
    path = tmp_path / "bare.json"
    path.write_text(json.dumps(described()))
    assert "give the base URL with --url" in mesh("import", "shop", path).err
    assert not (config.parent / "mesh").exists()
    assert mesh("import", "shop", path, "--url", "https://shop.example").code == 0


def test_what_is_no_description_changes_nothing(mesh: Mesh, config: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    for body in ("{", "{}", "asyncapi: 3.0.0"):
        path.write_text(body)
        assert mesh("import", "shop", path).code == 1
    assert mesh("import", "shop", tmp_path / "gone.json").code == 2
    assert config.read_text() == CONFIG


def test_lint_tells_what_a_person_should_know(mesh: Mesh, spec: Path) -> None:
    told: Any = mesh("lint", spec, "--json").data
    assert (told["title"], told["operations"], len(told["tools"])) == ("Shop", 5, 5)
    assert "5 operations" in mesh("lint", spec).out


@pytest.mark.requirement("mesh.discovery-proposes")
def test_a_host_is_probed_and_a_folder_is_read(mesh: Mesh, tmp_path: Path, config: Path) -> None:
    (tmp_path / "catalog").mkdir()
    entity = {
        "apiVersion": "backstage.io/v1alpha1", "kind": "API", "metadata": {"name": "pets"},
        "spec": {"type": "openapi", "owner": "blue", "lifecycle": "production", "definition": {"$text": "./pets.yaml"}},
    }  # fmt: skip
    (tmp_path / "catalog/all.yaml").write_text("---\nkind: Component\n---\n" + yaml.safe_dump(entity))
    (tmp_path / "catalog/kong.yaml").write_text(
        yaml.safe_dump({"_format_version": "3.0", "services": [{"host": "x.internal"}]})
    )
    (tmp_path / "catalog/broken.json").write_text("{")
    (tmp_path / "catalog/shop.json").write_text(json.dumps(described()))
    with shop_host() as url:
        told: Any = mesh("scan", url, tmp_path / "catalog", "--allow-private", "--json").data
        found = {(one["name"], one["found_in"], one["owner"]) for one in told["proposals"]}
        assert found == {
            ("shop", "probe", ""),
            ("shop", "file", ""),
            ("pets", "backstage", "blue"),
            ("x-internal", "kong", ""),
        }
        assert mesh("scan", url).code == 1
        run = mesh("import", "live", f"{url}/openapi.json", "--allow-private")
        assert run.code == 0, run.err
        api = load(config).config.upstreams["live"]
        assert isinstance(api, OpenApiUpstream)
        assert api.url == url
    assert "4 proposals" in mesh("scan", tmp_path / "catalog", tmp_path / "catalog/kong.yaml").out


FLOWS = """
arazzo: 1.0.1
info: {title: Shopping, version: "1"}
sourceDescriptions: [{name: shop, type: openapi, url: shop.json}]
workflows:
- workflowId: find
  steps:
  - stepId: search
    operationId: search_items_items_get
    parameters: [{name: q, in: query, value: thing}]
    outputs: {items: $response.body#/items}
  outputs: {items: $steps.search.outputs.items}
- workflowId: drop
  steps:
  - {stepId: gone, operationId: none}
"""


def test_workflows_are_linted_imported_compared_and_approved(
    capsys: pytest.CaptureFixture[str], config: Path, spec: Path
) -> None:
    def run(*words: str | Path) -> Run:
        return Run(capsys, "--config", config, "mesh", *words)

    file = config.parent / "flows.arazzo.yaml"
    file.write_text(FLOWS)
    assert run("import", "shop", spec).code == 0
    early = json.loads(run("lint", file, "--json").out)
    assert early["tools"] == []
    assert run("approve", "shop", "--all").code == 0
    linted = json.loads(run("lint", file, "--json").out)
    assert [tool["name"] for tool in linted["tools"]] == ["find"]
    assert [one["code"] for one in linted["findings"]] == ["unknown-operation", "unbound-workflow"]
    assert "find" in run("lint", file).out
    imported = run("import", "flows", file)
    assert imported.code == 0, imported.err
    assert "Nothing of it is served yet" in imported.out
    assert load(config).config.upstreams["flows"].kind == "arazzo"
    assert run("approve", "flows", "none").code == 1
    assert json.loads(run("approve", "flows", "fi*", "--json").out)["approved"] == ["find"]
    assert run("diff", "flows").code == 0
    file.write_text(FLOWS.replace("value: thing", "value: other"))
    changed = run("diff", "flows", "--json")
    assert [(one["tool"], one["verdict"]) for one in json.loads(changed.out)["changes"]] == [("find", "hold")]
    assert changed.code == 1
    assert run("import", "flows", file).code == 0
    assert run("approve", "flows", "--reads").code == 0
    file.write_text(FLOWS.replace("workflowId: find", "workflowId: gone"))
    assert run("import", "flows", file).code == 0
    left = json.loads(run("approve", "flows", "--all", "--json").out)
    assert left == {"approved": ["gone"], "withdrawn": ["find"]}
    assert run("import", "shop", file).code == 2
