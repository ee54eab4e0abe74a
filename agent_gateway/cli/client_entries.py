"""Client entries: how each MCP client wants to be told of a server, as data and as edits of its file.

No file is read or written here. The token is never written: every client can read it from the
environment (or ask for it), so an entry may be committed.
"""

import json
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

Place = Literal["project", "home"]


class CannotEdit(Exception):
    """The client's file cannot be edited without risk to what is in it; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """What to connect to.

    name       the entry's name
    token_env  the environment variable that holds the token
    command    program and arguments that speak MCP on standard streams, instead of the URL
    """

    name: str
    url: str
    token_env: str
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """One MCP client.

    file   where its entries are, relative to the project or to the home directory
    fresh  the text of a file with this entry alone
    edit   the text of a file with the entry added or replaced; raises `CannotEdit`
    note   what its user does next
    needs_command  it starts programs and dials no URL
    """

    title: str
    place: Place
    file: str
    fresh: Callable[[Server], str]
    edit: Callable[[str, Server], str]
    note: str
    needs_command: bool = False


def _program(server: Server) -> dict[str, Any]:
    return {"command": server.command[0], "args": list(server.command[1:])}


def _claude_desktop(server: Server) -> dict[str, Any]:
    return {"mcpServers": {server.name: _program(server)}}


def _claude_code(server: Server) -> dict[str, Any]:
    if server.command:
        return {"mcpServers": {server.name: {"type": "stdio", **_program(server)}}}
    return {
        "mcpServers": {
            server.name: {
                "type": "http",
                "url": server.url,
                "headers": {"Authorization": f"Bearer ${{{server.token_env}}}"},
            }
        }
    }


def _cursor(server: Server) -> dict[str, Any]:
    if server.command:
        return {"mcpServers": {server.name: _program(server)}}
    return {
        "mcpServers": {
            server.name: {"url": server.url, "headers": {"Authorization": f"Bearer ${{env:{server.token_env}}}"}}
        }
    }


def _vscode(server: Server) -> dict[str, Any]:
    if server.command:
        return {"servers": {server.name: {"type": "stdio", **_program(server)}}}
    return {
        "servers": {
            server.name: {
                "type": "http",
                "url": server.url,
                "headers": {"Authorization": f"Bearer ${{input:{server.name}-token}}"},
            }
        },
        "inputs": [
            {
                "type": "promptString",
                "id": f"{server.name}-token",
                "description": f"Token for {server.name}",
                "password": True,
            }
        ],
    }


def _codex(server: Server) -> str:
    if server.command:
        return (
            f"[mcp_servers.{server.name}]\n"
            f"command = {json.dumps(server.command[0])}\n"
            f"args = {json.dumps(list(server.command[1:]))}\n"
        )
    return (
        f"[mcp_servers.{server.name}]\n"
        f"url = {json.dumps(server.url)}\n"
        f"bearer_token_env_var = {json.dumps(server.token_env)}\n"
    )


def _as_json(entries: Mapping[str, Any]) -> str:
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def _edit_json(text: str, entries: Mapping[str, Any]) -> str:
    """Put `entries` into the JSON object `text`: members by name, list items by `id`."""
    try:
        parsed: object = json.loads(text or "{}", object_pairs_hook=_once)
    except ValueError:
        raise CannotEdit("it is not plain JSON (it may hold comments)") from None
    if not isinstance(parsed, dict):
        raise CannotEdit("it is not a JSON object")
    document = cast("dict[str, Any]", parsed)
    before = deepcopy(document)
    for section, members in entries.items():
        if isinstance(members, dict):
            _merge_members(document, section, cast("dict[str, Any]", members))
        else:
            _merge_items(document, section, cast("list[dict[str, Any]]", members))
    return text if document == before else _as_json(document)


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object, each name once: writing the file back would lose a second one."""
    found = dict(members)
    if len(found) != len(members):
        raise CannotEdit("a name is in it twice")
    return found


def _merge_members(document: dict[str, Any], section: str, members: Mapping[str, Any]) -> None:
    present = document.setdefault(section, {})
    if not isinstance(present, dict):
        raise CannotEdit(f"its `{section}` is not an object")
    cast("dict[str, Any]", present).update(members)


def _merge_items(document: dict[str, Any], section: str, items: list[dict[str, Any]]) -> None:
    present = document.setdefault(section, [])
    if not isinstance(present, list):
        raise CannotEdit(f"its `{section}` is not a list")
    ids = {item["id"] for item in items}
    listed = cast("list[object]", present)
    others = [item for item in listed if _id_of(item) not in ids]
    document[section] = [*others, *items] if others + items != listed else listed


def _id_of(item: object) -> object:
    return cast("dict[str, object]", item).get("id") if isinstance(item, dict) else None


def _edit_toml(text: str, server: Server) -> str:
    """Put the entry into TOML text, keeping every other byte; the result is read back before it is believed."""
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise CannotEdit("it is not valid TOML") from None
    if not isinstance(before.get("mcp_servers", {}), dict):
        raise CannotEdit("its `mcp_servers` is not a table")
    added = tomllib.loads(_codex(server))["mcp_servers"]
    present = cast("dict[str, Any]", before.get("mcp_servers", {}))
    if present.get(server.name) == added[server.name]:
        return text
    kept = _without_table(text, server.name)
    edited = f"{kept.rstrip()}\n\n{_codex(server)}" if kept.strip() else _codex(server)
    expected = {**before, "mcp_servers": {**present, **added}}
    try:
        if tomllib.loads(edited) == expected:
            return edited
    except tomllib.TOMLDecodeError:
        pass
    raise CannotEdit(f"its entry `{server.name}` is written in a way this program does not edit")


def _without_table(text: str, name: str) -> str:
    """`text` without the lines of the table `mcp_servers.{name}` and of the tables under it."""
    header = re.compile(rf"""\s*\[\s*mcp_servers\s*\.\s*["']?{re.escape(name)}["']?\s*(\.[^\]]*)?\]\s*(#.*)?""")
    kept: list[str] = []
    is_ours = False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            is_ours = header.fullmatch(line.rstrip("\r\n")) is not None
        if not is_ours:
            kept.append(line)
    return "".join(kept)


_DESKTOP_FILE: Final = (
    "Library/Application Support/Claude/claude_desktop_config.json"
    if sys.platform == "darwin"
    else ".config/Claude/claude_desktop_config.json"
)
_ENV_NOTE: Final = "start it from a shell in which {token_env} holds a token: `agent-gateway token AGENT` prints one"

CLIENTS: Final[Mapping[str, Client]] = {
    "claude-desktop": Client(
        "Claude Desktop",
        "home",
        _DESKTOP_FILE,
        lambda server: _as_json(_claude_desktop(server)),
        lambda text, server: _edit_json(text, _claude_desktop(server)),
        "start it again",
        needs_command=True,
    ),
    "claude-code": Client(
        "Claude Code",
        "project",
        ".mcp.json",
        lambda server: _as_json(_claude_code(server)),
        lambda text, server: _edit_json(text, _claude_code(server)),
        _ENV_NOTE,
    ),
    "cursor": Client(
        "Cursor",
        "project",
        ".cursor/mcp.json",
        lambda server: _as_json(_cursor(server)),
        lambda text, server: _edit_json(text, _cursor(server)),
        _ENV_NOTE,
    ),
    "vscode": Client(
        "VS Code",
        "project",
        ".vscode/mcp.json",
        lambda server: _as_json(_vscode(server)),
        lambda text, server: _edit_json(text, _vscode(server)),
        "it asks for the token when the server starts, and keeps it",
    ),
    "codex": Client(
        "Codex",
        "home",
        ".codex/config.toml",
        _codex,
        _edit_toml,
        _ENV_NOTE,
    ),
}
