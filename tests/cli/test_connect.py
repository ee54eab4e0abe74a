"""Connecting MCP clients: the entry each wants, and edits that keep what else is in its file."""

import json
import stat
import tomllib
from pathlib import Path

import pytest

from agent_gateway.cli.client_entries import CLIENTS, Server
from agent_gateway.cli.files import MAX_BACKUPS
from support.command_line import Run
from support.config_files import MINIMAL, write_config

URL = "http://127.0.0.1:8080/mcp"
SERVER = Server("agent-gateway", URL, "AGENT_GATEWAY_TOKEN")

PROGRAM = ("/opt/agent-gateway", "--config", "/etc/gateway.yaml", "stdio", "--as", "planner")
STARTED = Server("agent-gateway", URL, "AGENT_GATEWAY_TOKEN", PROGRAM)
DIALLING = sorted(name for name, client in CLIENTS.items() if not client.needs_command)

CODEX_FILE = """\
model = "gpt" # keep me

[mcp_servers.agent-gateway]
url = "http://old.example/mcp"

[mcp_servers.agent-gateway.env_http_headers]
X-Old = "OLD"

[mcp_servers.other]
command = "npx" # and me
args = ["a", "b"]
"""


@pytest.fixture(autouse=True)
def gateway(at_home: Path) -> None:
    write_config(at_home, MINIMAL + "toolsets: {reading: {include: ['time__*']}}\n")


def test_claude_code_gets_a_typed_entry_with_the_token_from_the_environment() -> None:
    assert json.loads(CLIENTS["claude-code"].fresh(SERVER)) == {
        "mcpServers": {
            "agent-gateway": {
                "type": "http",
                "url": URL,
                "headers": {"Authorization": "Bearer ${AGENT_GATEWAY_TOKEN}"},
            }
        }
    }


def test_cursor_gets_its_own_spelling_of_a_variable() -> None:
    assert json.loads(CLIENTS["cursor"].fresh(SERVER)) == {
        "mcpServers": {"agent-gateway": {"url": URL, "headers": {"Authorization": "Bearer ${env:AGENT_GATEWAY_TOKEN}"}}}
    }


def test_vscode_asks_for_the_token_and_hides_it() -> None:
    entry = json.loads(CLIENTS["vscode"].fresh(SERVER))
    (asked,) = entry["inputs"]
    assert asked["password"] is True
    assert entry["servers"]["agent-gateway"] == {
        "type": "http",
        "url": URL,
        "headers": {"Authorization": f"Bearer ${{input:{asked['id']}}}"},
    }


def test_codex_gets_toml_with_the_name_of_the_variable() -> None:
    assert tomllib.loads(CLIENTS["codex"].fresh(SERVER)) == {
        "mcp_servers": {"agent-gateway": {"url": URL, "bearer_token_env_var": "AGENT_GATEWAY_TOKEN"}}
    }


@pytest.mark.parametrize("client", DIALLING)
def test_an_entry_is_printed_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], at_home: Path, client: str
) -> None:
    before = sorted(at_home.rglob("*"))
    run = Run(capsys, "connect", client)
    assert run.code == 0
    assert run.out.startswith(CLIENTS[client].fresh(SERVER))
    assert sorted(at_home.rglob("*")) == before


def test_a_toolset_has_a_url_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert Run(capsys, "connect", "cursor", "--toolset", "reading", "--json").data["url"] == f"{URL}/reading"
    wrong = Run(capsys, "connect", "cursor", "--toolset", "raeding")
    assert wrong.code == 1
    assert "did you mean `reading`?" in wrong.err


def test_a_given_url_needs_no_configuration(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    (at_home / "gateway.yaml").unlink()
    run = Run(capsys, "connect", "cursor", "--url", "https://g.example/mcp", "--json")
    assert run.data["url"] == "https://g.example/mcp"


@pytest.mark.parametrize("option", ["--name", "--token-env"])
def test_a_name_that_could_break_out_of_the_entry_is_refused(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert Run(capsys, "connect", "codex", option, 'x"]\ny = "').code == 2


@pytest.mark.parametrize("client", DIALLING)
def test_writing_twice_changes_the_file_once(capsys: pytest.CaptureFixture[str], at_home: Path, client: str) -> None:
    first = Run(capsys, "connect", client, "--write", "--json").data
    second = Run(capsys, "connect", client, "--write", "--json").data
    file = at_home / str(first["file"])
    assert (first["state"], second["state"]) == ("created", "unchanged")
    assert file.read_text() == CLIENTS[client].fresh(SERVER)
    assert [path.name for path in file.parent.iterdir() if ".bak" in path.name] == []


@pytest.mark.requirement("cli.connect-keeps-other-entries")
def test_other_entries_of_a_json_file_stay_as_they_are(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    file = at_home / ".vscode" / "mcp.json"
    file.parent.mkdir()
    other = {"z": {"command": "é"}, "agent-gateway": {"url": "http://old.example"}}
    before = json.dumps({"servers": other, "inputs": [{"id": "mine"}, 7], "more": None})
    file.write_text(before)
    file.chmod(0o640)
    run = Run(capsys, "connect", "vscode", "--write", "--json")
    after = json.loads(file.read_text())
    entry = json.loads(CLIENTS["vscode"].fresh(SERVER))
    assert after == {
        "servers": {"z": {"command": "é"}, **entry["servers"]},
        "inputs": [{"id": "mine"}, 7, *entry["inputs"]],
        "more": None,
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert Path(str(run.data["backup"])).read_text() == before


@pytest.mark.requirement("cli.connect-keeps-other-entries")
def test_other_entries_and_comments_of_a_toml_file_stay_byte_for_byte(
    capsys: pytest.CaptureFixture[str], at_home: Path
) -> None:
    file = at_home / ".codex" / "config.toml"
    file.parent.mkdir()
    file.write_text(CODEX_FILE)
    assert Run(capsys, "connect", "codex", "--write").code == 0
    assert file.read_text() == (
        'model = "gpt" # keep me\n\n[mcp_servers.other]\ncommand = "npx" # and me\nargs = ["a", "b"]\n\n'
        + CLIENTS["codex"].fresh(SERVER)
    )
    assert (file.parent / "config.toml.bak").read_text() == CODEX_FILE


@pytest.mark.parametrize(
    ("client", "text"),
    [
        ("cursor", "{ // comment\n}"),
        ("cursor", "[]"),
        ("cursor", '{"mcpServers": []}'),
        ("cursor", '{"mcpServers": {"a": 1, "a": 2}}'),
        ("vscode", '{"inputs": {}}'),
        ("codex", "not toml ["),
        ("codex", "mcp_servers = 5\n"),
        ("codex", 'mcp_servers = {agent-gateway = {url = "x"}}\n'),
        ("codex", '[mcp_servers]\nagent-gateway.url = "x"\n'),
        ("codex", 'text = """\n[mcp_servers.agent-gateway]\n"""\n[mcp_servers.agent-gateway]\nurl = "x"\n'),
    ],
)
def test_a_file_that_cannot_be_edited_safely_is_left_alone(
    capsys: pytest.CaptureFixture[str], at_home: Path, client: str, text: str
) -> None:
    file = at_home / "client.conf"
    file.write_text(text)
    run = Run(capsys, "connect", client, "--write", "--file", file)
    assert run.code == 1
    assert "was left alone" in run.err
    assert file.read_text() == text


def test_a_link_is_followed_not_replaced(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    real, link = at_home / "real.json", at_home / "link.json"
    real.write_text("{}")
    link.symlink_to(real)
    Run(capsys, "connect", "cursor", "--write", "--file", link)
    assert link.is_symlink()
    assert "mcpServers" in json.loads(real.read_text())


def test_backups_are_bounded_and_never_replaced(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    file = at_home / "c.json"
    for number in range(MAX_BACKUPS):
        (at_home / f"c.json.bak{number or ''}").write_text("old")
    file.write_text("{}")
    run = Run(capsys, "connect", "cursor", "--write", "--file", file)
    assert run.code == 1
    assert file.read_text() == "{}"
    assert (at_home / "c.json.bak").read_text() == "old"


def test_a_file_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    (at_home / "c.json").write_bytes(b"\xff")
    assert Run(capsys, "connect", "cursor", "--write", "--file", "c.json").code == 1


# --- clients that start a program ----------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_every_client_can_start_the_gateway_s_stdio_face(name: str) -> None:
    text = CLIENTS[name].fresh(STARTED)
    entry = tomllib.loads(text) if name == "codex" else json.loads(text)
    [(section, servers)] = [(key, value) for key, value in entry.items() if key != "inputs"]
    assert section in {"mcpServers", "servers", "mcp_servers"}
    assert (servers["agent-gateway"]["command"], tuple(servers["agent-gateway"]["args"])) == (PROGRAM[0], PROGRAM[1:])
    assert "TOKEN" not in text
    assert URL not in text


def test_a_desktop_client_is_told_a_command_with_absolute_paths(
    capsys: pytest.CaptureFixture[str], at_home: Path
) -> None:
    run = Run(capsys, "connect", "claude-desktop", "--as", "planner", "--toolset", "reading", "--write", "--json")
    assert run.code == 0
    [entry] = json.loads(Path(str(run.data["file"])).read_text())["mcpServers"].values()
    words = [entry["command"], *entry["args"]]
    assert words[-6:] == [str(at_home / "gateway.yaml"), "stdio", "--as", "planner", "--toolset", "reading"]
    assert Path(words[0]).is_absolute()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["claude-desktop"], "starts programs"),
        (["cursor", "--as", "plannr"], "no agent is called"),
        (["cursor", "--as", "planner", "--url", "https://gateway.example/mcp"], "leave --url out"),
    ],
)
def test_a_command_needs_an_agent_of_this_gateway(
    capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    run = Run(capsys, "connect", *arguments)
    assert run.code == 2
    assert why in run.err
