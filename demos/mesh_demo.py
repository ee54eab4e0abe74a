"""An API that somebody else described becomes tools: imported, curated, approved, used under policy and budget.

`make demo-mesh`. The description is Redocly's museum (`tests/specs/museum.yaml`), the museum itself `demos/museum.py`.
Every step is a command that an operator would type, or a call that an agent would make; every claim is checked.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from demos.agents import alone
from demos.museum import PASSWORD, USER
from demos.processes import DidNotStart, running
from demos.stage import PROJECT, free_ports
from demos.story import Story, Surprise

SPEC: Final = PROJECT / "tests" / "specs" / "museum.yaml"
LIMIT_S: Final = 300.0
EVENT: Final = "Pirate Coding Workshop"

CURATION: Final = """\
curation: 1
exclude: ["update_special_event"]
tools:
  buy_museum_tickets:
    name: buy_ticket
    description: Buys one museum ticket. For an event, list the special events first.
    arguments:
      ticketId: {hidden: true}
"""
POLICIES: Final = """
@id("look")
permit (principal, action == Action::"call", resource) when { resource.read_only && resource.risk <= 3 };
@id("buy")
@hint("the museum sells events to this agent, no general tickets")
permit (principal, action == Action::"call", resource == Tool::"museum__buy_ticket")
when { context.args has ticketType && context.args.ticketType == "event" };
"""


def config(data_port: int, admin_port: int) -> str:
    return f"""version: 1
listeners:
  data: {{host: 127.0.0.1, port: {data_port}}}
  admin: {{host: 127.0.0.1, port: {admin_port}}}
tenants: {{acme: {{}}}}
agents:
  guide: {{tenant: acme, owner: ops, trust: 4, credentials: [{{kind: client_secret, secret: "file:guide.secret"}}]}}
toolsets:
  few: {{include: ["museum__*"], compact: true}}
policies: {{files: [main.cedar]}}
budgets:
  - {{name: purse, scope: agent, unit: micros, limit: 60000000, window: day}}
"""


class Operator:
    """Types commands."""

    def __init__(self, folder: Path, story: Story) -> None:
        self.folder, self.story = folder, story
        self.env = os.environ | {"PYTHONPATH": os.pathsep.join(str(PROJECT / one) for one in (".", "policies", "a2a"))}
        self.command = (sys.executable, "-m", "agent_gateway.cli.main", "--config", str(folder / "gateway.yaml"))

    def types(self, *words: str, shows: int = 6) -> str:
        """Run one command and show the beginning of what it says; raises `Surprise` when it fails."""
        done = subprocess.run(
            [*self.command, *words],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise Surprise(f"`agent-gateway {' '.join(words)}` ended with {done.returncode}: {done.stderr[-400:]}")
        typed = " ".join(words).replace(f"{PROJECT}/", "")
        self.story.show([f"agent-gateway {typed}", *done.stdout.splitlines()[:shows]])
        return done.stdout


class Guide:
    """The agent."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def does(self, tool: str, arguments: Mapping[str, Any]) -> tuple[Any, str]:
        """Return (structured content, text), or (None, what the refusal says)."""
        try:
            result = await self.client.call_tool(tool, dict(arguments))
        except MCPError as error:
            return None, f"{error.error.message} {json.dumps(error.error.data)}"
        text = "\n".join(one.text for one in result.content if isinstance(one, TextContent))
        kinds = ",".join(one.type for one in result.content)
        return (None, text) if result.is_error else (result.structured_content or kinds, text)


async def show(folder: Path) -> None:
    """Play it; raises `Surprise` at the first claim that does not hold."""
    story = Story()
    museum_port, data_port, admin_port = free_ports(3)
    url = f"http://127.0.0.1:{museum_port}"
    secrets = {"guide.secret": "correct horse battery staple", "museum.password": PASSWORD}
    for name, text in {**secrets, "main.cedar": POLICIES, "gateway.yaml": config(data_port, admin_port)}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    operator = Operator(folder, story)

    async def is_open() -> bool:
        async with httpx2.AsyncClient(trust_env=False) as http:
            return (await http.get(f"{url}/museum-hours")).status_code == 401

    async def is_up() -> bool:
        async with httpx2.AsyncClient(trust_env=False) as http:
            return (await http.get(f"http://127.0.0.1:{admin_port}/readyz")).status_code == 200

    museum = (sys.executable, str(PROJECT / "demos" / "museum.py"), str(museum_port))
    async with running("museum", museum, folder / "museum.log", is_open, operator.env):
        story.step("A description that somebody else wrote")
        operator.types("mesh", "lint", str(SPEC), shows=12)
        story.step("Imported: nothing is served yet")
        operator.types("mesh", "import", "museum", str(SPEC), "--url", url, "--allow-private", shows=2)
        _add_credential(folder)
        approved = json.loads((folder / "mesh/museum/approved.json").read_text())
        story.check("no operation is a tool before somebody approves it", holds=approved["tools"] == {})
        story.step("Curated, looked at, approved")
        (folder / "mesh/museum/curation.yaml").write_text(CURATION)
        operator.types("mesh", "import", "museum", str(SPEC), shows=2)
        operator.types("mesh", "approve", "museum", "--reads")
        operator.types("mesh", "approve", "museum", "buy_ticket")
        up = (*operator.command, "up")
        async with running("gateway", up, folder / "gateway.log", is_up, operator.env):
            token = operator.types("token", "guide", "--resource", "few", shows=0).strip()
            http = httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=30)
            endpoint = f"http://127.0.0.1:{data_port}/mcp/few"
            async with http, Client(streamable_http_client(endpoint, http_client=http)) as client:
                await _act(story, Guide(client))
        story.step("Everything is on record")
        told = operator.types("audit", "tail", shows=3)
        story.check("each call is in the log under the tool's own name", holds="museum__buy_ticket" in told)
    story.end()


def _add_credential(folder: Path) -> None:
    """Give the entry that `mesh import` wrote the credential of its scheme, and a ticket its price."""
    path = folder / "gateway.yaml"
    more = (
        f"    schemes: {{MuseumPlaceholderAuth: {{kind: basic, username: {USER}, password: 'file:museum.password'}}}}\n"
        "    tools: {buy_ticket: {price_micros: 25000000}}\n"
    )
    path.write_text(path.read_text().replace("    kind: openapi\n", "    kind: openapi\n" + more))


async def _act(story: Story, guide: Guide) -> None:
    story.step("An agent finds its way through three tools")
    names = [tool.name for tool in (await guide.client.list_tools()).tools]
    story.check(
        "the list is three tools long", holds=names == ["search_tools", "describe_tools", "call_tool"], seen=names
    )
    found, _ = await guide.does("search_tools", {"query": "list the special events"})
    best = found["tools"][0]["name"]
    story.check("a search in plain words finds the tool", holds=best == "museum__list_special_events", seen=found)
    hidden, _ = await guide.does("search_tools", {"query": "delete special event", "limit": 25})
    story.check("what it may not call is not found", holds="delete" not in json.dumps(hidden["tools"]), seen=hidden)
    story.step("It buys a ticket, under policy and budget")
    _, text = await guide.does("call_tool", {"name": "museum__list_special_events", "arguments": {}})
    listed: Any = json.loads(text)
    event: str = next(one["eventId"] for one in listed if one["name"] == EVENT)
    order = {"ticketType": "event", "eventId": event, "ticketDate": "2026-12-09", "email": "guide@example.com"}
    buy = {"name": "museum__buy_ticket", "arguments": order}
    sold, why = await guide.does("call_tool", buy)
    ticket: Any = sold or {"confirmationCode": "", "ticketId": ""}
    story.check(
        "the museum sells it",
        holds=ticket["confirmationCode"].startswith("ticket-event"),
        seen=why,
    )
    image, why = await guide.does(
        "call_tool", {"name": "museum__get_ticket_code", "arguments": {"ticketId": ticket["ticketId"]}}
    )
    story.check("its QR code comes as an image", holds=image == "image", seen=why)
    other = {"name": "museum__buy_ticket", "arguments": {**order, "ticketType": "general"}}
    _, why = await guide.does("call_tool", other)
    story.check("a general ticket is against the policy, which says so", holds="no general tickets" in why, seen=why)
    wrong = {"name": "museum__buy_ticket", "arguments": {**order, "ticketDate": 7}}
    _, why = await guide.does("call_tool", wrong)
    story.check("arguments that do not fit are refused before anything is sent", holds="ticketDate" in why, seen=why)
    _, why = await guide.does(
        "call_tool", {"name": "museum__get_special_event", "arguments": {"eventId": "../tickets"}}
    )
    story.check("no argument leads to another path", holds="nothing was sent" in why, seen=why)
    again = [await guide.does("call_tool", buy) for _ in range(2)]
    story.check(
        "the purse pays two tickets and no third",
        holds=[one[0] is not None for one in again] == [True, False],
        seen=again,
    )


def main(argv: Sequence[str]) -> int:
    """Play the demonstration in a folder of its own; return the exit code."""
    del argv
    return_code = 0
    with tempfile.TemporaryDirectory(prefix="mesh-demo-") as place:
        try:
            asyncio.run(asyncio.wait_for(show(Path(place)), LIMIT_S))
        except* (Surprise, DidNotStart, TimeoutError) as group:
            print(f"\nfailed: {alone(group)}", file=sys.stderr)
            return_code = 1
    return return_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
