"""`agent-gateway add`: a server is tried, shown, and written into the file without touching anything else."""

from pathlib import Path
from typing import Any

import pytest

from agent_gateway.cli.entry_text import CannotAdd, with_upstream
from agent_gateway.cli.starter import GATEWAY_YAML
from agent_gateway.config.load import load
from agent_gateway.config.upstream_a2a import A2aUpstream
from agent_gateway.config.upstream_mcp import McpUpstream
from support.agent_servers import start_agent
from support.command_line import Run
from support.mcp_servers import TOOLS, server_command, start_http_server
from support.running import write_world

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def world(at_home: Path) -> Path:
    return write_world(at_home)


def test_a_command_is_tried_and_written_with_careful_grading(capsys: Capsys, world: Path) -> None:
    before = world.read_text()
    run = Run(capsys, "add", "second", "--yes", "--json", "--", *server_command())
    data: Any = run.data
    assert run.code == 0
    assert {tool["name"] for tool in data["tools"]} >= {"echo", "nap"}
    upstream = load(world).config.upstreams["second"]
    assert isinstance(upstream, McpUpstream)
    assert upstream.command == server_command()
    assert {pattern: rule.risk for pattern, rule in upstream.tools.items()} == {"*": 5}
    assert "sdk: # the fixture" in world.read_text()
    kept, _, rest = world.read_text().partition("  second:\n")
    assert before.startswith(kept)
    assert rest.endswith(before.removeprefix(kept)), "every other byte is as it was"


def test_a_url_is_tried_over_http(capsys: Capsys, world: Path) -> None:
    with start_http_server() as server:
        private = Run(capsys, "add", "web", server.url, "--yes")
        assert private.code == 1
        assert "this URL leads to this machine" in private.err
        run = Run(capsys, "add", "web", server.url, "--allow-private", "--yes")
    assert run.code == 0
    assert f"web: {TOOLS} tools" in run.out
    assert load(world).config.upstreams["web"].urls()["url"] == server.url


def test_a_dry_run_shows_the_entry_and_writes_nothing(capsys: Capsys, world: Path) -> None:
    before = world.read_text()
    run = Run(capsys, "add", "second", "--dry-run", "--", *server_command())
    assert run.code == 0
    assert "nothing was written" in run.out
    assert "  second:" in run.out
    assert world.read_text() == before


def test_nothing_is_written_when_nobody_agrees(capsys: Capsys, world: Path) -> None:
    before = world.read_text()
    run = Run(capsys, "add", "second", "--", *server_command())
    assert run.code == 2
    assert "give --yes to write" in run.err
    assert world.read_text() == before


def test_a_server_that_shows_no_tools_is_not_written(capsys: Capsys, world: Path) -> None:
    before = world.read_text()
    run = Run(capsys, "add", "gone", "--yes", "--", "/bin/false")
    assert run.code == 1
    assert "`gone` shows no tools: " in run.err
    assert world.read_text() == before
    assert list(world.parent.glob(".gateway.yaml.*")) == []


@pytest.mark.parametrize("program", ["no-such-program", "./missing"])
def test_a_program_that_is_not_there_is_said_so(capsys: Capsys, world: Path, program: str) -> None:
    run = Run(capsys, "add", "gone", "--yes", "--", program)
    assert (run.code, f"there is no program `{program}` here" in run.err) == (1, True)
    assert "install it first" in run.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sdk", "https://x.example/mcp"), "there is an upstream `sdk` already"),
        (("Web!", "https://x.example/mcp"), "does not load"),
        (("web", "https://x.example/mcp", "--bearer", "sk-live-123"), "a secret is not written here"),
        (("web", "https://x.example/mcp", "--header", "X-Key=sk-live-123"), "a secret is not written here"),
        (("web", "https://x.example/mcp?api_key=sk-live-123"), "seems to hold a secret"),
        (("web", "https://x.example/mcp", "more"), "a URL stands alone"),
        (("web", "--bearer", "env:TOKEN", "--", "server"), "belong to a URL"),
        (("web", "--env", "API_KEY=sk-live-123", "--", "server"), "seems to be a secret"),
    ],
)
def test_an_entry_that_must_not_be_is_not_written_and_no_secret_is_repeated(
    capsys: Capsys, world: Path, arguments: tuple[str, ...], message: str
) -> None:
    before = world.read_text()
    run = Run(capsys, "add", "--yes", *arguments)
    assert run.code in (1, 2)
    assert message in run.err
    assert "sk-live-123" not in run.err.replace(arguments[1], "")
    assert world.read_text() == before


def test_without_a_file_add_says_how_to_get_one(capsys: Capsys, at_home: Path) -> None:
    run = Run(capsys, "add", "web", "https://x.example/mcp", "--yes")
    assert (run.code, "`agent-gateway init` writes one" in run.err) == (1, True)


def test_the_starter_file_takes_an_upstream_and_keeps_every_comment() -> None:
    written = with_upstream(GATEWAY_YAML, "time", {"command": ["mcp-server-time"], "tools": {"*": {"risk": 1}}})
    comments = [line.strip() for line in GATEWAY_YAML.splitlines() if line.strip().startswith("#")]
    assert [line for line in comments if line not in written] == []
    assert len(written.splitlines()) > len(GATEWAY_YAML.splitlines())


@pytest.mark.parametrize(
    "text", ["- a list\n", "upstreams: [a]\n", "a: [\n", "version: 1\nupstreams: {time: {url: x}}\n"]
)
def test_a_file_that_cannot_take_the_entry_is_refused(text: str) -> None:
    with pytest.raises(CannotAdd):
        with_upstream(text, "time", {"command": ["x"]})


def test_two_entries_one_after_the_other_both_stay() -> None:
    once = with_upstream("version: 1 # first\n", "a", {"command": ["x", "1"]})
    twice = with_upstream(once, "b", {"url": "https://b.example/mcp"})
    assert twice.startswith("version: 1 # first\nupstreams:\n")
    assert "https://b.example/mcp" in twice
    assert once.strip().splitlines()[-1] in twice


def test_an_agent_is_tried_by_its_card(capsys: Capsys, world: Path) -> None:
    with start_agent() as agent:
        wrong = Run(capsys, "add", "writer", f"{agent.url}/nothing", "--kind", "a2a", "--allow-private", "--yes")
        assert wrong.code == 1
        assert "shows no card" in wrong.err
        run = Run(capsys, "add", "writer", agent.url, "--kind", "a2a", "--allow-private", "--yes")
    assert run.code == 0, run.err
    assert "writer: 2 skills" in run.out
    upstream = load(world).config.upstreams["writer"]
    assert isinstance(upstream, A2aUpstream)
    assert (upstream.url, upstream.skills["*"].risk) == (agent.url, 5)
    refused = Run(capsys, "add", "other", "--kind", "a2a", "--", "program")
    assert refused.code == 2
