"""Show a hand-off: user → planner → worker → tool, with one chain, one purse and one audit trail.

`python demos/hand_off.py` starts the gateway, two agents on the official SDK and a tool server, has a
question handed on through all of them, and checks every claim it makes.
"""

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import httpx2

from agent_gateway.audit.reader import records
from demos.processes import DidNotStart, answers, command_line, running
from demos.stage import PROJECT
from demos.story import Story, Surprise

FOLDER = PROJECT / ".demo" / "hand-off"
LIMIT_S = 120.0
PEOPLE = ("ana", "planner", "worker")
POLICY = """\
@id("ana-asks") @reason("ana may ask the planner")
permit (principal == Agent::"ana", action == Action::"message", resource == RemoteAgent::"planner");
@id("planner-hands-on") @reason("the planner may ask the worker")
permit (principal == Agent::"planner", action == Action::"message", resource == RemoteAgent::"worker");
@id("worker-goes-back") @reason("the worker may ask the planner, unless it is asked by it")
permit (principal == Agent::"worker", action == Action::"message", resource == RemoteAgent::"planner");
@id("worker-asks-prices") @reason("the worker may ask what things cost, in somebody's name")
permit (principal == Agent::"worker", action == Action::"call", resource == Tool::"prices__price")
when { context.chain_depth > 0 };
@id("ana-asks-prices") @reason("ana may ask what things cost herself")
permit (principal == Agent::"ana", action == Action::"call", resource == Tool::"prices__price");
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where everything is."""

    story: Story
    url: str
    folder: Path

    async def token(self, path: str) -> str:
        """Return ana's own token for an endpoint."""
        secret = (self.folder / "ana.secret").read_text(encoding="utf-8")
        form = {"grant_type": "client_credentials", "client_id": "ana", "client_secret": secret}
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.post(f"{self.url}/oauth/token", data=form | {"resource": self.url + path})
        return str(answer.json()["access_token"])

    async def ask(self, text: str) -> dict[str, Any]:
        """Have ana ask the planner; return the JSON-RPC answer."""
        return await self.send("/a2a/planner", {"text": text})

    async def send(self, path: str, part: Mapping[str, object]) -> dict[str, Any]:
        """Have ana send a message to an agent; return the JSON-RPC answer."""
        params = {"message": {"messageId": secrets.token_hex(8), "role": "ROLE_USER", "parts": [part]}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params}
        headers = {"authorization": f"Bearer {await self.token(path)}", "a2a-version": "1.0"}
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
            answer: dict[str, Any] = (await client.post(self.url + path, json=body, headers=headers)).json()
        return answer

    def calls(self) -> list[Mapping[str, Any]]:
        """Return the decisions of the audit log, oldest first."""
        found = [entry.record for entry in records(self.folder / "data" / "audit")]
        return [one for one in found if one["kind"] == "decision" and one["action"] != "list"]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def set_scene(folder: Path, ports: list[int]) -> None:
    """Write configuration, policies and secrets."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    for name in PEOPLE:
        secret = folder / f"{name}.secret"
        secret.write_text(secrets.token_urlsafe(32), encoding="utf-8")
        secret.chmod(0o600)
    data, admin, planner, worker = ports
    people = "".join(
        f"  {name}:\n    tenant: acme\n    owner: demo\n"
        f"    credentials: [{{kind: client_secret, secret: 'file:{name}.secret'}}]\n"
        for name in PEOPLE
    )
    agents = "".join(
        f"  {name}:\n    kind: a2a\n    url: http://127.0.0.1:{port}\n    allow_private: true\n"
        f"    acts_as: {name}\n    price_micros: 10\n    auth: {{kind: delegated}}\n"
        for name, port in (("planner", planner), ("worker", worker))
    )
    tools = json.dumps([sys.executable, str(PROJECT / "demos" / "hand_off_tools.py")])
    (folder / "main.cedar").write_text(POLICY, encoding="utf-8")
    (folder / "gateway.yaml").write_text(
        "version: 1\n"
        f"listeners: {{data: {{port: {data}}}, admin: {{port: {admin}}}}}\n"
        f"tenants: {{acme: {{}}}}\nagents:\n{people}"
        f"upstreams:\n{agents}  prices: {{command: {tools}, tools: {{'*': {{risk: 1, price_micros: 25}}}}}}\n"
        "toolsets: {desk: {agent: {description: Says what things cost}}}\n"
        "policies: {files: [main.cedar]}\n"
        "budgets:\n  - {name: purse, scope: root, match: acme/ana, unit: micros, limit: 50, window: day}\n"
        "audit: {origin: hand-off.example}\ntelemetry: {logs: console, level: warning}\n",
        encoding="utf-8",
    )


@asynccontextmanager
async def staged(story: Story, folder: Path) -> AsyncGenerator[Scene]:
    """Start everything; end it with the block."""
    ports = free_ports(4)
    set_scene(folder, ports)
    data, admin, *agents = ports
    async with contextlib.AsyncExitStack() as stack:
        for name, port in zip(("planner", "worker"), agents, strict=True):
            env = {
                "GATEWAY": f"http://127.0.0.1:{data}",
                "SECRET": (folder / f"{name}.secret").read_text(encoding="utf-8"),
                "PYTHONPATH": str(PROJECT),
            }
            argv = [sys.executable, "-W", "ignore", "-m", "demos.hand_off_agent", name, str(port)]
            card = f"http://127.0.0.1:{port}/.well-known/agent-card.json"
            ready = _ready(card)
            await stack.enter_async_context(running(f"the {name}", argv, folder / f"{name}.log", ready, env))
        argv = [*command_line(), "--config", str(folder / "gateway.yaml"), "up"]
        ready = _ready(f"http://127.0.0.1:{admin}/healthz")
        env = {"PYTHONPATH": ":".join(str(PROJECT / one) for one in (".", "policies", "a2a"))}
        await stack.enter_async_context(running("the gateway", argv, folder / "gateway.log", ready, env))
        yield Scene(story, f"http://127.0.0.1:{data}", folder)


def _ready(url: str) -> Any:
    return lambda: answers(url, 200)


async def play(scene: Scene) -> None:
    """Show it and check it."""
    story = scene.story
    story.step("A question is handed on: ana → planner → worker → tool")
    answer = await scene.ask("tea")
    text = answer["result"]["task"]["artifacts"][0]["parts"][0]["text"]
    story.show([f"ana asks the planner: tea?  It answers: {text}"])
    story.check("the answer of the tool comes back through both agents", holds=text == "tea: 4 crowns", seen=answer)

    story.step("One audit trail, one chain")
    calls = scene.calls()
    trail = [(one["principal"]["id"], one["capability"]["name"], [hop[1] for hop in one["chain"]]) for one in calls]
    story.show(f"{who} → {what}, in the name of {' → '.join(chain) or 'nobody else'}" for who, what, chain in trail)
    wanted: list[tuple[str, str, list[str]]] = [
        ("ana", "planner", []),
        ("planner", "worker", ["ana"]),
        ("worker", "prices__price", ["ana", "planner"]),
    ]
    story.check("three calls, each with everybody before it", holds=trail == wanted, seen=trail)
    story.check("every hop was signed by the gateway", holds=all(hop[2] for one in calls for hop in one["chain"]))

    story.step("One purse")
    charges = [tuple(charge) for one in calls for charge in one["charges"]]
    story.show(f"{bucket}: {amount} micros" for bucket, _, amount in charges)
    story.check(
        "all three draw on ana's purse for this question", holds=len({one[0] for one in charges}) == 1, seen=charges
    )
    story.check("10 + 10 + 25 of 50 are gone", holds=sum(one[2] for one in charges) == 45, seen=charges)

    story.step("No way back")
    answer = await scene.ask("go back")
    text = answer["result"]["task"]["artifacts"][0]["parts"][0]["text"]
    story.show([f"the worker calls the planner, which called it: {text}"])
    story.check("a loop is refused, in words that an agent can act on", holds="DELEGATION_LOOP" in text, seen=answer)

    story.step("The tools are an agent too")
    before = len(scene.calls())
    answer = await scene.send("/a2a/desk", {"data": {"tool": "prices__price", "arguments": {"item": "tea"}}})
    task = answer["result"]["task"]
    text = task["artifacts"][0]["parts"][0]["text"]
    story.show([f"ana asks the toolset `desk` with a data part: {text} ({task['status']['state']})"])
    story.check("a message to a toolset is a call of its tool", holds=text == "tea: 4 crowns", seen=answer)
    call = scene.calls()[before:]
    story.check(
        "decided and recorded like any call",
        holds=[(one["action"], one["capability"]["name"]) for one in call] == [("call", "prices__price")],
        seen=call,
    )

    story.step("Nobody acts in somebody's name by saying so")
    token = await scene.token("/mcp")
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        stolen = await client.post(f"{scene.url}/a2a/worker", json={}, headers={"authorization": f"Bearer {token}"})
    story.check("a token for one endpoint is worth nothing at another", holds=stolen.status_code == 401)


async def tour() -> int:
    story = Story()
    story.step("A gateway, two agents and a tool server")
    async with asyncio.timeout(LIMIT_S):
        async with staged(story, FOLDER) as scene:
            await play(scene)
    story.end()
    return 0


def main() -> int:
    """Run it; return 0 when all claims held."""
    try:
        return asyncio.run(tour())
    except (DidNotStart, Surprise) as failure:
        print(f"\nfailed: {failure}", file=sys.stderr)
    except TimeoutError:
        print(f"\nfailed: it took too long; logs are in {FOLDER}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
