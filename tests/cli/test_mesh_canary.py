"""`agent-gateway mesh canary`, with a gateway in a process of its own that takes up what the commands write."""

import json
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from agent_gateway.audit.reader import records
from agent_gateway.cli.entry_text import CannotAdd, entry_of, with_upstream, without_upstream
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.importing import approve, import_api
from agent_gateway.mesh.sources import from_path
from support.command_line import Run
from support.market import everything
from support.running import RunningGateway, running_gateway, write_world

API = "  api: {kind: openapi, url: 'http://127.0.0.1:9', spec: ./api.json, allow_private: true}\n"
Command = Callable[..., Run]


def describe(folder: Path, *parameters: str) -> Path:
    text = {"type": "string"}
    shown = [{"name": one, "in": "query", "required": True, "schema": text} for one in parameters]
    alpha = {"operationId": "alpha", "parameters": shown, "responses": {"200": {"description": "x"}}}
    told = {"openapi": "3.1.0", "info": {"title": "Api", "version": "1"}, "paths": {"/a": {"get": alpha}}}
    (folder / "api.json").write_text(json.dumps(told))
    return folder / "api.json"


def write(folder: Path) -> Path:
    api = ApiFolder(folder / "mesh/api")
    import_api(api, from_path(describe(folder)))
    approve(api, everything)
    return write_world(folder, upstreams=API)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    with running_gateway(write(tmp_path_factory.mktemp("served"))) as running:
        yield running


@pytest.fixture
def mesh(served: RunningGateway, capsys: pytest.CaptureFixture[str]) -> Command:
    return lambda *arguments: Run(capsys, "--config", served.config, "mesh", *arguments)


def texts(served: RunningGateway) -> tuple[bytes, bytes]:
    return served.config.read_bytes(), (served.folder / "main.cedar").read_bytes()


@pytest.mark.requirement("mesh.canary")
def test_a_canary_is_started_looked_at_dropped_and_promoted(mesh: Command, served: RunningGateway) -> None:
    before = texts(served)
    describe(served.folder, "must")
    assert mesh("diff", "api").code == 1
    unasked = mesh("canary", "start", "api", "--team", "acme/research")
    assert unasked.code == 2
    assert '+forbid (principal, action, resource in Upstream::"api-next")' in unasked.err
    assert texts(served) == before
    started = mesh("canary", "start", "api", "--team", "acme/research", "--yes", "--json")
    assert started.code == 0, started.err
    assert (started.data["canary"], started.data["tools"]) == ("api-next", ["alpha"])
    assert mesh("canary", "start", "api", "--agent", "planner", "--yes").code == 1
    shown = mesh("canary", "status", "api", "--json")
    assert shown.data["callers"] == ['Team::"acme/research"']
    assert "api-next: alpha" in mesh("canary", "status", "api").out
    assert mesh("canary", "drop", "api", "--yes").code == 0
    assert texts(served) == before
    again = mesh("canary", "start", "api", "--agent", "planner", "--yes", "--json")
    assert again.code == 0, again.err
    promoted = mesh("canary", "promote", "api", "--yes", "--json")
    assert promoted.code == 0, promoted.err
    assert texts(served) == before
    assert not (served.folder / "mesh/api-next").exists()
    assert mesh("diff", "api", "--json").data["changes"] == []
    found = [dict(one.record) for one in records(served.folder / "data/audit")]
    said = [(one.get("what"), one.get("verdict")) for one in found if one.get("kind") == "approval"]
    assert said == [
        ("canary", "set"),
        ("canary", "rejected"),
        ("canary", "set"),
        ("operations", "approved"),
        ("canary", "approved"),
    ]


def test_without_a_gateway_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    describe(tmp_path, "must")
    assert Run(capsys, "--config", path, "mesh", "diff", "api").code == 1
    text = path.read_bytes()
    run = Run(capsys, "--config", path, "mesh", "canary", "start", "api", "--team", "acme/research", "--yes")
    assert run.code == 1
    assert "no gateway is running" in run.err
    assert path.read_bytes() == text


@pytest.mark.parametrize("behind", ["", "\n# policies\npolicies: {}\n", "  # the end\n"])
def test_an_upstream_is_taken_out_as_it_was_put_in(behind: str) -> None:
    text = "version: 1\nupstreams: # all\n  one: {url: 'http://x'} # the one\n" + behind
    entry = {**entry_of(text, "one"), "tools": {"*": {"risk": 3}}}
    assert without_upstream(with_upstream(text, "two", entry), "two") == text


@pytest.mark.parametrize(
    "text", ["upstreams: {one: {}, two: {}}\n", "upstreams:\n  two: {}\n", "upstreams:\n  one: {}\n", "version: 1\n"]
)
def test_an_upstream_is_not_taken_out_where_more_would_go(text: str) -> None:
    with pytest.raises(CannotAdd):
        without_upstream(text, "two")


def test_there_is_no_entry_of_what_is_not_there() -> None:
    with pytest.raises(CannotAdd):
        entry_of("upstreams:\n  one: {}\n", "two")
